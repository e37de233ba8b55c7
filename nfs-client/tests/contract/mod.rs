//! What the client does on every server. Each body runs against the fake and against NFS-Ganesha.

pub(crate) mod errors;
pub(crate) mod namespace;
pub(crate) mod recovery;
pub(crate) mod sessions;
pub(crate) mod users;

use std::time::Duration;

use nfs_client::{Client, Config, FileHandle};

/// A server with an empty directory for the test.
pub(crate) trait World {
    /// The way from the server's root to that directory.
    fn root(&self) -> Vec<String>;

    /// A client of its own for each call, with these settings beside the server's address.
    fn client_with(&self, change: impl FnOnce(&mut Config)) -> Client;

    /// Ends the server without a word and starts it again: sessions are lost, files stay. There is no grace period.
    fn crash(&mut self);

    /// Another incarnation of the server, with a lease this short or the shortest it allows, which is returned.
    fn set_lease(&mut self, lease: Duration) -> Duration;

    /// Makes a symbolic link in the directory without the client's help.
    fn make_symlink(&self, name: &str, target: &str);

    fn client(&self) -> Client {
        self.client_with(|_| {})
    }

    /// The way to something in the directory.
    fn path(&self, below: &[&str]) -> Vec<String> {
        self.root().into_iter().chain(below.iter().map(|name| (*name).to_owned())).collect()
    }
}

/// The test's directory.
pub(crate) async fn export(world: &impl World, client: &Client) -> FileHandle {
    client.open_dir(&world.root()).await.unwrap()
}

/// One test for each body, against the world that `$make` makes.
#[macro_export]
macro_rules! contract_tests {
    ($make:expr; $($module:ident: $($body:ident),* $(,)?;)*) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $body() {
                let mut world = $make;
                $crate::contract::$module::$body(&mut world).await;
            }
        )*)*
    };
}

/// Every body there is; those that restart the server in a module `restarts`, so `$make` names things from the crate on.
#[macro_export]
macro_rules! every_contract {
    ($make:expr) => {
        $crate::quiet_contract! { $make }

        mod restarts {
            $crate::contract_tests! { $make;
                sessions: an_idle_client_renews_its_lease;
                recovery: the_client_comes_back_after_a_crash;
            }
        }
    };
}

/// Every body that leaves the server alone.
#[macro_export]
macro_rules! quiet_contract {
    ($make:expr) => {
        $crate::contract_tests! { $make;
            namespace:
                a_directory_is_made_with_mode_and_owner_in_one_round_trip,
                setgid_survives_create,
                owners_are_sent_and_read_as_numbers,
                what_has_changed_is_not_removed,
                symlink_records_are_exclusive_and_read_back,
                a_small_file_is_made_exclusively_and_read_back,
                a_text_is_made_exclusively_in_a_file_within_a_compound,
                renames_replace_as_rename_2_does,
                many_names_are_removed_in_few_round_trips,
                ensure_dir_takes_what_is_there,
                a_listing_of_thousands_respects_the_reply_limit;
            errors:
                a_failed_compound_names_its_operation_and_keeps_the_results_before,
                creating_what_exists_is_exist,
                lookup_refuses_symlinks_and_dot_dot,
                walks_refuse_symlinks_and_files_on_the_way,
                a_compound_beyond_the_limit_is_refused_unsent,
                a_missing_export_is_noent;
            sessions:
                many_callers_at_once_get_their_own_answers,
                two_clients_keep_their_own_sessions,
                cancelled_callers_leave_every_slot_usable,
                shutdown_leaves_a_client_that_answers_shut_down;
            users:
                a_compound_speaks_for_the_user_it_is_given,
                users_may_do_what_owners_and_modes_allow,
                names_are_removed_until_one_is_refused;
            recovery:
                a_stale_handle_is_reported_and_walked_again_by_its_path;
        }
    };
}
