//! Takes up each share that classes and volumes of ours name: what an earlier process left undone there is gone on with. Tells the
//! operations which volumes are on each.

use std::collections::HashMap;
use std::sync::Arc;

use ::volume::{Server, SharePath};
use kube::runtime::watcher::Event;
use tokio::time::Instant;

use super::api::objects::{CsiSource, Volume};
use super::api::watch::{Change, Kind};
use super::context::Context;
use super::places::{share_of_class, share_of_volume};
use super::runner::{Controller, Decision, Lane, Store, Verdict};
use crate::operations::{Catalogue, KnownVolume, Volumes};

/// The controller; an item is a share, as `SERVER:PATH`.
#[derive(Debug)]
pub(crate) struct Shares {
    driver: String,
    /// Every share that was ever named.
    known: HashMap<String, (Server, SharePath)>,
    /// What the operations are told of volumes.
    catalogue: Catalogue,
    /// By name: the volumes that they have been told of.
    told: Store<KnownVolume>,
}

impl Shares {
    /// Of the classes and volumes of `driver`.
    pub(crate) fn new(driver: &str, catalogue: Catalogue) -> Self {
        Self { driver: driver.to_owned(), known: HashMap::new(), catalogue, told: Store::default() }
    }

    fn tell(&mut self, event: &Event<Volume>) {
        let (driver, catalogue) = (&self.driver, &self.catalogue);
        self.told.follow(event, Volume::name, |volume| {
            let (server, share) = share_of_volume(volume).filter(|_| volume.is_of(driver))?;
            let made_on = volume.spec.csi.as_ref().and_then(CsiSource::made_on);
            Some(catalogue.add(&server, &share, made_on))
        });
        if matches!(event, Event::InitDone) {
            self.catalogue.set_complete();
        }
    }
}

impl<V: Volumes> Controller<Context<V>> for Shares {
    const ITEMS: &'static str = "shares";
    const WORK: &'static str = "taking up a share";
    const INTERESTS: &'static [Kind] = &[Kind::Class, Kind::Volume];

    type Step = (Server, SharePath);
    /// Whether it is done.
    type Outcome = bool;

    fn note(&mut self, change: &Change) -> Vec<String> {
        if let Change::Volume(event) = change {
            self.tell(event);
        }
        let named = match change {
            Change::Class(Event::InitApply(class) | Event::Apply(class)) if class.is_of(&self.driver) => {
                share_of_class(class)
            }
            Change::Volume(Event::InitApply(volume) | Event::Apply(volume)) if volume.is_of(&self.driver) => {
                share_of_volume(volume)
            }
            _ => None,
        };
        let Some((server, share)) = named else { return Vec::new() };
        let key = format!("{server}:{}", share.as_str());
        let before = self.known.insert(key.clone(), (server, share));
        if before.is_none() { vec![key] } else { Vec::new() }
    }

    fn lane(&self, key: &str) -> Lane {
        self.known.get(key).map(|(server, _)| server.to_string()).unwrap_or_default().into()
    }

    fn decide(&mut self, key: &str, _now: Instant) -> Decision<Self::Step> {
        match self.known.get(key) {
            Some(share) => Decision::Act(share.clone()),
            None => Decision::Rest(Verdict::Done),
        }
    }

    async fn act(context: Arc<Context<V>>, (server, share): Self::Step) -> bool {
        context.volumes.resume(&server, &share);
        true
    }

    fn panicked(_step: &Self::Step) -> bool {
        false
    }

    fn settle(&mut self, _key: &str, done: bool, _now: Instant) -> Verdict {
        if done { Verdict::Done } else { Verdict::Retry }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::api::objects::Class;
    use ::volume::ShareIdentity;

    use super::*;
    use crate::operations::Operations;

    const DRIVER: &str = "csi.berth.dev";

    fn class(provisioner: &str, share: &str) -> Change {
        let class: Class = serde_json::from_value(json!({
            "metadata": {"name": "c"}, "provisioner": provisioner, "parameters": {"server": "nfs", "share": share},
        }))
        .unwrap();
        Change::Class(Event::Apply(class))
    }

    fn volume(handle: &str) -> Change {
        let csi = json!({"driver": DRIVER, "volumeHandle": handle});
        let volume: Volume = serde_json::from_value(json!({"metadata": {"name": "pv"}, "spec": {"csi": csi}})).unwrap();
        Change::Volume(Event::Apply(volume))
    }

    #[test]
    fn each_share_of_our_classes_and_volumes_is_taken_up_once() {
        let mut shares = Shares::new(DRIVER, Catalogue::default());
        let mut note = |change: Change| Controller::<Context<Operations>>::note(&mut shares, &change);
        for foreign in [class("other", "/foreign"), class(DRIVER, "not a path"), volume("of another kind")] {
            assert!(note(foreign).is_empty());
        }
        assert_eq!(note(class(DRIVER, "/a")), ["nfs:/a"]);
        assert!(note(volume("berth://nfs/a#pvc-1")).is_empty(), "it is known from its class");
        assert_eq!(note(volume("berth://nfs:2050/b#pvc-2")), ["nfs:2050:/b"]);
        assert!(note(volume("berth://nfs:2050/b#pvc-3")).is_empty());
        let share = Controller::<Context<Operations>>::decide(&mut shares, "nfs:2050:/b", Instant::now());
        let expected = ("nfs:2050".parse().unwrap(), "/b".parse().unwrap());
        assert_eq!(share, Decision::Act(expected));
        assert_eq!(&*Controller::<Context<Operations>>::lane(&shares, "nfs:2050:/b"), "nfs:2050");
    }

    #[test]
    fn the_operations_are_told_of_each_volume_as_long_as_its_object_is_there() {
        let catalogue = Catalogue::default();
        let mut shares = Shares::new(DRIVER, catalogue.clone());
        let mut note = |event: Event<Volume>| {
            Controller::<Context<Operations>>::note(&mut shares, &Change::Volume(event));
        };
        let volume = |name: &str, driver: &str, identity: Option<ShareIdentity>| -> Volume {
            let attributes = identity.map(|identity| json!({"shareIdentity": identity.to_string()}));
            let csi = json!({"driver": driver, "volumeHandle": "berth://nfs/a#pvc-1", "volumeAttributes": attributes});
            serde_json::from_value(json!({"metadata": {"name": name}, "spec": {"csi": csi}})).unwrap()
        };
        let share = catalogue.expected(&"nfs".parse().unwrap(), &"/a".parse().unwrap());
        let (one, other) = (ShareIdentity::new(1), ShareIdentity::new(2));
        note(Event::Init);
        note(Event::InitApply(volume("foreign", "other", Some(other))));
        assert!(!share.has_volumes());
        note(Event::InitApply(volume("pv", DRIVER, Some(one))));
        share.found(other);
        note(Event::InitDone);
        assert_eq!((share.admits(Some(other)), share.admits(Some(one))), (Err(one), Ok(())));
        // The same object again, and another list.
        note(Event::Apply(volume("pv", DRIVER, Some(one))));
        note(Event::Init);
        note(Event::InitApply(volume("pv", DRIVER, Some(one))));
        note(Event::InitDone);
        assert!(share.has_volumes());
        note(Event::Delete(volume("pv", DRIVER, Some(one))));
        assert!(!share.has_volumes());
        assert_eq!(share.admits(Some(one)), Ok(()), "every volume is known, and none is there");
    }
}
