//! What the client does when something goes wrong, against the fake. Time is virtual wherever no real socket is used.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

mod cancelled;
mod connection;
mod listing;
mod misattributed;
mod overlap;
mod ports;
mod refused;
mod resolved;
mod session;
mod unsettled;
mod users;
mod waiting;

use nfs_client::{Client, Config, FileHandle};
use nfs_testkit::fake::FakeServer;

/// A fake with an export, a client that has a session with it, and the export's handle.
async fn world() -> (FakeServer, Client, FileHandle) {
    world_with(|_| {}).await
}

async fn world_with(change: impl FnOnce(&mut Config)) -> (FakeServer, Client, FileHandle) {
    let server = FakeServer::new();
    server.make_dir("/export");
    let client = client(&server, change);
    let export = client.open_dir(&["export"]).await.unwrap();
    (server, client, export)
}

fn client(server: &FakeServer, change: impl FnOnce(&mut Config)) -> Client {
    let mut config = Config::new("fake", 2049);
    change(&mut config);
    Client::with_connector(config, server.connector())
}
