//! Executes compounds.

use nfs_client::{
    Credential, NfsStatus, OpCode, Principal, SetAttributes,
    protocol::{Attribute, AttributeMask, ChannelLimits, Operation, Sequence, SessionId, StateId, StatusFlags},
};
use onc_rpc::Writer;

use super::{
    State,
    arguments::Call,
    fault::Effect,
    listing,
    results::{Results, only},
    sessions::Admission,
    tree::{Content, Entries, ROOT},
    users::{READ, SEARCH, User},
};

/// What a reply has before its first result: RPC header (24 bytes), status, empty tag, and count.
const REPLY_HEAD: usize = 36;

/// A request as it came.
#[derive(Clone, Copy)]
pub(super) struct Raw<'a> {
    /// What is behind its RPC header, by which repetitions are recognised.
    pub(super) bytes: &'a [u8],
    /// Bytes with that header.
    pub(super) size: usize,
    pub(super) caller: Option<&'a Credential>,
}

/// Where a compound stands.
pub(super) struct Position {
    pub(super) user: User,
    pub(super) session: SessionId,
    pub(super) current: Option<u64>,
    pub(super) saved: Option<u64>,
    pub(super) state: Option<StateId>,
}

impl State {
    /// Executes a request.
    pub(super) fn execute(
        &mut self,
        calls: &[Call],
        raw: Raw<'_>,
        fault: Option<&(OpCode, Effect)>,
        bound: &mut Vec<SessionId>,
    ) -> Vec<u8> {
        let injected = |code: OpCode| match fault {
            Some((op, Effect::Status(status))) if *op == code => Some(*status),
            _ => None,
        };
        let Some((first, rest)) = calls.split_first() else { return Results::default().finish() };
        if let Some(status) = injected(first.code()) {
            return only(first.code(), Err(status));
        }
        let Call::Sequence(sequence) = first else {
            self.count(first.code(), raw);
            let result = self.without_session(first, bound);
            return only(first.code(), result);
        };
        if self.options.needs_binding && self.sessions.knows(sequence.session) && !bound.contains(&sequence.session) {
            return only(OpCode::Sequence, Err(NfsStatus::ConnNotBoundToSession));
        }
        let limits = self.sessions.limits(sequence.session).unwrap_or_else(|| self.granted(None));
        if let Err(status) = Self::check_request(limits, raw.size, calls.len()) {
            return only(OpCode::Sequence, Err(status));
        }
        let (lease, strict) = (self.options.lease, self.options.detects_false_retries);
        match self.sessions.admit(sequence, raw, lease, strict) {
            Err(status) => return only(OpCode::Sequence, Err(status)),
            Ok(Admission::Repeat(reply)) => {
                self.replayed += 1;
                return reply;
            }
            Ok(Admission::Execute) => {}
        }
        self.count(OpCode::Sequence, raw);
        let mut results = Results::default();
        let reclaim_needed = matches!(fault, Some((_, Effect::ReclaimNeeded)));
        let target = self.options.target_slots.min(limits.max_slots);
        results.add(OpCode::Sequence, Ok(sequence_result(sequence, (limits.max_slots, target), reclaim_needed)));
        let user = User::of(raw.caller, &self.options);
        let mut position = Position { user, session: sequence.session, current: None, saved: None, state: None };
        for call in rest {
            let code = call.code();
            let result = match (injected(code), call) {
                (Some(status), _) => Err(status),
                (None, Call::Plain(operation)) => {
                    let before = REPLY_HEAD + results.size();
                    Self::check_room(limits, sequence, operation, before).and_then(|()| {
                        self.count(code, raw);
                        let body = self.operation(operation, &mut position)?;
                        // Number and status of the operation come before its result.
                        Self::check_reply(limits, sequence, before + 8 + body.as_slice().len()).map(|()| body)
                    })
                }
                (None, _) => Err(NfsStatus::NotOnlyOp),
            };
            if !results.add(code, result) {
                break;
            }
            if let Some((op, Effect::ThenWritten(path, text))) = fault
                && *op == code
            {
                self.write_whole(path, text);
            }
        }
        let reply = results.finish();
        self.sessions.keep(sequence, raw, &reply);
        reply
    }

