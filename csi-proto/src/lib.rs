//! Generated types and services of the Container Storage Interface and of kubelet's plugin registration.
//!
//! The specification is the documentation of these items: `proto/csi.proto` and `proto/pluginregistration.proto`.

// Generated code follows the generator's taste and carries no documentation.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, rustdoc::all)]
mod generated {
    pub mod csi {
        pub mod v1 {
            tonic::include_proto!("csi.v1");
        }
    }

    pub mod pluginregistration {
        tonic::include_proto!("pluginregistration");
    }
}

/// Container Storage Interface v1 (specification v1.13.0).
pub use generated::csi::v1 as csi;
/// kubelet's plugin registration, version 1.
pub use generated::pluginregistration;
