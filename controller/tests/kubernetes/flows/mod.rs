//! What the provisioner does, from the claim to the last event. Each flow runs against the fake server and, with
//! feature `apiserver`, against a real one.

pub(crate) mod claims;
pub(crate) mod leaders;
pub(crate) mod nodes;
pub(crate) mod volumes;

/// Runs each flow as a test of its own on what `$start` starts.
macro_rules! every_flow {
    ($start:path) => {
        $crate::flows::each_flow!($start:
            claims the_volume_object_equals_the_golden_one
            claims an_uncertain_create_of_a_deleted_claim_is_finished_and_then_deleted
            claims a_claim_deleted_while_its_create_runs_leaks_nothing
            claims a_volume_whose_save_is_refused_is_saved_later_and_created_once
            claims a_volume_that_is_saved_already_is_taken_for_what_it_is
            claims another_volume_object_of_that_name_is_told_and_the_volume_is_not_forgotten
            claims an_infeasible_claim_is_retried_at_once_when_its_class_is_another
            claims what_a_replaced_class_had_begun_is_ended
            claims a_volume_smaller_than_asked_for_is_removed_and_made_again
            claims a_useless_volume_that_cannot_be_removed_is_told
            claims an_undelegated_claim_is_never_provisioned
            claims a_late_binding_claim_waits_for_its_node
            claims a_claim_whose_volume_exists_is_left_alone
            claims a_claim_for_a_block_device_is_told_and_not_retried
            claims a_claim_for_a_populator_is_left_to_it
            claims a_claim_that_cannot_be_asked_for_is_told_why_and_calls_nothing
            claims work_on_a_claim_that_panics_costs_no_other_and_is_repeated
            claims what_was_made_before_a_panic_is_followed_up_without_its_claim
            volumes the_finalizer_follows_the_reclaim_policy
            volumes a_volume_deleted_before_its_claim_goes_with_the_claim
            volumes foreign_finalizers_survive
            volumes a_failed_delete_is_told_and_repeated
            volumes a_volume_that_another_object_stands_for_is_kept
            volumes a_static_volume_that_lists_reading_before_writing_is_told_of
            volumes a_notice_about_a_share_is_told_of_the_objects_that_name_it
            volumes a_hundred_claims_take_a_hundred_creates_and_a_hundred_deletes
            nodes the_startup_taint_goes_when_the_plugin_has_registered
            nodes a_taint_that_is_set_at_the_same_time_is_not_lost
            leaders a_lost_lease_ends_the_process_and_the_next_leader_finishes
            leaders two_leaders_never_both_act
            leaders a_lease_of_upstreams_provisioner_is_respected
            leaders a_lease_is_not_given_back_while_a_job_goes_on
            leaders a_new_leader_takes_up_every_share_once
        );
    };
}
pub(crate) use every_flow;

macro_rules! each_flow {
    ($start:path: $($module:ident $flow:ident)*) => {
        $(
            #[tokio::test]
            async fn $flow() {
                let cluster = $start().await;
                $crate::flows::$module::$flow(&cluster).await;
            }
        )*
    };
}
pub(crate) use each_flow;
