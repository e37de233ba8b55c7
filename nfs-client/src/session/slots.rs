//! The slot table (RFC 8881 §2.10.6.1): each slot carries one request at a time, and its sequence number rises by one
//! with every request the server has taken.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// Sequence number of the last request the server took; the next one is one higher.
    taken: u32,
    busy: bool,
}

#[derive(Debug)]
struct Table {
    slots: Vec<Slot>,
    /// Slots at and above it are not given out: the server wants fewer.
    limit: usize,
    closed: bool,
}

/// All slots of a session.
#[derive(Debug)]
pub(crate) struct SlotTable {
    table: Mutex<Table>,
    /// Rung once for each slot that becomes free, and for everybody when the table changes as a whole.
    freed: Notify,
    /// Rung when a slot becomes free, for who waits until all are.
    quieter: Notify,
}

/// A slot that its holder alone may use. It stays busy until [`HeldSlot::release`]: dropping it without a release
/// leaves it busy for the rest of the session, because nobody knows then what the server has seen.
#[derive(Debug)]
pub(crate) struct HeldSlot {
    table: Arc<SlotTable>,
    index: u32,
    sequence: u32,
}

/// What the server made of the request on a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It took the request: the sequence number is used up.
    Taken,
    /// It never took it: the next request carries the same sequence number.
    Never,
}

impl SlotTable {
    pub(crate) fn new(count: u32) -> Arc<Self> {
        let count = usize::try_from(count).unwrap_or(1).max(1);
        let table = Table { slots: vec![Slot::default(); count], limit: count, closed: false };
        Arc::new(Self { table: Mutex::new(table), freed: Notify::new(), quieter: Notify::new() })
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lowest free slot, at once.
    pub(crate) fn try_acquire(self: &Arc<Self>) -> Option<HeldSlot> {
        let mut table = self.lock();
        if table.closed {
            return None;
        }
        let limit = table.limit;
        let (index, slot) = table.slots.iter_mut().take(limit).enumerate().find(|(_, slot)| !slot.busy)?;
        slot.busy = true;
        let sequence = slot.taken.wrapping_add(1);
        Some(HeldSlot { table: self.clone(), index: u32::try_from(index).unwrap_or(0), sequence })
    }

    /// Waits for a slot; `None` once the table is closed. Nothing is lost when the future is dropped.
    pub(crate) async fn acquire(self: &Arc<Self>) -> Option<HeldSlot> {
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            // Registered before the look, so that a release between look and wait is not missed.
            freed.as_mut().enable();
            if let Some(slot) = self.try_acquire() {
                return Some(slot);
            }
            if self.lock().closed {
                return None;
            }
            freed.await;
        }
    }

    /// The highest slot in use: what SEQUENCE reports, so that the server can shrink its table.
    fn highest_busy(&self) -> u32 {
        let table = self.lock();
        let index = table.slots.iter().rposition(|slot| slot.busy).unwrap_or(0);
        u32::try_from(index).unwrap_or(0)
    }

    /// `sr_target_highest_slotid`: from now on only slots up to this one are given out.
    pub(crate) fn set_target(&self, highest: u32) {
        let mut table = self.lock();
        let wanted = usize::try_from(highest).unwrap_or(usize::MAX).saturating_add(1);
        let before = table.limit;
        table.limit = wanted.min(table.slots.len());
        let grown = table.limit > before;
        drop(table);
        if grown {
            self.freed.notify_waiters();
        }
    }

    /// No slot is given out any more; everybody who waits for one is told.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.freed.notify_waiters();
        self.quieter.notify_waiters();
    }

    /// Waits until no slot is busy or the table is closed.
    pub(crate) async fn idle(&self) {
        loop {
            let quieter = self.quieter.notified();
            tokio::pin!(quieter);
            quieter.as_mut().enable();
            {
                let table = self.lock();
                if table.closed || table.slots.iter().all(|slot| !slot.busy) {
                    return;
                }
            }
            quieter.await;
        }
    }

    #[cfg(test)]
    fn busy(&self) -> usize {
        self.lock().slots.iter().filter(|slot| slot.busy).count()
    }
}

