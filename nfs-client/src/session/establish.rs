//! Getting a connection and a session: one task at a time, the others wait for what it gets.

use std::sync::{Arc, atomic::Ordering};

use onc_rpc::{Reader, Writer};
use tokio::time::sleep;

use super::{
    Answer, Engine, Request, Session,
    identity::{ClientSequence, Identity},
    lease,
    request::decode_head,
    slots::Seen,
};
use crate::{
    Error, NfsStatus, OpCode, Reply,
    backoff::Backoff,
    protocol::{
        Attribute, AttributeMask, ChannelLimits, Operation, Sequence,
        session::{self, CreatedSession},
    },
    transport::{Connection, MAX_RECORD},
};

/// Rounds of `EXCHANGE_ID` and `CREATE_SESSION` before a server that keeps forgetting the client is given up.
const MAX_ROUNDS: u32 = 4;

/// Room for the RPC header of a reply beside what the session's limits count.
const REPLY_HEADER: usize = 1024;

impl Engine {
    fn wanted_limits(&self) -> ChannelLimits {
        let max_bytes = u32::try_from(MAX_RECORD - REPLY_HEADER).unwrap_or(u32::MAX);
        ChannelLimits {
            max_request: max_bytes,
            max_response: max_bytes,
            // Enough for every reply to a change; a small wish gets more slots from servers that budget memory.
            max_cached: 4096,
            max_operations: 64,
            max_slots: self.config.max_slots.clamp(1, super::MAX_SLOTS),
        }
    }

    /// The live connection, or a new one. Whoever comes while another task tries shares its success or failure.
    pub(super) async fn connection(self: &Arc<Self>) -> Result<Arc<Connection>, Error> {
        let seen = {
            let current = self.current();
            if let Some(connection) = current.live_connection() {
                return Ok(connection);
            }
            current.attempts
        };
        let engine = self.clone();
        self.uninterrupted(async move {
            let _turn = engine.identity.lock().await;
            if let Some(failure) = engine.failure_since(seen) {
                return Err(failure);
            }
            engine.connect().await.inspect_err(|error| engine.remember(error))
        })
        .await
    }

    /// The live session, or a new one, on a live connection or a new one.
    pub(crate) async fn session(self: &Arc<Self>) -> Result<Arc<Session>, Error> {
        let seen = {
            let current = self.current();
            if let Some(session) = current.live_session() {
                return Ok(session);
            }
            current.attempts
        };
        let engine = self.clone();
        self.uninterrupted(async move {
            let mut identity = engine.identity.lock().await;
            if let Some(failure) = engine.failure_since(seen) {
                return Err(failure);
            }
            if engine.shut_down.load(Ordering::Acquire) {
                return Err(Error::ShutDown { server: engine.server.clone() });
            }
            if let Some(session) = engine.current().live_session() {
                return Ok(session);
            }
            engine.establish(&mut identity).await.inspect_err(|error| engine.remember(error))
        })
        .await
    }

