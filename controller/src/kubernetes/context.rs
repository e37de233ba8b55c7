//! What every piece of work needs.

use std::sync::Arc;

use super::config::Config;
use super::events::Recorder;
use super::lead::elector::Term;
use super::metrics::Counts;

/// Shared by all work of one process.
pub(crate) struct Context<V> {
    pub(crate) client: kube::Client,
    pub(crate) volumes: Arc<V>,
    pub(crate) config: Config,
    pub(crate) recorder: Recorder,
    pub(crate) counts: Counts,
    /// Asked before each write, so that nothing is written once somebody else may lead.
    pub(crate) term: Term,
    /// Identity of this process in the attributes of the volumes it makes.
    pub(crate) process: String,
}