impl HeldSlot {
    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    /// The sequence number of the request on this slot, however often it is sent.
    pub(crate) fn sequence(&self) -> u32 {
        self.sequence
    }

    pub(crate) fn highest_busy(&self) -> u32 {
        self.table.highest_busy()
    }

    /// Frees the slot.
    pub(crate) fn release(self, seen: Seen) {
        {
            let mut table = self.table.lock();
            let slot = usize::try_from(self.index).ok().and_then(|index| table.slots.get_mut(index));
            if let Some(slot) = slot {
                slot.busy = false;
                if seen == Seen::Taken {
                    slot.taken = self.sequence;
                }
            }
        }
        self.table.freed.notify_one();
        self.table.quieter.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Acquire,
        Release { which: prop::sample::Index, taken: bool },
        Forget { which: prop::sample::Index },
        Target(u32),
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => Just(Step::Acquire),
            3 => (any::<prop::sample::Index>(), any::<bool>()).prop_map(|(which, taken)| Step::Release { which, taken }),
            1 => any::<prop::sample::Index>().prop_map(|which| Step::Forget { which }),
            1 => (0u32..8).prop_map(Step::Target),
        ]
    }

    proptest! {
        /// The model: a map of sequence numbers, a set of busy slots, a limit.
        #[test]
        fn the_table_behaves_as_its_model(count in 1u32..6, steps in prop::collection::vec(any_step(), 0..80)) {
            let table = SlotTable::new(count);
            let mut taken = BTreeMap::<u32, u32>::new();
            let mut held: Vec<HeldSlot> = Vec::new();
            let mut forgotten: Vec<u32> = Vec::new();
            let mut limit = count;
            for step in steps {
                match step {
                    Step::Acquire => {
                        let busy = |index: &u32| held.iter().any(|slot| slot.index() == *index) || forgotten.contains(index);
                        let expected = (0..limit).find(|index| !busy(index));
                        let got = table.try_acquire();
                        prop_assert_eq!(got.as_ref().map(HeldSlot::index), expected);
                        if let Some(slot) = got {
                            prop_assert_eq!(slot.sequence(), taken.get(&slot.index()).copied().unwrap_or(0) + 1);
                            held.push(slot);
                        }
                    }
                    Step::Release { which, taken: seen } if !held.is_empty() => {
                        let slot = held.swap_remove(which.index(held.len()));
                        if seen {
                            taken.insert(slot.index(), slot.sequence());
                        }
                        slot.release(if seen { Seen::Taken } else { Seen::Never });
                    }
                    Step::Forget { which } if !held.is_empty() => {
                        forgotten.push(held.swap_remove(which.index(held.len())).index());
                    }
                    Step::Target(highest) => {
                        table.set_target(highest);
                        limit = (highest + 1).min(count);
                    }
                    Step::Release { .. } | Step::Forget { .. } => {}
                }
                prop_assert_eq!(table.busy(), held.len() + forgotten.len());
                let highest = held.iter().map(HeldSlot::index).chain(forgotten.iter().copied()).max().unwrap_or(0);
                prop_assert_eq!(table.highest_busy(), highest);
            }
        }
    }

    #[tokio::test]
    async fn a_waiter_gets_the_slot_that_is_released() {
        let table = SlotTable::new(1);
        let first = table.acquire().await.unwrap();
        let waiter = tokio::spawn({
            let table = table.clone();
            async move { table.acquire().await.map(|slot| slot.sequence()) }
        });
        tokio::task::yield_now().await;
        first.release(Seen::Taken);
        assert_eq!(waiter.await.unwrap(), Some(2));
    }

    #[tokio::test]
    async fn a_dropped_slot_stays_busy_and_a_closed_table_tells_waiters() {
        let table = SlotTable::new(1);
        drop(table.acquire().await.unwrap());
        assert!(table.try_acquire().is_none(), "nobody knows what the server has seen on this slot");
        let (slot, ()) = tokio::join!(table.acquire(), async { table.close() });
        assert!(slot.is_none());
    }
}
