//! The lease (RFC 8881 §8.3): every SEQUENCE renews it, so only an idle client has to send one for its own sake.

use std::{
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use onc_rpc::Writer;
use tokio::time::{Instant, sleep_until, timeout};

use super::{Engine, Outcome, Request, Session, identity::Identity};
use crate::{
    Error, OpCode,
    protocol::{Operation, session},
    transport::Connection,
};

/// The lease of a server that does not tell: as short as any sensible server's.
pub(super) const ASSUMED: Duration = Duration::from_secs(10);

/// Longest wait for requests in flight when a client is shut down.
const DRAIN: Duration = Duration::from_secs(5);

pub(super) fn duration(seconds: Option<u32>) -> Duration {
    seconds.filter(|seconds| *seconds > 0).map_or(ASSUMED, |seconds| Duration::from_secs(seconds.into()))
}

/// Starts the task that renews the lease of a session until the session or its client is gone.
pub(super) fn keep(engine: &Arc<Engine>, session: &Arc<Session>) {
    tokio::spawn(renew(Arc::downgrade(engine), session.clone()));
}

async fn renew(engine: Weak<Engine>, session: Arc<Session>) {
    let interval = session.lease() / 3;
    let mut next = session.confirmed() + interval;
    loop {
        sleep_until(next).await;
        let Some(engine) = engine.upgrade() else { return };
        if !session.is_alive() {
            return;
        }
        let now = Instant::now();
        if session.confirmed() + interval <= now {
            engine.renewals.fetch_add(1, Ordering::Relaxed);
            let outcome = engine.exchange(&session, &Arc::new(Request::new(Vec::new())), now + interval).await;
            if !matches!(outcome, Outcome::Answered(_)) {
                tracing::debug!(server = %engine.server, ?outcome, "the NFS lease could not be renewed now");
            }
        }
        next = (session.confirmed() + interval).max(Instant::now() + interval / 4);
    }
}

impl Engine {
    /// `RECLAIM_COMPLETE` for a server that has restarted and kept the session.
    pub(super) async fn announce_reclaim(self: &Arc<Self>, session: &Arc<Session>) {
        let request = Arc::new(Request::new(vec![Operation::ReclaimComplete]));
        let outcome = self.exchange(session, &request, Instant::now() + self.config.retry_budget).await;
        session.reclaim_announced.store(false, Ordering::Release);
        tracing::info!(server = %self.server, ?outcome, "the NFS server has restarted; nothing to reclaim");
    }

    /// Waits a little for requests in flight, then has the server forget session and client, and closes the
    /// connection. What cannot be done in time is left to the lease.
    pub(crate) async fn shut_down(self: &Arc<Self>) {
        if self.shut_down.swap(true, Ordering::AcqRel) {
            return;
        }
        let session = self.current().live_session();
        if let Some(session) = &session {
            let _ = timeout(DRAIN, session.slots.idle()).await;
            session.end("the client has been shut down", true);
        }
        let mut identity = self.identity.lock().await;
        let connection = self.current().connection.take();
        let Some(connection) = connection.filter(|connection| connection.is_alive()) else { return };
        let farewell = self.say_farewell(&connection, session.as_deref(), &mut identity);
        match timeout(self.config.request_timeout, farewell).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the NFS server keeps this client until its lease ends"),
            Err(_elapsed) => tracing::debug!(server = %self.server, "the NFS server did not say goodbye in time"),
        }
        connection.close("the client has been shut down");
    }

    async fn say_farewell(
        &self,
        connection: &Connection,
        session: Option<&Session>,
        identity: &mut Identity,
    ) -> Result<(), Error> {
        self.destroy_void(connection, identity).await?;
        if let Some(session) = session {
            let destroyed = self.destroy_session(connection, session.id).await?;
            destroyed.map_err(|status| self.setup_failed(OpCode::DestroySession, status))?;
        }
        if let Some(client) = identity.client.take() {
            let mut writer = Writer::new();
            session::encode_destroy_client(client.id, &mut writer);
            let destroyed = self.alone(connection, OpCode::DestroyClientId, writer, |_| Ok(())).await?;
            destroyed.map_err(|status| self.setup_failed(OpCode::DestroyClientId, status))?;
        }
        Ok(())
    }
}
