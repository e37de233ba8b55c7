//! Who accepts connections and never answers costs nobody else anything: an NFS server, and the API server.

use std::{
    io,
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use kube::api::DeleteParams;
use labkit::base::LabError;
use serde_json::{Value, json};

use super::{
    Context, Scenario,
    context::{PATIENCE, claim},
    events::{told, words},
    failover::{CONTROLLER, address_of, leading_pod, leads},
    share::share_root,
};
use crate::cluster::{
    api::name_of,
    control_plane::{API_PORT, API_SERVICE},
    machine::Machine,
    network::HOST,
};

/// Claims on the silent server: more than there are places for work on claims.
const SILENT: usize = 120;
/// Claims on a server that answers.
const LIVE: usize = 20;

/// See [`silent_server`].
pub(super) const SERVER: Scenario = Scenario {
    name: "silent-server",
    about: "claims on an NFS server that never answers wait, are told why, and cost claims on another one nothing",
    needs_lab: true,
    run: silent_server,
};

/// See [`silent_api`].
pub(super) const API: Scenario = Scenario {
    name: "silent-api",
    about: "a leader to whom the API server never answers loses the Lease; another one goes on, and nothing is doubled",
    needs_lab: true,
    run: silent_api,
};

/// Accepts connections and never answers.
struct Silent {
    port: u16,
    ended: Arc<AtomicBool>,
}

impl Silent {
    fn listen() -> Result<Self, LabError> {
        let listen = || {
            let listener = TcpListener::bind((HOST, 0))?;
            let port = listener.local_addr()?.port();
            Ok::<_, io::Error>((listener, port))
        };
        let (listener, port) = listen().map_err(LabError::because("cannot listen in the lab's network"))?;
        let ended = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ended);
        thread::spawn(move || {
            // Held, because a connection that is closed is an answer.
            let mut held: Vec<TcpStream> = Vec::new();
            while let Ok((connection, _)) = listener.accept() {
                if seen.load(Ordering::Relaxed) {
                    return;
                }
                held.push(connection);
            }
        });
        Ok(Self { port, ended })
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // One more connection, so that it looks.
        let _either_way = TcpStream::connect((HOST, self.port));
    }
}

/// Claims on a live server, alone and beside claims on a silent one.
#[derive(Debug, Clone, Copy)]
pub struct BesideSilence {
    /// From the first create request until every one of them was Bound, with nothing else to do.
    pub alone: Duration,
    /// The same beside the others.
    pub beside: Duration,
}

fn silent_server(context: &Context<'_>) -> Result<(), LabError> {
    let BesideSilence { alone, beside } = measure(context, LIVE, SILENT)?;
    context.timeline.step(&format!(
        "silent-server: {LIVE} claims on a live server Bound in {:.1} s beside {SILENT} on a silent one ({:.1} s alone)",
        beside.as_secs_f64(),
        alone.as_secs_f64()
    ));
    Ok(())
}

/// Binds `live` claims, and as many again when `silent` ones on a server that never answers have been tried for the first time.
pub fn measure(context: &Context<'_>, live: usize, silent: usize) -> Result<BesideSilence, LabError> {
    let alone = bind(context, live, "alone")?;
    end_claims(context)?;
    let server = Silent::listen()?;
    let address = format!("{HOST}:{}", server.port);
    let class = context.class("silent", &json!({ "server": address, "share": "/export" }))?;
    make(context, silent, "silent", &class)?;
    told(context, "silent-000", "ProvisioningFailed", &words(&[&address]))?;
    let beside = bind(context, live, "live")?;
    end_claims(context)?;
    // Nobody can tell whether the silent server has made anything, so the leader would ask it for ever.
    let leader = leading_pod(context)?;
    let namespace = &context.driver.namespace;
    context.cluster().begin_delete::<Pod>(namespace, name_of(&leader), &DeleteParams::default())?;
    context.rolled_out(namespace, CONTROLLER)?;
    Ok(BesideSilence { alone, beside })
}

