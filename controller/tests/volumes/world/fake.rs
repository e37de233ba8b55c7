//! Worlds whose server is the one in memory.

use nfs_client::SetAttributes;
use nfs_testkit::fake::{FakeServer, Options};

use super::{EXPORT, World};

impl World {
    pub(crate) fn fake() -> Self {
        Self::fake_with(|_| {})
    }

    /// A fake with a habit that some real server has.
    pub(crate) fn fake_with(quirk: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options::default();
        quirk(&mut options);
        let server = FakeServer::with_options(options);
        server.make_dir(EXPORT);
        Self::Fake(server)
    }

    /// A fake whose user 0 is nobody, with an export that everybody may write to.
    pub(crate) fn squashed_fake() -> Self {
        Self::squashed_fake_with(|_| {})
    }

    /// The same with another habit.
    pub(crate) fn squashed_fake_with(quirk: impl FnOnce(&mut Options)) -> Self {
        Self::open_fake_with(|options| {
            options.squashes_root = true;
            quirk(options);
        })
    }

    /// The same with few operations in a request, short requests and replies, and one slot.
    pub(crate) fn small_squashed_fake() -> Self {
        Self::open_fake_with(|options| {
            options.squashes_root = true;
            options.max_operations = 8;
            (options.max_request, options.max_response, options.max_cached) = (4096, 4096, 1024);
            options.slots = 1;
        })
    }

    /// A fake whose users are all nobody, with an export that everybody may write to.
    pub(crate) fn fake_of_nobodies() -> Self {
        Self::open_fake_with(|options| options.squashes_all = true)
    }

    fn open_fake_with(quirk: impl FnOnce(&mut Options)) -> Self {
        let world = Self::fake_with(quirk);
        world.as_fake().change(EXPORT, SetAttributes::mode(0o777));
        world
    }

    /// The fake, for faults that no other server has on demand.
    pub(crate) fn as_fake(&self) -> &FakeServer {
        match self {
            Self::Fake(server) => server,
            #[cfg(feature = "wire")]
            Self::Ganesha(..) => panic!("this test is for the fake"),
            #[cfg(feature = "kernel")]
            Self::Knfsd(..) => panic!("this test is for the fake"),
        }
    }
}
