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

    common_volume_tests! { World::fake_with(small) }
    volume_tests! { World::fake_with(small);
        create:
            a_custom_place_takes_two_round_trips,
            another_directory_or_end_is_another_volume;
        trouble:
            folders_removed_by_hand_are_made_again;
    }
    #[cfg(feature = "fault-points")]
    every_crash_test!(World::fake_with(small));
}

/// knfsd before Linux 6.1: room for a volume in its default place, not for one in a place of its own.
mod sixteen_operations {
    use crate::world::World;

    volume_tests! { World::fake_with(|options| options.max_operations = 16);
        create:
            a_volume_is_a_directory_with_mode_owner_and_record,
            the_default_place_takes_one_round_trip,
            another_size_is_another_volume,
            the_size_is_what_was_asked_for,
            any_name_has_a_volume,
            a_caller_that_leaves_gets_the_volume_later;
        places:
            a_foreign_directory_is_never_adopted,
            nothing_is_made_through_a_symbolic_link,
            a_custom_place_cannot_be_anothers_default;
        delete:
            two_round_trips_delete_a_volume,
            an_unknown_id_changes_nothing,
            a_foreign_directory_survives_its_forged_id,
            a_record_removed_by_hand_leaves_the_directory,
            a_record_that_cannot_be_read_stops_everything;
        refusals:
            a_share_that_does_not_exist_is_named,
            a_server_that_refuses_is_named,
            a_server_that_is_not_nfs_is_named,
            records_that_others_could_write_are_not_trusted,
            folders_that_anybody_else_may_enter_are_not_trusted,
            records_of_another_user_are_not_trusted;
        doubt:
            owner_and_mode_are_set_again_unless_the_volume_is_in_use;
        reaping:
            a_tree_is_removed_without_following_links,
            a_deep_tree_is_removed,
            what_an_earlier_process_left_is_removed;
    }
}

/// An inherited ACL decides what is created.
mod inherited_modes {
    use crate::world::World;

    common_volume_tests! { World::fake_with(|options| options.created_mode = Some(0o770)) }
    volume_tests! { World::fake_with(|options| options.created_mode = Some(0o770));
        reaping: a_tree_is_removed_without_following_links;
    }
}
