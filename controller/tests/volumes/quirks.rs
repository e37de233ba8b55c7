//! The same bodies on servers with other habits than most. Every body runs where the controller copes with the habit; where
//! it does not yet, those that it is equal to.

/// A server that never has two requests of one client in its hands.
mod one_slot {
    use crate::world::World;

    every_volume_test!(World::fake_with(|options| options.slots = 1));
}

mod case_insensitive {
    use crate::world::World;

    every_volume_test!(World::fake_with(|options| options.case_insensitive = true));
    volume_tests! { World::fake_with(|options| options.case_insensitive = true);
        places:
            places_that_differ_in_case_alone_are_one,
            a_place_that_was_taken_by_its_exact_name_stays_taken;
    }
}

/// A server that holds on to what is removed, as Ganesha does now and then.
mod held_directories {
    use crate::world::World;

    every_volume_test!(World::fake_with(|options| options.holds_removed_directories = true));
}

/// Habits that a client must not notice: owners with a domain, connections that have to be bound, set-gid that CREATE keeps,
/// false retries that are not detected.
mod unnoticed {
    use crate::world::World;

    every_volume_test!(World::fake_with(|options| {
        options.domain = Some("example.org".to_owned());
        options.needs_binding = true;
        options.drops_setgid = false;
        options.detects_false_retries = false;
    }));
}

mod small_sizes {
    use nfs_testkit::fake::Options;

    use crate::world::World;

    fn small(options: &mut Options) {
        options.max_request = 4096;
        options.max_response = 4096;
        options.max_cached = 1024;
    }

    every_volume_test!(World::fake_with(small));
    #[cfg(feature = "fault-points")]
    every_crash_test!(World::fake_with(small));
}

/// knfsd before Linux 6.1, and firmware that is built on it.
mod sixteen_operations {
    use nfs_testkit::fake::Options;

    use crate::world::World;

    fn sixteen(options: &mut Options) {
        options.max_operations = 16;
    }

    volume_tests_of_any_server! { World::fake_with(sixteen) }
    link_tests! { World::fake_with(sixteen) }
    volume_tests! { World::fake_with(sixteen);
        create: the_default_place_takes_one_round_trip;
        split: sixteen_operations_cost_one_round_trip_at_most;
    }
    #[cfg(feature = "fault-points")]
    every_crash_test!(World::fake_with(sixteen));
}

/// The least that a Linux client mounts from.
mod eight_operations {
    use nfs_testkit::fake::Options;

    use crate::world::World;

    fn eight(options: &mut Options) {
        options.max_operations = 8;
    }

    volume_tests_of_any_server! { World::fake_with(eight) }
    link_tests! { World::fake_with(eight) }
    volume_tests! { World::fake_with(eight);
        split:
            eight_operations_cost_a_few_round_trips,
            what_another_completes_between_two_requests_is_left;
    }
    #[cfg(feature = "fault-points")]
    every_crash_test!(World::fake_with(eight));
    #[cfg(feature = "fault-points")]
    mod squashed {
        use crate::world::World;

        every_squashed_crash_test!(World::small_squashed_fake());
    }
}

mod three_operations {
    use crate::world::World;

    volume_tests! { World::fake_with(|options| options.max_operations = 4);
        split: a_server_that_takes_too_little_is_named;
    }
}

/// An inherited ACL decides what is created.
mod inherited_modes {
    use crate::world::World;

    plain_volume_tests! { World::fake_with(|options| options.created_mode = Some(0o770)) }
    owner_mode_and_link_tests! { World::fake_with(|options| options.created_mode = Some(0o770)) }
    link_tests! { World::fake_with(|options| options.created_mode = Some(0o770)) }
}

