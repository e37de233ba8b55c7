//! Tells people about volume objects that will not do what they seem to say.
//!
//! kubelet tells a node the first of a volume's access modes and no other. So a volume that lists `ReadOnlyMany` before a mode
//! for writing is bound to claims that want to write, and its pods find it read-only, unless its attributes carry all modes: those of volumes that the
//! controller has made do.
//!
//! # Guarantees
//! - Each object is told of once while this process leads, and once more when it was in order meanwhile.

use std::sync::Arc;

use tokio::time::Instant;

use super::api::objects::{CsiSource, Volume};
use super::api::watch::{Change, Kind};
use super::context::Context;
use super::events::Reason;
use super::runner::{Controller, Decision, News, Store, Verdict};
use crate::operations::Volumes;

const READ_ONLY: &str = "ReadOnlyMany";

/// The controller; an item is the name of a volume.
#[derive(Debug)]
pub(crate) struct Advice {
    driver: String,
    /// Volumes that are read-only against their word.
    volumes: Store<Misleading>,
}

/// A volume that lists `ReadOnlyMany` first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misleading {
    name: Box<str>,
    uid: Box<str>,
    /// A mode for writing that it lists as well.
    writing: Box<str>,
    /// Somebody was told.
    told: bool,
}

impl Misleading {
    fn of(volume: &Volume, driver: &str) -> Option<Self> {
        let modes = &volume.spec.access_modes;
        let is_concerned = |csi: &CsiSource| csi.driver == driver && !csi.tells_of_writing(READ_ONLY);
        if !volume.spec.csi.as_ref().is_some_and(is_concerned)
            || modes.first()? != READ_ONLY
            || volume.metadata.deletion_timestamp.is_some()
        {
            return None;
        }
        let writing = modes.iter().find(|mode| *mode != READ_ONLY)?.as_str().into();
        Some(Self { name: volume.name().into(), uid: volume.uid().into(), writing, told: false })
    }
}

impl Advice {
    /// On the volumes of `driver`.
    pub(crate) fn new(driver: &str) -> Self {
        Self { driver: driver.to_owned(), volumes: Store::default() }
    }
}

impl<V: Volumes> Controller<Context<V>> for Advice {
    const ITEMS: &'static str = "advice";
    const WORK: &'static str = "advice on a volume";
    const INTERESTS: &'static [Kind] = &[Kind::Volume];

    type Step = Misleading;
    /// The UID of the object that was told of.
    type Outcome = Box<str>;

    fn note(&mut self, change: &Change) -> Vec<String> {
        let Change::Volume(event) = change else { return Vec::new() };
        let news = self.volumes.follow(event, Volume::name, |volume| Misleading::of(volume, &self.driver));
        let News::Here(name, before) = news else { return Vec::new() };
        let Some(volume) = self.volumes.get_mut(&name) else { return Vec::new() };
        volume.told = before.is_some_and(|before| before.told && before.uid == volume.uid);
        if volume.told { Vec::new() } else { vec![name] }
    }

    fn decide(&mut self, name: &str, _now: Instant) -> Decision<Misleading> {
        let volume = self.volumes.get(name).filter(|volume| !volume.told);
        volume.cloned().map_or(Decision::Rest(Verdict::Done), Decision::Act)
    }

    async fn act(context: Arc<Context<V>>, volume: Misleading) -> Box<str> {
        let text = format!(
            "pods get this volume read-only: spec.accessModes lists {READ_ONLY} first, and kubelet tells a node only the first \
             mode; put {writing} first, write {READ_ONLY},{writing} into the volume attribute accessModes, or make a PersistentVolume of its \
             own for those who only read",
            writing = volume.writing
        );
        context.recorder.volume_named(&volume.name, &volume.uid, Reason::MountedReadOnly, text);
        volume.uid
    }

    fn panicked(step: &Misleading) -> Box<str> {
        step.uid.clone()
    }

