//! Removing what was moved to the trash of a share, in the background.
//!
//! The trash is the only state: whatever is in it is removed, whoever put it there and whenever, so a crash costs
//! nothing. Symbolic links are removed and never followed, and no other file system of the server is entered.

mod aside;
mod forest;
mod hoist;
mod inside;
mod named;
mod work;

use std::sync::{Arc, Weak};
use std::time::Duration;

use csi_runtime::panics::vital;

use self::named::Named;
use super::store::Share;
use crate::error::OperationError;
use crate::notices::NoticeKind;

/// The trash of a share in use is looked at so often, even if nothing rang.
const PERIOD: Duration = Duration::from_mins(5);

/// First pause after a pass that left something; it doubles with each further one, up to [`PERIOD`].
const RETRY: Duration = Duration::from_millis(500);

/// How often a pass starts over because a handle leads nowhere any more.
const ATTEMPTS: u32 = 4;

/// Volumes that are deleted together are removed together, and those deletes go first.
const GATHER: Duration = Duration::from_millis(200);

/// What one pass through the trash has done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pass {
    /// Trees that are gone.
    pub(super) removed: usize,
    /// Trees that could not be removed.
    pub(super) left: usize,
    /// What of them the server does not let go, a directory with what lies directly in it counted once.
    pub(super) stuck: usize,
    /// Those among them that were named in the log now.
    pub(super) named: usize,
    /// Why the first of them stays: its path in the trash, what the server said, and what to do.
    pub(super) reason: Option<String>,
    /// Most directories that were held in memory at a time.
    pub(super) held: usize,
    /// A handle led nowhere: what is left may be other than what was seen.
    pub(super) lost: bool,
}

/// Empties the trash of a share as long as the share is in use: now, whenever something is put into it, and every few
/// minutes.
pub(crate) fn spawn(share: &Arc<Share>) {
    let trashed = share.traffic().trashed();
    let share = Arc::downgrade(share);
    let emptying = async move {
        let (mut failures, mut named) = (0, Named::default());
        loop {
            let Some(left) = pass(&share, &mut named).await else { return };
            failures = if left { failures + 1 } else { 0 };
            let pause = pause_after(failures);
            let ring = async {
                trashed.notified().await;
                tokio::time::sleep(GATHER).await;
            };
            let _either = tokio::time::timeout(pause, ring).await;
        }
    };
    tokio::spawn(vital("the reaper", emptying));
}

/// How long nothing is done after so many failures in a row, unless something rings.
fn pause_after(failures: u32) -> Duration {
    match failures.checked_sub(1) {
        None => PERIOD,
        Some(doubled) => RETRY.saturating_mul(2u32.saturating_pow(doubled)).min(PERIOD),
    }
}

/// One pass; whether it has to be repeated. `None` if nobody uses the share any more.
async fn pass(share: &Weak<Share>, named: &mut Named) -> Option<bool> {
    let share = share.upgrade()?;
    let (location, began) = (share.site().location(), std::time::Instant::now());
    let emptied = empty(&share, named).await;
    // A server that does not answer is asked again as long as it takes, with longer and longer pauses.
    if emptied.as_ref().err().is_none_or(|error| error.silence().is_none()) {
        share.traffic().set_known();
    }
    match emptied {
        Ok(Pass { removed, left: 0, held, .. }) => {
            named.forget();
            if removed > 0 {
                let took = began.elapsed();
                tracing::info!(share = location, trees = removed, ?took, most_held = held, "emptied the trash");
            }
            Some(false)
        }
        Ok(Pass { removed, left, stuck, named, reason, .. }) => {
            let reason = reason.unwrap_or_else(|| "it changes while it is emptied".to_owned());
            // What stays is named by itself when it is first seen, and not with every pass.
            if named > 0 {
                let text = format!("{stuck} in the trash of {location} cannot be removed, the first of them {reason}");
                share.site().tell(NoticeKind::TrashStuck, text);
            }
            if named > 0 || removed > 0 {
                tracing::warn!(share = location, trees = removed, left, stuck, "the trash is not empty yet");
            } else {
                tracing::debug!(share = location, left, stuck, reason, "the trash is still not empty");
            }
            Some(true)
        }
        Err(error) => {
            tracing::warn!(share = location, error = error.message(), "cannot empty the trash");
            Some(true)
        }
    }
}

