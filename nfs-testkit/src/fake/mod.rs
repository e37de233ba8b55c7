//! An NFSv4.1 server in memory, for tests: files, sessions with reply caches, leases, and faults on demand.
//!
//! It shares the codec of XDR, operations and attributes with the client and nothing else. Connect a client through [`FakeServer::connector`]
//! (memory) or [`FakeServer::listen`] (TCP on loopback), tell it what should go wrong with [`FakeServer::inject`], and
//! look afterwards what it executed with [`FakeServer::executed`] and what its tree holds.
//!
//! ```
//! # use nfs_client::{Client, Config, OpCode};
//! # use nfs_testkit::fake::{Effect, FakeServer, Fault};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), nfs_client::Error> {
//! let server = FakeServer::new();
//! server.make_dir("/export");
//! server.inject(Fault::on(OpCode::Create, Effect::DropAfterExecution));
//!
//! let client = Client::with_connector(Config::new("fake", 2049), server.connector());
//! let export = client.open_dir(&["export"]).await?;
//! client.create_dir(&export, "volume", 0o2770, None).await?;
//!
//! assert_eq!(server.executed(OpCode::Create), 1, "the lost reply came from the reply cache");
//! assert_eq!(server.mode("/export/volume"), Some(0o2770));
//! # Ok(())
//! # }
//! ```

mod arguments;
mod compound;
mod fault;
mod files;
mod inspect;
mod listing;
mod options;
mod quirks;
mod results;
mod serve;
mod sessions;
mod tree;
mod users;

use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use nfs_client::OpCode;
use tokio::{sync::watch, time::Instant};

pub use fault::{Another, Effect, Fault};
pub use options::{Chmod, Listing, Options};
pub use serve::FakeConnector;

use fault::Faults;
use sessions::Sessions;
use tree::Tree;

/// The server. Clones are the same server.
///
/// When the last clone is dropped, what was injected must have happened: a test that provokes a fault which then hits
/// nothing proves nothing, so it panics and names the fault. Connectors do not count as clones.
#[derive(Clone)]
pub struct FakeServer {
    shared: Arc<Shared>,
    /// Dropped with the last clone.
    _watch: Arc<FaultWatch>,
}

/// Panics when it is dropped before every fault has happened, unless the test fails already.
struct FaultWatch(Arc<Shared>);

impl Drop for FaultWatch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let pending = self.0.state().faults.pending();
        if !pending.is_empty() {
            let list = pending.iter().fold(String::new(), |mut list, fault| {
                let _always_written = write!(list, "\n  {fault}");
                list
            });
            panic!("{} injected faults have not happened, so the test shows nothing of them:{list}", pending.len());
        }
    }
}

struct Shared {
    state: Mutex<State>,
    /// Changes whenever all connections have to end.
    epoch: watch::Sender<u64>,
    /// While it is true, requests are heard and neither executed nor answered.
    silent: watch::Sender<bool>,
}

struct State {
    options: Options,
    tree: Tree,
    sessions: Sessions,
    faults: Faults,
    /// Operations executed, replays not counted, with the user id of who asked.
    executed: HashMap<(OpCode, Option<u32>), u64>,
    /// Requests answered from the reply cache.
    replayed: u64,
    connections: u64,
    reachable: bool,
    /// Connections that will be closed as soon as they are accepted.
    to_hang_up: u64,
    opens: HashSet<[u8; 12]>,
    grace_until: Option<Instant>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn disconnect(&self) {
        self.epoch.send_modify(|epoch| *epoch += 1);
    }

    fn restart(&self) {
        let mut state = self.state();
        state.sessions = Sessions::new();
        state.opens.clear();
        let grace = state.options.grace;
        state.grace_until = (!grace.is_zero()).then(|| Instant::now() + grace);
        drop(state);
        self.disconnect();
    }

    fn set_reachable(&self, reachable: bool) {
        self.state().reachable = reachable;
        if !reachable {
            self.disconnect();
        }
    }
}

impl Default for FakeServer {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeServer {
    /// A server with an empty root directory and default [`Options`].
    pub fn new() -> Self {
        Self::with_options(Options::default())
    }

    /// A server with an empty root directory.
    pub fn with_options(options: Options) -> Self {
        let state = State {
            tree: Tree::new(options.case_insensitive, options.holds_removed_directories),
            options,
            sessions: Sessions::new(),
            faults: Faults::default(),
            executed: HashMap::new(),
            replayed: 0,
            connections: 0,
            reachable: true,
            to_hang_up: 0,
            opens: HashSet::new(),
            grace_until: None,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            epoch: watch::Sender::new(0),
            silent: watch::Sender::new(false),
        });
        Self { _watch: Arc::new(FaultWatch(shared.clone())), shared }
    }

    /// Changes the options from now on. Sessions keep the limits they were granted.
    pub fn set_options(&self, change: impl FnOnce(&mut Options)) {
        change(&mut self.shared.state().options);
    }

    /// Something will go wrong. Faults on the same operation happen in the order in which they were injected.
    pub fn inject(&self, fault: Fault) {
        self.shared.state().faults.add(fault);
    }

    /// Injected faults that have not happened yet, or not as often as they are to; of those that happen
    /// [always](Fault::always), those that have never happened.
    pub fn pending_faults(&self) -> usize {
        self.shared.state().faults.pending().len()
    }

    /// Takes back all injected faults, so that none happens to what comes next, and says how many were
    /// [pending](Self::pending_faults).
    pub fn forget_faults(&self) -> usize {
        self.shared.state().faults.forget()
    }

    /// Drops every connection; sessions live on.
    pub fn disconnect(&self) {
        self.shared.disconnect();
    }

    /// Crash and restart: connections, sessions and opens are gone, files and handles stay. The grace period begins.
    pub fn restart(&self) {
        self.shared.restart();
    }

    /// [`restart`](Self::restart), and every handle given out before is stale.
    pub fn restart_with_new_handles(&self) {
        self.shared.state().tree.renew_handles();
        self.restart();
    }

    /// Every handle given out so far for what is at this path, and for all below it, is stale: what a client sees of a
    /// directory that was replaced on the server, or that a fail-over has given another handle. Panics if there is nothing.
    pub fn expire_handles(&self, path: &str) {
        let mut state = self.shared.state();
        let number = state.tree.find(path).expect("an object whose handles expire");
        state.tree.expire_handles(number);
    }

    /// Forgets every session but keeps connections: what happens to a client whose lease has expired.
    pub fn expire_sessions(&self) {
        self.shared.state().sessions.forget_all();
    }

    /// Unplugs the server (`false`): connections drop and new ones are refused, until it is plugged in again.
    pub fn set_reachable(&self, reachable: bool) {
        self.shared.set_reachable(reachable);
    }

    /// Lets the server hang (`true`): it accepts connections and hears requests, and answers none of them, until it
    /// goes on (`false`) and executes what has reached it meanwhile, whether somebody still waits for it or not.
    pub fn set_silent(&self, silent: bool) {
        self.shared.silent.send_replace(silent);
    }

    /// Closes the next connections as soon as they are accepted, as a server does that listens before it can serve, or
    /// a relay in front of one that is away.
    pub fn hang_up_on(&self, connections: u64) {
        self.shared.state().to_hang_up = connections;
    }
}
