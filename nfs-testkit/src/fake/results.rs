//! Results as they go on the wire.

use nfs_client::{NfsStatus, OpCode, protocol::AttributeMask};
use onc_rpc::Writer;

use super::fault::Another;

/// Where the result of SEQUENCE begins, the first of a compound: behind status, empty tag and count of the compound, and
/// number and status of the operation.
const SEQUENCE: usize = 20;

/// Results of a compound, as they go on the wire.
#[derive(Default)]
pub(super) struct Results {
    encoded: Writer,
    count: u32,
    status: Option<NfsStatus>,
}

impl Results {
    pub(super) fn size(&self) -> usize {
        self.encoded.as_slice().len()
    }

    /// Appends a result; says whether the compound goes on.
    pub(super) fn add(&mut self, code: OpCode, result: Result<Writer, NfsStatus>) -> bool {
        self.count += 1;
        self.encoded.u32(code.to_u32());
        match result {
            Ok(body) => {
                self.encoded.u32(0);
                self.encoded.append(body.as_slice());
                true
            }
            Err(status) => {
                self.encoded.u32(status.to_u32());
                if code == OpCode::SetAttr {
                    AttributeMask::default().encode(&mut self.encoded);
                }
                self.status = Some(status);
                false
            }
        }
    }

    pub(super) fn finish(self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u32(self.status.map_or(0, NfsStatus::to_u32));
        writer.opaque(b"");
        writer.u32(self.count);
        writer.append(self.encoded.as_slice());
        writer.into_vec()
    }
}

/// Makes the results of a successful SEQUENCE and of what follows it those of another request.
pub(super) fn misattribute(results: &mut [u8], another: Another) {
    // The last bytes of `sr_sessionid`, `sr_sequenceid` and `sr_slotid`.
    let last = match another {
        Another::Session => 15,
        Another::Sequence => 19,
        Another::Slot => 23,
    };
    if let Some(byte) = results.get_mut(SEQUENCE + last) {
        *byte ^= 1;
    }
}

pub(super) fn only(code: OpCode, result: Result<Writer, NfsStatus>) -> Vec<u8> {
    let mut results = Results::default();
    results.add(code, result);
    results.finish()
}
