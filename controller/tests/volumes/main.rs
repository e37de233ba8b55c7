//! What the controller does on every server. Each body runs against the fake; with feature `wire` also against NFS-Ganesha
//! (needs root, nfs-ganesha and nfs-ganesha-vfs), with feature `kernel` also against the server of the kernel it runs on
//! (`world/knfsd.rs` says what that needs).

#![allow(clippy::unwrap_used, reason = "the bodies fail like the tests themselves")]

#[cfg(feature = "fault-points")]
mod crash;
mod crash_parameters;
mod create;
mod delete;
mod doubt;
mod full;
#[cfg(any(feature = "wire", feature = "kernel"))]
mod grace;
mod identity;
mod modes;
mod no_links;
mod overlaps;
mod places;
#[cfg(any(feature = "wire", feature = "kernel"))]
mod ports;
mod quota;
mod reaping;
mod refusals;
mod reopened;
mod split;
mod squash;
mod takeover;
mod trouble;
mod upgrade;
mod world;

/// One test for each body, against the world that `$make` makes.
macro_rules! volume_tests {
    ($make:expr; $($module:ident: $($body:ident),* $(,)?;)*) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $body() {
                let world = $make;
                $crate::$module::$body(&world).await;
            }
        )*)*
    };
}

/// Every body that is about links: a share of an earlier release has no other entries, and who has written one shows only there.
macro_rules! link_tests {
    ($make:expr) => {
        volume_tests! { $make;
            upgrade:
                a_share_of_an_earlier_release_is_gone_on_with_and_can_go_back;
            reopened:
                folders_that_an_fs_group_opened_are_closed_again,
                what_others_wrote_into_opened_folders_is_not_believed,
                what_no_fs_group_makes_of_the_drivers_folders_is_not_trusted;
        }
    };
}

/// Every body that makes volumes of whatever mode, for nobody in particular, and nothing beside them that vfat lacks.
macro_rules! plain_volume_tests {
    ($make:expr) => {
        volume_tests! { $make;
            create:
                another_size_is_another_volume,
                the_size_is_what_was_asked_for,
                a_hundred_at_once_below_new_parents,
                a_caller_that_leaves_gets_the_volume_later;
            places:
                one_place_holds_one_volume,
                a_foreign_directory_is_never_adopted,
                no_volume_lies_inside_another,
                a_place_whose_directory_is_missing_stays_taken,
                a_custom_place_cannot_be_anothers_default,
                an_abandoned_hold_is_taken_over,
                a_hold_that_a_volume_elsewhere_has_left_behind_is_taken_over;
            overlaps:
                a_share_inside_a_volume_is_refused,
                a_place_inside_a_volume_of_a_share_around_is_refused,
                a_place_inside_another_share_is_refused;
            delete:
                a_volume_ends_in_the_trash_and_is_removed,
                an_unknown_id_changes_nothing,
                nothing_counts_as_deleted_on_a_share_without_its_disk,
                a_foreign_directory_survives_its_forged_id,
                a_record_removed_by_hand_leaves_the_directory,
                a_directory_removed_by_hand_is_forgotten,
                a_retained_directory_stays_and_its_record_is_kept,
                a_hold_removed_by_hand_leaves_the_directory,
                a_deleted_volume_frees_its_place,
                a_record_that_cannot_be_read_stops_everything;
            identity:
                a_share_has_one_identity_whoever_uses_it_first,
                another_disk_under_the_same_path_is_noticed,
                what_a_controller_has_seen_is_what_it_expects,
                no_folders_are_made_on_a_share_that_should_have_them,
                a_share_without_an_identity_gets_one,
                an_identity_that_cannot_be_read_is_named,
                what_was_begun_for_nobody_is_ended_and_the_volume_in_use_stays;
            refusals:
                a_share_that_does_not_exist_is_named,
                a_server_that_refuses_is_named,
                a_server_that_is_not_nfs_is_named;
            reaping:
                a_deep_tree_is_removed;
        }
    };
}

/// What a file system without owners, modes and links, such as vfat, has no use for. Each body is about the owner or the mode that a volume
/// or a folder of the driver's gets, loses or is to have, about a directory that bears the mark of one that was begun, or about a link that
/// somebody has put on the share; one is about names that vfat does not take.
macro_rules! owner_mode_and_link_tests {
    ($make:expr) => {
        volume_tests! { $make;
            create:
                a_volume_is_a_directory_with_mode_owner_and_record,
                asking_again_gives_the_same_volume,
                any_name_has_a_volume,
                one_name_asked_for_many_times_at_once_is_one_volume;
            places:
                nothing_is_made_through_a_symbolic_link,
                an_abandoned_place_is_taken_over_with_what_was_begun_there;
            delete:
                what_took_the_directorys_place_is_not_touched;
            refusals:
                records_that_others_could_write_are_not_trusted,
                folders_that_anybody_else_may_enter_are_not_trusted,
                records_of_another_user_are_not_trusted;
            doubt:
                owner_and_mode_are_set_again_unless_the_volume_is_in_use;
            split:
                a_deep_place_is_made_and_found_again;
            reaping:
                what_an_earlier_process_left_is_removed,
                a_tree_is_removed_without_following_links;
        }
    };
}

