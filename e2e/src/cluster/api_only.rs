//! An API server without nodes, for tests of what talks to nothing else.

use std::path::PathBuf;

use labkit::{
    base::{LabError, process},
    parts::Kubernetes,
};

use super::{
    control_plane::{self, Programs},
    network,
    pki::Pki,
    state::StateDir,
};

/// etcd and kube-apiserver, and what else there is to them, in a network namespace of their own, until dropped.
#[derive(Debug)]
pub struct ApiOnly {
    state: StateDir,
}

impl ApiOnly {
    /// Starts them below `lab`, with kube-controller-manager and kube-scheduler, and moves the calling thread into their
    /// namespace.
    pub fn start(lab: &StateDir, programs: &Programs, kubernetes: Kubernetes) -> Result<Self, LabError> {
        let (api, pki) = Self::begin(lab, programs, kubernetes)?;
        control_plane::start_controllers(programs, &api.state, &pki)?;
        Ok(api)
    }

    /// The same without them: an object stays as it is made.
    pub fn start_alone(lab: &StateDir, programs: &Programs, kubernetes: Kubernetes) -> Result<Self, LabError> {
        Self::begin(lab, programs, kubernetes).map(|(api, _)| api)
    }

    fn begin(lab: &StateDir, programs: &Programs, kubernetes: Kubernetes) -> Result<(Self, Pki), LabError> {
        let state = lab.nested("api")?;
        let api = Self { state };
        let holder = network::hold(&api.state)?;
        network::enter(holder.pid)?;
        network::build(&[])?;
        let pki = Pki::create(&api.state.file("pki"))?;
        control_plane::start_api(programs, kubernetes.policy_flags(), &api.state, &pki)?;
        Ok((api, pki))
    }

    /// A file beside theirs.
    pub fn file(&self, name: &str) -> PathBuf {
        self.state.file(name)
    }

    /// Logs of their processes.
    pub fn logs(&self) -> PathBuf {
        self.state.logs()
    }

    /// Kubeconfig of an administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.state.file("pki/admin.kubeconfig")
    }
}

impl Drop for ApiOnly {
    fn drop(&mut self) {
        // What is left, if anything, is found by its mark at the next start.
        let _ = process::end_all(self.state.root());
    }
}