/// Removes what is in the trash now.
async fn empty(share: &Share, named: &mut Named) -> Result<Pass, OperationError> {
    let mut attempt = 1;
    loop {
        let Some(store) = share.existing_store().await? else { return Ok(Pass::default()) };
        match forest::clear(share, &store, named).await {
            // The server has other handles now: look at what is left.
            Err(error) if error.is_lost_handle() && attempt < ATTEMPTS => share.forget(&store).await,
            // If the server has other handles, that of the trash is lost too.
            Ok(pass) if pass.lost && attempt < ATTEMPTS => {}
            result => return result,
        }
        attempt += 1;
    }
}

#[cfg(test)]
mod tests {
    use nfs_client::{Client, Config, NfsStatus, OpCode, SetAttributes};
    use nfs_testkit::fake::{Effect, FakeServer, Fault, Options};

    use super::*;
    use crate::backend::directory::faults::Faults;
    use crate::backend::directory::store::Site;
    use crate::notices::{Notice, Notices};

    const TRASH: &str = "/export/.berth/trash";

    /// A server with these habits, and a share of it with the driver's folders.
    async fn world(quirk: impl FnOnce(&mut Options)) -> (FakeServer, Share) {
        world_that_tells(quirk, Notices::default()).await
    }

    async fn world_that_tells(quirk: impl FnOnce(&mut Options), notices: Notices) -> (FakeServer, Share) {
        let mut options = Options::default();
        quirk(&mut options);
        let server = FakeServer::with_options(options);
        server.make_dir("/export");
        server.change("/export", SetAttributes::mode(0o777));
        let client = Client::with_connector(Config::new("fake", 2049), server.connector());
        let (name, path) = ("fake".parse().unwrap(), "/export".parse().unwrap());
        let site = Site::new(name, path, client, Faults::default(), notices);
        let share = Share::new(site, Arc::default(), Arc::default());
        share.store().await.unwrap();
        (server, share)
    }

    async fn emptied(share: &Share) -> Pass {
        empty(share, &mut Named::default()).await.unwrap()
    }

    fn owned_by(uid: u32, mode: u32) -> SetAttributes {
        SetAttributes { mode: Some(mode), ..SetAttributes::owner(Some(uid), Some(uid)) }
    }

    /// The cookies of this server count entries, so that a removal lets it pass over what follows.
    #[tokio::test]
    async fn a_trash_of_any_size_is_emptied_in_bounded_memory() {
        const TREES: usize = 20_000;
        let (server, share) = world(|options| options.max_response = 4096).await;
        for tree in 0..TREES {
            server.make_dir(&format!("{TRASH}/pvc-{tree:05}"));
        }
        let pass = emptied(&share).await;
        assert_eq!((pass.removed, pass.left), (TREES, 0));
        assert_eq!(server.list(TRASH).unwrap().len(), 0);
        assert!(pass.held < 100, "{} held", pass.held);
    }

    #[tokio::test]
    async fn a_tree_with_much_below_the_deepest_level_is_emptied_in_bounded_memory() {
        let (server, share) = world(|_| {}).await;
        let deep = vec!["d"; 65].join("/");
        for inner in 0..3000 {
            server.make_dir(&format!("{TRASH}/{deep}/i{inner}"));
        }
        let pass = emptied(&share).await;
        assert_eq!((pass.left, server.list(TRASH).unwrap().len()), (0, 0));
        assert!(pass.held < 500, "{} held", pass.held);
    }

    #[tokio::test]
    async fn a_tree_of_anothers_that_is_deeper_than_any_is_emptied() {
        let (server, share) = world(|options| options.squashes_root = true).await;
        let mut path = format!("{TRASH}/pvc-1");
        server.make_dir(&path);
        server.change(&path, owned_by(65534, 0o777));
        for _level in 0..200 {
            path.push_str("/d");
            server.make_file(&format!("{path}/file"), "x");
            server.change(&path, owned_by(1000, 0o700));
        }
        let pass = emptied(&share).await;
        assert_eq!((pass.left, server.list(TRASH).unwrap().len()), (0, 0), "{:?}", pass.reason);
    }

