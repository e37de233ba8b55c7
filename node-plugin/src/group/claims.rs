//! Who changes which volume.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

/// Volumes of one share that are worked on at once.
pub(super) const VOLUMES: usize = 4;

/// The volumes that are being given to groups, by the share's lane. Clones share them.
#[derive(Clone)]
pub(crate) struct Claims {
    taken: Arc<Mutex<HashMap<String, HashSet<String>>>>,
    /// How often one was given back.
    given_back: Arc<watch::Sender<u64>>,
}

/// A volume that nobody else changes meanwhile. Dropped, it is free.
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
        let mut given_back = self.given_back.subscribe();
        loop {
            if let Some(claim) = self.try_take(lane, volume) {
                return Some(claim);
            }
            // The sender lives as long as this.
            tokio::time::timeout_at(until, given_back.changed()).await.ok()?.ok()?;
        }
    }

    fn try_take(&self, lane: &str, volume: &str) -> Option<Claim> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_lane = taken.entry(lane.to_owned()).or_default();
        if of_lane.len() >= VOLUMES || !of_lane.insert(volume.to_owned()) {
            return None;
        }
        Some(Claim { claims: self.clone(), lane: lane.to_owned(), volume: volume.to_owned() })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut taken = self.claims.taken.lock().unwrap_or_else(PoisonError::into_inner);
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
    async fn a_volume_is_one_at_a_time_and_a_share_a_few() {
        let claims = Claims::default();
        let first = claims.take("share", "a", soon()).await.unwrap();
        assert!(claims.take("share", "a", soon()).await.is_none());
        let mut others = Vec::new();
        for volume in 1..VOLUMES {
            others.push(claims.take("share", &volume.to_string(), soon()).await.unwrap());
        }
        assert!(claims.take("share", "one too many", soon()).await.is_none());
        assert!(claims.take("other share", "a", soon()).await.is_some(), "others do not notice");
        drop(first);
        assert!(claims.take("share", "a", soon()).await.is_some());
        drop(others);
        assert!(claims.taken.lock().unwrap().is_empty());
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
