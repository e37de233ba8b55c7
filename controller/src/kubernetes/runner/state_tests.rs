use std::time::Duration;

use k8s_openapi::api::core::v1::PersistentVolume;
use serde_json::json;

use super::*;
use crate::kubernetes::api::names;

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

fn volume(name: &str, phase: &str) -> Volume {
    serde_json::from_value(json!({
        "metadata": {
            "name": name, "uid": "v", "finalizers": [names::FINALIZER],
            "annotations": {names::PROVISIONED_BY: DRIVER},
        },
        "spec": {"persistentVolumeReclaimPolicy": "Delete", "csi": {"driver": DRIVER, "volumeHandle": format!("berth://nfs-a/export#{name}")}},
        "status": {"phase": phase},
    }))
    .unwrap()
}

/// A state that knows one class, and everything there is.
fn state() -> State {
    let mut state = State::new(Config::new(DRIVER, "berth-system", "me"));
    for change in [
        Change::Claim(Event::Init),
        Change::Claim(Event::InitDone),
        Change::Class(Event::Init),
        Change::Class(Event::InitApply(class("c-1"))),
        Change::Class(Event::InitDone),
        Change::Volume(Event::Init),
        Change::Volume(Event::InitDone),
    ] {
        assert!(state.apply(change).is_empty());
    }
    assert!(state.is_complete());
    state
}

fn with_claim(uid: &str) -> State {
    let mut state = state();
    assert_eq!(state.apply(Change::Claim(Event::Apply(claim(uid)))), [Key::Claim(uid.to_owned())]);
    state
}

fn attempt(state: &mut State, uid: &str) -> Attempt {
    match state.claim_step(uid, Instant::now()) {
        ClaimStep::Provision(attempt) => attempt,
        other => panic!("{other:?}"),
    }
}

fn is_nothing(step: &ClaimStep) -> bool {
    matches!(step, ClaimStep::Nothing)
}

#[test]
fn nothing_is_complete_before_every_watch_has_shown_everything() {
    let mut state = State::new(Config::new(DRIVER, "berth-system", "me"));
    for (done, complete) in [
        (Change::Claim(Event::InitDone), false),
        (Change::Volume(Event::InitDone), false),
        (Change::Class(Event::InitDone), true),
    ] {
        state.apply(done);
        assert_eq!(state.is_complete(), complete);
    }
}

#[test]
fn a_saved_claim_is_finished_before_any_watch_shows_its_volume() {
    let mut state = with_claim("u");
    attempt(&mut state, "u");
    let saved = ClaimOutcome::Saved { name: "pvc-u".into(), uid: "v".into() };
    assert_eq!(state.claim_done("u", saved, Instant::now()), Verdict::Done);
    assert!(is_nothing(&state.claim_step("u", Instant::now())));
    // A list that was on its way when we saved does not name it …
    state.apply(Change::Volume(Event::Init));
    state.apply(Change::Volume(Event::InitDone));
    assert!(is_nothing(&state.claim_step("u", Instant::now())));
    // … and one that began later does, if it exists.
    state.apply(Change::Volume(Event::Init));
    state.apply(Change::Volume(Event::InitDone));
    attempt(&mut state, "u");
}

#[test]
fn a_claim_whose_volume_is_known_stops_silently() {
    let mut state = with_claim("u");
    state.apply(Change::Volume(Event::Apply(volume("pvc-u", "Bound"))));
    assert!(is_nothing(&state.claim_step("u", Instant::now())));
}

#[test]
fn a_class_of_another_driver_stops_silently() {
    let mut state = with_claim("u");
    state.apply(Change::Class(Event::Apply(Class { provisioner: "other".into(), ..class("c-2") })));
    assert!(is_nothing(&state.claim_step("u", Instant::now())));
}

#[test]
fn an_uncertain_attempt_outlives_its_claim_and_its_class() {
    let mut state = with_claim("u");
    let first = attempt(&mut state, "u");
    let outcome = ClaimOutcome::Failed(first, Finality::InBackground);
    assert_eq!(state.claim_done("u", outcome, Instant::now()), Verdict::Retry);
    assert_eq!(state.apply(Change::Claim(Event::Delete(claim("u")))), [Key::Claim("u".to_owned())]);
    state.apply(Change::Class(Event::Delete(class("c-1"))));
    let again = attempt(&mut state, "u");
    assert_eq!((again.claim.uid(), again.class.uid()), ("u", "c-1"));
    let outcome = ClaimOutcome::Failed(again, Finality::Finished);
    assert_eq!(state.claim_done("u", outcome, Instant::now()), Verdict::Retry);
    assert!(is_nothing(&state.claim_step("u", Instant::now())), "a final answer ends it");
}

