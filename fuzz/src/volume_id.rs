//! An id is either refused or the only spelling of itself.

use volume::{RecordKey, Server, SharePath, VolumeHandle, VolumeId, id::IdError, id::LONGEST_ID};

use super::{assert_below_share, assert_readable, texts};

/// One text is an id; three are server, share and name of a volume.
pub fn check(input: &[u8]) {
    match &texts(input)[..] {
        [id] => read(id),
        [server, share, name, ..] => make(server, share, name),
        _ => {}
    }
}

fn read(text: &str) {
    for driver in ["csi.berth.dev", "efs.csi.aws.com", "nfs.csi.k8s.io"] {
        match VolumeHandle::parse(driver, text) {
            Ok(VolumeHandle::Directory(id)) => assert_eq!(id.to_string(), text),
            Ok(peers) => assert!(peers.peer() == Some(driver) && !VolumeId::is_ours(text), "{peers:?}"),
            Err(error) => assert_readable(&error),
        }
    }
    let id: VolumeId = match text.parse() {
        Ok(id) => id,
        Err(error) => return assert_readable(&error),
    };
    assert_eq!(id.to_string(), text, "an id prints as it was read");
    assert_place(&id);
}

fn make(server: &str, share: &str, name: &str) {
    let (server, share): (Server, SharePath) = match (server.parse(), share.parse()) {
        (Ok(server), Ok(share)) => (server, share),
        (server, share) => {
            server.err().iter().for_each(|error| assert_readable(error));
            return share.err().iter().for_each(|error| assert_readable(error));
        }
    };
    let id = match VolumeId::new(&server, &share, name) {
        Ok(id) => id,
        Err(error) => {
            assert_readable(&error);
            let short = server.to_string().len() + 3 * share.as_str().len() <= 92;
            return assert!(matches!(error, IdError::EmptyName) || !short, "there is room for an id: {error}");
        }
    };
    let text = id.to_string();
    assert!(text.len() <= LONGEST_ID && text.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{text:?}");
    assert_eq!((id.server(), id.share()), (&server, &share));
    assert_eq!(text.parse(), Ok(id.clone()), "an id reads as it was made");
    assert_eq!(VolumeId::new(&server, &share, name), Ok(id.clone()), "the same volume has the same id");
    assert_place(&id);
}

/// What an id leads to prints and reads back by itself.
fn assert_place(id: &VolumeId) {
    assert_eq!(id.server().to_string().parse(), Ok(id.server().clone()));
    assert_eq!(id.share().as_str().parse(), Ok(id.share().clone()));
    assert_eq!(id.key().as_str().parse::<RecordKey>(), Ok(id.key().clone()));
    let place = id.key().default_place();
    assert_eq!(place.as_str(), id.key().as_str());
    assert_below_share(place.as_str());
}