    #[tokio::test]
    async fn listings_keep_to_the_sizes_of_the_session() {
        for max_response in [1024, 2048, 4096, 8192] {
            let (server, share) = world(|options| {
                options.max_request = 2048;
                options.max_response = max_response;
                options.max_cached = 1024;
            })
            .await;
            for entry in 0..300 {
                server.make_file(&format!("{TRASH}/pvc-1/a-file-with-a-longer-name-{entry:04}"), "x");
                server.make_dir(&format!("{TRASH}/pvc-2/a-directory-with-a-longer-name-{entry:04}"));
            }
            let pass = emptied(&share).await;
            assert_eq!((pass.removed, pass.left), (2, 0), "{max_response} bytes: {:?}", pass.reason);
        }
    }

    #[tokio::test]
    async fn people_are_told_once_of_what_stays() {
        let notices = Notices::default();
        let mut told = notices.listen();
        let (server, share) = world_that_tells(|options| options.squashes_all = true, notices).await;
        server.make_file(&format!("{TRASH}/pvc-1/private/file"), "x");
        server.change(&format!("{TRASH}/pvc-1/private"), owned_by(1000, 0o500));
        let (share, mut named) = (Arc::new(share), Named::default());
        for _ in 0..2 {
            assert_eq!(pass(&Arc::downgrade(&share), &mut named).await, Some(true));
        }
        let Notice { kind, text, .. } = told.try_recv().unwrap();
        assert_eq!(kind, NoticeKind::TrashStuck);
        let start = "1 in the trash of fake:/export cannot be removed, the first of them pvc-1/private: ";
        assert!(text.starts_with(start) && text.contains("no_root_squash"), "{text}");
        assert!(told.try_recv().is_err(), "once");
    }

    #[tokio::test]
    async fn what_stays_is_named_once_with_its_owner_its_mode_and_what_to_do() {
        let (server, share) = world(|options| options.squashes_all = true).await;
        for (name, uid, mode) in [("root", 0, 0o700), ("user", 1000, 0o500)] {
            let path = format!("{TRASH}/pvc-{name}/private");
            server.make_file(&format!("{path}/file"), "x");
            server.change(&format!("{TRASH}/pvc-{name}"), owned_by(65534, 0o755));
            server.change(&path, owned_by(uid, mode));
        }
        server.make_file(&format!("{TRASH}/pvc-a/file"), "x");
        server.change(&format!("{TRASH}/pvc-a"), owned_by(65534, 0o755));
        let mut named = Named::default();
        for new in [2, 0] {
            let pass = empty(&share, &mut named).await.unwrap();
            assert_eq!((pass.removed, pass.left, pass.stuck), (new / 2, 2, 2));
            assert_eq!((share.traffic().backlog(), share.traffic().stuck()), (2, 2));
            assert_eq!(pass.named, new);
            let reason = pass.reason.unwrap();
            let [path, because] = match &reason {
                of_root if of_root.starts_with("pvc-root") => ["pvc-root/private: ", "owner 0 and mode 0700: for root"],
                _ => ["pvc-user/private: ", "owner 1000 and mode 0500: the server refuses its owner"],
            };
            for part in [path, "NFS4ERR_ACCESS", because, "no_root_squash", "remove it on the server"] {
                assert!(reason.contains(part), "{part:?} in {reason}");
            }
        }
    }

    /// Another protocol may have written a name that this one cannot send.
    #[tokio::test]
    async fn a_name_that_cannot_be_sent_keeps_nothing_but_itself() {
        let (server, share) = world(|_| {}).await;
        for name in ["a", "b\0c", "d"] {
            server.make_file(&format!("{TRASH}/pvc-1/{name}"), "x");
            server.make_file(&format!("{TRASH}/{name}"), "x");
        }
        let pass = emptied(&share).await;
        assert_eq!((pass.removed, pass.left, pass.stuck), (2, 2, 2));
        assert_eq!(server.list(TRASH).unwrap(), ["b\0c", "pvc-1"]);
        assert_eq!(server.list(&format!("{TRASH}/pvc-1")).unwrap(), ["b\0c"]);
        assert!(pass.reason.unwrap().contains("is not a file name"));
    }

    /// Whom a server names has no number that a request could carry.
    #[tokio::test]
    async fn an_owner_who_is_known_by_name_cannot_be_spoken_for() {
        let (server, share) = world(|options| {
            options.squashes_root = true;
            options.names_owners = true;
        })
        .await;
        server.make_file(&format!("{TRASH}/pvc-1/private/file"), "x");
        server.change(&format!("{TRASH}/pvc-1"), owned_by(65534, 0o755));
        server.change(&format!("{TRASH}/pvc-1/private"), owned_by(1000, 0o700));
        let reason = emptied(&share).await.reason.unwrap();
        assert!(reason.contains("owner user-1000") && reason.contains("nfs4_disable_idmapping=1"), "{reason}");
    }

