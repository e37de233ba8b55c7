//! Clients, sessions, slots and their reply caches.

use std::{collections::HashMap, time::Duration};

use nfs_client::{
    Credential, NfsStatus,
    protocol::{ChannelLimits, Sequence, SessionId},
};
use tokio::time::Instant;

use super::compound::Raw;

struct ClientRecord {
    owner: Vec<u8>,
    verifier: [u8; 8],
    confirmed: bool,
    /// Sequence number the next `CREATE_SESSION` must have.
    next: u32,
    /// The session the last `CREATE_SESSION` made, for a repetition.
    last: Option<(SessionId, ChannelLimits)>,
    reclaimed: bool,
    renewed: Instant,
}

#[derive(Default)]
struct Slot {
    sequence: u32,
    /// The request as it came and who sent it, to tell repetitions from false ones.
    request: Vec<u8>,
    caller: Option<Credential>,
    /// Results to repeat, if the client asked to keep them.
    reply: Option<Vec<u8>>,
}

struct Session {
    client: u64,
    /// Those that have been used.
    slots: HashMap<u32, Slot>,
    limits: ChannelLimits,
}

/// What becomes of a request with a SEQUENCE.
pub(super) enum Admission {
    /// It is new: execute it, then [`Sessions::keep`] its reply.
    Execute,
    /// It is a repetition: send this again.
    Repeat(Vec<u8>),
}

pub(super) struct Sessions {
    clients: HashMap<u64, ClientRecord>,
    live: HashMap<SessionId, Session>,
    next: u64,
}

impl Sessions {
    pub(super) fn new() -> Self {
        // Random, so that ids of another incarnation of the server are unknown to this one.
        Self { clients: HashMap::new(), live: HashMap::new(), next: fastrand::u64(..) }
    }

    pub(super) fn live(&self) -> usize {
        self.live.len()
    }

    pub(super) fn clients(&self) -> usize {
        self.clients.values().filter(|client| client.confirmed).count()
    }

    pub(super) fn forget_all(&mut self) {
        self.live.clear();
        self.clients.clear();
    }

    fn expire(&mut self, lease: Duration) {
        let now = Instant::now();
        self.clients.retain(|_, client| now.duration_since(client.renewed) <= lease);
        self.live.retain(|_, session| self.clients.contains_key(&session.client));
    }

    fn number(&mut self) -> u64 {
        self.next = self.next.wrapping_add(1);
        self.next
    }

    /// `EXCHANGE_ID`: client id, sequence number for `CREATE_SESSION`, whether it is confirmed.
    pub(super) fn exchange_id(&mut self, owner: &[u8], verifier: [u8; 8]) -> (u64, u32, bool) {
        let known = self.clients.iter().find(|(_, client)| client.owner == owner && client.verifier == verifier);
        if let Some((id, client)) = known {
            return (*id, client.next, client.confirmed);
        }
        let id = self.number();
        let record = ClientRecord {
            owner: owner.to_vec(),
            verifier,
            confirmed: false,
            next: 1,
            last: None,
            reclaimed: false,
            renewed: Instant::now(),
        };
        self.clients.insert(id, record);
        (id, 1, false)
    }

    pub(super) fn create_session(
        &mut self,
        client: u64,
        sequence: u32,
        limits: ChannelLimits,
        lease: Duration,
    ) -> Result<(SessionId, ChannelLimits), NfsStatus> {
        self.expire(lease);
        let number = self.number();
        let record = self.clients.get_mut(&client).ok_or(NfsStatus::StaleClientId)?;
        if sequence.wrapping_add(1) == record.next
            && let Some(last) = record.last
        {
            return Ok(last);
        }
        if sequence != record.next {
            return Err(NfsStatus::SeqMisordered);
        }
        let mut id = [0; 16];
        id[..8].copy_from_slice(&client.to_be_bytes());
        id[8..].copy_from_slice(&number.to_be_bytes());
        record.next = record.next.wrapping_add(1);
        record.last = Some((id, limits));
        record.confirmed = true;
        record.renewed = Instant::now();
        // A client that comes back with another verifier has restarted: what it had before is void.
        let owner = record.owner.clone();
        self.clients.retain(|other, record| *other == client || record.owner != owner);
        self.live.retain(|_, session| self.clients.contains_key(&session.client));
        self.live.insert(id, Session { client, slots: HashMap::new(), limits });
        Ok((id, limits))
    }

