//! The built-in provisioner: it does for this driver what the sidecar external-provisioner does for others.
//!
//! A `PersistentVolumeClaim` that kube-controller-manager delegated to the driver gets a volume and a
//! `PersistentVolume`; a `PersistentVolume` whose claim is gone loses its backing volume, if its policy says so.
//! Objects, events, names and the moments of each are those of external-provisioner, so that people, scripts and
//! controllers see no difference; it holds the same Lease, so the two never act at once.
//!
//! # Flow
//! [`run`] waits for the Lease (`lead`), lists and watches claims, classes and volumes (`api::watch`), and works until it is
//! told to stop or the Lease is lost. `runner` hands out the work of the controllers: `provision` (claims), `release` (volumes),
//! `shares`, `advice`, `notices` and `startup_taint`.
//!
//! # Guarantees
//! - As long as nothing fails, there is one create call for each claim and one delete call for each volume.
//! - While a volume may be in the making, creating it is repeated until the answer is final, even when the claim is
//!   gone meanwhile; then its object is saved, released by the volume controller, and the volume is deleted in the normal
//!   way. So a claim that is deleted too early leaks nothing.
//! - A volume that exists is never deleted because its object could not be saved; saving is repeated without limit.
//! - Nothing is written once somebody else may hold the Lease.
//! - Every call to the API server has a deadline (`api::calls`). A leader that has work, and none of whose calls is answered for
//!   half a minute, gives the Lease up (`api::answers`).
//!
//! # Assumptions
//! - Creating a volume is idempotent by name and deleting one by id: after a crash both are repeated.
//!
//! # Caveats
//! - What is known about a claim that is gone lives in memory. When the process is lost after the volume was made and
//!   before its object was saved, *and* the claim is deleted before the next start, nobody repeats the call. The record
//!   on the share still names the volume and its claim: it is how such a volume is found.
//! - What a class had begun for a claim before it was replaced lives in memory too, though the claim lives. When the process is
//!   lost, or another replica leads, before that is ended, the next leader knows the present class alone, and what the
//!   former one had begun stays. The record on the share names it as well.

pub use api::clients::Clients;
pub use config::Config;
pub use error::Error;
pub use lead::standing::Standing;

mod advice;
mod api;
mod config;
mod context;
mod error;
mod events;
mod lead;
mod metrics;
mod notices;
mod places;
mod provision;
mod release;
mod runner;
mod shares;
mod startup_taint;
mod trouble;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use csi_runtime::panics::vital;
use futures::StreamExt;
use futures::stream::select;
use jiff::Timestamp;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use self::advice::Advice;
use self::api::answers::Hopeless;
use self::api::watch::{self, Change};
use self::context::Context;
use self::events::Recorder;
use self::lead::leadership::Leadership;
use self::metrics::Counts;
use self::notices::NoticeBoard;
use self::provision::persistent_volume;
use self::provision::provisioner::Provisioner;
use self::release::releaser::Releaser;
use self::runner::Runner;
use self::shares::Shares;
use self::startup_taint::StartupTaint;
use crate::operations::Volumes;

/// How long jobs of the operations may go on when the Lease is given up. What still runs then leaves it to expire.
const GIVE_UP: Duration = Duration::from_secs(5);

/// How often jobs that go on are looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How long events that still wait for the API server may take at the end.
const LAST_EVENTS: Duration = Duration::from_secs(2);

/// Runs the provisioner against the API server that the environment names, until `shutdown`; see the module.
///
/// It returns `Ok` after a shutdown, when the work under way has ended or was cut off. The Lease is given back if
/// nothing goes on any more; otherwise it expires, and by then this process must have ended.
pub async fn run<V: Volumes>(volumes: Arc<V>, config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    run_with(Clients::infer().await?, volumes, config, shutdown).await
}

