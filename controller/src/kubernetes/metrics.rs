//! What the provisioner counts, under the names of external-provisioner.

use std::time::Duration;

use csi_runtime::metrics::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

type Durations<L> = Family<L, Histogram, fn() -> Histogram>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProvisionLabels {
    class: String,
    source: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeleteLabels {
    class: String,
}

/// Counters of one provisioner.
#[derive(Debug, Clone)]
pub(crate) struct Counts {
    provisioned: Family<ProvisionLabels, Counter>,
    provision_failed: Family<ProvisionLabels, Counter>,
    provision_duration: Durations<ProvisionLabels>,
    deleted: Family<DeleteLabels, Counter>,
    delete_failed: Family<DeleteLabels, Counter>,
    delete_duration: Durations<DeleteLabels>,
    /// 1 while the Lease is ours.
    pub(crate) leading: Gauge,
}

impl Counts {
    /// Registers every metric.
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let counts = Self {
            provisioned: Family::default(),
            provision_failed: Family::default(),
            provision_duration: Family::new_with_constructor(durations as fn() -> Histogram),
            deleted: Family::default(),
            delete_failed: Family::default(),
            delete_duration: Family::new_with_constructor(durations as fn() -> Histogram),
            leading: Gauge::default(),
        };
        metrics.register(|registry| {
            let provision = |what: &str| format!("controller_persistentvolumeclaim_provision{what}");
            let delete = |what: &str| format!("controller_persistentvolume_delete{what}");
            registry.register(provision(""), "Claims provisioned", counts.provisioned.clone());
            registry.register(provision("_failed"), "Failed attempts to provision", counts.provision_failed.clone());
            let help = "Time of successful attempts to provision";
            registry.register(provision("_duration_seconds"), help, counts.provision_duration.clone());
            registry.register(delete(""), "Volumes deleted", counts.deleted.clone());
            registry.register(delete("_failed"), "Failed attempts to delete", counts.delete_failed.clone());
            let help = "Time of successful attempts to delete";
            registry.register(delete("_duration_seconds"), help, counts.delete_duration.clone());
            registry.register("leader_election_master_status", "1 while the lease is ours", counts.leading.clone());
        });
        counts
    }

    pub(crate) fn provisioned(&self, class: &str, took: Duration) {
        let labels = ProvisionLabels { class: class.to_owned(), source: String::new() };
        self.provisioned.get_or_create(&labels).inc();
        self.provision_duration.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// `source` is the kind of the claim's data source, or empty.
    pub(crate) fn provision_failed(&self, class: &str, source: &str) {
        let labels = ProvisionLabels { class: class.to_owned(), source: source.to_owned() };
        self.provision_failed.get_or_create(&labels).inc();
    }

    pub(crate) fn deleted(&self, class: &str, took: Duration) {
        let labels = DeleteLabels { class: class.to_owned() };
        self.deleted.get_or_create(&labels).inc();
        self.delete_duration.get_or_create(&labels).observe(took.as_secs_f64());
    }

    pub(crate) fn delete_failed(&self, class: &str) {
        self.delete_failed.get_or_create(&DeleteLabels { class: class.to_owned() }).inc();
    }
}

/// Upper bounds in seconds: those of the Prometheus client that upstream uses.
fn durations() -> Histogram {
    Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn provisioning_and_deletion_are_counted_under_upstreams_names() {
        let metrics = Metrics::new();
        let counts = Counts::new(&metrics);
        counts.provisioned("efs-sc", Duration::from_millis(3));
        counts.provision_failed("efs-sc", "VolumeSnapshot");
        counts.deleted("efs-sc", Duration::from_millis(3));
        counts.delete_failed("efs-sc");
        let text = metrics.encode().unwrap();
        for line in [
            "controller_persistentvolumeclaim_provision_total{class=\"efs-sc\",source=\"\"} 1",
            "controller_persistentvolumeclaim_provision_failed_total{class=\"efs-sc\",source=\"VolumeSnapshot\"} 1",
            "controller_persistentvolumeclaim_provision_duration_seconds_count{class=\"efs-sc\",source=\"\"} 1",
            "controller_persistentvolume_delete_total{class=\"efs-sc\"} 1",
            "controller_persistentvolume_delete_failed_total{class=\"efs-sc\"} 1",
            "controller_persistentvolume_delete_duration_seconds_count{class=\"efs-sc\"} 1",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
