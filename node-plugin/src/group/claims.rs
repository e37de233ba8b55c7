//! Who changes which volume.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

/// Volumes of one share that are walked through at once.
pub(super) const WALKS: usize = 4;

/// The volumes that are being given to groups, by the share's lane. Clones share them.
#[derive(Clone)]
pub(crate) struct Claims {
    /// By lane and volume: whether it is walked through.
    taken: Arc<Mutex<HashMap<String, HashMap<String, bool>>>>,
    /// How often one was given back.
    given_back: Arc<watch::Sender<u64>>,
}

/// A volume that nobody else of this process changes meanwhile. Dropped, it is free.
pub(crate) struct Claim {
    claims: Claims,
    lane: String,
    volume: String,
}

impl Default for Claims {
    fn default() -> Self {
        Self { taken: Arc::default(), given_back: Arc::new(watch::channel(0).0) }
    }
}

impl Claims {
    /// Waits for a volume, until it must give up.
    pub(super) async fn take(&self, lane: &str, volume: &str, until: Instant) -> Option<Claim> {
        self.wait(until, || {
            let mut taken = self.lock();
            let of_lane = taken.entry(lane.to_owned()).or_default();
            if of_lane.contains_key(volume) {
                return None;
            }
            of_lane.insert(volume.to_owned(), false);
            Some(Claim { claims: self.clone(), lane: lane.to_owned(), volume: volume.to_owned() })
        })
        .await
    }

    async fn wait<T>(&self, until: Instant, attempt: impl Fn() -> Option<T>) -> Option<T> {
        let mut given_back = self.given_back.subscribe();
        loop {
            if let Some(found) = attempt() {
                return Some(found);
            }
            // The sender lives as long as this.
            tokio::time::timeout_at(until, given_back.changed()).await.ok()?.ok()?;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, HashMap<String, bool>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    /// Waits until the volume may be walked through, or must give it up.
    pub(super) async fn for_walk(self, until: Instant) -> Option<Self> {
        let attempt = || {
            let mut taken = self.claims.lock();
            let of_lane = taken.get_mut(&self.lane)?;
            let walks = of_lane.values().filter(|walks| **walks).count();
            let own = of_lane.get_mut(&self.volume).filter(|_| walks < WALKS)?;
            *own = true;
            Some(())
        };
        self.claims.wait(until, attempt).await?;
        Some(self)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut taken = self.claims.lock();
        if let Some(of_lane) = taken.get_mut(&self.lane) {
            of_lane.remove(&self.volume);
            if of_lane.is_empty() {
                taken.remove(&self.lane);
            }
        }
        drop(taken);
        self.claims.given_back.send_modify(|count| *count += 1);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(50)
    }

    #[tokio::test]
    async fn a_volume_is_one_at_a_time_and_of_a_share_a_few_are_walked_through() {
        let claims = Claims::default();
        let take = async |lane: &str, volume: &str| claims.take(lane, volume, soon()).await;
        let first = take("share", "a").await.unwrap().for_walk(soon()).await.unwrap();
        assert!(take("share", "a").await.is_none());
        let mut others = Vec::new();
        for volume in 1..WALKS {
            others.push(take("share", &volume.to_string()).await.unwrap().for_walk(soon()).await.unwrap());
        }
        let one_more = take("share", "one more").await.expect("it may be looked at");
        assert!(one_more.for_walk(soon()).await.is_none());
        assert!(take("other share", "a").await.unwrap().for_walk(soon()).await.is_some(), "others do not notice");
        drop(first);
        assert!(take("share", "a").await.unwrap().for_walk(soon()).await.is_some());
        drop(others);
        assert!(claims.lock().is_empty());
    }

    #[tokio::test]
    async fn who_waits_goes_on_when_it_is_given_back() {
        let claims = Claims::default();
        let first = claims.take("share", "a", soon()).await.unwrap();
        let waiting = tokio::spawn({
            let claims = claims.clone();
            async move { claims.take("share", "a", Instant::now() + Duration::from_mins(1)).await.is_some() }
        });
        tokio::task::yield_now().await;
        drop(first);
        assert!(waiting.await.unwrap());
    }
}
