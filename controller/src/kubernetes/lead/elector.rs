//! Holding the Lease: the API calls of leader election, by the rules of [`super::lease`].

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{error, info, warn};

use super::lease::{Election, Move};
use super::pulse::Pulse;
use super::standing::Standing;
use crate::kubernetes::api::errors::{explain, is_code};
use crate::kubernetes::config::Config;
use crate::kubernetes::trouble::Trouble;

/// How often giving the Lease back is tried; after that it expires by itself.
const RELEASE_ATTEMPTS: u32 = 3;

/// Proof, for those who work, that the Lease is ours. Clones look at the same Lease.
#[derive(Debug, Clone)]
pub(crate) struct Term {
    until: watch::Receiver<Instant>,
}

impl Term {
    /// A term until the time that `until` says, which moves as long as the Lease is renewed.
    pub(crate) fn new(until: watch::Receiver<Instant>) -> Self {
        Self { until }
    }

    /// Whether work may start or write now. It ends `renew_deadline` after the start of the last successful renewal,
    /// which is before anybody else can take the Lease.
    pub(crate) fn is_held(&self) -> bool {
        Instant::now() < *self.until.borrow()
    }
}

/// What came of one renewal.
enum Renewal {
    /// The Lease is ours for another while.
    Done,
    /// Somebody wrote it in between; look who, at once.
    Again,
    /// It names somebody else, or is gone.
    Lost,
}

/// A candidate, then the holder.
pub(crate) struct Elector {
    api: Api<Lease>,
    name: String,
    election: Election,
    lease_duration: Duration,
    renew_deadline: Duration,
    retry: Duration,
    /// The Lease as we last wrote it.
    lease: Option<Lease>,
    until: watch::Sender<Instant>,
    standing: Standing,
    pulse: Pulse,
    stuck_after: Duration,
}

impl Elector {
    /// A candidate for the Lease called `name` that tells in `until` how long the Lease is surely ours.
    /// It holds the Lease for as long as `pulse` shows that the work moves.
    pub(crate) fn new(
        client: kube::Client,
        name: String,
        config: &Config,
        until: watch::Sender<Instant>,
        pulse: Pulse,
    ) -> Self {
        Self {
            api: Api::namespaced(client, &config.namespace),
            name,
            election: Election::new(&config.identity, config.lease_duration),
            lease_duration: config.lease_duration,
            renew_deadline: config.renew_deadline,
            retry: config.lease_retry,
            lease: None,
            until,
            standing: config.standing.clone(),
            pulse,
            stuck_after: config.stuck_after,
        }
    }

    /// Waits until the Lease is ours.
    pub(crate) async fn acquire(&mut self) {
        info!(lease = self.name, "waiting for the lease");
        self.standing.begin();
        let mut trouble = Trouble::default();
        loop {
            let (wait, reason) = match timeout(self.retry, self.try_acquire()).await {
                Ok(Ok(None)) => break,
                Ok(Ok(Some(wait))) => {
                    if let Some(lasted) = trouble.end(Instant::now()) {
                        info!(lease = self.name, seconds = lasted.as_secs(), "the lease can be read again");
                    }
                    self.standing.saw();
                    (wait.min(self.retry), None)
                }
                Ok(Err(error)) => (self.retry, Some(explain(&error))),
                Err(_) => (Duration::ZERO, Some(format!("no answer within {:?}", self.retry))),
            };
            if let Some(reason) = reason
                && let Some(lasted) = trouble.note(Instant::now())
            {
                warn!(
                    lease = self.name,
                    seconds = lasted.as_secs(),
                    error = reason,
                    "the lease cannot be read or taken, so this replica could not take over"
                );
            }
            sleep(wait).await;
        }
        info!(lease = self.name, "the lease is ours");
    }

    /// Takes the Lease if the rules allow it; otherwise how long to wait before looking again.
    async fn try_acquire(&mut self) -> Result<Option<Duration>, kube::Error> {
        let started = Instant::now();
        let Some(found) = self.api.get_opt(&self.name).await? else {
            let lease = Lease {
                metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
                spec: Some(self.election.held(None, Timestamp::now())),
            };
            let made = self.api.create(&PostParams::default(), &lease).await;
            return self.written(made, started);
        };
        let record = found.spec.clone().unwrap_or_default();
        match self.election.observe(&record, Instant::now()) {
            Move::Wait(time) => Ok(Some(time)),
            Move::Take => {
                let spec = self.election.held(Some(&record), Timestamp::now());
                let written = self.replace(found.metadata, spec).await;
                self.written(written, started)
            }
        }
    }

