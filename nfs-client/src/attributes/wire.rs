//! `fattr4`: a bitmap and the values of its attributes in the order of their numbers.

use onc_rpc::{DecodeError, Reader, Writer};

use super::{Attribute, AttributeMask, Attributes, FileType, ObjectState, Principal, SetAttributes};
use crate::FileHandle;

/// Longest list of attribute values that is looked at, in bytes.
const MAX_VALUES: usize = 64 * 1024;
/// Longest owner text.
const MAX_OWNER: usize = 1024;

impl FileType {
    fn to_u32(self) -> u32 {
        match self {
            Self::Regular => 1,
            Self::Directory => 2,
            Self::BlockDevice => 3,
            Self::CharacterDevice => 4,
            Self::Symlink => 5,
            Self::Socket => 6,
            Self::Fifo => 7,
            Self::AttributeDirectory => 8,
            Self::NamedAttribute => 9,
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match reader.u32()? {
            1 => Self::Regular,
            2 => Self::Directory,
            3 => Self::BlockDevice,
            4 => Self::CharacterDevice,
            5 => Self::Symlink,
            6 => Self::Socket,
            7 => Self::Fifo,
            8 => Self::AttributeDirectory,
            9 => Self::NamedAttribute,
            value => return Err(DecodeError::BadValue { what: "file type", value: value.into() }),
        })
    }
}

impl Attributes {
    /// Reads a bitmap and the values that it announces; an attribute that this crate does not know is refused, because
    /// nothing after it can be read.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mask = AttributeMask::decode(reader)?;
        let mut values = Reader::new(reader.opaque("attribute values", MAX_VALUES)?);
        if let Some(number) = mask.first_unknown() {
            return Err(DecodeError::BadValue { what: "attribute that was not asked for", value: number.into() });
        }
        let mut attributes = Self::default();
        for attribute in Attribute::ALL.into_iter().filter(|attribute| mask.contains(*attribute)) {
            attributes.decode_value(attribute, &mut values)?;
        }
        if values.left() > 0 {
            return Err(DecodeError::TooLong { what: "attribute values", length: values.left(), limit: 0 });
        }
        Ok(attributes)
    }

    fn decode_value(&mut self, attribute: Attribute, values: &mut Reader<'_>) -> Result<(), DecodeError> {
        match attribute {
            Attribute::Type => self.file_type = Some(FileType::decode(values)?),
            Attribute::Change => self.change = Some(values.u64()?),
            Attribute::Size => self.size = Some(values.u64()?),
            Attribute::Fsid => self.fsid = Some((values.u64()?, values.u64()?)),
            Attribute::LeaseTime => self.lease_time = Some(values.u32()?),
            Attribute::ReadError => self.read_error = Some(values.u32()?),
            Attribute::Handle => self.handle = Some(FileHandle::decode(values)?),
            Attribute::Fileid => self.fileid = Some(values.u64()?),
            Attribute::Mode => self.mode = Some(values.u32()?),
            Attribute::Links => self.links = Some(values.u32()?),
            Attribute::Owner => self.owner = Some(decode_principal(values)?),
            Attribute::Group => self.group = Some(decode_principal(values)?),
            Attribute::SpaceUsed => self.space_used = Some(values.u64()?),
            Attribute::Modified => self.modified = Some((values.i64()?, values.u32()?)),
        }
        Ok(())
    }

    /// Writes a bitmap and values of those of `wanted` that are there: what a server does.
    pub fn encode(&self, wanted: AttributeMask, writer: &mut Writer) {
        let mut mask = AttributeMask::default();
        let mut values = Writer::new();
        for attribute in Attribute::ALL.into_iter().filter(|attribute| wanted.contains(*attribute)) {
            if self.encode_value(attribute, &mut values).is_some() {
                mask.insert(attribute);
            }
        }
        mask.encode(writer);
        writer.opaque(values.as_slice());
    }

    fn encode_value(&self, attribute: Attribute, values: &mut Writer) -> Option<()> {
        match attribute {
            Attribute::Type => values.u32(self.file_type?.to_u32()),
            Attribute::Change => values.u64(self.change?),
            Attribute::Size => values.u64(self.size?),
            Attribute::Fsid => {
                let (major, minor) = self.fsid?;
                values.u64(major);
                values.u64(minor);
            }
            Attribute::LeaseTime => values.u32(self.lease_time?),
            Attribute::ReadError => values.u32(self.read_error?),
            Attribute::Handle => values.opaque(self.handle.as_ref()?.as_bytes()),
            Attribute::Fileid => values.u64(self.fileid?),
            Attribute::Mode => values.u32(self.mode?),
            Attribute::Links => values.u32(self.links?),
            Attribute::Owner => values.opaque(self.owner.as_ref()?.to_string().as_bytes()),
            Attribute::Group => values.opaque(self.group.as_ref()?.to_string().as_bytes()),
            Attribute::SpaceUsed => values.u64(self.space_used?),
            Attribute::Modified => {
                let (seconds, nanoseconds) = self.modified?;
                values.i64(seconds);
                values.u32(nanoseconds);
            }
        }
        Some(())
    }
}

