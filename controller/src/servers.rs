//! The servers that volumes are on: one connection to each, kept as long as it is of use.

pub(crate) mod breaker;
mod catalogue;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use nfs_client::{Client, Config, SourcePort};
use tokio::time::Instant;
use volume::{Server, SharePath};

use self::breaker::Breaker;
pub use self::catalogue::{Catalogue, KnownVolume};
use crate::backend::directory::faults::Faults;
use crate::backend::directory::{Share, Site};
use crate::notices::Notices;

/// Makes the client of a server, which connects when it is first used.
pub type Connect = Box<dyn Fn(&Server) -> Client + Send + Sync>;

/// How servers are connected to.
pub struct Settings {
    /// Makes clients.
    pub connect: Connect,
    /// A server that nobody needs for so long is disconnected.
    pub idle: Duration,
    /// Where operations are to stop, in tests.
    pub faults: Faults,
}

impl Settings {
    /// TCP, as `identity`: it begins the client owner, by which a server's log names the controller.
    pub fn new(identity: &str, source_port: SourcePort) -> Self {
        let identity = identity.to_owned();
        let connect = move |server: &Server| {
            let mut config = Config { source_port, ..Config::new(server.host(), server.port()) };
            // The default owner differs between processes and between clients of one process.
            config.client_owner = format!("{identity}/{}", config.client_owner);
            Client::new(config)
        };
        Self { connect: Box::new(connect), idle: Duration::from_mins(10), faults: Faults::default() }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("idle", &self.idle).finish_non_exhaustive()
    }
}

/// The pool. Clones share it.
#[derive(Clone, Debug)]
pub struct Servers {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    catalogue: Catalogue,
    notices: Notices,
    known: Mutex<BTreeMap<Server, Known>>,
}

/// Requests sent to a server since the start.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// All of them, session set-up and repetitions included.
    pub round_trips: u64,
    /// Those that only kept the lease alive while nothing else was sent.
    pub lease_renewals: u64,
}

impl Sent {
    fn by(client: &Client) -> Self {
        Self { round_trips: client.round_trips(), lease_renewals: client.lease_renewals() }
    }

    fn and(self, other: Self) -> Self {
        Self {
            round_trips: self.round_trips + other.round_trips,
            lease_renewals: self.lease_renewals + other.lease_renewals,
        }
    }
}

/// A server that was used at some time.
#[derive(Debug, Default)]
struct Known {
    connected: Option<Connected>,
    /// What was sent on connections that have been closed.
    closed: Sent,
}

/// What is in the trash of a share, as far as is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backlog {
    /// Trees that are not removed yet.
    pub(crate) trees: usize,
    /// What the server lets nobody remove.
    pub(crate) stuck: usize,
}

#[derive(Debug)]
struct Connected {
    client: Client,
    breaker: Arc<Breaker>,
    shares: BTreeMap<SharePath, Arc<Share>>,
    used: Instant,
}

