//! What the provisioner is told at start.

use std::time::Duration;

use csi_runtime::metrics::Metrics;

use super::lead::standing::Standing;

/// Settings of the built-in provisioner. [`Config::new`] gives the field's defaults; every field may be changed after.
#[derive(Debug, Clone)]
pub struct Config {
    /// Name of the CSI driver: the provisioner of our classes, the driver of our volumes.
    pub driver_name: String,
    /// Namespace of the pod; the Lease lives here.
    pub namespace: String,
    /// Who we are in the Lease and in events: the host name, which is the pod's name.
    pub identity: String,
    /// How many claims, and how many volumes, are worked on at once.
    pub worker_threads: usize,
    /// First delay after a failure of one item; it doubles with each failure.
    pub retry_interval_start: Duration,
    /// Longest delay after failures of one item, and the time an infeasible claim is left alone.
    pub retry_interval_max: Duration,
    /// How long others respect our Lease after its last renewal.
    pub lease_duration: Duration,
    /// How long we work on without a successful renewal. Shorter than `lease_duration`, so that work stops first.
    pub renew_deadline: Duration,
    /// How long the work may stand still before the Lease is left to expire: far longer than any load keeps it waiting.
    pub stuck_after: Duration,
    /// Time between two looks at the Lease, by the holder and by those who wait.
    pub lease_retry: Duration,
    /// How long work under way may go on after a shutdown was asked for.
    pub drain: Duration,
    /// File system type of volumes whose class names none; empty leaves it out.
    pub default_fs_type: String,
    /// Whether the driver's controller has the capability `SINGLE_NODE_MULTI_WRITER`, which changes how the access
    /// modes of one node are told to it.
    pub single_node_multi_writer: bool,
    /// Whether the startup taint is taken from nodes on which the driver has registered.
    pub remove_startup_taint: bool,
    /// Where the provisioner's metrics are registered.
    pub metrics: Metrics,
    /// Where it is told how this replica stands with the Lease.
    pub standing: Standing,
}

impl Config {
    /// The defaults of external-provisioner, for `driver_name` in a pod of `namespace` called `identity`.
    pub fn new(driver_name: impl Into<String>, namespace: impl Into<String>, identity: impl Into<String>) -> Self {
        Self {
            driver_name: driver_name.into(),
            namespace: namespace.into(),
            identity: identity.into(),
            worker_threads: 100,
            retry_interval_start: Duration::from_secs(1),
            retry_interval_max: Duration::from_mins(5),
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            stuck_after: Duration::from_mins(1),
            lease_retry: Duration::from_secs(5),
            drain: Duration::from_secs(20),
            default_fs_type: String::new(),
            single_node_multi_writer: true,
            remove_startup_taint: false,
            metrics: Metrics::new(),
            standing: Standing::default(),
        }
    }

    /// Name of the Lease: the driver's name with everything but letters and digits as `-`. It is the name that
    /// external-provisioner uses, so the two exclude each other.
    pub fn lease_name(&self) -> String {
        self.driver_name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lease_has_the_name_that_external_provisioner_uses() {
        assert_eq!(Config::new("probe.csi.example", "ns", "me").lease_name(), "probe-csi-example");
        assert_eq!(Config::new("csi.berth.dev", "ns", "me").lease_name(), "csi-berth-dev");
    }

    #[test]
    fn work_stops_before_the_lease_can_expire() {
        let config = Config::new("d", "ns", "me");
        assert!(config.renew_deadline < config.lease_duration);
        assert!(config.lease_retry < config.renew_deadline);
    }
}
