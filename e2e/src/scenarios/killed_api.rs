//! The API server dies while claims are being made and deleted, and comes back when whoever led has lost the Lease.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::resume_unwind,
    thread,
    time::Duration,
};

use k8s_openapi::{
    api::core::v1::{PersistentVolume, PersistentVolumeClaim},
    jiff::Timestamp,
};
use labkit::base::{LabError, chain, eventually, join};
use serde_json::{Value, json};

use super::{
    Context, Scenario,
    context::{PATIENCE, claim},
    failover::{CONTROLLER, leads},
    hundred::{made, transitions},
    share::share_root,
};
use crate::cluster::{api::name_of, nfs};

/// Claims that are bound before, and deleted while the API server dies.
const OLD: usize = 10;
/// Claims that are made meanwhile.
const NEW: usize = 20;
/// Who makes and deletes them at the same time.
const HANDS: usize = 5;
/// How long there is no API server: longer than a Lease lasts, and than a leader with work keeps one without an answer.
const OUTAGE: Duration = Duration::from_secs(40);
/// Records of the volumes on the share, on the server's disk.
const RECORDS: &str = ".berth/records";

/// See [`run`].
pub(super) const SCENARIO: Scenario = Scenario {
    name: "killed-api",
    about: "the API server is killed while claims are made and deleted; when it is back nothing is lost, doubled, stuck or left",
    needs_lab: true,
    run,
};

fn run(context: &Context<'_>) -> Result<(), LabError> {
    let before = on_the_share(context)?;
    let names = (0..OLD).map(old);
    let mut claims: Vec<Value> =
        names.map(|name| claim(&context.namespace, &name, &context.driver.class, "1Gi")).collect();
    for (number, claim) in claims.iter_mut().enumerate() {
        claim["metadata"]["labels"] = json!({ "claim": old(number) });
    }
    context.cluster().create_all(&claims)?;
    context.all_bound(OLD)?;
    let ended = context.cluster().list::<PersistentVolume>("", "")?;
    let ended: Vec<&str> = of_claims(context, &ended, "old-").map(name_of).collect();

    let leaders = transitions(context)?;
    let (struck, back) = strike(context)?;
    context.all_bound(NEW)?;
    context.cluster().gone::<PersistentVolume>("", &ended)?;
    context.timeline.step(&format!("killed-api: {NEW} claims Bound and {OLD} volumes gone; {} leads", leads(context)?));
    // Whoever led was without an answer for longer than the Lease lasts; who leads now has taken it anew.
    let taken = transitions(context)? - leaders;
    context.timeline.note(&format!("the Lease was taken by another {taken} times"));
    nothing_doubled(context, &before, struck, back)?;

    context.cluster().begin_delete_all::<PersistentVolumeClaim>(&context.namespace, "")?;
    context.cluster().until::<PersistentVolume, _>("the end of every volume", "", "", PATIENCE, |volumes| {
        let left = of_claims(context, volumes, "").count();
        if left == 0 { Ok(()) } else { Err(format!("{left} volumes")) }
    })?;
    let left: Vec<String> = on_the_share(context)?.into_iter().filter(|name| !before.contains(name)).collect();
    context.check(left.is_empty(), || format!("left on the share: {left:?}"))?;
    let trash = format!("test -z \"$(ls -A {}/.berth/trash)\"", context.driver.backend.share);
    context.lab()?.machine(nfs::MACHINE)?.wait_for("an empty trash", PATIENCE, &trash)?;
    // Whoever comes next finds as many controllers as there were.
    context.rolled_out(&context.driver.namespace, CONTROLLER)
}

/// Kills the API server in the middle of the work and lets it stay away. Answers with the moments when it died and was back.
fn strike(context: &Context<'_>) -> Result<(Timestamp, Timestamp), LabError> {
    thread::scope(|scope| {
        let working = scope.spawn(|| work(context));
        let first = "the first volume of a new claim";
        let struck = context
            .cluster()
            .until::<PersistentVolume, _>(first, "", "", PATIENCE, |volumes| {
                of_claims(context, volumes, "new-").next().map(drop).ok_or_else(|| "none".to_owned())
            })
            .and_then(|()| {
                context.timeline.note("SIGKILL to the API server");
                let struck = Timestamp::now();
                context.lab()?.without_api(|| {
                    thread::sleep(OUTAGE);
                    Ok((struck, Timestamp::now()))
                })
            });
        context.timeline.note("the API server is back");
        working.join().unwrap_or_else(|panic| resume_unwind(panic)).and(struck)
    })
}

/// Makes the new claims and deletes the old ones, by turns, from several hands at once, so that some of both are under way whenever
/// the API server dies. What fails is repeated, as people and their tools do.
fn work(context: &Context<'_>) -> Result<(), LabError> {
    thread::scope(|scope| {
        let hands = (0..HANDS).map(|hand| scope.spawn(move || work_of(context, hand))).collect::<Vec<_>>();
        hands.into_iter().try_for_each(join)
    })
}

