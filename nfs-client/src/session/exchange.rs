//! One request on one slot, from its first transmission until the slot is settled.
//!
//! A request that may have reached the server is followed up by a task of its own, which outlives the caller: the slot
//! stays busy until a reply has come or the session has ended. When a connection is lost, the same request goes out
//! again on the next one with the same slot and sequence number; the server's reply cache makes that exact (RFC 8881
//! §2.10.6.1.3). When the caller has gone by then, an empty SEQUENCE goes out in its place: it settles the slot without
//! executing anything that nobody waits for any more.

use std::sync::{Arc, atomic::Ordering};

use onc_rpc::{AuthStatus, Reader, Refusal, ReplyError, Writer};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use super::{
    Answer, Engine, Request, Session,
    request::decode_head,
    ticket::{Caller, Ticket},
    transfer::Transfer,
};
use crate::{
    Error, NfsStatus, OpCode, Replies,
    protocol::session::{self, SequenceReply},
    transport::Connection,
};

/// How an exchange ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The server executed the request and this is its answer.
    Answered(Answer),
    /// The server did not execute it and never will; it can be sent again on the next session.
    NotExecuted(String),
    /// It may have been executed.
    Unknown(String),
    /// It was not executed, and sending it again would end the same way.
    Failed(Error),
    /// The time was up. `sent` tells whether it may have been executed, or may still be.
    TimeUp { sent: bool, last: Option<Error> },
}

impl Engine {
    /// Sends a request in a session and waits for its outcome, at most until `deadline`.
    pub(crate) async fn exchange(
        self: &Arc<Self>,
        session: &Arc<Session>,
        request: &Arc<Request>,
        deadline: Instant,
    ) -> Outcome {
        let slot = match timeout_at(deadline, session.slots.acquire()).await {
            Ok(Some(slot)) => slot,
            Ok(None) => return Outcome::NotExecuted("the session ended before the request was sent".into()),
            Err(_elapsed) => return Outcome::TimeUp { sent: false, last: None },
        };
        let ticket = Arc::new(Ticket::default());
        let caller = Caller(ticket.clone());
        let (sender, receiver) = oneshot::channel();
        let transfer = Transfer::new(self.clone(), session.clone(), request.clone(), ticket.clone(), &slot);
        tokio::spawn(async move {
            let outcome = transfer.run(slot).await;
            // The caller may have gone.
            let _ = sender.send(outcome);
        });
        match timeout_at(deadline, receiver).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_ended)) => Outcome::Unknown("the runtime is shutting down".into()),
            Err(_elapsed) => Outcome::TimeUp { sent: caller.0.give_up(), last: ticket.last_error() },
        }
    }

    pub(super) fn sequence_error(&self, status: NfsStatus) -> Error {
        Error::Status {
            server: self.server.clone(),
            op: OpCode::Sequence,
            index: 0,
            status,
            completed: Replies::default(),
        }
    }

    /// The error for a reply without results.
    pub(super) fn refused(&self, error: &ReplyError) -> Error {
        let ReplyError::Refused(refusal) = error else { return self.protocol(error.to_string()) };
        match refusal {
            Refusal::Denied(status) => {
                let remedy = match *status {
                    AuthStatus::TOO_WEAK => ": the export may demand Kerberos or a source port below 1024",
                    _ => "",
                };
                Error::RpcDenied { server: self.server.clone(), detail: format!("{status}{remedy}") }
            }
            Refusal::ProgramUnavailable => self.not_nfs("it serves RPC but not the NFS program"),
            Refusal::ProgramMismatch { low, high } => {
                self.not_nfs(&format!("it serves NFS versions {low} to {high} only"))
            }
            Refusal::ProcedureUnavailable => self.not_nfs("it serves NFS 4 without compounds"),
            Refusal::RpcMismatch { .. } => self.not_nfs("it does not speak RPC version 2"),
            Refusal::GarbageArguments | Refusal::SystemError => self.protocol(refusal.to_string()),
        }
    }

    /// What a successful SEQUENCE says about the session.
    pub(super) fn confirmed(self: &Arc<Self>, session: &Arc<Session>, reply: SequenceReply) {
        session.confirm();
        session.slots.set_target(reply.target_highest_slot);
        if reply.flags.state_was_revoked() {
            tracing::warn!(server = %self.server, flags = reply.flags.0, "the NFS server has revoked state");
        }
        if reply.flags.wants_reclaim_complete() && !session.reclaim_announced.swap(true, Ordering::AcqRel) {
            let (engine, session) = (self.clone(), session.clone());
            tokio::spawn(async move { engine.announce_reclaim(&session).await });
        }
    }

    /// `BIND_CONN_TO_SESSION`, for servers that do not bind a connection by its first SEQUENCE.
    pub(super) async fn bind(&self, connection: &Connection, session: &Session) -> Result<(), String> {
        let mut writer = Writer::new();
        session::encode_bind_connection(session.id, &mut writer);
        let reply = self.transmit(connection, writer.as_slice(), 1).await.map_err(|lost| lost.to_string())?;
        let mut reader = Reader::new(&reply);
        let (status, _) = decode_head(&mut reader).map_err(|refused| refused.to_string())?;
        match status {
            NfsStatus::Ok => Ok(()),
            status => Err(format!("BIND_CONN_TO_SESSION: {status}")),
        }
    }
}
