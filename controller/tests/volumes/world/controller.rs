//! A controller of a test.

use ::controller::backend::directory::faults::Faults;
use ::controller::operations::{CreateVolume, Created, OperationError, Operations, Volumes};
use ::controller::servers::Servers;
use volume::capacity::Range;
use volume::{AccessMode, Capability};

/// A controller, as one process has it.
#[derive(Clone)]
pub(crate) struct Controller {
    pub(crate) operations: Operations,
    pub(crate) servers: Servers,
    #[cfg_attr(not(feature = "fault-points"), expect(dead_code, reason = "armed only where there are fault points"))]
    pub(crate) faults: Faults,
    pub(crate) server: String,
    pub(crate) share: String,
    /// What every volume is asked for with there, unless a test says otherwise.
    pub(crate) usual: &'static [(&'static str, &'static str)],
}

impl Controller {
    /// A request for 1 GiB with these parameters beside server and share.
    pub(crate) fn request(&self, name: &str, parameters: &[(&str, &str)]) -> CreateVolume {
        let base = [("server", self.server.as_str()), ("share", self.share.as_str())];
        let parameters = base
            .iter()
            .chain(self.usual)
            .chain(parameters)
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        CreateVolume {
            name: name.to_owned(),
            capacity: Range { required: 1 << 30, limit: 0 },
            capabilities: vec![Capability::new(AccessMode::MultiNodeMultiWriter, String::new(), Vec::new()).unwrap()],
            parameters: parameters.collect(),
        }
    }

    pub(crate) async fn create(&self, name: &str, parameters: &[(&str, &str)]) -> Result<Created, OperationError> {
        self.operations.create(self.request(name, parameters)).await
    }

    pub(crate) async fn delete(&self, id: &str) -> Result<(), OperationError> {
        self.operations.delete(id, None).await
    }

    /// The id that a volume of this name has.
    pub(crate) fn id(&self, name: &str) -> String {
        let (server, share) = (self.server.parse().unwrap(), self.share.parse().unwrap());
        volume::VolumeId::new(&server, &share, name).unwrap().to_string()
    }

    /// Requests sent so far.
    pub(crate) fn round_trips(&self) -> u64 {
        self.servers.sent().into_iter().map(|(_, sent)| sent.round_trips - sent.lease_renewals).sum()
    }
}
