use std::sync::mpsc::{Sender, channel};

use super::*;

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(50);

fn lane(key: &str) -> Lane {
    Lane { key: key.to_owned(), purpose: Purpose::Work, label: format!("{key}:/share") }
}

/// Blocks the lane's thread until the returned end is dropped.
async fn stick(workers: &Workers, lane: &Lane) -> Sender<()> {
    loop {
        let (release, stuck) = channel::<()>();
        let answer = workers.run(lane, "statfs", SHORT, move || wait(&stuck)).await;
        assert!(matches!(answer, Err(WorkError::Late { what: "statfs", .. })), "{answer:?}");
        // On a machine so busy that the thread had not even begun, the job is dropped unbegun.
        if workers.stuck(lane).is_some() {
            return release;
        }
    }
}

/// Ends when the other end is dropped.
fn wait(stuck: &Receiver<()>) {
    stuck.recv().expect_err("nothing is ever sent");
}

fn is_running(workers: &Workers, lane: &Lane) -> bool {
    lock(&workers.lanes).get(lane).is_some_and(|handle| lock(&handle.running.0).is_some())
}

async fn until(condition: impl Fn() -> bool) {
    let waited = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, waited).await.expect("the condition never came true");
}

#[tokio::test]
async fn a_job_runs_and_answers() {
    let workers = Workers::new(LONG);
    assert_eq!(workers.run(&lane("a"), "sum", LONG, || 1 + 1).await.unwrap(), 2);
    assert_eq!(workers.census(), Census { threads: 1, stuck: 0 });
}

#[tokio::test]
async fn a_stuck_share_costs_one_thread_and_answers_at_once() {
    let workers = Workers::new(LONG);
    let release = stick(&workers, &lane("dead")).await;
    for _ in 0..100 {
        let refused = workers.run(&lane("dead"), "mount", LONG, || ()).await;
        assert!(matches!(refused, Err(WorkError::Stuck { what: "statfs", .. })), "{refused:?}");
    }
    assert_eq!(workers.census(), Census { threads: 1, stuck: 1 });
    assert_eq!(workers.run(&lane("alive"), "mount", LONG, || 7).await.unwrap(), 7);

    drop(release);
    until(|| workers.census().stuck == 0).await;
    assert_eq!(workers.run(&lane("dead"), "mount", LONG, || 7).await.unwrap(), 7);
}

#[tokio::test]
async fn detaching_is_not_held_up_by_stuck_work() {
    let workers = Workers::new(LONG);
    let _release = stick(&workers, &lane("dead")).await;
    let detach = Lane { purpose: Purpose::Detach, ..lane("dead") };
    assert_eq!(workers.run(&detach, "detach", LONG, || 7).await.unwrap(), 7);
    assert_eq!(workers.census(), Census { threads: 2, stuck: 1 });
}

/// What waits for the resolver, or while it detaches, costs no generation.
#[tokio::test]
async fn of_stuck_threads_those_that_work_are_counted() {
    let workers = Workers::new(LONG);
    let dead = lane("dead");
    let lanes = [Purpose::Work, Purpose::Detach, Purpose::Ask].map(|purpose| Lane { purpose, ..dead.clone() });
    let mut releases = Vec::new();
    for lane in &lanes {
        releases.push(stick(&workers, lane).await);
    }
    assert_eq!(workers.census().stuck, 3);
    assert_eq!(workers.count_stuck(|key| key == "dead"), 1);
    assert_eq!(workers.count_stuck(|key| key == "other"), 0);
}

/// A server may have two names, and the mount table shows one of them.
#[tokio::test]
async fn one_share_has_one_thread_whatever_it_is_called() {
    let workers = Workers::new(LONG);
    let _release = stick(&workers, &lane("a")).await;
    let other_name = Lane { label: "10.0.0.5:/share".to_owned(), ..lane("a") };
    let refused = workers.run(&other_name, "mount", LONG, || ()).await;
    assert!(matches!(refused, Err(WorkError::Stuck { .. })), "{refused:?}");
    assert_eq!(workers.census(), Census { threads: 1, stuck: 1 });
}

#[tokio::test]
async fn what_a_job_owns_is_kept_until_it_ends() {
    let workers = Workers::new(LONG);
    let (guard, lane) = (Arc::new(()), lane("dead"));
    let (release, stuck) = channel::<()>();
    let held = Arc::clone(&guard);
    let job = move || {
        wait(&stuck);
        drop(held);
    };
    let caller = tokio::spawn({
        let (workers, lane) = (workers.clone(), lane.clone());
        async move { workers.run(&lane, "mount", LONG, job).await }
    });
    until(|| is_running(&workers, &lane)).await;
    caller.abort();
    assert!(caller.await.is_err());
    assert_eq!(Arc::strong_count(&guard), 2);
    drop(release);
    until(|| Arc::strong_count(&guard) == 1).await;
}

#[tokio::test]
async fn a_job_that_nobody_waits_for_any_more_is_not_begun() {
    let workers = Workers::new(LONG);
    let lane = lane("slow");
    let (release, stuck) = channel::<()>();
    let first = tokio::spawn({
        let (workers, lane) = (workers.clone(), lane.clone());
        async move { workers.run(&lane, "first", LONG, move || wait(&stuck)).await }
    });
    until(|| is_running(&workers, &lane)).await;
    let begun = Arc::new(Mutex::new(false));
    let mark = Arc::clone(&begun);
    let second = workers.run(&lane, "second", SHORT, move || *lock(&mark) = true).await;
    assert!(matches!(second, Err(WorkError::Late { what: "second", .. })));
    drop(release);
    first.await.unwrap().unwrap();
    workers.run(&lane, "third", LONG, || ()).await.unwrap();
    assert!(!*lock(&begun));
}

#[tokio::test]
async fn the_queue_is_bounded() {
    let workers = Workers::new(LONG);
    let lane = lane("slow");
    let (release, stuck) = channel::<()>();
    let block = Job { number: 0, what: "block", allowed: LONG, run: Box::new(move || wait(&stuck)) };
    workers.submit(&lane, block).unwrap();
    until(|| is_running(&workers, &lane)).await;
    let nothing = || Job { number: 0, what: "nothing", allowed: LONG, run: Box::new(|| ()) };
    for _ in 0..QUEUE {
        workers.submit(&lane, nothing()).unwrap();
    }
    assert!(matches!(workers.submit(&lane, nothing()), Err(WorkError::Full { .. })));
    drop(release);
}

#[tokio::test]
async fn an_idle_thread_ends() {
    let workers = Workers::new(SHORT);
    workers.run(&lane("a"), "nothing", LONG, || ()).await.unwrap();
    until(|| workers.census().threads == 0).await;
    assert_eq!(workers.run(&lane("a"), "again", LONG, || 7).await.unwrap(), 7);
}

#[tokio::test]
async fn a_panic_costs_its_job_and_nothing_else() {
    let workers = Workers::new(LONG);
    let lost = workers.run(&lane("a"), "boom", LONG, || -> u8 { panic!("on purpose") }).await;
    assert!(matches!(lost, Err(WorkError::Lost { what: "boom", .. })));
    until(|| workers.census().threads == 0).await;
    assert_eq!(workers.run(&lane("a"), "again", LONG, || 7).await.unwrap(), 7);
}
