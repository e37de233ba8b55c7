//! One lab: bringing it up, finding it again, taking it down.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use k8s_openapi::api::core::v1::Node;
use labkit::{
    base::{Daemon, LabError, join, process},
    guest::{self, Disk, Exec, Guest, Spec},
};

use super::{
    Cluster,
    api::{is_true, name_of},
    control_plane::{self, API_SERVICE, pod_network},
    machine::Machine,
    network::{self, HOST, Nic},
    nfs::{self, Backend, MACHINE as NFS, SHARE},
    node,
    parts::LabParts,
    pki::{Pki, ssh_key},
    state::{RunNote, StateDir},
};
use crate::report::Timeline;

/// Names of the nodes; each is a guest.
const NODES: [&str; 2] = ["node-1", "node-2"];

/// A lab that is up. The calling thread, and what it starts, is in the lab's network namespace.
#[derive(Debug)]
pub struct Lab {
    pub(super) state: StateDir,
    pub(super) cluster: Cluster,
    nodes: Vec<Machine>,
    nfs: Machine,
}

impl Lab {
    /// Brings up the lab in `state`, or finds it up already: built from the same parts, every process alive and the API
    /// server ready. Anything less is taken down and built anew. Its nodes have these images besides those of the parts: they
    /// are loaded while the nodes become ready.
    pub fn up(state: &StateDir, parts: &LabParts, images: &[&Path], timeline: &Timeline) -> Result<Self, LabError> {
        let _lock = state.lock()?;
        if let Some(lab) = Self::found(state, parts)? {
            timeline.step("the lab is up already");
            lab.import(images)?;
            return Ok(lab);
        }
        if process::end_all(state.root())? > 0 {
            timeline.note("an earlier lab, broken or made from other parts, was taken down");
        }
        state.clear()?;
        let images: Vec<&Path> = parts.images().into_iter().chain(images.iter().copied()).collect();
        let lab = Self::build(state.clone(), parts, &images, timeline).inspect_err(|_| {
            // What came up is of no use; the error and the logs, which stay, say what did not. A process that cannot be
            // ended now is found by the next `up` or `down`.
            let _ = process::end_all(state.root());
        })?;
        timeline.step("cluster up: two nodes Ready");
        Ok(lab)
    }

    /// The lab in `state` as it runs; an error says that it is not up.
    pub fn attach(state: &StateDir) -> Result<Self, LabError> {
        let absent = || LabError::Precondition("the lab is not up: `lab up` starts it".to_owned());
        let note = state.note().ok_or_else(absent)?;
        Self::enter(state, &note)?.ok_or_else(absent)
    }

    /// Ends every process of the lab `name` and removes its files but for the logs. Namespace, bridge and taps go with
    /// the last process. Returns how many processes there were.
    pub fn down(name: &str) -> Result<usize, LabError> {
        Self::end(&StateDir::open(name)?)
    }

    /// The same for the lab in `state`, but for the calling process.
    pub fn end(state: &StateDir) -> Result<usize, LabError> {
        let ended = process::end_all(state.root())?;
        state.clear()?;
        Ok(ended)
    }

    fn found(state: &StateDir, parts: &LabParts) -> Result<Option<Self>, LabError> {
        match state.note() {
            Some(note) if note.inputs == *parts.inputs() => Self::enter(state, &note),
            _ => Ok(None),
        }
    }

    /// Enters a lab whose processes are all alive; `None` when something is missing.
    fn enter(state: &StateDir, note: &RunNote) -> Result<Option<Self>, LabError> {
        let holder = note.daemons.iter().find(|daemon| daemon.name == "network");
        let Some(holder) = holder.filter(|_| note.daemons.iter().all(Daemon::alive)) else { return Ok(None) };
        network::enter(holder.pid)?;
        let cluster = Cluster::new(note.kubectl.clone(), state.file("pki/admin.kubeconfig"))?;
        let machines: Option<Vec<Machine>> =
            places().map(|(name, nic)| Machine::attach(nic, &state.guest(name))).collect();
        let (Some(mut machines), Ok(_)) = (machines, cluster.raw("/readyz")) else { return Ok(None) };
        let nfs = machines.pop();
        Ok(nfs.map(|nfs| Self { state: state.clone(), cluster, nodes: machines, nfs }))
    }