/// Every body that leaves entries of the driver's folders to whatever form they have there.
macro_rules! volume_tests_of_any_server {
    ($make:expr) => {
        plain_volume_tests! { $make }
        owner_mode_and_link_tests! { $make }
        volume_tests! { $make;
            create: another_directory_or_end_is_another_volume;
            trouble: folders_removed_by_hand_are_made_again;
        }
    };
}

/// Every body there is about servers that take a whole operation in one request.
macro_rules! round_trip_tests {
    ($make:expr) => {
        volume_tests! { $make;
            create:
                the_default_place_takes_one_round_trip,
                a_custom_place_takes_two_round_trips;
            delete:
                two_round_trips_delete_a_volume;
        }
    };
}

/// Every body there is.
macro_rules! every_volume_test {
    ($make:expr) => {
        round_trip_tests! { $make }
        volume_tests_of_any_server! { $make }
        link_tests! { $make }
    };
}

/// Every body that needs fault points.
#[cfg(feature = "fault-points")]
macro_rules! every_crash_test {
    ($make:expr) => {
        volume_tests! { $make;
            crash:
                a_create_is_finished_after_a_crash_before_any_step,
                a_delete_is_finished_after_a_crash_before_any_step,
                a_place_half_taken_is_not_given_to_another,
                what_a_crash_left_is_never_taken_for_a_foreign_directory;
        }
    };
}

/// Every body that needs fault points and a server that takes root for nobody.
#[cfg(feature = "fault-points")]
macro_rules! every_squashed_crash_test {
    ($make:expr) => {
        volume_tests! { $make;
            crash:
                a_create_is_finished_where_root_is_nobody,
                a_closed_directory_that_holds_something_is_kept_where_root_is_nobody;
        }
    };
}

mod quirks;

mod fake {
    use crate::world::World;

    every_volume_test!(World::fake());
    volume_tests! { World::squashed_fake();
        reopened: folders_of_nobodys_that_an_fs_group_opened_are_closed_again;
        squash: a_squashed_root_cannot_set_an_owner;
        reaping:
            a_closed_directory_keeps_nothing_but_itself_where_root_is_nobody,
            directories_of_other_users_are_removed_where_root_is_nobody;
        takeover: a_closed_directory_that_was_replaced_meanwhile_is_kept;
    }
    volume_tests! { World::fake_of_nobodies(); squash: a_private_directory_stays_where_everybody_is_nobody; }
    volume_tests! { World::fake();
        full: a_full_disk_is_named_and_nothing_is_left;
        split: a_reply_that_grows_too_long_is_gone_on_from;
        places: a_volume_lies_on_the_file_system_of_its_share;
        reaping:
            what_cannot_be_removed_is_left_and_tried_again,
            what_a_delete_without_an_answer_has_moved_is_removed,
            a_trash_that_has_another_handle_is_looked_up_again;
        takeover: a_place_that_was_taken_over_meanwhile_is_left;
        trouble:
            whatever_happens_to_a_request_there_is_one_volume,
            handles_are_looked_up_again,
            what_another_controller_completes_is_not_taken_back,
            a_late_delete_does_not_touch_the_next_volume,
            a_late_delete_does_not_touch_the_next_volume_of_its_name;
        doubt:
            a_failure_is_not_final_before_what_was_begun_is_taken_back,
            another_share_is_no_proof_after_a_lost_answer,
            a_refusal_to_look_is_not_final_after_a_lost_answer,
            what_is_in_use_by_now_is_not_touched,
            an_owner_that_is_not_kept_is_refused;
    }
    #[cfg(feature = "fault-points")]
    every_crash_test!(World::fake());
    #[cfg(feature = "fault-points")]
    every_squashed_crash_test!(World::squashed_fake());
}

/// A server that takes root for nobody and grants little.
mod small_squashed_fake {
    use crate::world::World;

    volume_tests! { World::small_squashed_fake();
        reaping:
            a_closed_directory_keeps_nothing_but_itself_where_root_is_nobody,
            directories_of_other_users_are_removed_where_root_is_nobody;
    }
}

