//! Takes the startup taint from a node once the node plugin has registered there.
//!
//! A node that joins is ready before the plugin runs on it, and pods that come too early hang until kubelet tries again. So
//! an administrator lets nodes join with the taint `DRIVER/agent-not-ready`, and it goes when the node's `CSINode` lists the
//! driver. The node plugin has no access to the API server, so it is done here.
//!
//! # Guarantees
//! - Only taints with our key are removed, of whatever effect and value. Others stay as they are, whoever changes them at the
//!   same time: the patch holds for the version of the node that was read, and is repeated from there when it came too late.
//! - A `CSINode` that an earlier node of the same name has left behind says nothing about this one.

use std::sync::Arc;

use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::api::errors::{explain, is_code};
use super::api::objects::{CsiNode, Node};
use super::api::watch::{Change, Kind};
use super::context::Context;
use super::runner::{Controller, Decision, Store, Verdict};
use crate::operations::Volumes;

/// The controller; an item is the name of a node.
#[derive(Debug)]
pub(crate) struct StartupTaint {
    driver: String,
    /// UIDs of the nodes that carry the taint.
    tainted: Store<Box<str>>,
    /// The `CSINode`s that list the driver, and the UIDs of the nodes that they are about.
    registered: Store<Option<Box<str>>>,
}

/// A node to take the taint from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tainted {
    name: String,
    uid: String,
}

/// Key of the driver's startup taint.
fn key(driver: &str) -> String {
    format!("{driver}/agent-not-ready")
}

fn is_ours(taint: &Value, driver: &str) -> bool {
    taint["key"] == key(driver)
}

impl StartupTaint {
    /// Of the nodes that run the plugin of `driver`.
    pub(crate) fn new(driver: &str) -> Self {
        Self { driver: driver.to_owned(), tainted: Store::default(), registered: Store::default() }
    }

    fn due(&self, name: &str) -> Option<Tainted> {
        let uid = self.tainted.get(name)?;
        let about = self.registered.get(name)?;
        let is_this = about.as_ref().is_none_or(|about| about == uid);
        is_this.then(|| Tainted { name: name.to_owned(), uid: uid.to_string() })
    }
}

impl<V: Volumes> Controller<Context<V>> for StartupTaint {
    const ITEMS: &'static str = "nodes";
    const WORK: &'static str = "work on a node";
    const INTERESTS: &'static [Kind] = &[Kind::Node, Kind::CsiNode];
    /// The rights for it may be missing for ever, and no other replica has them.
    const ESSENTIAL: bool = false;

    type Step = Tainted;
    /// Whether there is nothing left to do.
    type Outcome = bool;

    fn note(&mut self, change: &Change) -> Vec<String> {
        let driver = &self.driver;
        let name = match change {
            Change::Node(event) => {
                let tainted = |node: &Node| node.spec.taints.iter().any(|taint| is_ours(taint, driver));
                let keep = |node: &Node| tainted(node).then(|| node.uid().into());
                self.tainted.follow(event, Node::name, keep).here()
            }
            Change::CsiNode(event) => {
                let keep = |node: &CsiNode| node.lists(driver).then(|| node.node_uid().map(Into::into));
                self.registered.follow(event, CsiNode::name, keep).here()
            }
            _ => None,
        };
        name.into_iter().filter(|name| self.due(name).is_some()).collect()
    }

    fn decide(&mut self, name: &str, _now: Instant) -> Decision<Tainted> {
        self.due(name).map_or(Decision::Rest(Verdict::Done), Decision::Act)
    }

    async fn act(context: Arc<Context<V>>, node: Tainted) -> bool {
        match remove(&context, &node).await {
            Ok(done) => done,
            Err(error) => {
                warn!(node = node.name, error = explain(&error), "the startup taint is not removed; it is tried again");
                false
            }
        }
    }

    fn panicked(_step: &Tainted) -> bool {
        false
    }

    fn settle(&mut self, _name: &str, done: bool, _now: Instant) -> Verdict {
        if done { Verdict::Done } else { Verdict::Retry }
    }
}

