//! The contract against the fake, in memory.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

mod contract;

use std::time::Duration;

use contract::World;
use nfs_client::{Client, Config};
use nfs_testkit::fake::{FakeServer, Options};

struct Fake(FakeServer);

impl Fake {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(quirk: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options::default();
        quirk(&mut options);
        let server = FakeServer::with_options(options);
        server.make_dir("/export");
        Self(server)
    }
}

impl World for Fake {
    fn root(&self) -> Vec<String> {
        vec!["export".into()]
    }

    fn client_with(&self, change: impl FnOnce(&mut Config)) -> Client {
        let mut config = Config::new("fake", 2049);
        change(&mut config);
        Client::with_connector(config, self.0.connector())
    }

    fn crash(&mut self) {
        self.0.restart();
    }

    fn set_lease(&mut self, lease: Duration) -> Duration {
        self.0.set_options(|options| options.lease = lease);
        lease
    }

    fn make_symlink(&self, name: &str, target: &str) {
        self.0.make_symlink(&format!("/export/{name}"), target);
    }
}

every_contract!(crate::Fake::new());

mod sixteen_operations {
    crate::every_contract!(crate::Fake::with(|options| options.max_operations = 16));
}

/// What the Linux client asks for and needs: a server that grants fewer is of no use to any node.
mod eight_operations {
    crate::every_contract!(crate::Fake::with(|options| options.max_operations = 8));
}

mod small_sizes {
    crate::every_contract!(crate::Fake::with(|options| {
        options.max_request = 4096;
        options.max_response = 4096;
        options.max_cached = 1024;
    }));
}

mod one_slot {
    crate::every_contract!(crate::Fake::with(|options| options.slots = 1));
}

/// Callers spawn these on a multi-threaded runtime, so each future must be `Send`.
#[tokio::test]
async fn futures_can_be_spawned() {
    let Fake(server) = Fake::new();
    let client = Client::with_connector(Config::new("fake", 2049), server.connector());
    let task = tokio::spawn(async move {
        let share = client.directory(&["export", "share"]);
        let export = client.open_dir(&["export"]).await?;
        client.ensure_dir(&export, "share", 0o755).await?;
        share.create_dir("volume", 0o700, None).await?;
        share.create_symlink("record", "text").await?;
        share.remove_many(&["volume", "record"]).await?;
        share
            .with(|handle| {
                let client = client.clone();
                async move { client.getattr(&handle).await }
            })
            .await?;
        client.create_file(&export, "file", 0o600, b"x").await?;
        client.rename((&export, "file"), (&export, "other")).await?;
        client.shutdown().await;
        Ok::<_, nfs_client::Error>(share.read_dir().await.is_err())
    });
    assert!(task.await.unwrap().unwrap());
}
