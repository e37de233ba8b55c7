use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::PersistentVolume;
use kube::api::ObjectMeta;
use serde_json::json;

use super::*;
use crate::kubernetes::api::names;
use crate::operations::Operations;

#[path = "ending_tests.rs"]
mod ending;

const DRIVER: &str = "csi.berth.dev";

fn claim(uid: &str) -> Claim {
    serde_json::from_value(json!({
        "metadata": {
            "name": format!("name-{uid}"), "namespace": "shop", "uid": uid,
            "annotations": {names::STORAGE_PROVISIONER: DRIVER},
        },
        "spec": {"storageClassName": "efs-sc"},
    }))
    .unwrap()
}

fn class(uid: &str) -> Class {
    let class = json!({"metadata": {"name": "efs-sc", "uid": uid}, "provisioner": DRIVER});
    serde_json::from_value(class).unwrap()
}

fn volume(name: &str) -> Volume {
    serde_json::from_value(json!({"metadata": {"name": name, "uid": "v"}})).unwrap()
}

impl Provisioner {
    fn apply(&mut self, change: &Change) -> Vec<String> {
        Controller::<Context<Operations>>::note(self, change)
    }

    fn step(&mut self, uid: &str, now: Instant) -> Decision<ClaimStep> {
        Controller::<Context<Operations>>::decide(self, uid, now)
    }

    fn done(&mut self, uid: &str, outcome: ClaimOutcome, now: Instant) -> Verdict {
        Controller::<Context<Operations>>::settle(self, uid, outcome, now)
    }

    fn lane_of(&self, uid: &str) -> String {
        Controller::<Context<Operations>>::lane(self, uid).to_string()
    }
}

/// A state that knows one class, and that there is nothing else.
fn state() -> Provisioner {
    let mut state = Provisioner::new(Config::new(DRIVER, "berth-system", "me"));
    for change in [
        Change::Claim(Event::Init),
        Change::Claim(Event::InitDone),
        Change::Class(Event::Init),
        Change::Class(Event::InitApply(class("c-1"))),
        Change::Class(Event::InitDone),
        Change::Volume(Event::Init),
        Change::Volume(Event::InitDone),
    ] {
        assert!(state.apply(&change).is_empty());
    }
    state
}

fn with_claim(uid: &str) -> Provisioner {
    let mut state = state();
    assert_eq!(state.apply(&Change::Claim(Event::Apply(claim(uid)))), [uid]);
    state
}

fn attempt(state: &mut Provisioner, uid: &str) -> Attempt {
    match state.step(uid, Instant::now()) {
        Decision::Act(ClaimStep::Provision(attempt)) => attempt,
        other => panic!("{other:?}"),
    }
}

fn created() -> Created {
    Created { id: "berth://nfs/export#pvc-u".to_owned(), capacity_bytes: 0, context: BTreeMap::new() }
}

fn saved(attempt: Attempt) -> ClaimOutcome {
    let (name, uid) = ("pvc-u".to_owned(), "v".to_owned());
    ClaimOutcome::Saved { name, uid, attempt, created: Box::new(created()) }
}

fn is_nothing(step: &Decision<ClaimStep>) -> bool {
    matches!(step, Decision::Rest(Verdict::Done))
}

#[test]
fn a_saved_claim_is_finished_before_any_watch_shows_its_volume() {
    let mut state = with_claim("u");
    let made = attempt(&mut state, "u");
    let saved = saved(made);
    assert_eq!(state.done("u", saved, Instant::now()), Verdict::Done);
    assert!(is_nothing(&state.step("u", Instant::now())));
    // A list that was on its way when we saved does not name it …
    state.apply(&Change::Volume(Event::Init));
    state.apply(&Change::Volume(Event::InitDone));
    assert!(is_nothing(&state.step("u", Instant::now())));
    // … and one that began later does, if it exists.
    state.apply(&Change::Volume(Event::Init));
    state.apply(&Change::Volume(Event::InitDone));
    attempt(&mut state, "u");
}