    fn count(&mut self, code: OpCode, raw: Raw<'_>) {
        let uid = match raw.caller {
            Some(Credential::Sys(caller)) => Some(caller.uid()),
            Some(Credential::None) | None => None,
        };
        *self.executed.entry((code, uid)).or_default() += 1;
    }

    fn granted(&self, wanted: Option<ChannelLimits>) -> ChannelLimits {
        let own = ChannelLimits {
            max_request: self.options.max_request,
            max_response: self.options.max_response,
            max_cached: self.options.max_cached,
            max_operations: self.options.max_operations,
            max_slots: self.options.slots,
        };
        let wanted = wanted.unwrap_or(own);
        ChannelLimits {
            max_request: own.max_request.min(wanted.max_request),
            max_response: own.max_response.min(wanted.max_response),
            max_cached: own.max_cached.min(wanted.max_cached),
            max_operations: own.max_operations.min(wanted.max_operations),
            max_slots: if self.options.grants_unasked_slots {
                own.max_slots
            } else {
                own.max_slots.min(wanted.max_slots)
            },
        }
    }

    fn without_session(&mut self, call: &Call, bound: &mut Vec<SessionId>) -> Result<Writer, NfsStatus> {
        let mut body = Writer::new();
        match call {
            Call::ExchangeId { owner, verifier } => {
                let (id, sequence, confirmed) = self.sessions.exchange_id(owner, *verifier);
                body.u64(id);
                body.u32(sequence);
                body.u32(if confirmed { 0x8000_0000 } else { 0 });
                body.u32(0); // SP4_NONE
                body.u64(0);
                body.opaque(b"fake");
                body.opaque(b"fake");
                body.u32(0);
            }
            Call::CreateSession { client, sequence, wanted } => {
                let granted = self.granted(Some(*wanted));
                let (id, limits) = self.sessions.create_session(*client, *sequence, granted, self.options.lease)?;
                bound.push(id);
                body.fixed(&id);
                body.u32(*sequence);
                body.u32(0);
                limits.encode(&mut body);
                limits.encode(&mut body);
            }
            Call::BindConnection(id) => {
                if !self.sessions.knows(*id) {
                    return Err(NfsStatus::BadSession);
                }
                bound.push(*id);
                body.fixed(id);
                body.u32(1);
                body.bool(false);
            }
            Call::DestroySession(id) => self.sessions.destroy_session(*id)?,
            Call::DestroyClient(id) => self.sessions.destroy_client(*id)?,
            Call::Sequence(_) | Call::Plain(_) => return Err(NfsStatus::OpNotInSession),
        }
        Ok(body)
    }

