//! Sessions (RFC 8881 §2.10): how they are made, used, kept alive and replaced.

mod establish;
mod exchange;
mod identity;
mod lease;
mod request;
mod slots;
mod ticket;
mod transfer;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use onc_rpc::Credential;
use tokio::time::Instant;

pub(crate) use exchange::Outcome;
pub(crate) use request::{Answer, OVERHEAD, Request};

use crate::{
    Config, Error,
    connector::{Connector, Target},
    protocol::session::{ChannelLimits, SessionId},
    transport::{Connection, EndedBy, Lost},
};
use identity::Identity;
use slots::SlotTable;

/// A session with its server. It is *ended* once it must not be used for new requests.
#[derive(Debug)]
pub(crate) struct Session {
    id: SessionId,
    pub(crate) limits: ChannelLimits,
    lease: OnceLock<Duration>,
    slots: Arc<SlotTable>,
    ended: Mutex<Option<Ended>>,
    /// When the server last confirmed the session, and with it the lease.
    confirmed: Mutex<Instant>,
    reclaim_announced: AtomicBool,
}

/// Most requests in flight on one session, whatever the configuration says.
const MAX_SLOTS: u32 = 1024;

#[derive(Debug, Clone)]
struct Ended {
    reason: Arc<str>,
    /// The server has not said so: it may still hold the session and must be told, before anybody looks what became
    /// of requests that were sent in it.
    known_to_server: bool,
}

impl Session {
    fn new(id: SessionId, limits: ChannelLimits, slots_asked_for: u32) -> Self {
        Self {
            id,
            limits,
            lease: OnceLock::new(),
            // A server that grants more than was asked for is not believed.
            slots: SlotTable::new(limits.max_slots.min(slots_asked_for)),
            ended: Mutex::new(None),
            confirmed: Mutex::new(Instant::now()),
            reclaim_announced: AtomicBool::new(false),
        }
    }

    /// Operations one compound may have beside its SEQUENCE.
    pub(crate) fn max_operations(&self) -> usize {
        usize::try_from(self.limits.max_operations).unwrap_or(usize::MAX).saturating_sub(1)
    }

    fn ended(&self) -> Option<Ended> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_alive(&self) -> bool {
        self.ended().is_none()
    }

    fn end(&self, reason: impl Into<Arc<str>>, known_to_server: bool) {
        let reason = reason.into();
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.is_none() {
            tracing::debug!(%reason, "the NFS session has ended");
            *ended = Some(Ended { reason, known_to_server });
        }
        drop(ended);
        self.slots.close();
    }

    /// Whether the server may still hold it although it must not be used any more.
    fn is_void(&self) -> bool {
        self.ended().is_some_and(|ended| !ended.known_to_server)
    }

    fn set_lease(&self, lease: Duration) {
        // A session learns its lease once.
        let _ = self.lease.set(lease);
    }

    fn lease(&self) -> Duration {
        self.lease.get().copied().unwrap_or(lease::ASSUMED)
    }

    fn confirm(&self) {
        *self.confirmed.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn confirmed(&self) -> Instant {
        *self.confirmed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything behind a [`Client`](crate::Client): the connection and the session of the moment, and how to get new
/// ones.
pub(crate) struct Engine {
    pub(crate) config: Config,
    pub(crate) server: Arc<str>,
    connector: Box<dyn Connector>,
    target: Target,
    current: Mutex<Current>,
    /// Held by the one task that makes a connection or a session.
    identity: tokio::sync::Mutex<Identity>,
    compounds_sent: AtomicU64,
    renewals: AtomicU64,
    shut_down: AtomicBool,
}

#[derive(Default)]
struct Current {
    connection: Option<Arc<Connection>>,
    session: Option<Arc<Session>>,
    source_port: Option<u16>,
    /// Whether the server has ever been heard of: it has answered, or has accepted a connection and ended it, as one
    /// does that is starting or going down. Until then, one that cannot be reached is reported at once.
    heard: bool,
    /// Attempts so far and how the last one failed, for those who waited while another task tried.
    attempts: u64,
    failure: Option<Error>,
}

impl Current {
    fn live_connection(&self) -> Option<Arc<Connection>> {
        self.connection.as_ref().filter(|connection| connection.is_alive()).cloned()
    }

    fn live_session(&self) -> Option<Arc<Session>> {
        self.session.as_ref().filter(|session| session.is_alive()).cloned()
    }
}

impl Engine {
    pub(crate) fn new(config: Config, connector: Box<dyn Connector>) -> Self {
        let target = Target {
            host: config.host.clone(),
            port: config.port,
            source_port: config.source_port,
            timeout: config.connect_timeout,
        };
        Self {
            server: config.server().into(),
            identity: tokio::sync::Mutex::new(Identity::new(&config.client_owner)),
            config,
            connector,
            target,
            current: Mutex::default(),
            compounds_sent: AtomicU64::new(0),
            renewals: AtomicU64::new(0),
            shut_down: AtomicBool::new(false),
        }
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn compounds_sent(&self) -> u64 {
        self.compounds_sent.load(Ordering::Relaxed)
    }

    pub(crate) fn renewals(&self) -> u64 {
        self.renewals.load(Ordering::Relaxed)
    }

    pub(crate) fn source_port(&self) -> Option<u16> {
        self.current().source_port
    }

    pub(crate) fn has_heard_of_server(&self) -> bool {
        self.current().heard
    }

    /// Sends one COMPOUND for the user of the configuration and returns its reply from behind its message type on.
    async fn transmit(&self, connection: &Connection, operations: &[u8], count: u32) -> Result<Vec<u8>, Lost> {
        self.transmit_for(&self.config.credential, connection, operations, count).await
    }

    /// The same for anybody.
    async fn transmit_for(
        &self,
        user: &Credential,
        connection: &Connection,
        operations: &[u8],
        count: u32,
    ) -> Result<Vec<u8>, Lost> {
        self.compounds_sent.fetch_add(1, Ordering::Relaxed);
        let build = |xid| request::encode(xid, user, operations, count);
        let result = connection.call(build, self.config.request_timeout).await;
        if result.as_ref().map_or_else(|lost| lost.by == EndedBy::Peer, |_reply| true) {
            self.current().heard = true;
        }
        result
    }

    /// The error for a connection that broke before a session was up on it.
    fn lost(&self, connection: &Connection, lost: &Lost) -> Error {
        if lost.by == EndedBy::Nonsense && !connection.has_answered() {
            return self.not_nfs(&lost.reason);
        }
        Error::Unreachable {
            server: self.server.clone(),
            address: self.target.host.clone(),
            detail: lost.to_string(),
            source: None,
        }
    }

    fn not_nfs(&self, detail: &str) -> Error {
        Error::NotNfs { server: self.server.clone(), detail: detail.to_owned() }
    }

    fn protocol(&self, detail: impl Into<String>) -> Error {
        Error::Protocol { server: self.server.clone(), detail: detail.into() }
    }
}
