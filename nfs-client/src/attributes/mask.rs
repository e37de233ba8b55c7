//! Attribute numbers and sets of them (`bitmap4`, RFC 8881 §3.3.7).

use onc_rpc::{DecodeError, Reader, Writer};

/// Attributes this client knows, by their number (RFC 8881 §5.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Attribute {
    /// `type`
    Type = 1,
    /// `change`
    Change = 3,
    /// `size`
    Size = 4,
    /// `fsid`
    Fsid = 8,
    /// `lease_time`
    LeaseTime = 10,
    /// `rdattr_error`
    ReadError = 11,
    /// `filehandle`
    Handle = 19,
    /// `fileid`
    Fileid = 20,
    /// `mode`
    Mode = 33,
    /// `numlinks`
    Links = 35,
    /// `owner`
    Owner = 36,
    /// `owner_group`
    Group = 37,
    /// `space_used`
    SpaceUsed = 45,
    /// `time_modify`
    Modified = 53,
}

impl Attribute {
    /// In the order of their numbers, which is the order of their values on the wire.
    pub const ALL: [Self; 14] = [
        Self::Type,
        Self::Change,
        Self::Size,
        Self::Fsid,
        Self::LeaseTime,
        Self::ReadError,
        Self::Handle,
        Self::Fileid,
        Self::Mode,
        Self::Links,
        Self::Owner,
        Self::Group,
        Self::SpaceUsed,
        Self::Modified,
    ];
}

/// Longest bitmap that is looked at; RFC 8881 and its extensions need three words.
const MAX_WORDS: usize = 8;
const KEPT_WORDS: usize = 4;

/// A set of attribute numbers below 128.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AttributeMask(u128);

impl AttributeMask {
    /// The set of these.
    pub const fn of(attributes: &[Attribute]) -> Self {
        let mut bits = 0;
        let mut index = 0;
        while index < attributes.len() {
            bits |= 1 << attributes[index] as u8;
            index += 1;
        }
        Self(bits)
    }

    /// Adds one.
    pub fn insert(&mut self, attribute: Attribute) {
        self.0 |= 1 << attribute as u8;
    }

    /// Whether it is in the set.
    pub fn contains(self, attribute: Attribute) -> bool {
        self.0 & (1 << attribute as u8) != 0
    }

    /// The lowest number in the set that this client has no decoder for: nothing after it can be read.
    pub(crate) fn first_unknown(self) -> Option<u32> {
        let unknown = self.0 & !Self::of(&Attribute::ALL).0;
        (unknown != 0).then(|| unknown.trailing_zeros())
    }

    /// Writes the set with as few words as it needs.
    pub fn encode(self, writer: &mut Writer) {
        let used = (u128::BITS - self.0.leading_zeros()).div_ceil(32);
        writer.u32(used);
        for word in 0..used {
            #[expect(clippy::cast_possible_truncation, reason = "each word is the low half of what is left")]
            writer.u32((self.0 >> (32 * word)) as u32);
        }
    }

    /// Reads a set; numbers of 128 and above are refused.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let words = reader.length("attribute bitmap", MAX_WORDS)?;
        let mut bits = 0;
        for word in 0..words {
            let value = reader.u32()?;
            if word < KEPT_WORDS {
                bits |= u128::from(value) << (32 * word);
            } else if value != 0 {
                return Err(DecodeError::BadValue { what: "attribute bitmap word", value: value.into() });
            }
        }
        Ok(Self(bits))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn masks_round_trip(bits: u128) {
            let mut writer = Writer::new();
            AttributeMask(bits).encode(&mut writer);
            let bytes = writer.into_vec();
            prop_assert_eq!(AttributeMask::decode(&mut Reader::new(&bytes)).unwrap(), AttributeMask(bits));
        }
    }

    #[test]
    fn an_attribute_without_a_decoder_is_named() {
        assert_eq!(AttributeMask::of(&Attribute::ALL).first_unknown(), None);
        assert_eq!(AttributeMask(1 << 62 | 1 << 1).first_unknown(), Some(62));
    }
}
