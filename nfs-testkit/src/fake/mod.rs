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
mod results;
mod serve;
mod sessions;
mod tree;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use nfs_client::OpCode;
use tokio::sync::watch;

pub use fault::{Effect, Fault};
pub use serve::FakeConnector;

use fault::Faults;
use sessions::Sessions;
use tree::Tree;

/// How a [`FakeServer`] behaves when nothing is injected.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a habit of some real server, independent of the others")]
pub struct Options {
    /// How long a client lives without a sign of life.
    pub lease: Duration,
    /// Slots granted at most.
    pub slots: u32,
    /// Operations in a compound at most, SEQUENCE included.
    pub max_operations: u32,
    /// Bytes in a reply at most.
    pub max_response: u32,
    /// Bytes one WRITE takes at most; the rest is left to another one, as on a file system that is almost full.
    pub max_write: usize,
    /// CREATE drops set-gid from the mode, as Ganesha does; SETATTR keeps it.
    pub drops_setgid: bool,
    /// User 0 counts as nobody: what it makes is nobody's, it cannot give files away, and it cannot enter a directory with
    /// mode 0. Other permissions are not looked at.
    pub squashes_root: bool,
    /// SETATTR of an owner succeeds and changes nothing, as on file systems that keep none.
    pub ignores_owners: bool,
    /// Over TCP, callers with a source port of 1024 or above are denied.
    pub needs_reserved_port: bool,
    /// Owners are reported as `number@domain`.
    pub domain: Option<String>,
    /// A repetition whose bytes differ from the original is `SEQ_FALSE_RETRY`; otherwise it gets the cached reply.
    pub detects_false_retries: bool,
    /// A connection has to be bound with `BIND_CONN_TO_SESSION` before its first SEQUENCE.
    pub needs_binding: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(90),
            slots: 64,
            max_operations: 64,
            max_response: 64 * 1024,
            max_write: usize::MAX,
            drops_setgid: true,
            squashes_root: false,
            ignores_owners: false,
            needs_reserved_port: false,
            domain: None,
            detects_false_retries: true,
            needs_binding: false,
        }
    }
}

/// The server. Clones are the same server.
#[derive(Clone)]
pub struct FakeServer {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Changes whenever all connections have to end.
    epoch: watch::Sender<u64>,
}

struct State {
    options: Options,
    tree: Tree,
    sessions: Sessions,
    faults: Faults,
    /// Operations executed, replays not counted.
    executed: HashMap<OpCode, u64>,
    /// Requests answered from the reply cache.
    replayed: u64,
    connections: u64,
    reachable: bool,
    opens: HashSet<[u8; 12]>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
            options,
            tree: Tree::new(),
            sessions: Sessions::new(),
            faults: Faults::default(),
            executed: HashMap::new(),
            replayed: 0,
            connections: 0,
            reachable: true,
            opens: HashSet::new(),
        };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), epoch: watch::Sender::new(0) }) }
    }

    /// Changes the options from now on. Sessions keep the limits they were granted.
    pub fn set_options(&self, change: impl FnOnce(&mut Options)) {
        change(&mut self.shared.state().options);
    }

    /// Something will go wrong. Faults on the same operation happen in the order in which they were injected.
    pub fn inject(&self, fault: Fault) {
        self.shared.state().faults.add(fault);
    }

    /// Injected faults that have not happened yet.
    pub fn faults_left(&self) -> usize {
        self.shared.state().faults.left()
    }

    /// Takes back the injected faults that have not happened yet, so that none happens to what comes next, and says how many there were.
    pub fn forget_faults(&self) -> usize {
        self.shared.state().faults.forget()
    }

    /// Drops every connection; sessions live on.
    pub fn disconnect(&self) {
        self.shared.epoch.send_modify(|epoch| *epoch += 1);
    }

    /// Crash and restart: connections and sessions are gone, files and handles stay.
    pub fn restart(&self) {
        self.shared.state().sessions = Sessions::new();
        self.disconnect();
    }

    /// [`restart`](Self::restart), and every handle given out before is stale.
    pub fn restart_with_new_handles(&self) {
        self.shared.state().tree.renew_handles();
        self.restart();
    }

    /// Forgets every session but keeps connections: what happens to a client whose lease has expired.
    pub fn expire_sessions(&self) {
        self.shared.state().sessions.forget_all();
    }

    /// Unplugs the server (`false`): connections drop and new ones are refused, until it is plugged in again.
    pub fn set_reachable(&self, reachable: bool) {
        self.shared.state().reachable = reachable;
        if !reachable {
            self.disconnect();
        }
    }
}
