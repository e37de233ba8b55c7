//! The Lease in the hands of a thread of its own.
//!
//! # Guarantees
//! - No load of ours delays a renewal: thread, runtime and connection of the elector do nothing else. Workers learn of the
//!   Lease by a channel.
//! - Work that stands still for long loses the Lease, though the process lives (`pulse`).
//! - The elector never outlives whoever asked for it: when the [`Leadership`] is dropped, the Lease is left to expire.

use std::convert::Infallible;
use std::thread;

use csi_runtime::panics::vital;
use tokio::runtime;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::elector::{Elector, Term};
use super::pulse::Pulse;
use crate::kubernetes::api::clients::LeaseClient;
use crate::kubernetes::config::Config;
use crate::kubernetes::error::Error;

/// A candidacy, then a term.
pub(crate) struct Leadership {
    lease: String,
    term: Term,
    pulse: Pulse,
    acquired: oneshot::Receiver<Result<(), Error>>,
    release: oneshot::Sender<()>,
    /// Closes when the elector has ended.
    over: oneshot::Receiver<Infallible>,
}

/// The other ends of a [`Leadership`].
struct Seat {
    lease: String,
    pulse: Pulse,
    until: watch::Sender<Instant>,
    acquired: oneshot::Sender<Result<(), Error>>,
    release: oneshot::Receiver<()>,
    over: oneshot::Sender<Infallible>,
}

impl Leadership {
    /// Becomes a candidate for the Lease of this name, on the terms of `config`.
    pub(crate) fn stand(client: LeaseClient, lease: String, config: &Config) -> Result<Self, Error> {
        let (until, term) = watch::channel(Instant::now());
        let (acquired, is_acquired) = oneshot::channel();
        let (release, is_released) = oneshot::channel();
        let (over, is_over) = oneshot::channel();
        let pulse = Pulse::default();
        let seat = Seat { lease: lease.clone(), pulse: pulse.clone(), until, acquired, release: is_released, over };
        let own = config.clone();
        match client {
            LeaseClient::Shared(client) => {
                tokio::spawn(vital("the lease", hold(client, own, seat)));
            }
            LeaseClient::Own(client) => {
                let work = move || {
                    let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
                        Ok(runtime) => runtime,
                        Err(error) => return tell(seat, Error::Thread(error)),
                    };
                    // The client's tasks belong to the runtime that it is made in.
                    runtime.block_on(async move {
                        match client.build() {
                            Ok(client) => vital("the lease", hold(client, own, seat)).await,
                            Err(error) => tell(seat, error),
                        }
                    });
                    runtime.shutdown_background();
                };
                thread::Builder::new().name("lease".to_owned()).spawn(work).map_err(Error::Thread)?;
            }
        }
        Ok(Self { lease, term: Term::new(term), pulse, acquired: is_acquired, release, over: is_over })
    }

    /// What workers look at.
    pub(crate) fn term(&self) -> Term {
        self.term.clone()
    }

    /// Where the work says that it moves.
    pub(crate) fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// Waits until the Lease is ours.
    pub(crate) async fn acquired(&mut self) -> Result<(), Error> {
        match (&mut self.acquired).await {
            Ok(result) => result,
            // It has died.
            Err(_) => Err(Error::LeaseLost(self.lease.clone())),
        }
    }

    /// Waits until the Lease is ours no more. Work must have stopped by then.
    pub(crate) async fn lost(&mut self) {
        // Nothing is ever sent.
        let _closed = (&mut self.over).await;
    }

    /// Gives the Lease back, so that the next holder need not wait. Call it when all work has stopped.
    pub(crate) async fn release(self) {
        // An elector that has ended has nothing to give back.
        let _lost = self.release.send(());
        let _closed = self.over.await;
    }
}

/// Ends a candidacy that has not come about.
fn tell(seat: Seat, error: Error) {
    // If nobody listens, nobody wants to lead.
    let _unheard = seat.acquired.send(Err(error));
}

/// The elector's life.
async fn hold(client: kube::Client, config: Config, seat: Seat) {
    // `over` closes with the end of this.
    let Seat { lease, pulse, until, acquired, mut release, over: _over } = seat;
    let mut elector = Elector::new(client, lease, &config, until, pulse);
    let wanted = tokio::select! {
        _nobody = &mut release => false,
        () = elector.acquire() => true,
    };
    let back = if !wanted {
        false
    } else if acquired.send(Ok(())).is_err() {
        true
    } else {
        tokio::select! {
            biased;
            // The process must end now, and it is broken if it does not: what is said of its standing stays.
            () = elector.keep() => return,
            asked = &mut release => asked.is_ok(),
        }
    };
    if back {
        elector.release().await;
    }
    config.standing.end();
}