/// Removes the taint from the node as it is now; `false` when somebody else wrote the node in between.
async fn remove<V>(context: &Context<V>, node: &Tainted) -> Result<bool, kube::Error> {
    let api: Api<Node> = Api::all(context.client.clone());
    let driver = &context.config.driver_name;
    let Some(live) = api.get_opt(&node.name).await?.filter(|live| live.uid() == node.uid) else { return Ok(true) };
    let others: Vec<&Value> = live.spec.taints.iter().filter(|taint| !is_ours(taint, driver)).collect();
    if others.len() == live.spec.taints.len() {
        return Ok(true);
    }
    if !context.term.is_held() {
        return Ok(false);
    }
    let taints = if others.is_empty() { Value::Null } else { json!(others) };
    let version = &live.metadata.resource_version;
    let patch = Patch::Merge(json!({"metadata": {"resourceVersion": version}, "spec": {"taints": taints}}));
    match api.patch(&node.name, &PatchParams::default(), &patch).await {
        Ok(_) => {
            info!(
                node = node.name,
                taint = key(driver),
                "the startup taint is removed: the node plugin has registered"
            );
            Ok(true)
        }
        Err(error) if is_code(&error, 404) => Ok(true),
        Err(error) if is_code(&error, 409) => {
            debug!(node = node.name, "the node was written meanwhile; it is looked at again");
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::watcher::Event;

    use super::*;
    use crate::operations::Operations;

    const DRIVER: &str = "csi.berth.dev";

    fn node(uid: &str, taints: &Value) -> Node {
        serde_json::from_value(json!({"metadata": {"name": "n", "uid": uid}, "spec": {"taints": taints}})).unwrap()
    }

    fn tainted(uid: &str) -> Node {
        node(uid, &json!([{"key": "csi.berth.dev/agent-not-ready", "effect": "NoExecute", "value": "x"}]))
    }

    fn csi_node(drivers: &Value, owners: &Value) -> CsiNode {
        let metadata = json!({"name": "n", "ownerReferences": owners});
        serde_json::from_value(json!({"metadata": metadata, "spec": {"drivers": drivers}})).unwrap()
    }

    fn registered(node_uid: &str) -> CsiNode {
        let owners = json!([{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": node_uid}]);
        csi_node(&json!([{"name": "other"}, {"name": DRIVER}]), &owners)
    }

    /// Notes what each of these shows; which nodes need a look, one after the other.
    fn notes(changes: impl IntoIterator<Item = Change>) -> Vec<Vec<String>> {
        let mut controller = StartupTaint::new(DRIVER);
        let note = |change| Controller::<Context<Operations>>::note(&mut controller, &change);
        changes.into_iter().map(note).collect()
    }

    #[test]
    fn a_node_needs_a_look_when_it_has_the_taint_and_its_driver_is_registered_in_either_order() {
        let node = || Change::Node(Event::Apply(tainted("u")));
        let csi_node = || Change::CsiNode(Event::Apply(registered("u")));
        assert_eq!(notes([node(), csi_node()]), [vec![], vec!["n".to_owned()]]);
        assert_eq!(notes([csi_node(), node()]), [vec![], vec!["n".to_owned()]]);
    }

    #[test]
    fn a_node_without_the_taint_or_the_driver_needs_none() {
        let other = json!([{"key": "efs.csi.aws.com/agent-not-ready"}, {"key": "csi.berth.dev/x"}]);
        for (node, csi_node) in [
            (node("u", &other), registered("u")),
            (node("u", &json!(null)), registered("u")),
            (tainted("u"), csi_node(&json!([{"name": "other"}]), &json!(null))),
            (tainted("u"), csi_node(&json!(null), &json!(null))),
        ] {
            let notes = notes([Change::Node(Event::Apply(node)), Change::CsiNode(Event::Apply(csi_node))]);
            assert_eq!(notes.concat(), Vec::<String>::new());
        }
    }

    #[test]
    fn what_an_earlier_node_of_the_name_has_left_behind_says_nothing() {
        let changes = [
            Change::CsiNode(Event::Apply(registered("old"))),
            Change::Node(Event::Apply(tainted("new"))),
            Change::CsiNode(Event::Delete(registered("old"))),
            Change::CsiNode(Event::Apply(registered("new"))),
        ];
        assert_eq!(notes(changes), [vec![], vec![], vec![], vec!["n".to_owned()]]);
        let unowned = csi_node(&json!([{"name": DRIVER}]), &json!(null));
        let changes = [Change::CsiNode(Event::Apply(unowned)), Change::Node(Event::Apply(tainted("new")))];
        assert_eq!(notes(changes), [vec![], vec!["n".to_owned()]], "nobody says whose it is");
    }
}
