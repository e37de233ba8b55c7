//! What can go wrong, and when.

use std::{fmt, time::Duration};

use nfs_client::{NfsStatus, OpCode};

/// What goes wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// The connection drops before anything of the request is executed.
    DropBeforeExecution,
    /// The request is executed, then the connection drops without a reply.
    DropAfterExecution,
    /// The operation answers this and is not executed; what stands before it in its compound is. On SEQUENCE, nothing
    /// is executed and the slot stays as it was.
    Status(NfsStatus),
    /// The request is executed, the reply comes later.
    Delay(Duration),
    /// The request is executed, the reply never comes, the connection stays.
    NoReply,
    /// Nothing is executed, no reply comes, the connection stays.
    Ignored,
    /// Half of the reply comes, then the connection drops.
    TruncatedReply,
    /// The header of a reply comes, then bytes that mean nothing.
    GarbageReply,
    /// A record mark announces far more than any reply has.
    OversizedReply,
    /// The request is executed, and its reply says that it belongs to another one.
    ReplyOfAnother(Another),
    /// The RPC layer denies the caller (`AUTH_TOOWEAK`); nothing is executed.
    Denied,
    /// The server crashes before anything of the request is executed, and restarts.
    RestartBeforeExecution,
    /// The server executes the request, crashes before it replies, and restarts.
    RestartAfterExecution,
    /// The server is unplugged before anything of the request is executed, until
    /// [`set_reachable`](super::FakeServer::set_reachable) plugs it in again. It keeps its sessions.
    UnplugBeforeExecution,
    /// The server executes the request and is unplugged before it replies.
    UnplugAfterExecution,
    /// SEQUENCE reports that the server waits for `RECLAIM_COMPLETE`.
    ReclaimNeeded,
    /// Right after the operation, before the next one of its compound, somebody else writes this text to the file at this path.
    ThenWritten(String, String),
}

/// By what the result of SEQUENCE shows that a reply belongs to another request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Another {
    /// It was sent in another session.
    Session,
    /// It was sent on another slot.
    Slot,
    /// It was sent on the same slot earlier or later.
    Sequence,
}

/// An [`Effect`] on requests that have a certain operation among them.
#[derive(Debug, Clone)]
#[must_use = "a fault does nothing before it is injected"]
pub struct Fault {
    op: OpCode,
    effect: Effect,
    skip: u64,
    /// How often it is still to happen; without end if there is none.
    times: Option<u64>,
    happened: bool,
}

impl Fault {
    /// The next request with this operation.
    pub fn on(op: OpCode, effect: Effect) -> Self {
        Self { op, effect, skip: 0, times: Some(1), happened: false }
    }

    /// Lets this many matching requests pass first.
    pub fn skip(self, requests: u64) -> Self {
        Self { skip: requests, ..self }
    }

    /// Happens to this many requests in a row.
    pub fn times(self, requests: u64) -> Self {
        Self { times: Some(requests), ..self }
    }

    /// Happens to every matching request from now on.
    pub fn always(self) -> Self {
        Self { times: None, ..self }
    }
}

impl Fault {
    /// Whether it must still happen for a test to show anything.
    fn is_pending(&self) -> bool {
        match self.times {
            Some(times) => times > 0,
            None => !self.happened,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} on {}", self.effect, self.op)?;
        match self.times {
            Some(times) => write!(f, ", {times} times more")?,
            None => f.write_str(", again and again")?,
        }
        if self.skip > 0 { write!(f, ", after {} more requests with it", self.skip) } else { Ok(()) }
    }
}

/// Faults that can still happen.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    /// Those that must still happen.
    pub(super) fn pending(&self) -> Vec<Fault> {
        self.0.iter().filter(|fault| fault.is_pending()).cloned().collect()
    }

    pub(super) fn forget(&mut self) -> usize {
        self.0.drain(..).filter(Fault::is_pending).count()
    }

    /// The effect on a request with these operations, if there is one: the first fault that is due happens.
    pub(super) fn next(&mut self, ops: &[OpCode]) -> Option<(OpCode, Effect)> {
        let mut due = None;
        for (index, fault) in self.0.iter_mut().enumerate() {
            if !ops.contains(&fault.op) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
            } else if due.is_none() {
                fault.times = fault.times.map(|times| times.saturating_sub(1));
                fault.happened = true;
                due = Some((index, fault.op, fault.effect.clone(), !fault.is_pending() && fault.times.is_some()));
            }
        }
        let (index, op, effect, used_up) = due?;
        if used_up {
            drop(self.0.remove(index));
        }
        Some((op, effect))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_waits_for_its_operation_and_its_turn() {
        let mut faults = Faults::default();
        faults.add(Fault::on(OpCode::Create, Effect::DropBeforeExecution).skip(1).times(2));
        assert_eq!(faults.next(&[OpCode::Sequence, OpCode::Remove]), None);
        assert_eq!(faults.next(&[OpCode::Create]), None, "the first one passes");
        let happened = Some((OpCode::Create, Effect::DropBeforeExecution));
        assert_eq!(faults.next(&[OpCode::Create]), happened);
        assert_eq!(faults.next(&[OpCode::Create]), happened);
        assert_eq!(faults.next(&[OpCode::Create]), None);
        assert!(faults.pending().is_empty());
    }
}
