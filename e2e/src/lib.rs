//! The test cluster, its scenarios and the benchmarks

pub mod base;
pub mod bench;
pub mod cluster;
pub mod guest;
pub mod oci;
pub mod parts;
pub mod report;
pub mod scenarios;
pub mod target;
pub mod testrun;
