//! The client's identity with its server, and the operations that need no session.

use onc_rpc::{DecodeError, Reader, Writer};
use tokio::time::sleep;

use super::{Engine, request::decode_head};
use crate::{
    Error, NfsStatus, OpCode, Replies,
    backoff::Backoff,
    protocol::session::{self, ClientId, SessionId},
    random,
    transport::Connection,
};

/// Who this client is to its server (RFC 8881 §2.4), and what the server has made of it.
pub(super) struct Identity {
    owner: Vec<u8>,
    /// Stays the same for the life of the client: a change tells the server that the client has restarted, and that
    /// all its sessions are void.
    verifier: [u8; 8],
    pub(super) client: Option<ClientSequence>,
    /// A session the server may still hold although this client has given it up.
    pub(super) void: Option<SessionId>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct ClientSequence {
    pub(super) id: u64,
    /// Sequence number of the next `CREATE_SESSION`, or of the last one if its reply never came.
    pub(super) next: u32,
}

impl Identity {
    pub(super) fn new(owner: &str) -> Self {
        Self { owner: owner.as_bytes().to_vec(), verifier: random::u64().to_be_bytes(), client: None, void: None }
    }

    /// Starts over as a client that has restarted: the server drops whatever it knows.
    pub(super) fn restart(&mut self) {
        self.verifier = random::u64().to_be_bytes();
        self.client = None;
        self.void = None;
    }
}

/// Attempts while a server answers DELAY or GRACE to an operation without a session.
const MAX_DELAYS: u32 = 6;

impl Engine {
    /// The known client id, or a new one by `EXCHANGE_ID`.
    pub(super) async fn client(
        &self,
        connection: &Connection,
        identity: &mut Identity,
    ) -> Result<ClientSequence, Error> {
        if let Some(client) = identity.client {
            return Ok(client);
        }
        for _ in 0..2 {
            let mut writer = Writer::new();
            session::encode_exchange_id(&identity.owner, identity.verifier, &mut writer);
            let answer = self.alone(connection, OpCode::ExchangeId, writer, session::decode_exchange_id).await?;
            match answer.map_err(|status| self.setup_failed(OpCode::ExchangeId, status))? {
                ClientId { id, sequence: Some(next) } => {
                    let client = ClientSequence { id, next };
                    identity.client = Some(client);
                    return Ok(client);
                }
                // Confirmed under our owner and verifier, but we do not know its sequence number any more.
                ClientId { sequence: None, .. } => identity.restart(),
            }
        }
        Err(self.protocol("EXCHANGE_ID confirms a client that has just been made up"))
    }

    /// Tells the server to forget a session that this client has given up but the server may still hold: requests that
    /// are still on their way in it must not be executed once somebody has looked for what became of them.
    pub(super) async fn destroy_void(&self, connection: &Connection, identity: &mut Identity) -> Result<(), Error> {
        if let Some(session) = self.current().session.as_ref().filter(|session| session.is_void()) {
            identity.void = Some(session.id);
        }
        let Some(id) = identity.void else { return Ok(()) };
        match self.destroy_session(connection, id).await? {
            Ok(()) | Err(NfsStatus::BadSession | NfsStatus::DeadSession) => identity.void = None,
            // It is busy with our requests or does not want to: a restarted client's sessions are void in any case.
            Err(_) => identity.restart(),
        }
        Ok(())
    }

    pub(super) async fn destroy_session(
        &self,
        connection: &Connection,
        id: SessionId,
    ) -> Result<Result<(), NfsStatus>, Error> {
        let mut writer = Writer::new();
        session::encode_destroy_session(id, &mut writer);
        self.alone(connection, OpCode::DestroySession, writer, |_| Ok(())).await
    }

    /// Sends one operation without a SEQUENCE; repeats it a few times while the server asks to wait.
    pub(super) async fn alone<T>(
        &self,
        connection: &Connection,
        op: OpCode,
        operation: Writer,
        decode: impl Fn(&mut Reader<'_>) -> Result<T, DecodeError>,
    ) -> Result<Result<T, NfsStatus>, Error> {
        let operation = operation.into_vec();
        let mut backoff = Backoff::asked_to_wait();
        let mut attempt = 1;
        loop {
            let reply = self.transmit(connection, &operation, 1).await.map_err(|lost| self.lost(connection, &lost))?;
            let mut reader = Reader::new(&reply);
            let (status, _) = decode_head(&mut reader).map_err(|refused| self.refused(&refused))?;
            if status.asks_to_wait() && attempt < MAX_DELAYS {
                attempt += 1;
                sleep(backoff.next()).await;
                continue;
            }
            if status != NfsStatus::Ok {
                return Ok(Err(status));
            }
            let damaged = |error: DecodeError| self.protocol(format!("damaged reply to {op}: {error}"));
            session::decode_head(op, &mut reader).map_err(damaged)?;
            return Ok(Ok(decode(&mut reader).map_err(damaged)?));
        }
    }

    /// The error for an operation that failed while a session was being made.
    pub(super) fn setup_failed(&self, op: OpCode, status: NfsStatus) -> Error {
        if status == NfsStatus::MinorVersMismatch {
            return self.not_nfs("it speaks NFS 4.0 but not 4.1");
        }
        Error::Status { server: self.server.clone(), op, index: 0, status, completed: Replies::default() }
    }
}
