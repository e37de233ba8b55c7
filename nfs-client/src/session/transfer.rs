//! Sends one request on one slot until the slot is settled.

use std::{sync::Arc, time::Duration};

use onc_rpc::{Reader, Refusal, ReplyError, Writer};
use tokio::time::{Instant, sleep};

use super::{
    Answer, Engine, Outcome, Request, Session,
    request::decode_head,
    slots::{HeldSlot, Seen},
    ticket::Ticket,
};
use crate::{
    NfsStatus,
    backoff::Backoff,
    protocol::session::{self, Sequence, SequenceReply},
    transport::Connection,
};

/// Replies that cannot be read, or that the RPC layer calls damaged, after which a request is given up.
const MAX_DAMAGED: u32 = 3;

/// A request on its way.
pub(super) struct Transfer {
    engine: Arc<Engine>,
    session: Arc<Session>,
    request: Arc<Request>,
    ticket: Arc<Ticket>,
    /// An earlier transmission has had no answer, so the server may have executed it.
    uncertain: bool,
    damaged: u32,
    /// The connection was bound to the session once because the server said it was not.
    bound: bool,
    backoff: Backoff,
    /// When a slot that nobody waits for any more ends the session.
    settle_by: Option<Instant>,
    /// As it was at the first transmission: servers may compare a repetition with the original, byte by byte.
    highest_slot: u32,
}

/// What to do after a transmission.
enum Step {
    Again,
    /// Send again after a while.
    Later,
    End(Seen, Outcome),
    /// The slot cannot be settled; the session has ended.
    Abandon(Outcome),
}

impl Transfer {
    pub(super) fn new(
        engine: Arc<Engine>,
        session: Arc<Session>,
        request: Arc<Request>,
        ticket: Arc<Ticket>,
        slot: &HeldSlot,
    ) -> Self {
        Self {
            engine,
            session,
            request,
            ticket,
            uncertain: false,
            damaged: 0,
            bound: false,
            backoff: Backoff::reconnecting(),
            settle_by: None,
            highest_slot: slot.highest_busy(),
        }
    }

    pub(super) async fn run(mut self, slot: HeldSlot) -> Outcome {
        loop {
            if let Some(ended) = self.session.ended() {
                return self.not_answered(ended.reason.to_string());
            }
            if self.overdue() {
                self.session.end("a request could not be settled", false);
                continue;
            }
            let connection = match self.engine.connection().await {
                Ok(connection) => Some(connection),
                Err(error) => {
                    self.ticket.note(error);
                    None
                }
            };
            // Whoever gave up before anything was sent relies on its never being sent.
            if !self.uncertain && self.ticket.caller_has_gone() {
                slot.release(Seen::Never);
                return Outcome::NotExecuted("nobody waits for it any more".into());
            }
            let Some(connection) = connection else {
                sleep(self.backoff.next()).await;
                continue;
            };
            if !self.ticket.begin() {
                continue;
            }
            match self.transmit(&slot, &connection).await {
                Step::Again => {}
                Step::Later => sleep(self.backoff.next()).await,
                Step::End(seen, outcome) => {
                    slot.release(seen);
                    return outcome;
                }
                Step::Abandon(outcome) => return outcome,
            }
        }
    }

    /// Whether the caller has been gone for two leases, and the slot is still not settled.
    fn overdue(&mut self) -> bool {
        if !self.ticket.caller_has_gone() {
            return false;
        }
        let grace = 2 * self.session.lease().max(Duration::from_secs(5));
        Instant::now() >= *self.settle_by.get_or_insert_with(|| Instant::now() + grace)
    }

    /// The outcome of a request whose session ended.
    fn not_answered(&self, reason: String) -> Outcome {
        if self.uncertain { Outcome::Unknown(reason) } else { Outcome::NotExecuted(reason) }
    }

