//! The provisioner against a fake API server: every flow, and the faults that only a fake can have.

#![allow(clippy::unwrap_used, reason = "the parts shared by the tests fail like the tests themselves")]

#[path = "kubernetes/cluster.rs"]
mod cluster;
#[path = "kubernetes/fake/mod.rs"]
mod fake;
#[path = "kubernetes/faults.rs"]
mod faults;
#[path = "kubernetes/flows/mod.rs"]
mod flows;
#[path = "kubernetes/recording.rs"]
mod recording;
#[path = "kubernetes/refusal.rs"]
mod refusal;
#[path = "kubernetes/silence.rs"]
mod silence;
#[path = "kubernetes/starvation.rs"]
mod starvation;
#[path = "kubernetes/stuck.rs"]
mod stuck;

use std::future::{Ready, ready};

use http::Method;

use self::cluster::Cluster;
use self::fake::{Call, FakeApi, Fate, Fault};

impl Cluster for FakeApi {
    fn client(&self) -> kube::Client {
        Self::client(self)
    }

    async fn namespace(&self, name: &str) -> String {
        name.to_owned()
    }

    async fn refuse_saves(&self, _driver: &str) {
        self.refuse(Fault {
            call: Call::Of(Method::POST),
            plural: "persistentvolumes",
            fate: Fate::Refused(403),
            times: None,
        });
    }

    async fn allow_saves(&self, _driver: &str) {
        self.refuse_nothing();
    }
}

fn start() -> Ready<FakeApi> {
    ready(FakeApi::start())
}

flows::every_flow!(crate::start);
