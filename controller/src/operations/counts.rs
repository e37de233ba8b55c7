//! What is counted of operations and of the servers behind them.

use std::time::Duration;

use csi_runtime::metrics::Metrics;
use csi_runtime::status::code_name;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use tonic::Code;
use volume::{Server, SharePath};

use crate::servers::{Backlog, Servers};

/// An operation, as the CSI specification calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Operation {
    /// `CreateVolume`
    CreateVolume,
    /// `DeleteVolume`
    DeleteVolume,
    /// `ValidateVolumeCapabilities`
    ValidateVolumeCapabilities,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    operation: Operation,
    code: &'static str,
}

/// Counters of operations, whoever asked for them.
#[derive(Debug, Clone)]
pub struct Counts {
    calls: Family<Labels, Counter>,
    duration: Family<Labels, Histogram, fn() -> Histogram>,
}

impl Counts {
    /// Registers `berth_operations_total{operation,code}` and `berth_operation_duration_seconds{operation,code}`.
    pub fn new(metrics: &Metrics) -> Self {
        let counts =
            Self { calls: Family::default(), duration: Family::new_with_constructor(latency as fn() -> Histogram) };
        metrics.register(|registry| {
            registry.register("operations", "Operations on volumes that were asked for", counts.calls.clone());
            let help = "Time from the request for an operation to its answer";
            registry.register("operation_duration_seconds", help, counts.duration.clone());
        });
        counts
    }

    pub(super) fn observe(&self, operation: Operation, code: Code, took: Duration) {
        let labels = Labels { operation, code: code_name(code) };
        self.calls.get_or_create(&labels).inc();
        self.duration.get_or_create(&labels).observe(took.as_secs_f64());
    }
}

/// 0.5 ms to 131 s.
fn latency() -> Histogram {
    Histogram::new(exponential_buckets(0.0005, 4.0, 10))
}

/// Registers `berth_nfs_round_trips_total{server}`, `berth_nfs_lease_renewals_total{server}`,
/// `berth_trash_trees{server,share}` and `berth_trash_stuck{server,share}`, which are read from the pool when somebody asks.
pub fn register_servers(metrics: &Metrics, servers: Servers) {
    metrics.register(|registry| registry.register_collector(Box::new(ServerCounts(servers))));
}

#[derive(Debug)]
struct ServerCounts(Servers);

impl Collector for ServerCounts {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let sent = self.0.sent();
        let counter = ConstCounter::new(0u64).metric_type();
        let help = "Requests sent to an NFS server, repetitions, session set-up and lease renewals included";
        let mut family = encoder.encode_descriptor("nfs_round_trips", help, None, counter)?;
        for (server, sent) in &sent {
            ConstCounter::new(sent.round_trips).encode(family.encode_family(&[("server", server.to_string())])?)?;
        }
        let help = "Requests that only kept the lease of an idle NFS session alive";
        let mut family = encoder.encode_descriptor("nfs_lease_renewals", help, None, counter)?;
        for (server, sent) in &sent {
            ConstCounter::new(sent.lease_renewals).encode(family.encode_family(&[("server", server.to_string())])?)?;
        }
        let backlogs = self.0.backlogs();
        let help = "Directories of deleted volumes that are still to be removed";
        encode_backlogs(&mut encoder, ("trash_trees", help), &backlogs, |backlog| backlog.trees)?;
        let help = "What of deleted volumes the server lets nobody remove";
        encode_backlogs(&mut encoder, ("trash_stuck", help), &backlogs, |backlog| backlog.stuck)
    }
}

/// A gauge with a value for each share.
fn encode_backlogs(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): (&str, &str),
    backlogs: &[(Server, SharePath, Backlog)],
    value: impl Fn(&Backlog) -> usize,
) -> Result<(), std::fmt::Error> {
    let mut family = encoder.encode_descriptor(name, help, None, ConstGauge::new(0i64).metric_type())?;
    for (server, share, backlog) in backlogs {
        let labels = [("server", server.to_string()), ("share", share.to_string())];
        let value = i64::try_from(value(backlog)).unwrap_or(i64::MAX);
        ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}
