//! csi-sanity against both sockets of the driver, with real mounts, and with nothing skipped or focused.

use std::time::Duration;

use labkit::{base::LabError, guest::Exec, parts::Part};

use super::sanity::{Account, account};
use crate::{
    cluster::{binaries::Binaries, parts::program, single::Single},
    report::{self, Outcome, Timeline},
};

const REPORT: &str = "/var/tmp/sanity.json";

/// The server by a name, so that the static programs resolve one.
const SERVER: &str = "nfs.berth.test";
/// It has two addresses, and nobody answers at the one that is tried first: getaddrinfo(3) sorts by scope (RFC 6724), so a
/// loopback address comes before the guest's own.
const NAME_THE_SERVER: &str = "set -eu\n\
    own=$(ip -4 -o address show scope global | awk '{ sub(\"/.*\", \"\", $4); print $4; exit }')\n\
    test -n \"$own\"\n\
    printf '127.0.0.2 nfs.berth.test\\n%s nfs.berth.test\\n' \"$own\" >>/etc/hosts\n\
    iptables -I OUTPUT -d 127.0.0.2 -p tcp --dport 2049 -j REJECT --reject-with tcp-reset\n\
    if bash -c '</dev/tcp/127.0.0.2/2049' 2>/dev/null; then exit 1; fi\n\
    test \"$(getent ahosts nfs.berth.test | awk '{ print $1; exit }')\" = 127.0.0.2";

/// Runs csi-sanity in `single` and prints what it left out and why.
pub(super) fn run(single: &Single, binaries: &Binaries, timeline: &Timeline) -> Result<Account, LabError> {
    let endpoints = single.start_driver(binaries)?;
    single.machine().sh(NAME_THE_SERVER)?;
    let parameters = format!("server: {SERVER}\nshare: {}\n", single.backend().share);
    single.machine().put("/var/tmp/parameters.yaml", parameters.as_bytes())?;
    single.machine().copy_in(&program(Part::CSI_SANITY)?, "/usr/local/bin/csi-sanity", 0o755)?;
    // kubelet makes the parent of a target; csi-sanity makes the directories it is told.
    let script = format!(
        "mkdir -p /var/lib/kubelet/pods/sanity\n\
         csi-sanity --csi.endpoint={} --csi.controllerendpoint={} \
         --csi.mountdir=/var/lib/kubelet/pods/sanity/mount --csi.stagingdir=/var/lib/kubelet/pods/sanity/staging \
         --csi.testvolumeparameters=/var/tmp/parameters.yaml --ginkgo.json-report={REPORT} --ginkgo.no-color",
        endpoints.node, endpoints.controller
    );
    let done = single.machine().exec(&Exec::sh(&script).timeout(Duration::from_mins(15)))?;
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let path = report::directory()?.join("csi-sanity.log");
    std::fs::write(&path, &text).map_err(LabError::file(&path))?;
    let mut account = account(&single.machine().sh(&format!("cat {REPORT}"))?)?;
    if done.status != 0 && account.outcome.failed == 0 {
        account.outcome.add(Outcome::failure(format!("csi-sanity ended with status {}", done.status)));
    }
    tell(&account, timeline);
    Ok(account)
}

fn tell(account: &Account, timeline: &Timeline) {
    let outcome = &account.outcome;
    timeline.note(&format!(
        "csi-sanity: ran {}, passed {}, failed {}, not run {}",
        outcome.passed + outcome.failed,
        outcome.passed,
        outcome.failed,
        outcome.not_run
    ));
    for (reason, specs) in &account.left_out {
        println!("  not run ({reason}): {}", specs.len());
        for spec in specs {
            println!("    {spec}");
        }
    }
}