#[test]
fn an_uncertain_attempt_outlives_a_claim_that_a_relist_no_longer_names() {
    let mut state = with_claim("u");
    let first = attempt(&mut state, "u");
    state.claim_done("u", ClaimOutcome::Failed(first, Finality::InBackground), Instant::now());
    state.apply(Change::Claim(Event::Init));
    assert_eq!(state.apply(Change::Claim(Event::InitDone)), [Key::Claim("u".to_owned())]);
    attempt(&mut state, "u");
}

#[test]
fn an_uncertain_attempt_outlives_a_claim_that_found_another_volume() {
    let mut state = with_claim("u");
    let first = attempt(&mut state, "u");
    state.claim_done("u", ClaimOutcome::Failed(first, Finality::InBackground), Instant::now());
    let mut bound = claim("u");
    bound.spec.volume_name = Some("by-hand".into());
    assert_eq!(state.apply(Change::Claim(Event::Apply(bound))), [Key::Claim("u".to_owned())]);
    attempt(&mut state, "u");
}

#[test]
fn a_failure_before_the_call_changes_nothing_that_was_known() {
    let mut state = with_claim("u");
    let first = attempt(&mut state, "u");
    state.claim_done("u", ClaimOutcome::Failed(first, Finality::InBackground), Instant::now());
    assert_eq!(state.claim_done("u", ClaimOutcome::NoChange, Instant::now()), Verdict::Retry);
    state.apply(Change::Claim(Event::Delete(claim("u"))));
    attempt(&mut state, "u");
}

#[test]
fn a_final_answer_forgets_the_claim_once_it_is_gone() {
    let mut state = with_claim("u");
    let first = attempt(&mut state, "u");
    assert_eq!(state.claim_done("u", ClaimOutcome::Failed(first, Finality::Finished), Instant::now()), Verdict::Retry);
    attempt(&mut state, "u");
    assert!(state.apply(Change::Claim(Event::Delete(claim("u")))).is_empty());
    assert!(is_nothing(&state.claim_step("u", Instant::now())));
}

#[test]
fn an_unsaved_volume_is_saved_and_never_created_again() {
    let mut state = with_claim("u");
    let first = attempt(&mut state, "u");
    let unsaved = Unsaved { attempt: first, volume: Box::new(PersistentVolume::default()), started: Instant::now() };
    assert_eq!(state.claim_done("u", ClaimOutcome::Unsaved(unsaved), Instant::now()), Verdict::Retry);
    state.apply(Change::Claim(Event::Delete(claim("u"))));
    let step = state.claim_step("u", Instant::now());
    assert!(matches!(step, ClaimStep::Save(_)), "{step:?}");
}

#[test]
fn an_answer_about_another_class_does_not_end_what_the_first_may_have_begun() {
    for finality in [Finality::Finished, Finality::Infeasible, Finality::InBackground] {
        let mut state = with_claim("u");
        let first = attempt(&mut state, "u");
        state.claim_done("u", ClaimOutcome::Failed(first, Finality::InBackground), Instant::now());
        state.apply(Change::Class(Event::Delete(class("c-1"))));
        state.apply(Change::Class(Event::Apply(class("c-2"))));
        let second = attempt(&mut state, "u");
        assert_eq!(second.class.uid(), "c-2");
        assert_eq!(state.claim_done("u", ClaimOutcome::Failed(second, finality), Instant::now()), Verdict::Retry);
        state.apply(Change::Claim(Event::Delete(claim("u"))));
        let left = if finality == Finality::InBackground { vec!["c-1", "c-2"] } else { vec!["c-1"] };
        // One that never ends does not keep the other from its turn.
        for ended in [Finality::InBackground, Finality::Finished] {
            for class_uid in &left {
                let again = attempt(&mut state, "u");
                assert_eq!(again.class.uid(), *class_uid, "{finality:?}");
                state.claim_done("u", ClaimOutcome::Failed(again, ended), Instant::now());
            }
        }
        assert!(state.progress.is_empty());
    }
}

#[test]
fn an_infeasible_claim_is_left_alone_until_its_time_or_another_class() {
    let now = Instant::now();
    let mut state = with_claim("u");
    let first = attempt(&mut state, "u");
    let until = now + Duration::from_mins(5);
    let outcome = ClaimOutcome::Failed(first, Finality::Infeasible);
    assert_eq!(state.claim_done("u", outcome, now), Verdict::At(until));
    for _ in 0..2 {
        let step = state.claim_step("u", now + Duration::from_mins(4));
        assert!(matches!(step, ClaimStep::Wait(at) if at == until), "{step:?}");
    }
    // The same class, changed in what may be changed, is no reason to ask again.
    assert!(state.apply(Change::Class(Event::Apply(class("c-1")))).is_empty());
    assert_eq!(state.apply(Change::Class(Event::Apply(class("c-2")))), [Key::Claim("u".to_owned())]);
    let second = attempt(&mut state, "u");
    state.claim_done("u", ClaimOutcome::Failed(second, Finality::Infeasible), now);
    assert!(matches!(state.claim_step("u", until), ClaimStep::Provision(_)), "its time has come");
}

