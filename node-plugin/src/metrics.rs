//! What the node counts, beside what every CSI process counts.

use std::sync::{Arc, Mutex, PoisonError};

use csi_runtime::metrics::Metrics;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::worker::{Census, Workers};

/// Counters of a node.
#[derive(Debug, Clone)]
pub struct NodeMetrics {
    /// Shares and directories that were mounted afresh; everything else was cloned from the pool.
    pub(crate) fresh_mounts: Counter,
    /// Fresh mounts that failed.
    pub(crate) failed_mounts: Counter,
    /// Mounts of the pool that had gone bad and were replaced.
    pub(crate) retired: Counter,
    /// Publishes of what was mounted already.
    pub(crate) republished: Counter,
    /// Of them, those that ask for other options.
    pub(crate) republished_otherwise: Counter,
    /// Mounts that were detached because they could not be unmounted.
    pub(crate) detached: Counter,
    /// Publishes whose server did not let all of the volume be given to the pod's group.
    pub(crate) group_refused: Counter,
    workers: Watched,
}

#[derive(Debug, Clone, Default)]
struct Watched(Arc<Mutex<Option<Workers>>>);

impl NodeMetrics {
    /// Registers them.
    pub fn new(metrics: &Metrics) -> Self {
        let node = Self {
            fresh_mounts: Counter::default(),
            failed_mounts: Counter::default(),
            retired: Counter::default(),
            republished: Counter::default(),
            republished_otherwise: Counter::default(),
            detached: Counter::default(),
            group_refused: Counter::default(),
            workers: Watched::default(),
        };
        metrics.register(|registry| {
            registry.register("fresh_mounts", "Mounts made by asking a server", node.fresh_mounts.clone());
            registry.register("failed_mounts", "Fresh mounts that failed", node.failed_mounts.clone());
            registry.register(
                "replaced_mounts",
                "Mounts of shares that had gone bad and were replaced",
                node.retired.clone(),
            );
            registry.register("republished", "Publishes of what was mounted already", node.republished.clone());
            registry.register(
                "republished_otherwise",
                "Of them, those that ask for other options than are in force",
                node.republished_otherwise.clone(),
            );
            registry.register(
                "detached_mounts",
                "Mounts detached because they could not be unmounted",
                node.detached.clone(),
            );
            registry.register(
                "fs_group_refused",
                "Publishes whose server did not let all of the volume be given to the pod's group",
                node.group_refused.clone(),
            );
            registry.register_collector(Box::new(node.workers.clone()));
        });
        node
    }

    pub(crate) fn watch(&self, workers: &Workers) {
        *self.workers.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(workers.clone());
    }
}

impl Collector for Watched {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let workers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Census { threads, stuck } = workers.as_ref().map(Workers::census).unwrap_or_default();
        let mut gauge = |name, help, value: usize| {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(metric)
        };
        gauge("share_threads", "Threads that work for a share", threads)?;
        gauge("stuck_threads", "Of them, those that have been waiting for a server longer than they may", stuck)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn counters_and_threads_are_told() {
        let metrics = Metrics::new();
        let node = NodeMetrics::new(&metrics);
        node.watch(&Workers::new(Duration::from_secs(1)));
        node.fresh_mounts.inc();
        let text = metrics.encode().unwrap();
        for line in ["berth_fresh_mounts_total 1", "berth_share_threads 0", "berth_stuck_threads 0"] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
