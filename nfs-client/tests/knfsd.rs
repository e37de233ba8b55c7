//! The contract against the Linux kernel's NFS server. [`nfs_testkit::knfsd`] says what that needs.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

mod contract;

use std::{os::unix::fs::symlink, time::Duration};

use contract::World;
use nfs_client::{Client, Config, DEFAULT_PORT};
use nfs_testkit::knfsd::Knfsd;

impl World for Knfsd {
    fn root(&self) -> Vec<String> {
        self.share().split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect()
    }

    fn client_with(&self, change: impl FnOnce(&mut Config)) -> Client {
        let mut config = Config::new(self.server(), DEFAULT_PORT);
        config.retry_budget = Duration::from_mins(2);
        change(&mut config);
        Client::new(config)
    }

    fn crash(&mut self) {
        self.restart();
    }

    fn set_lease(&mut self, lease: Duration) -> Duration {
        let lease = lease.max(Duration::from_secs(10));
        self.restart_with_lease(lease.as_secs().try_into().unwrap());
        lease
    }

    fn make_symlink(&self, name: &str, target: &str) {
        symlink(target, self.local().join(name)).unwrap();
    }
}

every_contract!(crate::Knfsd::new(None));

/// ext4 with case-insensitive names.
mod casefold {
    use super::*;

    quiet_contract!(Knfsd::new(Some("casefold")));
}

/// A file system without links, owners and permissions.
mod vfat {
    use nfs_client::{Error, NfsStatus};

    use super::{contract::export, *};

    contract_tests! { Knfsd::new(Some("vfat"));
        errors:
            a_failed_compound_names_its_operation_and_keeps_the_results_before,
            a_compound_beyond_the_limit_is_refused_unsent;
        sessions: shutdown_leaves_a_client_that_answers_shut_down;
        recovery: a_stale_handle_is_reported_and_walked_again_by_its_path;
    }

    #[tokio::test]
    async fn what_it_cannot_keep_is_refused_and_files_are_exclusive() {
        let world = Knfsd::new(Some("vfat"));
        let client = world.client();
        let export = export(&world, &client).await;
        let refused = client.create_symlink(&export, "record", "text").await.unwrap_err();
        assert!(refused.is_status(NfsStatus::Perm), "{refused}");
        let refused = client.create_dir(&export, "volume", 0o700, Some((1234, 5678))).await.unwrap_err();
        assert!(matches!(refused, Error::OwnerRefused { .. }), "{refused}");

        let record = client.create_file(&export, "record", 0o600, b"text").await.unwrap();
        assert_ne!(record.attributes.mode, Some(0o600));
        let again = client.create_file(&export, "record", 0o600, b"other").await.unwrap_err();
        assert!(again.is_status(NfsStatus::Exist), "{again}");
        client.rename((&export, "record"), (&export, "moved")).await.unwrap();
        assert_eq!(client.read_file(&export, "moved").await.unwrap(), b"text");
    }
}
