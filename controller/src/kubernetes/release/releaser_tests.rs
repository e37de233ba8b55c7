use kube::runtime::watcher::Event;
use serde_json::json;

use super::*;
use crate::kubernetes::api::names;
use crate::operations::Operations;

const DRIVER: &str = "csi.berth.dev";

impl Releaser {
    fn apply(&mut self, event: Event<Volume>) -> Vec<String> {
        Controller::<Context<Operations>>::note(self, &Change::Volume(event))
    }

    fn done(&mut self, name: &str, uid: &str, outcome: VolumeOutcome) -> Verdict {
        Controller::<Context<Operations>>::settle(self, name, (uid.to_owned(), outcome), Instant::now())
    }

    fn lane_of(&self, name: &str) -> String {
        Controller::<Context<Operations>>::lane(self, name).to_string()
    }
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

fn released() -> Releaser {
    let mut state = Releaser::new(DRIVER);
    assert!(state.apply(Event::Apply(volume("pvc-u", "Bound"))).is_empty());
    let keys = state.apply(Event::Apply(volume("pvc-u", "Released")));
    assert_eq!(keys, ["pvc-u"]);
    state
}

fn deletion(name: &str, deleted: bool) -> VolumeStep {
    VolumeStep { name: name.into(), uid: "v".into(), step: Step::Delete, deleted, kept_by: None }
}

#[test]
fn a_deleted_volume_is_finished_before_any_watch_shows_it() {
    let mut state = released();
    assert_eq!(state.step("pvc-u"), Some(deletion("pvc-u", false)));
    assert_eq!(state.done("pvc-u", "v", VolumeOutcome::Gone), Verdict::Done);
    // The deletion shows as a change first.
    state.apply(Event::Apply(volume("pvc-u", "Released")));
    assert_eq!(state.step("pvc-u"), None);
    state.apply(Event::Delete(volume("pvc-u", "Released")));
    assert!(state.volumes.items().is_empty());
}

#[test]
fn a_backing_volume_is_not_deleted_twice_though_its_object_stays() {
    let mut state = released();
    assert_eq!(state.done("pvc-u", "v", VolumeOutcome::Failed { deleted: true }), Verdict::Retry);
    assert_eq!(state.step("pvc-u"), Some(deletion("pvc-u", true)));
    state.apply(Event::Apply(volume("pvc-u", "Released")));
    assert_eq!(state.step("pvc-u"), Some(deletion("pvc-u", true)));
}

#[test]
fn what_was_finished_for_one_object_says_nothing_of_the_next_with_its_name() {
    let mut state = released();
    state.done("pvc-u", "v", VolumeOutcome::Gone);
    let mut next = volume("pvc-u", "Released");
    next.metadata.uid = Some("w".into());
    state.apply(Event::Apply(next));
    let expected = VolumeStep { uid: "w".into(), ..deletion("pvc-u", false) };
    assert_eq!(state.step("pvc-u"), Some(expected));
    // News of work that was begun on the first one changes nothing.
    state.done("pvc-u", "v", VolumeOutcome::Failed { deleted: true });
    assert!(state.step("pvc-u").is_some_and(|step| !step.deleted));
}

#[test]
fn a_patched_finalizer_is_known_before_any_watch_shows_it() {
    let mut state = Releaser::new(DRIVER);
    let mut unheld = volume("pvc-u", "Bound");
    unheld.metadata.finalizers = None;
    assert_eq!(state.apply(Event::Apply(unheld)), ["pvc-u"]);
    assert!(state.step("pvc-u").is_some_and(|step| step.step == Step::AddFinalizer));
    let patched = VolumeOutcome::Changed(Box::new(volume("pvc-u", "Bound")));
    assert_eq!(state.done("pvc-u", "v", patched), Verdict::Done);
    assert_eq!(state.step("pvc-u"), None);
}

#[test]
fn a_volume_in_the_cluster_costs_little_memory() {
    // Name, UID and, of one of ours, the id of at most 128 bytes are the only parts on the heap.
    assert!(size_of::<Known>() <= 40, "{}", size_of::<Known>());
}

#[test]
fn a_backing_volume_is_kept_for_as_long_as_another_object_stands_for_it() {
    let mut state = Releaser::new(DRIVER);
    let copy = |phase: &str| {
        let mut copy = volume("copy", phase);
        copy.spec.csi.as_mut().unwrap().volume_handle = "berth://nfs-a/export#pv".to_owned();
        copy
    };
    state.apply(Event::Apply(copy("Bound")));
    state.apply(Event::Apply(volume("pv", "Released")));
    assert_eq!(state.step("pv").unwrap().kept_by.as_deref(), Some("copy"));
    // Both are to go: the first takes the backing volume with it.
    state.apply(Event::Apply(copy("Released")));
    assert_eq!(state.step("pv"), Some(deletion("pv", false)));
    state.apply(Event::Apply(copy("Bound")));
    assert_eq!(state.apply(Event::Delete(copy("Bound"))), ["pv"]);
    assert_eq!(state.step("pv"), Some(deletion("pv", false)));
}

#[test]
fn a_volume_is_in_the_lane_of_its_server() {
    let mut state = Releaser::new(DRIVER);
    state.apply(Event::Apply(volume("pv", "Released")));
    assert_eq!(state.lane_of("pv"), "nfs-a");
    assert_eq!(state.lane_of("unknown"), "");
}
