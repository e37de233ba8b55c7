//! What a class had begun before it was replaced.

use super::*;

#[test]
fn what_a_replaced_class_had_begun_is_ended_although_the_save_failed_at_first() {
    for failures in 1..3 {
        let mut state = replaced("u");
        let second = attempt(&mut state, "u");
        assert_eq!(second.class.uid(), "c-2");
        assert_eq!(state.done("u", ClaimOutcome::Unsaved(unsaved(second)), Instant::now()), Verdict::Retry);
        for _ in 0..failures {
            let step = state.step("u", Instant::now());
            let Decision::Act(ClaimStep::Save(again)) = step else { panic!("{step:?}") };
            state.done("u", ClaimOutcome::Unsaved(again), Instant::now());
        }
        let Decision::Act(ClaimStep::Save(last)) = state.step("u", Instant::now()) else { panic!("a save") };
        let now = Instant::now();
        assert_eq!(state.done("u", saved(last.attempt), now), Verdict::At(now));
        for _ in 0..2 {
            assert_eq!(ended(&mut state, "u"), ("c-1".to_owned(), created().id));
            assert_eq!(state.done("u", ClaimOutcome::Ended(false), now), Verdict::Retry);
        }
        assert_eq!(state.done("u", ClaimOutcome::Ended(true), now), Verdict::Done);
        assert!(is_nothing(&state.step("u", now)) && state.progress.is_empty());
    }
}

#[test]
fn what_a_replaced_class_had_begun_outlives_a_save_that_panics() {
    let mut state = replaced("u");
    let second = attempt(&mut state, "u");
    state.done("u", ClaimOutcome::Unsaved(unsaved(second)), Instant::now());
    let Decision::Act(step) = state.step("u", Instant::now()) else { panic!("a save") };
    let outcome = <Provisioner as Controller<Context<Operations>>>::panicked(&step);
    assert_eq!(state.done("u", outcome, Instant::now()), Verdict::Retry);
    let second = attempt(&mut state, "u");
    assert_eq!(second.class.uid(), "c-2");
    state.done("u", saved(second), Instant::now());
    assert_eq!(ended(&mut state, "u").0, "c-1");
}

#[test]
fn of_what_several_classes_had_begun_each_gets_its_turn_to_be_ended() {
    let mut state = replaced("u");
    let second = attempt(&mut state, "u");
    state.done("u", ClaimOutcome::Failed(second, Finality::InBackground), Instant::now());
    state.apply(&Change::Class(Event::Apply(class("c-3"))));
    let third = attempt(&mut state, "u");
    state.done("u", saved(third), Instant::now());
    for (class_uid, done) in [("c-1", false), ("c-2", true), ("c-1", false), ("c-1", true)] {
        assert_eq!(ended(&mut state, "u").0, class_uid);
        state.done("u", ClaimOutcome::Ended(done), Instant::now());
    }
    assert!(state.progress.is_empty());
}

#[test]
fn a_claim_without_its_volume_object_does_not_wait_for_what_is_to_be_ended() {
    let mut state = replaced("u");
    let second = attempt(&mut state, "u");
    state.done("u", saved(second), Instant::now());
    state.apply(&Change::Volume(Event::Apply(volume("pvc-u"))));
    assert_eq!(ended(&mut state, "u").0, "c-1");
    state.done("u", ClaimOutcome::Ended(false), Instant::now());
    assert_eq!(state.apply(&Change::Volume(Event::Delete(volume("pvc-u")))), ["u"]);
    let again = attempt(&mut state, "u");
    assert_eq!(again.class.uid(), "c-2");
    state.done("u", saved(again), Instant::now());
    assert_eq!(ended(&mut state, "u").0, "c-1", "it is not forgotten");
}

#[test]
fn what_a_replaced_class_had_begun_is_ended_when_the_volume_is_found_saved() {
    let identity = "0123456789abcdef0123456789abcdef";
    for (found, expected) in [
        (volume_on("berth://nfs/b#pvc-u", Some(identity)), true),
        // Nobody could tell it from what was begun.
        (volume_on("berth://nfs/b#pvc-u", None), false),
        (volume("pvc-u"), false),
    ] {
        let mut state = replaced("u");
        let second = attempt(&mut state, "u");
        state.done("u", ClaimOutcome::Failed(second, Finality::InBackground), Instant::now());
        state.apply(&Change::Volume(Event::Apply(found)));
        if expected {
            let Decision::Act(ClaimStep::End(begun, kept)) = state.step("u", Instant::now()) else { panic!("an end") };
            assert_eq!((begun.class.uid(), &*kept.id), ("c-1", "berth://nfs/b#pvc-u"));
            assert_eq!(kept.context["shareIdentity"], identity);
            assert_eq!(state.done("u", ClaimOutcome::Ended(true), Instant::now()), Verdict::Done);
        }
        assert!(is_nothing(&state.step("u", Instant::now())));
        assert!(state.progress.is_empty());
    }
}