#[cfg(feature = "wire")]
mod ganesha {
    use crate::world::World;

    every_volume_test!(World::ganesha());
    volume_tests! { World::squashed_ganesha();
        reopened: folders_of_nobodys_that_an_fs_group_opened_are_closed_again;
        squash: a_squashed_root_cannot_set_an_owner;
        reaping:
            a_closed_directory_keeps_nothing_but_itself_where_root_is_nobody,
            directories_of_other_users_are_removed_where_root_is_nobody;
    }
    volume_tests! { World::ganesha_of_nobodies(); squash: a_private_directory_stays_where_everybody_is_nobody; }
    volume_tests! { World::ganesha_for_low_ports(); ports: an_export_that_demands_a_low_port_is_named_and_can_be_had; }
    volume_tests! { World::ganesha_on_a_small_disk(); full: a_disk_that_fills_up_refuses_and_recovers; }
    volume_tests! { World::ganesha_that_squashes(); refusals: a_share_that_may_not_be_written_to_is_named; }
    #[cfg(feature = "fault-points")]
    every_crash_test!(World::ganesha());
    #[cfg(feature = "fault-points")]
    every_squashed_crash_test!(World::squashed_ganesha());

    mod restarts {
        use super::World;

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn a_client_that_came_back_is_not_waited_for() {
            crate::grace::a_client_that_came_back_is_not_waited_for(&mut World::ganesha()).await;
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn a_grace_period_is_waited_out() {
            crate::grace::a_grace_period_is_waited_out(&mut World::ganesha()).await;
        }
    }
}

#[cfg(feature = "kernel")]
mod knfsd {
    use crate::world::{Knfsd, World};

    every_volume_test!(World::Knfsd(Knfsd::new()));
    volume_tests! { World::Knfsd(Knfsd::beside("squashed", 0o777));
        reopened: folders_of_nobodys_that_an_fs_group_opened_are_closed_again;
        squash: a_squashed_root_cannot_set_an_owner;
        reaping:
            a_closed_directory_keeps_nothing_but_itself_where_root_is_nobody,
            directories_of_other_users_are_removed_where_root_is_nobody;
    }
    volume_tests! { World::Knfsd(Knfsd::beside("lowport", 0o755)); ports: an_export_that_demands_a_low_port_is_named_and_can_be_had; }
    volume_tests! { World::Knfsd(Knfsd::on_a_small_disk()); full: a_disk_that_fills_up_refuses_and_recovers; }
    volume_tests! { World::Knfsd(Knfsd::beside("squashed", 0o755)); refusals: a_share_that_may_not_be_written_to_is_named; }
    #[cfg(feature = "fault-points")]
    every_crash_test!(World::Knfsd(Knfsd::new()));
    #[cfg(feature = "fault-points")]
    every_squashed_crash_test!(World::Knfsd(Knfsd::beside("squashed", 0o777)));

    mod restarts {
        use super::{Knfsd, World};

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn a_grace_period_is_waited_out() {
            crate::grace::a_grace_period_is_waited_out(&mut World::Knfsd(Knfsd::new())).await;
        }
    }
}

/// ext4 with case-insensitive names.
#[cfg(feature = "kernel")]
mod casefold {
    use crate::world::{Knfsd, World};

    every_volume_test!(World::Knfsd(Knfsd::beside("casefold", 0o755)));
    volume_tests! { World::Knfsd(Knfsd::beside("casefold", 0o755));
        places:
            places_that_differ_in_case_alone_are_one,
            a_place_that_was_taken_by_its_exact_name_stays_taken;
    }
    #[cfg(feature = "fault-points")]
    every_crash_test!(World::Knfsd(Knfsd::beside("casefold", 0o755)));
}

/// A file system without links, owners and permissions. Without the mark of a directory that was begun, what a crash between its making and
/// its record leaves is for a person to remove (`docs/layout.md`), so the bodies about crashes have no place here either.
#[cfg(feature = "kernel")]
mod vfat {
    use crate::world::{Knfsd, World};

    plain_volume_tests!(World::Knfsd(Knfsd::without_permissions()));
    volume_tests! { World::Knfsd(Knfsd::without_permissions());
        places:
            places_that_differ_in_case_alone_are_one,
            a_place_that_was_taken_by_its_exact_name_stays_taken;
        no_links:
            records_and_holds_are_files,
            a_record_that_was_begun_is_made_anew,
            a_hold_that_was_begun_is_waited_for_and_taken_over,
            an_identity_that_was_begun_is_made_anew;
    }
}
