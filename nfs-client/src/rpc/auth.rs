//! `AUTH_SYS` credentials (RFC 5531, appendix A).

use crate::{config::Credential, xdr::Writer};

pub(crate) const AUTH_NONE: u32 = 0;
pub(crate) const AUTH_SYS: u32 = 1;

/// The name in the credential. Servers do not use it; RFC 5531 only wants one.
const MACHINE: &[u8] = b"berth";

/// Writes flavor and body of the credential and an empty verifier.
pub(crate) fn encode(credential: &Credential, writer: &mut Writer) {
    let mut body = Writer::new();
    body.u32(0); // stamp
    body.opaque(MACHINE);
    body.u32(credential.uid);
    body.u32(credential.gid);
    body.u32(u32::try_from(credential.groups.len()).unwrap_or(u32::MAX));
    for group in &credential.groups {
        body.u32(*group);
    }
    writer.u32(AUTH_SYS);
    writer.opaque(body.as_slice());
    writer.u32(AUTH_NONE);
    writer.opaque(&[]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xdr::Reader;

    #[test]
    fn all_sixteen_groups_are_carried() {
        let groups: Vec<u32> = (100..116).collect();
        let mut writer = Writer::new();
        encode(&Credential::new(7, 8, &groups).unwrap(), &mut writer);
        let bytes = writer.into_vec();
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.u32().unwrap(), AUTH_SYS);
        let mut body = Reader::new(reader.opaque("credential", 400).unwrap());
        body.u32().unwrap();
        body.opaque("machine", 255).unwrap();
        assert_eq!((body.u32().unwrap(), body.u32().unwrap()), (7, 8));
        let count = body.length("groups", 16).unwrap();
        assert_eq!((0..count).map(|_| body.u32().unwrap()).collect::<Vec<_>>(), groups);
        assert_eq!(body.left(), 0);
    }
}