    /// Speaking for its owner, the controller could change what is mounted there.
    #[tokio::test]
    async fn another_file_system_is_not_touched_where_root_is_nobody() {
        let (server, share) = world(|options| options.squashes_root = true).await;
        let mounted = format!("{TRASH}/pvc-1/mounted");
        server.make_file(&format!("{mounted}/file"), "x");
        server.change(&format!("{TRASH}/pvc-1"), owned_by(65534, 0o755));
        server.change(&mounted, owned_by(1000, 0o100));
        server.mount_at(&mounted);
        let pass = emptied(&share).await;
        assert!(pass.reason.unwrap().contains("another file system of the server is mounted there"));
        assert_eq!(server.mode(&mounted), Some(0o100));
        assert!(server.exists(&format!("{mounted}/file")));
    }

    /// The server does not know the handle of what lies in `.berth`, which is closed to users, when a user comes with it.
    #[tokio::test]
    async fn a_directory_that_its_owner_does_not_reach_stays_and_is_named() {
        let (server, share) = world(|options| options.squashes_root = true).await;
        let private = format!("{TRASH}/pvc-1/private");
        server.make_file(&format!("{private}/file"), "x");
        server.change(&format!("{TRASH}/pvc-1"), owned_by(65534, 0o755));
        server.change(&private, owned_by(1000, 0o700));
        // After the trash, the tree, and the private directory as nobody.
        server.inject(Fault::on(OpCode::ReadDir, Effect::Status(NfsStatus::Stale)).skip(3).always());
        let pass = emptied(&share).await;
        let reason = pass.reason.unwrap();
        assert_eq!((pass.left, pass.stuck, pass.lost), (1, 1, false));
        assert!(reason.contains("owner 1000 and mode 0700") && reason.contains("subtree_check"), "{reason}");
    }

    /// Where root stays root, nobody else is ever spoken for.
    #[tokio::test]
    async fn nobody_is_spoken_for_unless_root_is_refused() {
        let (server, share) = world(|_| {}).await;
        server.make_file(&format!("{TRASH}/pvc-1/private/file"), "x");
        server.change(&format!("{TRASH}/pvc-1/private"), owned_by(1000, 0o500));
        assert_eq!(emptied(&share).await.removed, 1);
        for op in [OpCode::ReadDir, OpCode::Remove, OpCode::SetAttr] {
            assert_eq!(server.executed(op), server.executed_for(op, 0), "{op}");
        }
        assert_eq!(server.executed_for(OpCode::Sequence, 1000), 0);
    }

    /// Private directories cost the refusal that tells; where others may look, both halves of their entries are refused before;
    /// where the owner may not write, he has to be let.
    #[tokio::test]
    async fn speaking_for_owners_costs_few_requests() {
        const DIRECTORIES: u64 = 50;
        for (squashes, mode, each) in [(false, 0o700, 4), (true, 0o700, 5), (true, 0o755, 6), (true, 0o555, 7)] {
            let (server, share) = world(|options| options.squashes_root = squashes).await;
            let tree = format!("{TRASH}/pvc-1");
            for directory in 0..DIRECTORIES {
                for file in 0..20 {
                    server.make_file(&format!("{tree}/d{directory}/f{file}"), "x");
                }
                server.change(&format!("{tree}/d{directory}"), owned_by(1000, mode));
            }
            server.change(&tree, owned_by(65534, 0o777));
            let before = share.site().client().round_trips();
            assert_eq!(emptied(&share).await.removed, 1);
            // The trash is listed, the tree before and after, and it is removed.
            let (needed, used) = (DIRECTORIES * each + 5, share.site().client().round_trips() - before);
            assert!(
                used <= needed,
                "{used} requests, not {needed}, for mode {mode:o} where root is squashed: {squashes}"
            );
        }
    }

    #[test]
    fn pauses_grow_to_the_period_and_stay_there() {
        assert_eq!([1, 2, 3].map(|failures| pause_after(failures).as_millis()), [500, 1000, 2000]);
        for rest in [0, 11, 12, 100, u32::MAX] {
            assert_eq!(pause_after(rest), PERIOD, "{rest} failures");
        }
    }
}
