//! The releases of Kubernetes that a lab can be.

use clap::ValueEnum;

/// A minor release; `labkit/go/kubernetes-MINOR` pins its patch release.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Kubernetes {
    /// What a lab is unless its caller says otherwise.
    #[default]
    #[value(name = "1.37")]
    V1_37,
    /// The release before it.
    #[value(name = "1.36")]
    V1_36,
    /// The oldest whose kubelet can register a plugin of Berth's: those before it speak gRPC by grpc-go 1.56 or older.
    #[value(name = "1.29")]
    V1_29,
}

impl Kubernetes {
    /// Major and minor number, such as `1.37`.
    pub fn minor(self) -> &'static str {
        match self {
            Self::V1_37 => "1.37",
            Self::V1_36 => "1.36",
            Self::V1_29 => "1.29",
        }
    }

    /// What an API server must be told so that it has `ValidatingAdmissionPolicy`, which tests refuse requests by.
    pub fn policy_flags(self) -> &'static [&'static str] {
        match self {
            Self::V1_37 | Self::V1_36 => &[],
            Self::V1_29 => &[
                "--feature-gates=ValidatingAdmissionPolicy=true",
                "--runtime-config=admissionregistration.k8s.io/v1beta1=true",
            ],
        }
    }
}