    fn operation(&mut self, operation: &Operation, at: &mut Position) -> Result<Writer, NfsStatus> {
        let mut body = Writer::new();
        match operation {
            Operation::PutRootHandle => at.current = Some(ROOT),
            Operation::PutHandle(handle) => at.current = Some(self.tree.number(handle)?),
            Operation::SaveHandle => at.saved = Some(at.current()?),
            Operation::RestoreHandle => at.current = Some(at.saved.ok_or(NfsStatus::RestoreFh)?),
            Operation::GetHandle => body.opaque(self.tree.handle(at.current()?).as_bytes()),
            Operation::Lookup(name) => {
                self.require(&at.user, at.current()?, SEARCH)?;
                at.current = Some(self.tree.lookup(at.current()?, name)?);
            }
            Operation::GetAttributes(mask) => self.get_attributes(at.current()?, *mask, &mut body)?,
            Operation::SetAttributes(attributes) => {
                self.set_attributes(&at.user, at.current()?, attributes)?;
                AttributeMask::default().encode(&mut body);
            }
            Operation::Verify(seen) => {
                if self.tree.attributes(at.current()?, None)?.state() != Some(*seen) {
                    return Err(NfsStatus::NotSame);
                }
            }
            Operation::VerifySize(size) => {
                if self.tree.attributes(at.current()?, None)?.size != Some(*size) {
                    return Err(NfsStatus::NotSame);
                }
            }
            Operation::CreateDirectory { name, attributes } => {
                let content = Content::Directory(Entries::new());
                at.current = Some(self.create(&at.user, at.current()?, name, content, attributes)?);
                change(&mut body);
                AttributeMask::default().encode(&mut body);
            }
            Operation::CreateSymlink { name, target } => {
                let content = Content::Symlink(target.clone());
                at.current = Some(self.create(&at.user, at.current()?, name, content, &SetAttributes::mode(0o777))?);
                change(&mut body);
                AttributeMask::default().encode(&mut body);
            }
            Operation::ReadLink => match &self.tree.object(at.current()?)?.content {
                Content::Symlink(target) => body.opaque(target),
                Content::Directory(_) | Content::File { .. } => return Err(NfsStatus::Inval),
            },
            Operation::Rename { old, new } => {
                let from = at.saved.ok_or(NfsStatus::NoFileHandle)?;
                self.rename(&at.user, (from, old), (at.current()?, new))?;
                change(&mut body);
                change(&mut body);
            }
            Operation::Remove(name) => {
                self.require_no_grace()?;
                self.require_may_remove(&at.user, at.current()?, name)?;
                self.tree.remove(at.current()?, name)?;
                change(&mut body);
            }
            Operation::ReadDirectory { cookie, max_bytes, .. } => {
                let directory = at.current()?;
                self.require(&at.user, directory, READ)?;
                let looks = self.require(&at.user, directory, SEARCH);
                listing::encode(&self.tree, &self.options, directory, looks, (*cookie, *max_bytes), &mut body)?;
            }
            Operation::Open { name, claim, .. } => self.open(name, claim, at, &mut body)?,
            Operation::Read { offset, count, .. } => self.read(at, *offset, *count, &mut body)?,
            Operation::Write { offset, data, .. } => self.write(at, *offset, data, &mut body)?,
            Operation::Close(state) => self.close(*state, at, &mut body)?,
            Operation::ReclaimComplete => self.sessions.reclaim(at.session)?,
        }
        Ok(body)
    }

    fn get_attributes(&self, object: u64, mask: AttributeMask, body: &mut Writer) -> Result<(), NfsStatus> {
        let mut attributes = self.tree.attributes(object, self.options.domain.as_deref())?;
        if self.options.names_owners {
            for told in [&mut attributes.owner, &mut attributes.group] {
                *told = told.take().map(|id| Principal::Name(format!("user-{id}")));
            }
        }
        if mask.contains(Attribute::LeaseTime) {
            attributes.lease_time = u32::try_from(self.options.lease.as_secs()).ok();
        }
        attributes.encode(mask, body);
        Ok(())
    }
}

impl Position {
    pub(super) fn current(&self) -> Result<u64, NfsStatus> {
        self.current.ok_or(NfsStatus::NoFileHandle)
    }
}

fn sequence_result(sequence: &Sequence, (slots, target): (u32, u32), reclaim_needed: bool) -> Writer {
    let mut body = Writer::new();
    body.fixed(&sequence.session);
    body.u32(sequence.sequence);
    body.u32(sequence.slot);
    body.u32(slots.saturating_sub(1));
    body.u32(target.saturating_sub(1));
    body.u32(if reclaim_needed { StatusFlags::RESTART_RECLAIM_NEEDED } else { 0 });
    body
}

/// `change_info4`
pub(super) fn change(body: &mut Writer) {
    body.bool(true);
    body.u64(1);
    body.u64(2);
}