/// The part of one hand.
fn work_of(context: &Context<'_>, hand: usize) -> Result<(), LabError> {
    let cluster = context.cluster();
    for number in (hand..NEW).step_by(HANDS) {
        let claim = claim(&context.namespace, &format!("new-{number:02}"), &context.driver.class, "1Gi");
        repeated("a new claim", || cluster.apply(&claim))?;
        if number % 2 == 0 {
            let selector = format!("claim={}", old(number / 2));
            repeated("the deletion of a claim", || {
                cluster.begin_delete_all::<PersistentVolumeClaim>(&context.namespace, &selector)
            })?;
        }
    }
    Ok(())
}

fn repeated(what: &str, mut call: impl FnMut() -> Result<(), LabError>) -> Result<(), LabError> {
    eventually(what, PATIENCE, Duration::from_millis(500), || call().map_err(|error| chain(&error)))
}

/// Each claim has one volume, and each volume one directory and one record; some claims were there when the API server died, and
/// got theirs after it was back.
fn nothing_doubled(
    context: &Context<'_>,
    before: &BTreeSet<String>,
    struck: Timestamp,
    back: Timestamp,
) -> Result<(), LabError> {
    let claims = context.cluster().list::<PersistentVolumeClaim>(&context.namespace, "")?;
    let pending: BTreeSet<&str> = claims.iter().filter(|claim| made(claim) <= Some(struck)).map(name_of).collect();
    let volumes = context.cluster().list::<PersistentVolume>("", "")?;
    let (mut of_claim, mut late) = (BTreeMap::<&str, usize>::new(), 0);
    let mut wanted = BTreeSet::new();
    for volume in of_claims(context, &volumes, "") {
        let claim = volume["spec"]["claimRef"]["name"].as_str().unwrap_or_default();
        *of_claim.entry(claim).or_default() += 1;
        wanted.extend([name_of(volume).to_owned(), format!("{RECORDS}/{}", name_of(volume))]);
        late += usize::from(pending.contains(claim) && made(volume) >= Some(back));
    }
    let one_each = of_claim.len() == NEW && of_claim.values().all(|&count| count == 1);
    context.check(one_each, || format!("volumes of the claims: {of_claim:?}"))?;
    let made: BTreeSet<String> = on_the_share(context)?.difference(before).cloned().collect();
    context.check(made == wanted, || format!("on the share there are {made:?}, and wanted are {wanted:?}"))?;
    let most = answered(context)?;
    let seldom = !most.is_empty() && most.values().all(|&count| count <= 2);
    context.check(seldom, || format!("how often each was made: {most:?}"))?;
    let calls: usize = most.values().sum();
    let pending = pending.len();
    context.timeline.note(&format!(
        "of {pending} claims that it had when it died {late} got their volumes when it was back; {calls} were made, in the logs that are left"
    ));
    context.check((1..=pending).contains(&late), || format!("it died when all of {pending} claims had their volumes"))
}

/// How often the controllers say that they made each volume: once, and once more where its object could not be saved before
/// another one led. Logs of processes that ended early may be gone.
fn answered(context: &Context<'_>) -> Result<BTreeMap<String, usize>, LabError> {
    let mut made = BTreeMap::new();
    for node in context.lab()?.nodes() {
        let logs = format!("/var/log/pods/{}_*controller*/*/*.log", context.driver.namespace);
        let text =
            node.sh(&format!("grep -h '\"volume created\"' {logs} | grep {}/new- || true", context.namespace))?;
        let names = text.lines().filter_map(|line| line.split("pvc-").nth(1)?.split('"').next());
        names.for_each(|name| *made.entry(name.to_owned()).or_default() += 1);
    }
    Ok(made)
}

/// Directories at the share's root, and records.
fn on_the_share(context: &Context<'_>) -> Result<BTreeSet<String>, LabError> {
    let server = context.lab()?.machine(nfs::MACHINE)?;
    let records = server.sh(&format!("ls -A {}/{RECORDS} 2>/dev/null || true", context.driver.backend.share))?;
    let records = records.lines().map(|name| format!("{RECORDS}/{name}"));
    Ok(share_root(context)?.into_iter().filter(|name| name != ".berth").chain(records).collect())
}

/// The volumes of those claims of the scenario whose names begin so.
fn of_claims<'v>(context: &Context<'_>, volumes: &'v [Value], prefix: &str) -> impl Iterator<Item = &'v Value> {
    volumes.iter().filter(move |volume| {
        let claim = &volume["spec"]["claimRef"];
        let is_so = claim["name"].as_str().is_some_and(|name| name.starts_with(prefix));
        is_so && claim["namespace"] == context.namespace.as_str()
    })
}

fn old(number: usize) -> String {
    format!("old-{number:02}")
}
