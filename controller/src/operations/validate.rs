//! `ValidateVolumeCapabilities`

use std::collections::BTreeMap;

use csi_runtime::status::message;
use volume::{Capability, Parameters, Terms, VolumeContext, VolumeHandle};

use super::counts::Operation;
use super::jobs::Operations;
use crate::error::OperationError;

/// A question about a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validate {
    /// The volume's id.
    pub id: String,
    /// How it is to be used.
    pub capabilities: Vec<Capability>,
    /// Its attributes, as far as the caller has them; empty: not asked about.
    pub context: BTreeMap<String, String>,
    /// Parameters, as far as the caller has them; empty: not asked about.
    pub parameters: BTreeMap<String, String>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Validated {
    /// The volume can be used like that.
    Confirmed,
    /// It cannot, for this reason.
    Refused(String),
}

impl Operations {
    /// Whether a volume exists and can be used in these ways. [`OperationError::NoVolume`] if it does not exist.
    pub async fn validate(&self, request: Validate) -> Result<Validated, OperationError> {
        let started = std::time::Instant::now();
        let result = self.examine(request).await;
        self.counted(Operation::ValidateVolumeCapabilities, started, result)
    }

    async fn examine(&self, request: Validate) -> Result<Validated, OperationError> {
        if request.id.is_empty() {
            return Err(OperationError::Missing("volume_id"));
        }
        let unknown = || OperationError::NoVolume(request.id.clone());
        let handle = VolumeHandle::parse(&self.inner.driver_name, &request.id).map_err(|_| unknown())?;
        let truth = self.inner.backends.find(handle).await?.ok_or_else(unknown)?.context;
        Ok(refusal(&request, &truth).map_or(Validated::Confirmed, Validated::Refused))
    }
}

/// Why the volume cannot be used as asked.
fn refusal(request: &Validate, truth: &VolumeContext) -> Option<String> {
    let mut terms = Terms::default();
    if !request.context.is_empty() {
        match VolumeContext::from_map(&request.context) {
            Ok((mut context, _)) => {
                terms = std::mem::take(&mut context.terms);
                // Volumes of earlier releases do not say on which share they were made.
                context.identity = context.identity.or(truth.identity);
                if context != *truth {
                    return Some("the volume attributes are not those of the volume".to_owned());
                }
            }
            Err(error) => return Some(message(&error)),
        }
    }
    for capability in &request.capabilities {
        if let Err(error) = terms.options(capability.mount_flags(), truth.server.port()) {
            return Some(message(&error));
        }
    }
    if !request.parameters.is_empty()
        && let Err(error) = Parameters::parse(&request.parameters)
    {
        return Some(message(&error));
    }
    None
}