#[test]
fn an_infeasible_claim_that_is_gone_is_forgotten() {
    let mut state = with_claim("u");
    let first = attempt(&mut state, "u");
    state.claim_done("u", ClaimOutcome::Failed(first, Finality::Infeasible), Instant::now());
    assert_eq!(state.apply(Change::Claim(Event::Delete(claim("u")))), [Key::Claim("u".to_owned())]);
    assert!(is_nothing(&state.claim_step("u", Instant::now())));
    assert!(state.progress.is_empty());
}

#[test]
fn a_missing_class_is_retried_and_its_coming_ends_the_wait() {
    let mut state = with_claim("u");
    state.apply(Change::Class(Event::Delete(class("c-1"))));
    let step = state.claim_step("u", Instant::now());
    assert!(matches!(step, ClaimStep::Refuse(ClaimError::ClassMissing(_))), "{step:?}");
    assert_eq!(state.apply(Change::Class(Event::Apply(class("c-2")))), [Key::Claim("u".to_owned())]);
}

#[test]
fn claims_that_need_nothing_of_us_are_not_kept() {
    let mut state = state();
    let mut bound = claim("bound");
    bound.spec.volume_name = Some("pv".into());
    let mut foreign = claim("foreign");
    foreign.metadata.annotations = None;
    for other in [bound, foreign] {
        assert!(state.apply(Change::Claim(Event::Apply(other))).is_empty());
    }
    assert!(state.claims.items().is_empty());
}

fn released() -> State {
    let mut state = state();
    assert!(state.apply(Change::Volume(Event::Apply(volume("pvc-u", "Bound")))).is_empty());
    let keys = state.apply(Change::Volume(Event::Apply(volume("pvc-u", "Released"))));
    assert_eq!(keys, [Key::Volume("pvc-u".to_owned())]);
    state
}

fn deletion(deleted: bool) -> VolumeStep {
    VolumeStep { step: Step::Delete, uid: "v".into(), deleted, kept_by: None }
}

#[test]
fn a_deleted_volume_is_finished_before_any_watch_shows_it() {
    let mut state = released();
    assert_eq!(state.volume_step("pvc-u"), Some(deletion(false)));
    assert_eq!(state.volume_done("pvc-u", "v", &VolumeOutcome::Gone), Verdict::Done);
    // The deletion shows as a change first.
    state.apply(Change::Volume(Event::Apply(volume("pvc-u", "Released"))));
    assert_eq!(state.volume_step("pvc-u"), None);
    state.apply(Change::Volume(Event::Delete(volume("pvc-u", "Released"))));
    assert!(state.volumes.items().is_empty());
}

#[test]
fn a_backing_volume_is_not_deleted_twice_though_its_object_stays() {
    let mut state = released();
    assert_eq!(state.volume_done("pvc-u", "v", &VolumeOutcome::Failed { deleted: true }), Verdict::Retry);
    assert_eq!(state.volume_step("pvc-u"), Some(deletion(true)));
    state.apply(Change::Volume(Event::Apply(volume("pvc-u", "Released"))));
    assert_eq!(state.volume_step("pvc-u"), Some(deletion(true)));
}

#[test]
fn what_was_finished_for_one_object_says_nothing_of_the_next_with_its_name() {
    let mut state = released();
    state.volume_done("pvc-u", "v", &VolumeOutcome::Gone);
    let mut next = volume("pvc-u", "Released");
    next.metadata.uid = Some("w".into());
    state.apply(Change::Volume(Event::Apply(next)));
    let expected = VolumeStep { step: Step::Delete, uid: "w".into(), deleted: false, kept_by: None };
    assert_eq!(state.volume_step("pvc-u"), Some(expected));
    // News of work that was begun on the first one changes nothing.
    state.volume_done("pvc-u", "v", &VolumeOutcome::Failed { deleted: true });
    assert!(state.volume_step("pvc-u").is_some_and(|step| !step.deleted));
}