    /// Writes the Lease as it was when `metadata` was read; a conflict otherwise.
    async fn replace(&self, metadata: ObjectMeta, spec: LeaseSpec) -> Result<Lease, kube::Error> {
        let metadata = ObjectMeta { managed_fields: None, ..metadata };
        self.api.replace(&self.name, &PostParams::default(), &Lease { metadata, spec: Some(spec) }).await
    }

    /// Notes the outcome of a write that began at `started`. Somebody else's write in between is no error.
    fn written(
        &mut self,
        result: Result<Lease, kube::Error>,
        started: Instant,
    ) -> Result<Option<Duration>, kube::Error> {
        match result {
            Ok(lease) => {
                self.lease = Some(lease);
                self.until.send_replace(started + self.renew_deadline);
                self.standing.lead_until(started + self.lease_duration);
                Ok(None)
            }
            Err(error) if is_code(&error, 409) => Ok(Some(self.retry)),
            Err(error) => Err(error),
        }
    }

    /// Renews the Lease for as long as it can and the work moves; returns when it is lost. Work must have stopped by then.
    pub(crate) async fn keep(&mut self) {
        let mut pause = self.retry;
        loop {
            let deadline = *self.until.borrow();
            sleep(pause.min(deadline.saturating_duration_since(Instant::now()))).await;
            let now = Instant::now();
            if now >= deadline {
                warn!(lease = self.name, "the lease could not be renewed in time");
                return;
            }
            let still = self.pulse.still_for();
            if still > self.stuck_after {
                error!(
                    lease = self.name,
                    seconds = still.as_secs(),
                    "the work stands still, which is a bug: the lease is left to expire, so that another replica leads"
                );
                return;
            }
            // After a failure, several more attempts fit before the deadline.
            pause = self.retry / 5;
            match timeout(self.retry.min(deadline - now), self.renew()).await {
                Ok(Ok(Renewal::Done)) => pause = self.retry,
                Ok(Ok(Renewal::Again)) => {}
                Ok(Ok(Renewal::Lost)) => {
                    warn!(lease = self.name, "somebody else holds the lease");
                    return;
                }
                Ok(Err(error)) => {
                    warn!(lease = self.name, error = explain(&error), "the lease was not renewed");
                }
                Err(_) => warn!(lease = self.name, "no answer to the renewal of the lease"),
            }
        }
    }

    /// The Lease as it is now, if it names us. Taken, not copied: a write that fails leaves only the server knowing.
    async fn own_lease(&mut self) -> Result<Option<(ObjectMeta, LeaseSpec)>, kube::Error> {
        let lease = match self.lease.take() {
            Some(lease) => Some(lease),
            None => self.api.get_opt(&self.name).await?,
        };
        let parts = lease.map(|lease| (lease.metadata, lease.spec.unwrap_or_default()));
        Ok(parts.filter(|(_, record)| self.election.holds(record)))
    }

    async fn renew(&mut self) -> Result<Renewal, kube::Error> {
        let started = Instant::now();
        let Some((metadata, record)) = self.own_lease().await? else { return Ok(Renewal::Lost) };
        let written = self.replace(metadata, self.election.held(Some(&record), Timestamp::now())).await;
        let conflict = self.written(written, started)?.is_some();
        Ok(if conflict { Renewal::Again } else { Renewal::Done })
    }

    /// Gives the Lease back, so that the next holder need not wait. Call it when all work has stopped.
    pub(crate) async fn release(&mut self) {
        for _ in 0..RELEASE_ATTEMPTS {
            match timeout(self.retry, self.try_release()).await {
                Ok(Ok(())) => {
                    info!(lease = self.name, "the lease is given back");
                    return;
                }
                Ok(Err(error)) => {
                    warn!(lease = self.name, error = explain(&error), "the lease was not given back");
                }
                Err(_) => warn!(lease = self.name, "no answer to giving the lease back"),
            }
            sleep(self.retry / 5).await;
        }
    }

    async fn try_release(&mut self) -> Result<(), kube::Error> {
        if let Some((metadata, record)) = self.own_lease().await? {
            self.replace(metadata, Election::released(&record, Timestamp::now())).await?;
        }
        Ok(())
    }
}
