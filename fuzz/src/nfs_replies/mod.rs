//! Whatever a server answers, every call of the client ends, in a value or an error, after few requests; and a server
//! that comes to its senses is served again.
//!
//! What decodes replies is private to the client, and so is what decides what to do about them. Both are reached by a
//! whole client whose server is a script in memory; time is virtual.

mod script;
mod server;

use std::time::Duration;

use nfs_client::{Attributes, Client, Config, Entry, Error, FileHandle, Found, MAX_FILE, MAX_HANDLE, SetAttributes};
use tokio::time::timeout;

use super::assert_readable;
use script::Script;
use server::Server;

/// Longer than any call may take: some make several requests, each of which may be repeated for half a minute.
const ENDLESS: Duration = Duration::from_mins(30);

/// Longest name of a directory entry that is believed (four times what is sent), in bytes.
const LONGEST_NAME: usize = 4 * 255;

/// Which call is made, and what it is answered.
pub fn check(input: &[u8]) {
    let [call, input @ ..] = input else { return };
    let Some(script) = Script::read(input) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime without I/O").block_on(async {
        let server = Server::new(script);
        let client = Client::with_connector(Config::new("server", 2049), server.clone());
        let outcome = timeout(ENDLESS, answered(&client, *call)).await.expect("a call without end");
        if let Err(error) = outcome {
            assert_readable(&error);
            assert!(error.to_string().contains("server:2049"), "an error that does not name its server: {error}");
        }
        server.forget_script();
        let mended = timeout(ENDLESS, client.probe()).await.expect("a sign of life without end");
        mended.expect("a client that an earlier reply has broken");
        timeout(ENDLESS, client.shutdown()).await.expect("a farewell without end");
    });
}

async fn answered(client: &Client, call: u8) -> Result<(), Error> {
    let object = FileHandle::new(b"object").expect("a short handle");
    let content = [7; 100];
    match call % 18 {
        0 => assert_attributes(&client.getattr(&object).await?),
        1 => assert_found(&client.lookup(&object, "name").await?),
        2 => assert_found(&client.entry(&object, "name").await?),
        3 => drop(client.read_link(&object, "name").await?),
        4 => assert_entries(&client.read_dir(&object).await?),
        5 => assert_handle(&client.open_dir(&["one", "two"]).await?),
        6 => assert!(client.read_file(&object, "name").await?.len() <= usize::try_from(MAX_FILE).unwrap_or(usize::MAX)),
        7 => assert_found(&client.create_file(&object, "name", 0o600, &content).await?),
        8 => assert_found(&client.create_dir(&object, "name", 0o700, Some((1, 2))).await?),
        9 => assert_found(&client.ensure_dir(&object, "name", 0o700).await?),
        10 => client.create_symlink(&object, "name", "text").await?,
        11 => client.remove(&object, "name").await?,
        12 => client.rename((&object, "name"), (&object, "other")).await?,
        13 => {
            let names = ["one", "two", "three"];
            let removed = client.remove_many(&object, &names).await?;
            assert_eq!(removed.gone + removed.kept.len(), names.len(), "each name is gone or kept");
        }
        14 => assert_attributes(&client.setattr(&object, SetAttributes::mode(0o700)).await?),
        15 => client.probe().await?,
        16 => assert_attributes(&client.directory(&["one", "two"]).getattr().await?),
        _ => assert_entries(&client.directory(&["one"]).read_dir().await?),
    }
    Ok(())
}

fn assert_handle(handle: &FileHandle) {
    assert!(handle.as_bytes().len() <= MAX_HANDLE);
}

fn assert_attributes(attributes: &Attributes) {
    attributes.handle.iter().for_each(assert_handle);
    for principal in [&attributes.owner, &attributes.group].into_iter().flatten() {
        let text = principal.to_string();
        assert_eq!(nfs_client::Principal::parse(&text), *principal, "an owner reads back as it is printed");
    }
}

fn assert_found(found: &Found) {
    assert_handle(&found.handle);
    assert_attributes(&found.attributes);
}

fn assert_entries(entries: &[Entry]) {
    for Entry { name, attributes } in entries {
        assert!(name.len() <= LONGEST_NAME, "a name of {} bytes", name.len());
        assert!(name != b"." && name != b"..", "an entry that leads elsewhere");
        assert_attributes(attributes);
    }
}
