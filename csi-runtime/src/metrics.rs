//! What is counted, and how it is told to Prometheus (`OpenMetrics` text).

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
pub use prometheus_client::registry::Registry;
use tonic::Code;

use crate::observe::code_name;

/// The process's registry. Clones share it.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
}

/// Latency of every RPC by method and code.
#[derive(Clone, Debug)]
pub struct RpcMetrics {
    duration: Family<RpcLabels, Histogram, fn() -> Histogram>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RpcLabels {
    method: String,
    code: &'static str,
}

impl Metrics {
    /// A registry whose every metric's name begins with `berth_`.
    pub fn new() -> Self {
        Self { registry: Arc::new(Mutex::new(Registry::with_prefix("berth"))) }
    }

    /// Lets `add` register metrics.
    pub fn register<T>(&self, add: impl FnOnce(&mut Registry) -> T) -> T {
        add(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Everything as `OpenMetrics` text.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry.lock().unwrap_or_else(PoisonError::into_inner))?;
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl RpcMetrics {
    /// Registers `berth_rpc_duration_seconds{method,code}`; its `_count` is the number of calls.
    pub fn new(metrics: &Metrics) -> Self {
        let duration = Family::new_with_constructor(latency as fn() -> Histogram);
        metrics.register(|registry| {
            registry.register("rpc_duration_seconds", "Time from request to answer", duration.clone());
        });
        Self { duration }
    }

    pub(crate) fn observe(&self, method: &str, code: Code, took: Duration) {
        let labels = RpcLabels { method: method.to_owned(), code: code_name(code) };
        self.duration.get_or_create(&labels).observe(took.as_secs_f64());
    }
}

/// 0.5 ms to 131 s: from a pooled publish to a caller's deadline.
fn latency() -> Histogram {
    Histogram::new(exponential_buckets(0.0005, 4.0, 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_counted_under_its_method_and_code() {
        let metrics = Metrics::new();
        let rpc = RpcMetrics::new(&metrics);
        rpc.observe("csi.v1.Node/NodeGetInfo", Code::Ok, Duration::from_millis(1));
        rpc.observe("csi.v1.Node/NodeGetInfo", Code::Ok, Duration::from_millis(2));
        let text = metrics.encode().unwrap();
        let line = "berth_rpc_duration_seconds_count{method=\"csi.v1.Node/NodeGetInfo\",code=\"OK\"} 2";
        assert!(text.contains(line), "{text}");
    }
}