    fn build(state: StateDir, parts: &LabParts, images: &[&Path], timeline: &Timeline) -> Result<Self, LabError> {
        let kubectl = parts.control_plane().kubectl.clone();
        let mut note = RunNote { inputs: parts.inputs().clone(), kubectl, daemons: Vec::new() };
        let holder = network::hold(&state)?;
        network::enter(holder.pid)?;
        network::build(&places().map(|(_, nic)| nic).collect::<Vec<_>>())?;
        note.daemons.push(holder);
        let pki = Pki::create(&state.file("pki"))?;
        timeline.note("starting three guests and the control plane (about a minute usually, with emulated guests)");
        let (machines, api) = thread::scope(|scope| {
            let boots: Vec<_> = places()
                .map(|(name, nic)| {
                    let (state, parts) = (&state, parts);
                    scope.spawn(move || boot(name, nic, &state.guest(name), parts))
                })
                .collect();
            let api = control_plane::start_api(parts.control_plane(), &[], &state, &pki);
            timeline.step("API server ready");
            let machines: Result<Vec<Machine>, LabError> = boots.into_iter().map(join).collect();
            (machines, api)
        });
        let (mut nodes, (daemons, cluster)) = (machines?, api?);
        timeline.step("guests booted");
        note.daemons.extend(daemons);
        note.daemons.extend(control_plane::start_controllers(parts.control_plane(), &state, &pki)?);
        let Some(nfs) = nodes.pop() else { return Err(LabError::Precondition("no guest booted".to_owned())) };
        let lab = Self { state, cluster, nodes, nfs };
        note.daemons.push(lab.start_servers()?);
        timeline.note("NFS servers up; starting kubelets");
        lab.start_nodes(&pki, images)?;
        timeline.note("images imported; waiting for the nodes");
        lab.wait_ready(&NODES, Duration::from_mins(6))?;
        lab.wait_for_services()?;
        lab.state.write_note(&note)?;
        Ok(lab)
    }

    fn start_servers(&self) -> Result<Daemon, LabError> {
        self.routes().iter().try_for_each(|(network, gateway)| network::route(network, *gateway))?;
        self.start_kernel_server()?;
        nfs::start_ganesha(&self.state).map(|(daemon, _)| daemon)
    }

    /// Starts the kernel's NFS server in its guest, which has just booted.
    pub(super) fn start_kernel_server(&self) -> Result<(), LabError> {
        nfs::start_kernel_server(&self.nfs, &self.routes())
    }

    /// The networks of the nodes' pods, each with the node by way of which it is reached.
    fn routes(&self) -> Vec<(String, Ipv4Addr)> {
        self.nodes.iter().map(|node| (pod_network(node.nic()), node.nic().address)).collect()
    }

    fn start_nodes(&self, pki: &Pki, images: &[&Path]) -> Result<(), LabError> {
        self.on_every_node(|node| {
            node::start(node, &self.peers(node), pki)?;
            node::import(node, images)
        })
    }

    /// The other nodes.
    pub(super) fn peers(&self, node: &Machine) -> Vec<&Machine> {
        self.nodes.iter().filter(|peer| peer.name() != node.name()).collect()
    }

    /// A node is Ready without a kube-proxy that works, and pods on it reach no Service then.
    fn wait_for_services(&self) -> Result<(), LabError> {
        let what = "kube-proxy to lead to the API server's Service (its log: /var/log/kube-proxy.log on the node)";
        let asked = format!("curl -sk --max-time 5 -o /dev/null https://{API_SERVICE}/readyz");
        self.on_every_node(|node| node.wait_for(what, Duration::from_mins(2), &asked))
    }

    /// Loads image archives into every node.
    pub fn import(&self, archives: &[&Path]) -> Result<(), LabError> {
        self.on_every_node(|node| node::import(node, archives))
    }