    pub(super) fn destroy_session(&mut self, id: SessionId) -> Result<(), NfsStatus> {
        self.live.remove(&id).map(drop).ok_or(NfsStatus::BadSession)
    }

    pub(super) fn destroy_client(&mut self, client: u64) -> Result<(), NfsStatus> {
        if self.live.values().any(|session| session.client == client) {
            return Err(NfsStatus::ClientIdBusy);
        }
        self.clients.remove(&client).map(drop).ok_or(NfsStatus::StaleClientId)
    }

    pub(super) fn knows(&self, id: SessionId) -> bool {
        self.live.contains_key(&id)
    }

    pub(super) fn limits(&self, id: SessionId) -> Option<ChannelLimits> {
        self.live.get(&id).map(|session| session.limits)
    }

    /// Whether the client of a session has said that it has nothing to reclaim.
    pub(super) fn has_reclaimed(&self, id: SessionId) -> bool {
        let client = self.live.get(&id).and_then(|session| self.clients.get(&session.client));
        client.is_some_and(|client| client.reclaimed)
    }

    /// `RECLAIM_COMPLETE`
    pub(super) fn reclaim(&mut self, id: SessionId) -> Result<(), NfsStatus> {
        let client = self.live.get(&id).ok_or(NfsStatus::BadSession)?.client;
        let record = self.clients.get_mut(&client).ok_or(NfsStatus::BadSession)?;
        if std::mem::replace(&mut record.reclaimed, true) { Err(NfsStatus::CompleteAlready) } else { Ok(()) }
    }

    /// SEQUENCE: looks what the request is, without taking its sequence number yet.
    pub(super) fn admit(
        &mut self,
        sequence: &Sequence,
        request: Raw<'_>,
        lease: Duration,
        detects_false_retries: bool,
    ) -> Result<Admission, NfsStatus> {
        self.expire(lease);
        let session = self.live.get_mut(&sequence.session).ok_or(NfsStatus::BadSession)?;
        if sequence.slot >= session.limits.max_slots {
            return Err(NfsStatus::BadSlot);
        }
        let slot = session.slots.entry(sequence.slot).or_default();
        if let Some(client) = self.clients.get_mut(&session.client) {
            client.renewed = Instant::now();
        }
        if sequence.sequence == slot.sequence.wrapping_add(1) {
            return Ok(Admission::Execute);
        }
        if sequence.sequence != slot.sequence {
            return Err(NfsStatus::SeqMisordered);
        }
        // Nobody gets to read what another user was answered, whatever else is looked at.
        if slot.caller.as_ref() != request.caller || detects_false_retries && slot.request != request.bytes {
            return Err(NfsStatus::SeqFalseRetry);
        }
        slot.reply.clone().map(Admission::Repeat).ok_or(NfsStatus::RetryUncachedRep)
    }

    /// Takes the sequence number, and keeps request and reply for repetitions.
    pub(super) fn keep(&mut self, sequence: &Sequence, request: Raw<'_>, reply: &[u8]) {
        let slot = self.live.get_mut(&sequence.session).and_then(|session| session.slots.get_mut(&sequence.slot));
        if let Some(slot) = slot {
            slot.sequence = sequence.sequence;
            slot.request = request.bytes.to_vec();
            slot.caller = request.caller.cloned();
            slot.reply = sequence.cache_this.then(|| reply.to_vec());
        }
    }
}
