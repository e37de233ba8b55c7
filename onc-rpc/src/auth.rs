//! Credentials: who a caller says it is.

use thiserror::Error;

use crate::xdr::{DecodeError, Reader, Writer};

const AUTH_NONE: u32 = 0;
const AUTH_SYS: u32 = 1;

/// Most supplementary groups an `AUTH_SYS` credential can carry (RFC 5531, appendix A).
pub const MAX_GROUPS: usize = 16;

/// Longest body of a credential or verifier, in bytes (RFC 5531 §8.2).
pub const MAX_BODY: usize = 400;

/// The name in the credential. Servers do not use it; RFC 5531 only wants one.
const MACHINE: &[u8] = b"berth";

/// Longest name of a machine (RFC 5531, appendix A).
const MAX_MACHINE: usize = 255;

/// More supplementary groups than `AUTH_SYS` can carry.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{given} supplementary groups: AUTH_SYS carries at most {MAX_GROUPS}")]
pub struct TooManyGroups {
    /// How many were given.
    pub given: usize,
}

/// What a call says about its caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// `AUTH_NONE`: nothing.
    None,
    /// `AUTH_SYS`: Unix ids, which the server may believe or not.
    Sys(AuthSys),
}

/// An `AUTH_SYS` identity: what the server believes about the caller (RFC 5531, appendix A).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthSys {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

impl AuthSys {
    /// A user with a group and at most [`MAX_GROUPS`] supplementary groups.
    pub fn new(uid: u32, gid: u32, groups: &[u32]) -> Result<Self, TooManyGroups> {
        if groups.len() > MAX_GROUPS {
            return Err(TooManyGroups { given: groups.len() });
        }
        Ok(Self { uid, gid, groups: groups.to_vec() })
    }

    /// A user with a group and no supplementary groups.
    pub fn user(uid: u32, gid: u32) -> Self {
        Self { uid, gid, groups: Vec::new() }
    }

    /// User 0, group 0, no supplementary groups.
    pub fn root() -> Self {
        Self::user(0, 0)
    }

    /// The user.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Its group.
    pub fn gid(&self) -> u32 {
        self.gid
    }

    /// Its supplementary groups, at most [`MAX_GROUPS`].
    pub fn groups(&self) -> &[u32] {
        &self.groups
    }

    fn encode(&self, writer: &mut Writer) {
        writer.u32(0); // stamp
        writer.opaque(MACHINE);
        writer.u32(self.uid);
        writer.u32(self.gid);
        writer.u32(u32::try_from(self.groups.len()).unwrap_or(u32::MAX));
        for group in &self.groups {
            writer.u32(*group);
        }
    }

    fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        reader.u32()?; // stamp
        reader.opaque("machine name", MAX_MACHINE)?;
        let (uid, gid) = (reader.u32()?, reader.u32()?);
        let count = reader.length("supplementary groups", MAX_GROUPS)?;
        let groups = (0..count).map(|_| reader.u32()).collect::<Result<_, _>>()?;
        Ok(Self { uid, gid, groups })
    }
}

impl From<AuthSys> for Credential {
    fn from(identity: AuthSys) -> Self {
        Self::Sys(identity)
    }
}

impl Credential {
    /// Writes flavor and body of the credential and an empty verifier.
    pub fn encode(&self, writer: &mut Writer) {
        match self {
            Self::None => {
                writer.u32(AUTH_NONE);
                writer.opaque(&[]);
            }
            Self::Sys(identity) => {
                let mut body = Writer::new();
                identity.encode(&mut body);
                writer.u32(AUTH_SYS);
                writer.opaque(body.as_slice());
            }
        }
        writer.u32(AUTH_NONE);
        writer.opaque(&[]);
    }

    /// Reads the body of a credential of this flavor; `None` if the flavor is neither of the two.
    pub(crate) fn decode(flavor: u32, body: &[u8]) -> Result<Option<Self>, DecodeError> {
        match flavor {
            AUTH_NONE => Ok(Some(Self::None)),
            AUTH_SYS => AuthSys::decode(body).map(|identity| Some(Self::Sys(identity))),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xdr::Reader;

    #[test]
    fn all_sixteen_groups_are_carried() {
        let groups: Vec<u32> = (100..116).collect();
        let mut writer = Writer::new();
        Credential::from(AuthSys::new(7, 8, &groups).unwrap()).encode(&mut writer);
        let bytes = writer.into_vec();
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.u32().unwrap(), AUTH_SYS);
        let mut body = Reader::new(reader.opaque("credential", MAX_BODY).unwrap());
        body.u32().unwrap();
        body.opaque("machine", 255).unwrap();
        assert_eq!((body.u32().unwrap(), body.u32().unwrap()), (7, 8));
        let count = body.length("groups", MAX_GROUPS).unwrap();
        assert_eq!((0..count).map(|_| body.u32().unwrap()).collect::<Vec<_>>(), groups);
        assert_eq!(body.left(), 0);
        assert_eq!((reader.u32().unwrap(), reader.u32().unwrap(), reader.left()), (AUTH_NONE, 0, 0), "the verifier");
    }

    #[test]
    fn more_than_sixteen_groups_are_refused() {
        assert!(AuthSys::new(0, 0, &[1; 16]).is_ok());
        assert_eq!(AuthSys::new(0, 0, &[1; 17]), Err(TooManyGroups { given: 17 }));
    }
}