/// Runs the provisioner with clients of the caller's; see [`run`].
pub async fn run_with<V: Volumes>(
    clients: Clients,
    volumes: Arc<V>,
    config: Config,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let Clients { lease, work: client, answers } = clients;
    let counts = Counts::new(&config.metrics);
    answers.register(&config.metrics);
    config.standing.register(&config.metrics);
    let lease_name = config.lease_name();
    let mut leadership = Leadership::stand(lease, lease_name.clone(), &config)?;
    tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        acquired = leadership.acquired() => acquired?,
    }
    counts.leading.set(1);
    let (recorder, writing) = Recorder::new(client.clone(), component(&config), &config.metrics);
    let writing = tokio::spawn(vital("the writer of events", writing));
    let process = persistent_volume::process_identity(Timestamp::now(), random(), &config.driver_name);
    let term = leadership.term();
    let context = Context {
        client: client.clone(),
        volumes: Arc::clone(&volumes),
        config: config.clone(),
        recorder,
        counts: counts.clone(),
        term,
        process,
    };
    let mut runner =
        controllers(Runner::new(&config, answers.clone(), leadership.pulse()), &config, &Arc::new(context));
    let work = work(&mut runner, &client, &*volumes, config.drain, &shutdown);
    let end = tokio::select! {
        biased;
        () = leadership.lost() => End::Lost,
        hopeless = answers.hopeless() => End::Hopeless(hopeless),
        idle = work => End::Worked { idle },
    };
    counts.leading.set(0);
    if !matches!(end, End::Lost) {
        // Nothing may go on when the Lease is given back. Whoever has lost it must end at once.
        runner.cut().await;
    }
    // With it go the recorders.
    drop(runner);
    let (idle, result) = match end {
        End::Lost => return Err(Error::LeaseLost(lease_name)),
        End::Hopeless(Hopeless { silence, reason }) => {
            warn!(
                lease = lease_name,
                seconds = silence.as_secs(),
                reason,
                "the lease is given up: no call is answered"
            );
            let idle = idle_by(&*volumes, Instant::now() + GIVE_UP).await;
            (idle, Err(Error::GivenUp { lease: lease_name.clone(), silence, reason }))
        }
        End::Worked { idle } => (idle, Ok(())),
    };
    if idle {
        leadership.release().await;
    } else {
        warn!(lease = lease_name, "jobs are still running, so the lease is left to expire");
    }
    result?;
    // The last events are worth a moment; without recorders their task ends by itself.
    let _ended = timeout(LAST_EVENTS, writing).await;
    Ok(())
}

/// Adds every controller of ours.
fn controllers<V: Volumes>(runner: Runner, config: &Config, context: &Arc<Context<V>>) -> Runner {
    let driver = &config.driver_name;
    let runner = runner
        .with(Shares::new(driver, context.volumes.catalogue().clone()), context)
        .with(Provisioner::new(config.clone()), context)
        .with(Releaser::new(driver), context)
        .with(Advice::new(driver), context)
        .with(NoticeBoard::new(driver), context);
    if config.remove_startup_taint { runner.with(StartupTaint::new(driver), context) } else { runner }
}

/// Works until `shutdown`, then lets what goes on end within `drain`. `true` when nothing does any more.
async fn work(
    runner: &mut Runner,
    client: &kube::Client,
    volumes: &impl Volumes,
    drain: Duration,
    shutdown: &CancellationToken,
) -> bool {
    let notices = notices::stream(volumes.notices()).map(|notice| Ok(Change::Notice(notice)));
    let changes = select(watch::changes(client, runner.interests()), notices);
    runner.run(changes, shutdown).await;
    let deadline = Instant::now() + drain;
    runner.drain(deadline).await;
    idle_by(volumes, deadline).await
}

/// Waits for jobs of the operations, whoever asked for them; `true` when none is left at `deadline`.
async fn idle_by(volumes: &impl Volumes, deadline: Instant) -> bool {
    let idle = async {
        while volumes.running() > 0 {
            sleep(LOOK_AGAIN).await;
        }
    };
    timeout_at(deadline, idle).await.is_ok()
}

/// How a term ends.
enum End {
    /// Somebody else may lead.
    Lost,
    /// The API server answers nobody who works.
    Hopeless(Hopeless),
    /// A shutdown was asked for; whether nothing goes on any more.
    Worked { idle: bool },
}

/// Who events come from: `DRIVER_HOST_RANDOM`.
fn component(config: &Config) -> String {
    format!("{}_{}_{:016x}", config.driver_name, config.identity, random())
}

/// A number that differs between processes. It need not be secret.
fn random() -> u64 {
    RandomState::new().hash_one(Timestamp::now().as_nanosecond())
}
