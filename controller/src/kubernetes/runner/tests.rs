use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::stream;
use kube::runtime::watcher::Event;
use serde_json::json;
use tokio::time::sleep;

use super::*;
use crate::kubernetes::api::objects::{Claim, Class};

/// What toys have done, and how many of them are at it.
#[derive(Debug, Default)]
struct Log {
    done: Mutex<Vec<String>>,
    /// Work that was begun and has not been dropped.
    under_way: AtomicUsize,
}

/// A controller whose items are the names of claims, or of classes: it does what the name says.
struct Toy<const OF_CLASSES: bool>;

/// Counts work for as long as it lives.
struct UnderWay(Arc<Log>);

impl UnderWay {
    fn begin(log: &Arc<Log>) -> Self {
        log.under_way.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(log))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<const OF_CLASSES: bool> Controller<Log> for Toy<OF_CLASSES> {
    const ITEMS: &'static str = if OF_CLASSES { "toy_classes" } else { "toy_claims" };
    const WORK: &'static str = "play";
    const INTERESTS: &'static [Kind] = if OF_CLASSES { &[Kind::Class] } else { &[Kind::Claim] };
    const ESSENTIAL: bool = !OF_CLASSES;

    type Step = String;
    type Outcome = bool;

    fn note(&mut self, change: &Change) -> Vec<String> {
        match change {
            Change::Claim(Event::InitApply(claim)) => vec![claim.name().to_owned()],
            Change::Class(Event::InitApply(class)) => vec![class.name().to_owned()],
            _ => Vec::new(),
        }
    }

    fn decide(&mut self, key: &str, _now: Instant) -> Decision<String> {
        if key == "nothing" { Decision::Rest(Verdict::Done) } else { Decision::Act(key.to_owned()) }
    }

    async fn act(log: Arc<Log>, step: String) -> bool {
        let _under_way = UnderWay::begin(&log);
        log.done.lock().unwrap().push(step.clone());
        assert!(step != "panic", "on purpose");
        if step == "hang" {
            sleep(Duration::from_hours(1)).await;
        }
        true
    }

    fn panicked(_step: &String) -> bool {
        false
    }

    fn settle(&mut self, _key: &str, done: bool, _now: Instant) -> Verdict {
        if done { Verdict::Done } else { Verdict::Retry }
    }
}

fn claim(name: &str) -> Change {
    let claim: Claim = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    Change::Claim(Event::InitApply(claim))
}

fn class(name: &str) -> Change {
    let class: Class = serde_json::from_value(json!({"metadata": {"name": name}, "provisioner": "p"})).unwrap();
    Change::Class(Event::InitApply(class))
}

/// Runs both toys on these changes for two seconds; what they have done, and the runner.
async fn play(changes: Vec<Change>) -> (Vec<String>, Runner, Arc<Log>) {
    let config = Config::new("d", "ns", "me");
    let log = Arc::new(Log::default());
    let mut runner =
        Runner::new(&config, Answers::new(), Pulse::default()).with(Toy::<false>, &log).with(Toy::<true>, &log);
    assert_eq!(runner.interests(), [Kind::Claim, Kind::Class]);
    let shutdown = CancellationToken::new();
    let changes = stream::iter(changes.into_iter().map(Ok)).chain(stream::pending());
    tokio::select! {
        () = runner.run(changes, &shutdown) => {}
        () = sleep(Duration::from_secs(2)) => {}
    }
    let done = std::mem::take(&mut *log.done.lock().unwrap());
    (done, runner, log)
}

#[tokio::test(start_paused = true)]
async fn a_controller_waits_for_what_interests_it_and_for_nothing_else() {
    let changes = vec![claim("a"), class("b"), Change::Class(Event::InitDone)];
    assert_eq!(play(changes).await.0, ["b"], "claims are not listed yet");
    let changes = vec![claim("a"), claim("nothing"), Change::Claim(Event::InitDone)];
    assert_eq!(play(changes).await.0, ["a"], "classes are not listed yet");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_listed_may_be_work_only_for_an_essential_controller() {
    let has_work = |runner: &Runner| runner.posts.iter().any(|post| post.has_work());
    let (_, runner, _) = play(vec![Change::Class(Event::InitDone)]).await;
    assert!(has_work(&runner), "nobody knows which claims there are");
    let (_, runner, _) = play(vec![Change::Claim(Event::InitDone), class("a")]).await;
    assert!(!has_work(&runner), "without classes nothing is done, and nothing is lost");
}

#[tokio::test(start_paused = true)]
async fn work_that_panics_is_repeated_after_its_pause() {
    // The first pause is from half a second to one, the second from one to two.
    let done = play(vec![claim("panic"), Change::Claim(Event::InitDone)]).await.0;
    assert!(done.len() == 2 || done.len() == 3, "{done:?}");
}

#[tokio::test(start_paused = true)]
async fn draining_ends_at_its_deadline_and_nothing_goes_on_after_it() {
    let (done, mut runner, log) = play(vec![claim("hang"), Change::Claim(Event::InitDone)]).await;
    assert_eq!((done, log.under_way.load(Ordering::Relaxed)), (vec!["hang".to_owned()], 1));
    let since = Instant::now();
    runner.drain(since + Duration::from_secs(20)).await;
    assert_eq!((since.elapsed(), log.under_way.load(Ordering::Relaxed)), (Duration::from_secs(20), 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_cut_off_has_ended_when_that_is_said() {
    let (_, mut runner, log) = play(vec![claim("hang"), Change::Claim(Event::InitDone)]).await;
    assert_eq!(log.under_way.load(Ordering::Relaxed), 1);
    runner.cut().await;
    assert_eq!(log.under_way.load(Ordering::Relaxed), 0);
}