#[test]
fn a_volume_object_that_is_gone_wakes_its_claim() {
    let mut state = with_claim("u");
    state.apply(&Change::Volume(Event::Apply(volume("pvc-u"))));
    state.apply(&Change::Volume(Event::Apply(volume("pvc-bound"))));
    state.apply(&Change::Volume(Event::Apply(volume("u"))));
    assert!(state.apply(&Change::Volume(Event::Delete(volume("pvc-bound")))).is_empty());
    assert!(state.apply(&Change::Volume(Event::Delete(volume("u")))).is_empty());
    assert_eq!(state.apply(&Change::Volume(Event::Delete(volume("pvc-u")))), ["u"]);
    attempt(&mut state, "u");
    // One that a list no longer names.
    state.apply(&Change::Volume(Event::Apply(volume("pvc-u"))));
    state.apply(&Change::Volume(Event::Init));
    assert_eq!(state.apply(&Change::Volume(Event::InitDone)), ["u"]);
}

#[test]
fn the_end_of_an_object_that_had_the_name_before_ours_is_no_end_of_ours() {
    let mut state = with_claim("u");
    let made = attempt(&mut state, "u");
    let other =
        Volume { metadata: ObjectMeta { uid: Some("w".into()), ..volume("pvc-u").metadata }, ..volume("pvc-u") };
    state.apply(&Change::Volume(Event::Apply(other.clone())));
    state.done("u", saved(made), Instant::now());
    // What the watch has to tell of it comes late.
    state.apply(&Change::Volume(Event::Apply(other.clone())));
    assert!(state.apply(&Change::Volume(Event::Delete(other))).is_empty());
    assert!(is_nothing(&state.step("u", Instant::now())));
    state.apply(&Change::Volume(Event::Apply(volume("pvc-u"))));
    assert_eq!(state.apply(&Change::Volume(Event::Delete(volume("pvc-u")))), ["u"]);
}

#[test]
fn a_claim_whose_volume_is_known_stops_silently() {
    let mut state = with_claim("u");
    state.apply(&Change::Volume(Event::Apply(volume("pvc-u"))));
    assert!(is_nothing(&state.step("u", Instant::now())));
}

#[test]
fn a_class_of_another_driver_stops_silently() {
    let mut state = with_claim("u");
    state.apply(&Change::Class(Event::Apply(Class { provisioner: "other".into(), ..class("c-2") })));
    assert!(is_nothing(&state.step("u", Instant::now())));
}

#[test]
fn an_uncertain_attempt_outlives_its_claim_and_its_class() {
    let mut state = with_claim("u");
    let first = attempt(&mut state, "u");
    let outcome = ClaimOutcome::Failed(first, Finality::InBackground);
    assert_eq!(state.done("u", outcome, Instant::now()), Verdict::Retry);
    assert_eq!(state.apply(&Change::Claim(Event::Delete(claim("u")))), ["u"]);
    state.apply(&Change::Class(Event::Delete(class("c-1"))));
    let again = attempt(&mut state, "u");
    assert_eq!((again.claim.uid(), again.class.uid()), ("u", "c-1"));
    let outcome = ClaimOutcome::Failed(again, Finality::Finished);
    assert_eq!(state.done("u", outcome, Instant::now()), Verdict::Retry);
    assert!(is_nothing(&state.step("u", Instant::now())), "a final answer ends it");
}

#[test]
fn an_uncertain_attempt_outlives_a_claim_that_a_relist_no_longer_names() {
    let mut state = with_claim("u");
    let first = attempt(&mut state, "u");
    state.done("u", ClaimOutcome::Failed(first, Finality::InBackground), Instant::now());
    state.apply(&Change::Claim(Event::Init));
    assert_eq!(state.apply(&Change::Claim(Event::InitDone)), ["u"]);
    attempt(&mut state, "u");
}

#[test]
fn an_uncertain_attempt_outlives_a_claim_that_found_another_volume() {
    let mut state = with_claim("u");
    let first = attempt(&mut state, "u");
    state.done("u", ClaimOutcome::Failed(first, Finality::InBackground), Instant::now());
    let mut bound = claim("u");
    bound.spec.volume_name = Some("by-hand".into());
    assert_eq!(state.apply(&Change::Claim(Event::Apply(bound))), ["u"]);
    attempt(&mut state, "u");
}