    fn settle(&mut self, name: &str, uid: Box<str>, _now: Instant) -> Verdict {
        if let Some(volume) = self.volumes.get_mut(name).filter(|volume| volume.uid == uid) {
            volume.told = true;
        }
        Verdict::Done
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::watcher::Event;
    use serde_json::{Value, json};

    use super::*;
    use crate::operations::Operations;

    const DRIVER: &str = "csi.berth.dev";

    fn volume(uid: &str, modes: &Value) -> Volume {
        let spec = json!({"accessModes": modes, "csi": {"driver": DRIVER, "volumeHandle": "h"}});
        serde_json::from_value(json!({"metadata": {"name": "pv", "uid": uid}, "spec": spec})).unwrap()
    }

    /// Shows `volume`; the mode for writing that is told of, if any.
    fn shown(advice: &mut Advice, volume: Volume) -> Option<String> {
        let change = Change::Volume(Event::Apply(volume));
        if Controller::<Context<Operations>>::note(advice, &change).is_empty() {
            return None;
        }
        let now = Instant::now();
        let decision = Controller::<Context<Operations>>::decide(advice, "pv", now);
        let Decision::Act(told) = decision else { panic!("{decision:?}") };
        Controller::<Context<Operations>>::settle(advice, "pv", told.uid, now);
        Some(told.writing.into())
    }

    #[test]
    fn a_volume_that_lists_reading_before_writing_is_told_of_once() {
        let mut advice = Advice::new(DRIVER);
        let (wrong, right) = (json!(["ReadOnlyMany", "ReadWriteOnce"]), json!(["ReadWriteOnce", "ReadOnlyMany"]));
        assert_eq!(shown(&mut advice, volume("u", &wrong)).as_deref(), Some("ReadWriteOnce"));
        assert_eq!(shown(&mut advice, volume("u", &wrong)), None);
        assert_eq!(shown(&mut advice, volume("u", &right)), None);
        assert!(shown(&mut advice, volume("u", &wrong)).is_some(), "it was in order meanwhile");
        assert!(shown(&mut advice, volume("v", &wrong)).is_some(), "another object of that name");
    }

    #[test]
    fn one_that_takes_the_name_while_another_is_told_of_is_told_of_too() {
        let mut advice = Advice::new(DRIVER);
        let wrong = json!(["ReadOnlyMany", "ReadWriteOnce"]);
        let now = Instant::now();
        for uid in ["first", "second"] {
            let change = Change::Volume(Event::Apply(volume(uid, &wrong)));
            assert_eq!(Controller::<Context<Operations>>::note(&mut advice, &change), ["pv"], "{uid}");
        }
        // What was told of is the first.
        Controller::<Context<Operations>>::settle(&mut advice, "pv", "first".into(), now);
        let decision = Controller::<Context<Operations>>::decide(&mut advice, "pv", now);
        assert!(matches!(&decision, Decision::Act(told) if *told.uid == *"second"), "{decision:?}");
        Controller::<Context<Operations>>::settle(&mut advice, "pv", "second".into(), now);
        let decision = Controller::<Context<Operations>>::decide(&mut advice, "pv", now);
        assert!(matches!(decision, Decision::Rest(Verdict::Done)), "{decision:?}");
    }

    #[test]
    fn volumes_that_do_what_they_say_and_those_of_others_are_nobodys_business() {
        let mut advice = Advice::new(DRIVER);
        for modes in [json!(["ReadOnlyMany"]), json!(["ReadWriteMany", "ReadOnlyMany"]), json!([]), json!(null)] {
            assert_eq!(shown(&mut advice, volume("u", &modes)), None, "{modes}");
        }
        let mut foreign = volume("u", &json!(["ReadOnlyMany", "ReadWriteMany"]));
        foreign.spec.csi.as_mut().unwrap().driver = "another".to_owned();
        assert_eq!(shown(&mut advice, foreign), None);
        for (attribute, told) in [
            ("ReadOnlyMany,ReadWriteMany", false),
            ("readonlymany,readwriteonce", false),
            ("ReadWriteMany", true),
            ("ReadOnlyMany", true),
        ] {
            let csi = json!({"driver": DRIVER, "volumeHandle": "h", "volumeAttributes": {"AccessModes": attribute}});
            let spec = json!({"accessModes": ["ReadOnlyMany", "ReadWriteMany"], "csi": csi});
            let volume = serde_json::from_value(json!({"metadata": {"name": "pv", "uid": attribute}, "spec": spec}));
            assert_eq!(shown(&mut advice, volume.unwrap()).is_some(), told, "{attribute}");
        }
    }
}