    fn on_every_node(&self, work: impl Fn(&Machine) -> Result<(), LabError> + Sync) -> Result<(), LabError> {
        thread::scope(|scope| {
            let work = &work;
            let threads: Vec<_> = self.nodes.iter().map(|node| scope.spawn(move || work(node))).collect();
            threads.into_iter().try_for_each(join)
        })
    }

    /// A file of the lab on the host.
    pub fn file(&self, name: &str) -> PathBuf {
        self.state.file(name)
    }

    /// Logs of the lab's processes on the host.
    pub fn logs(&self) -> PathBuf {
        self.state.logs()
    }

    /// The cluster's API.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The machines that are nodes.
    pub fn nodes(&self) -> &[Machine] {
        &self.nodes
    }

    /// The machine behind a node, or the NFS server.
    pub fn machine(&self, name: &str) -> Result<&Machine, LabError> {
        let mut machines = self.nodes.iter().chain([&self.nfs]);
        machines
            .find(|machine| machine.name() == name)
            .ok_or_else(|| LabError::Precondition(format!("the lab has no machine called {name}")))
    }

    /// The kernel's NFS server, in its guest.
    pub fn kernel_server(&self) -> Backend {
        Backend { server: self.nfs.nic().address.to_string(), share: SHARE.to_owned() }
    }

    /// NFS-Ganesha on the host.
    pub fn ganesha(&self) -> Backend {
        Backend { server: HOST.to_string(), share: SHARE.to_owned() }
    }

    /// Names at the root of a server's share, one a line, seen on the server's own disk.
    pub fn list_share(&self, server: &str) -> Result<String, LabError> {
        if server == HOST.to_string() {
            let share = self.state.file("ganesha/share");
            let entries = fs::read_dir(&share).map_err(LabError::file(&share))?;
            let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
            return Ok(names.collect::<Vec<_>>().join("\n"));
        }
        self.nfs.sh(&format!("ls -A {SHARE}"))
    }

    /// Lets the holder of a fresh key in as root by SSH on every node, and says where the key is.
    pub fn serve_ssh(&self) -> Result<PathBuf, LabError> {
        let key = self.state.file("pki/ssh.key");
        let public = ssh_key(&key)?;
        let serve = Exec::new(["/run/lab/serve-ssh"]).stdin(public);
        self.nodes.iter().try_for_each(|node| node.run(&serve).map(drop))?;
        Ok(key)
    }

    /// Waits until these nodes are Ready.
    pub fn wait_ready(&self, nodes: &[&str], patience: Duration) -> Result<(), LabError> {
        self.cluster.until::<Node, _>("ready nodes", "", "", patience, |known| {
            let ready: Vec<&str> = known.iter().filter(|node| is_true(node, "Ready")).map(name_of).collect();
            if nodes.iter().all(|node| ready.contains(node)) { Ok(()) } else { Err(format!("{ready:?} are")) }
        })
    }
}

/// The lab's guests and their places, the NFS server last.
fn places() -> impl Iterator<Item = (&'static str, Nic)> {
    NODES.into_iter().chain([NFS]).zip(1..).map(|(name, index)| (name, Nic::of(index)))
}

/// Boots one of the lab's guests and returns when it takes commands.
fn boot(name: &str, nic: Nic, dir: &Path, parts: &LabParts) -> Result<Machine, LabError> {
    let card = guest::Nic::Tap {
        device: nic.tap.clone(),
        mac: nic.mac.clone(),
        address: nic.address,
        prefix: network::PREFIX,
        gateway: HOST,
    };
    let spec = if name == NFS {
        let share = Disk::Empty { name: "share".to_owned(), gib: 8 };
        Spec { memory_mib: 1024, cpus: 1, nic: card, disks: vec![share], ..Spec::new(name) }
    } else {
        let programs = Disk::Programs {
            name: "node".to_owned(),
            image: parts.node_programs().to_owned(),
            at: "/opt/node".to_owned(),
        };
        Spec { nic: card, disks: vec![programs], ..Spec::new(name) }
    };
    Ok(Machine::new(Guest::boot(&spec, parts.guest_image(), dir)?, nic))
}