impl Servers {
    /// No server yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            inner: Arc::new(Inner {
                settings,
                catalogue: Catalogue::default(),
                notices: Notices::default(),
                known: Mutex::default(),
            }),
        }
    }

    /// A share, and whether it was not in use before. Nothing is sent.
    pub(crate) fn share(&self, server: &Server, path: &SharePath) -> (Arc<Share>, bool) {
        let mut known = self.lock();
        let known = known.entry(server.clone()).or_default();
        let connected = known.connected.get_or_insert_with(|| Connected {
            client: (self.inner.settings.connect)(server),
            breaker: Arc::default(),
            shares: BTreeMap::new(),
            used: Instant::now(),
        });
        connected.used = Instant::now();
        if let Some(share) = connected.shares.get(path) {
            return (Arc::clone(share), false);
        }
        let faults = self.inner.settings.faults.clone();
        let (client, breaker) = (connected.client.clone(), Arc::clone(&connected.breaker));
        let site = Site::new(server.clone(), path.clone(), client, faults, self.inner.notices.clone());
        let share = Arc::new(Share::new(site, breaker, self.inner.catalogue.expected(server, path)));
        // It may lie in a directory of another one, where no volumes of that may be made from now on.
        connected.shares.values().for_each(|other| other.plain().clear());
        connected.shares.insert(path.clone(), Arc::clone(&share));
        (share, true)
    }

    /// What is known of shares without looking at them.
    pub(crate) fn catalogue(&self) -> &Catalogue {
        &self.inner.catalogue
    }

    /// What people should know of shares.
    pub(crate) fn notices(&self) -> &Notices {
        &self.inner.notices
    }

    /// Disconnects servers that have not been used for the time of the settings and whose trash is known to be empty, or on which no
    /// volume is known.
    pub async fn close_idle(&self) {
        let idle: Vec<Client> = {
            let mut known = self.lock();
            known.values_mut().filter_map(|known| known.take_idle(self.inner.settings.idle)).collect()
        };
        for client in &idle {
            tracing::debug!(server = client.server(), "disconnecting from an NFS server that is not in use");
        }
        shut_down(&idle).await;
    }

    /// Disconnects all.
    pub async fn close(&self) {
        let all: Vec<Client> = self.lock().values_mut().filter_map(Known::take).collect();
        shut_down(&all).await;
    }

    /// Requests sent to each server since the start.
    pub fn sent(&self) -> Vec<(Server, Sent)> {
        self.lock().iter().map(|(server, known)| (server.clone(), known.sent())).collect()
    }

    /// The trash of each share, as far as is known.
    pub(crate) fn backlogs(&self) -> Vec<(Server, SharePath, Backlog)> {
        let known = self.lock();
        let connected = known.values().filter_map(|known| known.connected.as_ref());
        let shares = connected.flat_map(|connected| connected.shares.values());
        let backlog = |share: &Share| Backlog { trees: share.traffic().backlog(), stuck: share.traffic().stuck() };
        shares.map(|share| (share.site().server().clone(), share.site().path().clone(), backlog(share))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Server, Known>> {
        self.inner.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All at once: one that does not answer takes its time.
async fn shut_down(clients: &[Client]) {
    join_all(clients.iter().map(Client::shutdown)).await;
}

impl Known {
    fn sent(&self) -> Sent {
        self.connected.as_ref().map_or(self.closed, |connected| self.closed.and(Sent::by(&connected.client)))
    }

    fn take_idle(&mut self, idle: Duration) -> Option<Client> {
        let connected = self.connected.as_ref()?;
        // A share that somebody holds is in use; a reaper holds one only while it works.
        let quiet = |share: &Arc<Share>| {
            // A server that was never there has no trash, so only one that volumes are on is asked until it answers.
            let is_settled = share.traffic().is_known() || !share.has_volumes();
            Arc::strong_count(share) == 1 && is_settled && share.traffic().backlog() == 0
        };
        if connected.used.elapsed() < idle || !connected.shares.values().all(quiet) {
            return None;
        }
        self.take()
    }

    fn take(&mut self) -> Option<Client> {
        let connected = self.connected.take()?;
        self.closed = self.closed.and(Sent::by(&connected.client));
        Some(connected.client)
    }
}

#[cfg(test)]
mod tests {
    use nfs_testkit::fake::FakeServer;

    use super::*;

    fn pool(server: &FakeServer, idle: Duration) -> Servers {
        let connector = server.connector();
        let mut settings = Settings::new("test", SourcePort::Any);
        settings.connect = Box::new(move |_| Client::with_connector(Config::new("fake", 2049), connector.clone()));
        Servers::new(Settings { idle, ..settings })
    }

    fn open(pool: &Servers, server: &str, share: &str) -> Arc<Share> {
        pool.share(&server.parse().unwrap(), &share.parse().unwrap()).0
    }

    #[tokio::test]
    async fn one_server_has_one_connection_whatever_its_shares() {
        let server = FakeServer::new();
        let pool = pool(&server, Duration::from_mins(10));
        for share in ["/a", "/b", "/a"] {
            open(&pool, "nfs", share).site().client().probe().await.unwrap();
        }
        assert_eq!(server.connections(), 1);
        assert!(Arc::ptr_eq(&open(&pool, "nfs", "/a"), &open(&pool, "nfs", "/a")));
        open(&pool, "other", "/a").site().client().probe().await.unwrap();
        assert_eq!(server.connections(), 2);
    }

    #[tokio::test]
    async fn a_server_that_nobody_needs_is_left_and_its_requests_stay_counted() {
        let server = FakeServer::new();
        let pool = pool(&server, Duration::ZERO);
        let share = open(&pool, "nfs", "/a");
        share.traffic().set_known();
        share.site().client().probe().await.unwrap();
        pool.close_idle().await;
        assert_eq!(server.sessions(), 1, "somebody holds the share");
        drop(share);
        let before = pool.sent();
        pool.close_idle().await;
        assert_eq!(server.sessions(), 0);
        assert!(pool.sent()[0].1.round_trips >= before[0].1.round_trips);
        let volume = pool.catalogue().add(&"nfs".parse().unwrap(), &"/a".parse().unwrap(), None);
        open(&pool, "nfs", "/a").site().client().probe().await.unwrap();
        assert_eq!(server.sessions(), 1);
        pool.close_idle().await;
        assert_eq!(server.sessions(), 1, "volumes are on it, and nobody has looked into its trash");
        drop(volume);
        pool.close_idle().await;
        assert_eq!(server.sessions(), 0, "no volume is known there, as where a name was mistyped");
        assert!(pool.sent()[0].1.round_trips > before[0].1.round_trips);
        pool.close().await;
        assert_eq!(server.sessions(), 0);
    }

    #[tokio::test]
    async fn a_server_with_something_in_the_trash_or_in_recent_use_is_kept() {
        let server = FakeServer::new();
        let recent = pool(&server, Duration::from_mins(10));
        open(&recent, "nfs", "/a").site().client().probe().await.unwrap();
        recent.close_idle().await;
        assert_eq!(server.sessions(), 1);
        let trashy = pool(&server, Duration::ZERO);
        let share = open(&trashy, "nfs", "/a");
        share.site().client().probe().await.unwrap();
        share.traffic().set_known();
        share.traffic().ring();
        drop(share);
        trashy.close_idle().await;
        assert_eq!(server.sessions(), 2);
        assert_eq!(trashy.backlogs().len(), 1);
    }

    /// Each takes its time to find out that nobody answers.
    #[tokio::test(start_paused = true)]
    async fn servers_that_do_not_answer_are_left_all_at_once() {
        let server = FakeServer::new();
        let mut took = Vec::new();
        for servers in [1, 5] {
            let pool = pool(&server, Duration::from_mins(10));
            for number in 0..servers {
                open(&pool, &format!("nfs-{number}"), "/a").site().client().probe().await.unwrap();
            }
            server.set_silent(true);
            let started = Instant::now();
            pool.close().await;
            took.push(started.elapsed());
            server.set_silent(false);
        }
        assert!(took[0] > Duration::from_secs(1), "{took:?}: the server was not waited for");
        assert!(took[1] < took[0] + Duration::from_secs(1), "{took:?}");
    }

    #[test]
    fn a_client_goes_to_the_server_it_was_made_for() {
        let settings = Settings::new("berth-controller-0", SourcePort::Any);
        let client = (settings.connect)(&"[2001:db8::1]:20049".parse().unwrap());
        assert_eq!(client.server(), "[2001:db8::1]:20049");
    }
}