    async fn transmit(&mut self, slot: &HeldSlot, connection: &Connection) -> Step {
        // Resending what nobody waits for could execute it long after its caller has acted on its absence.
        let probe = self.uncertain && self.ticket.caller_has_gone();
        let sequence = Sequence {
            session: self.session.id,
            sequence: slot.sequence(),
            slot: slot.index(),
            highest_slot: self.highest_slot,
            cache_this: self.request.mutates,
        };
        let mut operations = Writer::new();
        sequence.encode(&mut operations);
        let mut count = 1;
        if !probe {
            operations.append(&self.request.encoded);
            count += u32::try_from(self.request.operations.len()).unwrap_or(u32::MAX - 1);
        }
        // A probe too: it must not look like another user's use of the slot.
        let user = self.request.speaks_for.as_deref().unwrap_or(&self.engine.config.credential);
        let reply = match self.engine.transmit_for(user, connection, operations.as_slice(), count).await {
            Ok(reply) => reply,
            Err(lost) => {
                self.uncertain |= lost.sent;
                self.ticket.note(self.engine.lost(connection, &lost));
                return Step::Later;
            }
        };
        match self.read(&sequence, probe, &reply) {
            Ok(Read::Answered(sequence, answer)) => {
                self.engine.confirmed(&self.session, sequence);
                Step::End(Seen::Taken, answer)
            }
            Ok(Read::Sequence(status)) => self.sequence_failed(status, probe, connection).await,
            Err(refused) => self.call_refused(&refused, connection),
        }
    }

    fn read(&self, asked: &Sequence, probe: bool, reply: &[u8]) -> Result<Read, ReplyError> {
        let mut reader = Reader::new(reply);
        let (status, count) = decode_head(&mut reader)?;
        if count == 0 {
            // A compound refused as a whole: `MINOR_VERS_MISMATCH`, for instance.
            return Ok(Read::Sequence(status));
        }
        let sequence = match session::decode_sequence(asked, &mut reader)? {
            Ok(sequence) => sequence,
            Err(status) => return Ok(Read::Sequence(status)),
        };
        if probe {
            let outcome = Outcome::Unknown("nobody waited for the reply".into());
            return Ok(Read::Answered(sequence, outcome));
        }
        let answer = Answer::decode(&self.request.operations, status, count - 1, &mut reader)?;
        Ok(Read::Answered(sequence, Outcome::Answered(answer)))
    }

    /// SEQUENCE itself failed: the server has executed nothing of *this* transmission.
    async fn sequence_failed(&mut self, status: NfsStatus, probe: bool, connection: &Connection) -> Step {
        let reason = format!("SEQUENCE: {status}");
        match status {
            NfsStatus::Delay | NfsStatus::Grace => Step::Later,
            NfsStatus::ConnNotBoundToSession => match self.engine.bind(connection, &self.session).await {
                Ok(()) if std::mem::replace(&mut self.bound, true) => Step::Later,
                Ok(()) => Step::Again,
                Err(reason) => {
                    self.session.end(reason.clone(), false);
                    Step::Abandon(self.not_answered(reason))
                }
            },
            status if status.is_lost_session() => {
                self.session.end(reason.clone(), true);
                Step::Abandon(self.not_answered(reason))
            }
            NfsStatus::RetryUncachedRep if self.uncertain => Step::End(Seen::Taken, Outcome::Unknown(reason)),
            NfsStatus::SeqFalseRetry if probe => Step::End(Seen::Taken, Outcome::Unknown(reason)),
            NfsStatus::SeqMisordered
            | NfsStatus::SeqFalseRetry
            | NfsStatus::RetryUncachedRep
            | NfsStatus::BadSlot
            | NfsStatus::BadHighSlot => {
                self.session.end(reason.clone(), false);
                Step::Abandon(self.not_answered(reason))
            }
            // Too long, too many operations, not understood: an error of SEQUENCE leaves the slot as it was.
            _ if self.uncertain => {
                self.session.end(reason.clone(), false);
                Step::Abandon(Outcome::Unknown(reason))
            }
            status => Step::End(Seen::Never, Outcome::Failed(self.engine.sequence_error(status))),
        }
    }

    fn call_refused(&mut self, refused: &ReplyError, connection: &Connection) -> Step {
        let error = self.engine.refused(refused);
        let was_looked_at = matches!(
            refused,
            ReplyError::Damaged(_) | ReplyError::Refused(Refusal::GarbageArguments | Refusal::SystemError)
        );
        if was_looked_at && self.damaged + 1 < MAX_DAMAGED {
            self.damaged += 1;
            self.uncertain = true;
            connection.close(refused.to_string());
            self.ticket.note(error);
            return Step::Later;
        }
        // Otherwise the RPC layer has turned the call away before anybody looked at its arguments.
        if !was_looked_at && !self.uncertain {
            return Step::End(Seen::Never, Outcome::Failed(error));
        }
        self.session.end(refused.to_string(), false);
        let mutates = self.request.mutates;
        Step::Abandon(if mutates { Outcome::Unknown(refused.to_string()) } else { Outcome::Failed(error) })
    }
}

enum Read {
    /// SEQUENCE succeeded.
    Answered(SequenceReply, Outcome),
    /// SEQUENCE failed.
    Sequence(NfsStatus),
}