#[test]
fn a_failure_before_the_call_changes_nothing_that_was_known() {
    let mut state = with_claim("u");
    let first = attempt(&mut state, "u");
    state.done("u", ClaimOutcome::Failed(first, Finality::InBackground), Instant::now());
    assert_eq!(state.done("u", ClaimOutcome::NoChange, Instant::now()), Verdict::Retry);
    state.apply(&Change::Claim(Event::Delete(claim("u"))));
    attempt(&mut state, "u");
}

#[test]
fn a_final_answer_forgets_the_claim_once_it_is_gone() {
    let mut state = with_claim("u");
    let first = attempt(&mut state, "u");
    assert_eq!(state.done("u", ClaimOutcome::Failed(first, Finality::Finished), Instant::now()), Verdict::Retry);
    attempt(&mut state, "u");
    assert!(state.apply(&Change::Claim(Event::Delete(claim("u")))).is_empty());
    assert!(is_nothing(&state.step("u", Instant::now())));
}

#[test]
fn an_unsaved_volume_is_saved_and_never_created_again() {
    let mut state = with_claim("u");
    let first = attempt(&mut state, "u");
    assert_eq!(state.done("u", ClaimOutcome::Unsaved(unsaved(first)), Instant::now()), Verdict::Retry);
    state.apply(&Change::Claim(Event::Delete(claim("u"))));
    let step = state.step("u", Instant::now());
    assert!(matches!(step, Decision::Act(ClaimStep::Save(_))), "{step:?}");
}

#[test]
fn an_answer_about_another_class_does_not_end_what_the_first_may_have_begun() {
    for finality in [Finality::Finished, Finality::Infeasible, Finality::InBackground] {
        let mut state = with_claim("u");
        let first = attempt(&mut state, "u");
        state.done("u", ClaimOutcome::Failed(first, Finality::InBackground), Instant::now());
        state.apply(&Change::Class(Event::Delete(class("c-1"))));
        state.apply(&Change::Class(Event::Apply(class("c-2"))));
        let second = attempt(&mut state, "u");
        assert_eq!(second.class.uid(), "c-2");
        assert_eq!(state.done("u", ClaimOutcome::Failed(second, finality), Instant::now()), Verdict::Retry);
        state.apply(&Change::Claim(Event::Delete(claim("u"))));
        let left = if finality == Finality::InBackground { vec!["c-1", "c-2"] } else { vec!["c-1"] };
        // One that never ends does not keep the other from its turn.
        for ended in [Finality::InBackground, Finality::Finished] {
            for class_uid in &left {
                let again = attempt(&mut state, "u");
                assert_eq!(again.class.uid(), *class_uid, "{finality:?}");
                state.done("u", ClaimOutcome::Failed(again, ended), Instant::now());
            }
        }
        assert!(state.progress.is_empty());
    }
}

/// A claim one class of which may have begun something when another one took its place.
fn replaced(uid: &str) -> Provisioner {
    let mut state = with_claim(uid);
    let first = attempt(&mut state, uid);
    state.done(uid, ClaimOutcome::Failed(first, Finality::InBackground), Instant::now());
    state.apply(&Change::Class(Event::Apply(class("c-2"))));
    state
}

fn unsaved(attempt: Attempt) -> Unsaved {
    let volume = Box::new(PersistentVolume::default());
    Unsaved { attempt, created: Box::new(created()), volume, started: Instant::now() }
}

/// The UID of the class by which something is ended now, and the id of what stays.
fn ended(state: &mut Provisioner, uid: &str) -> (String, String) {
    match state.step(uid, Instant::now()) {
        Decision::Act(ClaimStep::End(begun, kept)) => (begun.class.uid().to_owned(), kept.id),
        other => panic!("{other:?}"),
    }
}

/// A volume object of our driver.
fn volume_on(handle: &str, share_identity: Option<&str>) -> Volume {
    let csi = json!({"driver": DRIVER, "volumeHandle": handle, "volumeAttributes": {"shareIdentity": share_identity}});
    serde_json::from_value(json!({"metadata": {"name": "pvc-u", "uid": "v"}, "spec": {"csi": csi}})).unwrap()
}