/// Modes that cannot be set. Each body makes its own servers, since it goes over many.
mod overruled_modes {
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_share_on_which_everybody_may_write_is_named() {
        crate::modes::a_share_on_which_everybody_may_write_is_named().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_mode_that_cannot_be_set_is_named_and_nothing_is_left() {
        crate::modes::a_mode_that_cannot_be_set_is_named_and_nothing_is_left().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn folders_that_others_may_only_read_are_trusted_where_the_server_makes_them_so() {
        crate::modes::folders_that_others_may_only_read_are_trusted_where_the_server_makes_them_so().await;
    }
}

/// The trash lies in another quota tree than any volume.
mod quota_trees {
    use nfs_testkit::fake::Options;

    use crate::world::World;

    fn apart(options: &mut Options) {
        options.quota_trees = vec!["/export/.berth".to_owned()];
    }

    // All that delete something, and leave `.berth`, which is a tree of its own, where it is.
    volume_tests! { World::fake_with(apart);
        overlaps: a_share_inside_a_volume_is_refused;
        places:
            a_custom_place_cannot_be_anothers_default,
            an_abandoned_place_is_taken_over_with_what_was_begun_there;
        delete:
            a_volume_ends_in_the_trash_and_is_removed,
            a_directory_removed_by_hand_is_forgotten,
            what_took_the_directorys_place_is_not_touched,
            a_retained_directory_stays_and_its_record_is_kept,
            a_hold_removed_by_hand_leaves_the_directory,
            a_deleted_volume_frees_its_place,
            a_record_that_cannot_be_read_stops_everything;
        reopened:
            folders_that_an_fs_group_opened_are_closed_again,
            what_others_wrote_into_opened_folders_is_not_believed;
        split: a_deep_place_is_made_and_found_again;
        reaping:
            a_deep_tree_is_removed,
            a_tree_is_removed_without_following_links;
        trouble: folders_removed_by_hand_are_made_again;
    }
    volume_tests! { World::fake_with(|options| options.quota_trees = vec!["/export/team".to_owned()]);
        quota: a_volume_in_another_quota_tree_is_deleted;
    }
    volume_tests! { World::fake_with(|options| options.quota_trees = vec!["/export/pvc-own".to_owned()]);
        quota: a_volume_that_is_a_quota_tree_of_its_own_is_named;
    }
    volume_tests! { World::fake(); quota: a_link_in_the_trash_that_names_something_else_goes_alone; }
    #[cfg(feature = "fault-points")]
    every_crash_test!(World::fake_with(apart));
    #[cfg(feature = "fault-points")]
    volume_tests! { World::fake_with(|options| options.quota_trees = vec!["/export/team".to_owned()]);
        quota: a_delete_in_another_quota_tree_is_finished_after_a_crash;
    }
}

/// No symbolic links: what the driver keeps lies in files.
mod no_links {
    use nfs_client::NfsStatus;
    use nfs_testkit::fake::Options;

    use crate::world::World;

    /// As knfsd and Ganesha say it on vfat.
    fn without_links(options: &mut Options) {
        options.refuses_symlinks = Some(NfsStatus::Perm);
    }

    macro_rules! tests_without_links {
        ($make:expr) => {
            volume_tests_of_any_server! { $make }
            volume_tests! { $make;
                no_links:
                    records_and_holds_are_files,
                    a_record_that_was_begun_is_made_anew,
                    a_hold_that_was_begun_is_waited_for_and_taken_over,
                    an_identity_that_was_begun_is_made_anew,
                    a_delete_of_a_record_that_was_begun_gives_no_data_up,
                    a_text_that_is_written_while_it_is_read_stays,
                    a_share_that_keeps_something_does_not_change_its_form,
                    a_text_without_room_is_named_and_nothing_is_left,
                    an_attempt_goes_on_from_its_own_record_at_once,
                    nothing_is_put_aside_by_half_a_note,
                    what_an_fs_group_could_have_written_does_not_count,
                    a_share_keeps_the_form_of_its_entries;
            }
            #[cfg(feature = "fault-points")]
            every_crash_test!($make);
        };
    }

    tests_without_links!(World::fake_with(without_links));
    round_trip_tests!(World::fake_with(without_links));
    volume_tests! { World::fake_with(without_links);
        full: a_full_disk_is_named_and_nothing_is_left;
        split: a_reply_that_grows_too_long_is_gone_on_from;
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
        quota: a_link_in_the_trash_that_names_something_else_goes_alone;
    }
    volume_tests! { World::fake_with(|options| {
            without_links(options);
            options.created_mode = Some(0o666);
        });
        no_links: files_that_others_may_write_to_are_named;
    }

    mod sixteen_operations {
        use super::{World, without_links};

        tests_without_links!(World::fake_with(|options| {
            without_links(options);
            options.max_operations = 16;
        }));
        volume_tests! { World::fake_with(|options| {
                without_links(options);
                options.max_operations = 16;
            });
            split: sixteen_operations_cost_one_round_trip_at_most;
        }
    }

    mod eight_operations {
        use super::{World, without_links};

        tests_without_links!(World::fake_with(|options| {
            without_links(options);
            options.max_operations = 8;
        }));
        volume_tests! { World::fake_with(|options| {
                without_links(options);
                options.max_operations = 8;
            });
            split:
                what_another_completes_between_two_requests_is_left;
            no_links: eight_operations_cost_one_round_trip_more;
        }
    }

    mod small_sizes {
        use super::{World, without_links};

        tests_without_links!(World::fake_with(|options| {
            without_links(options);
            (options.max_request, options.max_response, options.max_cached) = (4096, 4096, 1024);
        }));
    }

    /// With root as nobody, to whom a directory that was begun is closed.
    #[cfg(feature = "fault-points")]
    mod squashed {
        use super::{World, without_links};

        every_squashed_crash_test!(World::squashed_fake_with(without_links));
    }

    #[cfg(feature = "fault-points")]
    volume_tests! { World::fake_with(|options| {
            without_links(options);
            options.quota_trees = vec!["/export/team".to_owned()];
        });
        quota:
            a_volume_in_another_quota_tree_is_deleted,
            a_delete_in_another_quota_tree_is_finished_after_a_crash;
    }

    /// Each server has its own answer to who wants to make a link.
    macro_rules! answers {
        ($($module:ident: $status:ident),*) => {
            $(mod $module {
                use super::{NfsStatus, World};

                volume_tests! { World::fake_with(|options| options.refuses_symlinks = Some(NfsStatus::$status));
                    no_links: records_and_holds_are_files;
                }
            })*
        };
    }

    answers!(not_supported: NotSupp, bad_type: BadType, invalid: Inval);
}

/// A share that was begun with links goes on with links alone.
mod links_that_cease {
    use crate::world::World;

    volume_tests! { World::fake();
        no_links:
            a_share_keeps_the_form_of_its_entries,
            a_share_that_keeps_something_does_not_change_its_form;
    }
}