fn decode_principal(values: &mut Reader<'_>) -> Result<Principal, DecodeError> {
    let text = values.opaque("owner", MAX_OWNER)?;
    Ok(Principal::parse(&String::from_utf8_lossy(text)))
}

impl ObjectState {
    const MASK: AttributeMask = AttributeMask::of(&[Attribute::Change, Attribute::Fileid, Attribute::Mode]);

    pub(crate) fn encode(self, writer: &mut Writer) {
        let (mut mask, mut values) = (Self::MASK, Writer::new());
        values.u64(self.change);
        if let Some(size) = self.size {
            mask.insert(Attribute::Size);
            values.u64(size);
        }
        values.u64(self.fileid);
        values.u32(self.mode);
        mask.encode(writer);
        writer.opaque(values.as_slice());
    }
}

impl SetAttributes {
    pub(crate) fn encode(&self, writer: &mut Writer) {
        let mut mask = AttributeMask::default();
        let mut values = Writer::new();
        if let Some(size) = self.size {
            mask.insert(Attribute::Size);
            values.u64(size);
        }
        if let Some(mode) = self.mode {
            mask.insert(Attribute::Mode);
            values.u32(mode);
        }
        if let Some(owner) = self.owner {
            mask.insert(Attribute::Owner);
            values.opaque(owner.to_string().as_bytes());
        }
        if let Some(group) = self.group {
            mask.insert(Attribute::Group);
            values.opaque(group.to_string().as_bytes());
        }
        mask.encode(writer);
        writer.opaque(values.as_slice());
    }
}

#[cfg(test)]
mod tests {
    use proptest::{option, prelude::*};

    use super::*;

    prop_compose! {
        fn any_attributes()(
            file_type in option::of(prop::sample::select(vec![FileType::Regular, FileType::Directory, FileType::Symlink])),
            change: Option<u64>, size: Option<u64>, fsid: Option<(u64, u64)>, lease_time: Option<u32>,
            handle in option::of(prop::collection::vec(any::<u8>(), 0..=128)),
            fileid: Option<u64>, mode in option::of(0u32..=0o7777), links: Option<u32>,
            owner in option::of(any::<u32>()), group in option::of("[a-z]{1,8}@[a-z]{1,8}"),
            modified: Option<(i64, u32)>,
        ) -> Attributes {
            Attributes {
                file_type, change, size, fsid, lease_time, read_error: None,
                handle: handle.map(|bytes| FileHandle::new(&bytes).unwrap()),
                fileid, mode, links, owner: owner.map(Principal::Id), group: group.map(Principal::Name),
                space_used: size, modified,
            }
        }
    }

    proptest! {
        #[test]
        fn attributes_round_trip(attributes in any_attributes()) {
            let mut writer = Writer::new();
            attributes.encode(AttributeMask::of(&Attribute::ALL), &mut writer);
            let bytes = writer.into_vec();
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(Attributes::decode(&mut reader).unwrap(), attributes);
            prop_assert_eq!(reader.left(), 0);
        }

        #[test]
        fn decoding_arbitrary_attributes_never_panics(bytes: Vec<u8>) {
            let _ = Attributes::decode(&mut Reader::new(&bytes));
        }

        #[test]
        fn decoding_damaged_attributes_never_panics(
            attributes in any_attributes(), at: prop::sample::Index, value: u8, cut: prop::sample::Index,
        ) {
            let mut writer = Writer::new();
            attributes.encode(AttributeMask::of(&Attribute::ALL), &mut writer);
            let mut bytes = writer.into_vec();
            let position = at.index(bytes.len());
            bytes[position] = value;
            bytes.truncate(cut.index(bytes.len()) + 1);
            let _ = Attributes::decode(&mut Reader::new(&bytes));
        }

        #[test]
        fn attributes_to_set_are_read_back_as_attributes(
            size: Option<u64>, mode: Option<u32>, owner: Option<u32>, group: Option<u32>
        ) {
            let mut writer = Writer::new();
            SetAttributes { size, mode, owner, group }.encode(&mut writer);
            let read = Attributes::decode(&mut Reader::new(writer.as_slice())).unwrap();
            prop_assert_eq!(read.size, size);
            prop_assert_eq!(read.mode, mode);
            prop_assert_eq!(read.owner, owner.map(Principal::Id));
            prop_assert_eq!(read.group, group.map(Principal::Id));
        }
    }
}