#[test]
fn an_infeasible_claim_is_left_alone_until_its_time_or_another_class() {
    let now = Instant::now();
    let mut state = with_claim("u");
    let first = attempt(&mut state, "u");
    let until = now + Duration::from_mins(5);
    let outcome = ClaimOutcome::Failed(first, Finality::Infeasible);
    assert_eq!(state.done("u", outcome, now), Verdict::At(until));
    for _ in 0..2 {
        let step = state.step("u", now + Duration::from_mins(4));
        assert!(matches!(step, Decision::Rest(Verdict::At(at)) if at == until), "{step:?}");
    }
    // The same class, changed in what may be changed, is no reason to ask again.
    assert!(state.apply(&Change::Class(Event::Apply(class("c-1")))).is_empty());
    assert_eq!(state.apply(&Change::Class(Event::Apply(class("c-2")))), ["u"]);
    let second = attempt(&mut state, "u");
    state.done("u", ClaimOutcome::Failed(second, Finality::Infeasible), now);
    assert!(matches!(state.step("u", until), Decision::Act(ClaimStep::Provision(_))), "its time has come");
}

#[test]
fn an_infeasible_claim_that_is_gone_is_forgotten() {
    let mut state = with_claim("u");
    let first = attempt(&mut state, "u");
    state.done("u", ClaimOutcome::Failed(first, Finality::Infeasible), Instant::now());
    assert_eq!(state.apply(&Change::Claim(Event::Delete(claim("u")))), ["u"]);
    assert!(is_nothing(&state.step("u", Instant::now())));
    assert!(state.progress.is_empty());
}

#[test]
fn a_missing_class_is_retried_and_its_coming_ends_the_wait() {
    let mut state = with_claim("u");
    state.apply(&Change::Class(Event::Delete(class("c-1"))));
    let step = state.step("u", Instant::now());
    assert!(matches!(step, Decision::Act(ClaimStep::Refuse(_, ClaimError::ClassMissing(_)))), "{step:?}");
    assert_eq!(state.apply(&Change::Class(Event::Apply(class("c-2")))), ["u"]);
}

#[test]
fn claims_that_need_nothing_of_us_are_not_kept() {
    let mut state = state();
    let mut bound = claim("bound");
    bound.spec.volume_name = Some("pv".into());
    let mut foreign = claim("foreign");
    foreign.metadata.annotations = None;
    for other in [bound, foreign] {
        assert!(state.apply(&Change::Claim(Event::Apply(other))).is_empty());
    }
    assert!(state.claims.items().is_empty());
}

#[test]
fn a_claim_is_in_the_lane_of_its_server() {
    let mut state = with_claim("u-1");
    assert_eq!(state.lane_of("u-1"), "", "a class without a server");
    let class_on = |uid, server: &str| {
        let parameters = [("server", server), ("share", "/export")];
        let parameters = parameters.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        Class { parameters, ..class(uid) }
    };
    state.apply(&Change::Class(Event::Apply(class_on("c-2", "nfs-b"))));
    assert_eq!(state.lane_of("u-1"), "nfs-b");

    // Of a claim that is gone the class decides that something was begun with.
    let begun = attempt(&mut state, "u-1");
    state.done("u-1", ClaimOutcome::Failed(begun, Finality::InBackground), Instant::now());
    state.apply(&Change::Class(Event::Apply(class_on("c-3", "nfs-c"))));
    assert_eq!(state.lane_of("u-1"), "nfs-c", "by that one it is tried next");
    state.apply(&Change::Claim(Event::Delete(claim("u-1"))));
    assert_eq!(state.lane_of("u-1"), "nfs-b");

    // What is ended is on the server where it was begun, unless the claim needs another volume.
    state.apply(&Change::Claim(Event::Apply(claim("u-1"))));
    let second = attempt(&mut state, "u-1");
    let (name, uid) = ("pvc-u-1".to_owned(), "v".to_owned());
    let outcome = ClaimOutcome::Saved { name, uid, attempt: second, created: Box::new(created()) };
    state.done("u-1", outcome, Instant::now());
    assert_eq!(state.lane_of("u-1"), "nfs-b");
    state.apply(&Change::Volume(Event::Delete(volume("pvc-u-1"))));
    assert_eq!(state.lane_of("u-1"), "nfs-c");
}