    /// Runs in a task of its own: a caller that is dropped in the middle must not leave a half-made session behind.
    async fn uninterrupted<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        match tokio::spawn(work).await {
            Ok(result) => result,
            Err(ended) => Err(self.protocol(format!("the connecting task ended: {ended}"))),
        }
    }

    fn failure_since(&self, seen: u64) -> Option<Error> {
        let current = self.current();
        if current.attempts == seen { None } else { current.failure.clone() }
    }

    fn remember(&self, error: &Error) {
        let mut current = self.current();
        current.attempts += 1;
        current.failure = Some(error.clone());
    }

    async fn connect(self: &Arc<Self>) -> Result<Arc<Connection>, Error> {
        if let Some(connection) = self.current().live_connection() {
            return Ok(connection);
        }
        let connected = self.connector.connect(&self.target).await.map_err(|error| Error::Unreachable {
            server: self.server.clone(),
            address: error.address,
            detail: error.detail,
            source: error.source.map(Arc::new),
        })?;
        let connection = Arc::new(Connection::new(connected.stream));
        let mut current = self.current();
        current.attempts += 1;
        current.failure = None;
        current.connection = Some(connection.clone());
        current.source_port = connected.source_port;
        Ok(connection)
    }

    async fn establish(self: &Arc<Self>, identity: &mut Identity) -> Result<Arc<Session>, Error> {
        let connection = self.connect().await?;
        self.destroy_void(&connection, identity).await?;
        let mut last = NfsStatus::Ok;
        for _ in 0..MAX_ROUNDS {
            let client = self.client(&connection, identity).await?;
            let mut writer = Writer::new();
            session::encode_create_session(client.id, client.next, self.wanted_limits(), &mut writer);
            match self.alone(&connection, OpCode::CreateSession, writer, session::decode_create_session).await? {
                Ok(created) => {
                    identity.client = Some(ClientSequence { next: client.next.wrapping_add(1), ..client });
                    return self.open(&connection, created, identity).await;
                }
                // The server has restarted, or has dropped a client it had not heard of for too long.
                Err(NfsStatus::StaleClientId) => identity.client = None,
                Err(NfsStatus::SeqMisordered) => identity.restart(),
                Err(status) => return Err(self.setup_failed(OpCode::CreateSession, status)),
            }
            last = NfsStatus::StaleClientId;
        }
        Err(self.setup_failed(OpCode::CreateSession, last))
    }

    /// First steps in a new session: learn the lease, and tell the server that there is nothing to reclaim. The
    /// session is published only when they are done.
    async fn open(
        self: &Arc<Self>,
        connection: &Connection,
        created: CreatedSession,
        identity: &mut Identity,
    ) -> Result<Arc<Session>, Error> {
        // Until it is published nobody else knows of it: a failure on the way leaves it to be destroyed.
        identity.void = Some(created.id);
        let session = Arc::new(Session::new(created.id, created.limits, self.wanted_limits().max_slots));
        let operations = vec![
            Operation::PutRootHandle,
            Operation::GetAttributes(AttributeMask::of(&[Attribute::LeaseTime])),
            Operation::ReclaimComplete,
        ];
        let reclaimed = operations.len() - 1;
        let answer = self.first_request(connection, &session, &Request::new(operations)).await?;
        if let Some((op, status)) = answer.failure {
            let done = answer.replies.len() == reclaimed && status == NfsStatus::CompleteAlready;
            if !done {
                return Err(self.setup_failed(op, status));
            }
        }
        let lease = answer.replies.iter().find_map(|reply| match reply {
            Reply::Attributes(attributes) => attributes.lease_time,
            _ => None,
        });
        session.set_lease(lease::duration(lease));
        identity.void = None;
        let mut current = self.current();
        current.session = Some(session.clone());
        current.attempts += 1;
        current.failure = None;
        drop(current);
        lease::keep(self, &session);
        tracing::debug!(server = %self.server, slots = created.limits.max_slots, lease = ?session.lease(), "NFS session is up");
        Ok(session)
    }

    /// The first request of a session: on slot 0, before anybody else can use it. If the connection breaks, the
    /// session is given up rather than saved.
    async fn first_request(
        &self,
        connection: &Connection,
        session: &Session,
        request: &Request,
    ) -> Result<Answer, Error> {
        let slot = session.slots.try_acquire().ok_or_else(|| self.protocol("a new session has no slot"))?;
        let sequence = Sequence {
            session: session.id,
            sequence: slot.sequence(),
            slot: slot.index(),
            highest_slot: slot.index(),
            cache_this: false,
        };
        let mut writer = Writer::new();
        sequence.encode(&mut writer);
        writer.append(&request.encoded);
        let count = u32::try_from(request.operations.len()).unwrap_or(u32::MAX - 1) + 1;
        let mut backoff = Backoff::asked_to_wait();
        for _ in 0..MAX_ROUNDS {
            let reply = self
                .transmit(connection, writer.as_slice(), count)
                .await
                .map_err(|lost| self.lost(connection, &lost))?;
            let mut reader = Reader::new(&reply);
            let (status, results) = decode_head(&mut reader).map_err(|refused| self.refused(&refused))?;
            let damaged = |error| self.protocol(format!("damaged reply: {error}"));
            match session::decode_sequence(&sequence, &mut reader).map_err(damaged)? {
                Ok(_) => {
                    slot.release(Seen::Taken);
                    let results = results.saturating_sub(1);
                    return Answer::decode(&request.operations, status, results, &mut reader).map_err(damaged);
                }
                Err(status) if status.asks_to_wait() => sleep(backoff.next()).await,
                Err(status) => return Err(self.setup_failed(OpCode::Sequence, status)),
            }
        }
        Err(self.setup_failed(OpCode::Sequence, NfsStatus::Delay))
    }
}
