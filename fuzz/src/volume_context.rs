//! The attributes of a volume mean the same in every order, and when they are written out again.

use std::{collections::BTreeMap, path::Path};

use volume::{VolumeContext, names::context};

use super::{assert_below_share, assert_readable, pairs};

/// Keys and values.
pub fn check(input: &[u8]) {
    let map: BTreeMap<String, String> = pairs(input).into_iter().collect();
    let read = VolumeContext::from_map(&map);
    assert_eq!(VolumeContext::from_map(map.iter().rev()), read, "attributes come in the order of a hash table");
    let (volume, unknown) = match read {
        Ok(read) => read,
        Err(error) => return assert_readable(&error),
    };
    assert_eq!(VolumeContext::from_map(volume.to_map()), Ok((volume.clone(), Vec::new())));
    assert!(unknown.is_sorted(), "{unknown:?}");
    for key in unknown {
        assert!(map.contains_key(&key));
        assert!(!context::ALL.iter().any(|known| known.eq_ignore_ascii_case(&key)), "{key:?} is known");
        assert!(!context::FOREIGN_PREFIXES.iter().any(|prefix| key.starts_with(prefix)), "{key:?} is another's");
    }
    if let Some(sub_dir) = &volume.sub_dir {
        assert_below_share(sub_dir.as_str());
        let joined = volume.share.join(sub_dir);
        let path = Path::new(&joined);
        assert!(path.starts_with(volume.share.as_str()), "{joined:?} has left {}", volume.share);
        let below = sub_dir.components().count();
        assert_eq!(path.components().count(), 1 + volume.share.components().count() + below);
    }
}
