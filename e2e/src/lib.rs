//! The test cluster, its scenarios and the benchmarks

pub mod bench;
pub mod cluster;
mod metrics;
pub mod reliability;
pub mod report;
pub mod scenarios;
pub mod target;
pub mod testrun;
