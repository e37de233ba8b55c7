//! What a lab goes through: programs of it end, machines lose their power, and nodes leave and come back.

use std::{process::Command, time::Duration};

use k8s_openapi::api::{coordination::v1::Lease, core::v1::Node, storage::v1::CSINode};
use labkit::base::{Daemon, LabError};

use super::{
    Lab,
    api::name_of,
    control_plane::{self, API_SERVER, CONTROLLER_MANAGER, SCHEDULER},
    machine::Machine,
    nfs, node,
};

impl Lab {
    /// Kills the API server, does `work`, and starts it again, whatever came of that. Returns when it is ready. The other
    /// programs of the control plane are started anew then: what they ask again by themselves, they ask up to a minute later.
    pub fn without_api<T>(&self, work: impl FnOnce() -> Result<T, LabError>) -> Result<T, LabError> {
        let (_lock, logs) = (self.state.lock()?, self.state.logs());
        let absent = || LabError::Precondition("the lab has no note of what it runs".to_owned());
        let mut note = self.state.note().ok_or_else(absent)?;
        let [api, others @ ..] = [API_SERVER, CONTROLLER_MANAGER, SCHEDULER]
            .map(|name| note.daemon(name).and_then(|daemon| Ok((daemon.clone(), daemon.command()?))));
        let (api, others) = (api?, others.into_iter().collect::<Result<Vec<_>, _>>()?);
        // Whoever comes next finds a whole lab, if there is a way to it.
        let done = api.0.kill().and_then(|()| work());
        let mut again = |(daemon, command): (Daemon, Command)| {
            daemon.kill()?;
            let slot = note.daemon(&daemon.name)?;
            *slot = Daemon::start(&daemon.name, command, &logs)?;
            let started = slot.clone();
            self.state.write_note(&note).map(|()| started)
        };
        let api = again(api)?;
        let ready = control_plane::until_ready(&self.cluster, &[&api]);
        let others = others.into_iter().map(again).collect::<Result<Vec<_>, _>>();
        let done = done?;
        ready?;
        others.map(|_| done)
    }

    /// Cuts the power of a node or of the NFS server, does `work`, and switches the machine on again, whatever came of that. Returns
    /// when its programs run, not when a node is Ready.
    pub fn without_power<T>(&self, machine: &str, work: impl FnOnce() -> Result<T, LabError>) -> Result<T, LabError> {
        let machine = self.machine(machine)?;
        let cut = machine.cut_power()?;
        let done = work();
        cut.end()?;
        if machine.name() == nfs::MACHINE {
            self.start_kernel_server()?;
        } else {
            node::start_programs(machine, &self.peers(machine))?;
        }
        done
    }

    /// Takes a node out of the cluster and lets it join again, as a new one, with these taints: as kubelet's flag
    /// `--register-with-taints` has them. `meanwhile` is done while there is no such node.
    pub fn rejoin(
        &self,
        node: &str,
        taints: &str,
        meanwhile: impl FnOnce(&Machine) -> Result<(), LabError>,
    ) -> Result<(), LabError> {
        let machine = self.machine(node)?;
        machine.stop("kubelet")?;
        let left = || {
            self.cluster.delete::<Node>("", node)?;
            // It belongs to the node, and goes after it.
            self.cluster.gone::<CSINode>("", &[node])?;
            meanwhile(machine)?;
            node::set_up_kubelet(machine, &format!("--register-with-taints={taints}"))
        };
        // It comes back whatever came of that.
        let left = left();
        let started = node::start_kubelet(machine);
        // What runs has its flags; whoever starts it next finds the usual ones.
        left.and(started).and(node::set_up_kubelet(machine, ""))
    }

    /// Kills kubelet on a node, starts it again and waits until it reports the node as Ready.
    pub fn restart_kubelet(&self, node: &str) -> Result<(), LabError> {
        let machine = self.machine(node)?;
        machine.stop("kubelet")?;
        // The node stays Ready for a while without its kubelet; what shows the new one is that the node's Lease goes on.
        let (namespace, patience) = ("kube-node-lease", Duration::from_mins(2));
        let before = self.cluster.get::<Lease>(namespace, node)?.unwrap_or_default()["spec"]["renewTime"].take();
        node::start_kubelet(machine)?;
        self.cluster.until::<Lease, _>(
            "a sign of life from kubelet",
            namespace,
            "",
            patience,
            |leases| match leases.iter().find(|lease| name_of(lease) == node).map(|lease| &lease["spec"]["renewTime"]) {
                Some(now) if *now != before => Ok(()),
                now => Err(format!("the Lease of {node} is of {now:?}")),
            },
        )?;
        self.wait_ready(&[node], patience)
    }
}