#[test]
fn a_patched_finalizer_is_known_before_any_watch_shows_it() {
    let mut state = state();
    let mut unheld = volume("pvc-u", "Bound");
    unheld.metadata.finalizers = None;
    assert_eq!(state.apply(Change::Volume(Event::Apply(unheld))), [Key::Volume("pvc-u".to_owned())]);
    assert!(state.volume_step("pvc-u").is_some_and(|step| step.step == Step::AddFinalizer));
    let patched = VolumeOutcome::Changed(Box::new(volume("pvc-u", "Bound")));
    assert_eq!(state.volume_done("pvc-u", "v", &patched), Verdict::Done);
    assert_eq!(state.volume_step("pvc-u"), None);
}

#[test]
fn each_share_of_our_classes_and_volumes_is_told_once() {
    let mut state = state();
    let with_share = |provisioner: &str, share: &str| {
        let parameters = [("server", "nfs"), ("share", share)].map(|(key, value)| (key.to_owned(), value.to_owned()));
        Class { provisioner: provisioner.to_owned(), parameters: parameters.into(), ..class("c-9") }
    };
    let of_handle = |handle: &str| {
        let mut volume = volume("pv", "Bound");
        volume.spec.csi.as_mut().unwrap().volume_handle = handle.to_owned();
        volume
    };
    state.apply(Change::Class(Event::Apply(with_share("other", "/foreign"))));
    state.apply(Change::Class(Event::Apply(with_share(DRIVER, "not a path"))));
    state.apply(Change::Volume(Event::Apply(of_handle("of another kind"))));
    assert!(state.take_new_shares().is_empty());
    for _ in 0..2 {
        state.apply(Change::Class(Event::Apply(with_share(DRIVER, "/a"))));
        state.apply(Change::Volume(Event::Apply(of_handle("berth://nfs/a#pvc-1"))));
        state.apply(Change::Volume(Event::Apply(of_handle("berth://nfs:2050/b#pvc-2"))));
    }
    let told: Vec<String> =
        state.take_new_shares().iter().map(|(server, share)| format!("{server}{}", share.as_str())).collect();
    assert_eq!(told, ["nfs/a", "nfs:2050/b"]);
    assert!(state.take_new_shares().is_empty());
}

#[test]
fn a_volume_in_the_cluster_costs_little_memory() {
    // Name, UID and, of one of ours, the id of at most 128 bytes are the only parts on the heap.
    assert!(size_of::<Known>() <= 40, "{}", size_of::<Known>());
}

#[test]
fn a_backing_volume_is_kept_for_as_long_as_another_object_stands_for_it() {
    let mut state = state();
    let copy = |phase: &str| {
        let mut copy = volume("copy", phase);
        copy.spec.csi.as_mut().unwrap().volume_handle = "berth://nfs-a/export#pv".to_owned();
        Change::Volume(Event::Apply(copy))
    };
    state.apply(copy("Bound"));
    state.apply(Change::Volume(Event::Apply(volume("pv", "Released"))));
    assert_eq!(state.volume_step("pv").unwrap().kept_by.as_deref(), Some("copy"));
    // Both are to go: the first takes the backing volume with it.
    state.apply(copy("Released"));
    assert_eq!(state.volume_step("pv"), Some(deletion(false)));
    state.apply(copy("Bound"));
    let Change::Volume(Event::Apply(gone)) = copy("Bound") else { unreachable!() };
    assert_eq!(state.apply(Change::Volume(Event::Delete(gone))), [Key::Volume("pv".to_owned())]);
    assert_eq!(state.volume_step("pv"), Some(deletion(false)));
}

#[test]
fn an_item_is_in_the_lane_of_its_server() {
    let mut state = with_claim("u-1");
    let lane = |state: &State, key: Key| state.lane(&key).to_string();
    assert_eq!(lane(&state, Key::Claim("u-1".to_owned())), "", "a class without a server");
    let mut class = class("c-2");
    class.parameters.insert("server".to_owned(), "nfs-b".to_owned());
    class.parameters.insert("share".to_owned(), "/export".to_owned());
    state.apply(Change::Class(Event::Apply(class)));
    assert_eq!(lane(&state, Key::Claim("u-1".to_owned())), "nfs-b");
    state.apply(Change::Volume(Event::Apply(volume("pv", "Released"))));
    assert_eq!(lane(&state, Key::Volume("pv".to_owned())), "nfs-a");
    assert_eq!(lane(&state, Key::Volume("unknown".to_owned())), "");

    // Of a claim that is gone the class decides that something was begun with.
    let begun = attempt(&mut state, "u-1");
    state.claim_done("u-1", ClaimOutcome::Failed(begun, Finality::InBackground), Instant::now());
    state.apply(Change::Claim(Event::Delete(claim("u-1"))));
    state.apply(Change::Class(Event::Apply(self::class("c-3"))));
    assert_eq!(lane(&state, Key::Claim("u-1".to_owned())), "nfs-b");
}