/// Makes claims of the driver's class and waits until they, and no other ones, are bound.
fn bind(context: &Context<'_>, count: usize, prefix: &str) -> Result<Duration, LabError> {
    let began = Instant::now();
    make(context, count, prefix, &context.driver.class)?;
    let what = format!("volumes for {count} claims");
    context.cluster().until::<PersistentVolumeClaim, _>(&what, &context.namespace, "", PATIENCE, |claims| {
        let bound = claims.iter().filter(|claim| claim["status"]["phase"] == "Bound").map(name_of);
        let (ours, others): (Vec<&str>, Vec<&str>) = bound.partition(|name| name.starts_with(prefix));
        if ours.len() == count && others.is_empty() { Ok(()) } else { Err(format!("bound: {ours:?} {others:?}")) }
    })?;
    Ok(began.elapsed())
}

fn make(context: &Context<'_>, count: usize, prefix: &str, class: &str) -> Result<(), LabError> {
    let names = (0..count).map(|number| format!("{prefix}-{number:03}"));
    let claims: Vec<Value> = names.map(|name| claim(&context.namespace, &name, class, "1Gi")).collect();
    context.cluster().create_all(&claims)
}

fn end_claims(context: &Context<'_>) -> Result<(), LabError> {
    context.cluster().begin_delete_all::<PersistentVolumeClaim>(&context.namespace, "")?;
    context.cluster().until::<PersistentVolumeClaim, _>("no claim", &context.namespace, "", PATIENCE, |claims| {
        if claims.is_empty() { Ok(()) } else { Err(format!("{} left", claims.len())) }
    })
}

fn silent_api(context: &Context<'_>) -> Result<(), LabError> {
    let before = share_root(context)?;
    let pod = leading_pod(context)?;
    let (leader, node) = (name_of(&pod), pod["spec"]["nodeName"].as_str().unwrap_or_default());
    let address = address_of(&pod)?;
    let (machine, api) = (context.lab()?.machine(node)?, Silent::listen()?);
    context.timeline.note(&format!("the API server falls silent to {leader}"));
    let rules = rules(address, api.port);
    change(machine, "-I", &rules)?;
    let worked = goes_on_elsewhere(context, leader);
    change(machine, "-D", &rules)?;
    worked?;
    let made: Vec<String> = share_root(context)?.into_iter().filter(|name| !before.contains(name)).collect();
    context.check(made.len() == LIVE, || format!("{} directories for {LIVE} volumes: {made:?}", made.len()))?;

    context.cluster().begin_delete_all::<PersistentVolumeClaim>(&context.namespace, "")?;
    context.cluster().until::<PersistentVolume, _>("the end of every volume", "", "", PATIENCE, |volumes| {
        let ours = |volume: &&Value| volume["spec"]["claimRef"]["namespace"] == context.namespace.as_str();
        let left = volumes.iter().filter(ours).count();
        if left == 0 { Ok(()) } else { Err(format!("{left} volumes")) }
    })?;
    let left: Vec<String> = share_root(context)?.into_iter().filter(|name| made.contains(name)).collect();
    context.check(left.is_empty(), || format!("directories without a volume: {left:?}"))?;
    // Whoever comes next finds as many controllers as there were.
    context.rolled_out(&context.driver.namespace, CONTROLLER)
}

fn goes_on_elsewhere(context: &Context<'_>, silenced: &str) -> Result<(), LabError> {
    let took = bind(context, LIVE, "claim")?.as_secs_f64();
    let leads = leads(context)?;
    context.check(leads != silenced, || format!("{silenced} leads although nobody answers it"))?;
    context.timeline.step(&format!("silent-api: {LIVE} claims Bound by {leads} after {took:.1} s"));
    Ok(())
}

/// What an address says to the API server gets lost where there is a connection already, and leads to whoever listens on
/// `port` where there is none: tables and rules of iptables.
fn rules(pod: Ipv4Addr, port: u16) -> [String; 2] {
    [
        format!("FORWARD -s {pod} -d {HOST} -p tcp --dport {API_PORT} -j DROP"),
        format!(
            "PREROUTING -t nat -s {pod} -d {API_SERVICE} -p tcp --dport 443 -j DNAT --to-destination {HOST}:{port}"
        ),
    ]
}

fn change(machine: &Machine, how: &str, rules: &[String]) -> Result<(), LabError> {
    rules.iter().try_for_each(|rule| machine.sh(&format!("iptables -w {how} {rule}")).map(drop))
}
