//! Parameters of a class are refused with a reason, or mean the same when they are written out again.

use std::collections::BTreeMap;

use volume::{
    Parameters,
    names::{metadata, parameter},
};

use super::{assert_below_share, assert_readable, pairs};

/// Keys and values.
pub fn check(input: &[u8]) {
    let map: BTreeMap<String, String> = pairs(input).into_iter().collect();
    let parameters = match Parameters::parse(&map) {
        Ok(parameters) => parameters,
        Err(error) => return assert_readable(&error),
    };
    for key in map.keys() {
        assert!(parameter::ALL.contains(&&**key) || metadata::ALL.contains(&&**key), "{key:?} was overlooked");
    }
    let mode = parameters.mode();
    assert!(mode <= 0o7777 && mode & 0o777 != 0, "a directory with the mode {mode:o}");
    assert!(parameters.uid != Some(u32::MAX) && parameters.gid != Some(u32::MAX), "chown(2) would leave the owner");
    assert_eq!(Parameters::parse(&written(&map, &parameters)), Ok(parameters.clone()));
    match parameters.sub_dir.map(|template| template.render(&parameters.metadata)) {
        Some(Ok(path)) => assert_below_share(path.as_str()),
        Some(Err(error)) => assert_readable(&error),
        None => {}
    }
}

/// The same parameters, each in the form in which it is printed.
fn written(map: &BTreeMap<String, String>, parameters: &Parameters) -> BTreeMap<String, String> {
    let values = [
        (parameter::SERVER, Some(parameters.server.to_string())),
        (parameter::SHARE, Some(parameters.share.to_string())),
        (parameter::SUB_DIR, parameters.sub_dir.as_ref().map(ToString::to_string)),
        (parameter::MOUNT_PERMISSIONS, parameters.mount_permissions.map(|mode| format!("{mode:o}"))),
        (parameter::UID, parameters.uid.map(|uid| uid.to_string())),
        (parameter::GID, parameters.gid.map(|gid| gid.to_string())),
        (parameter::ON_DELETE, Some(parameters.on_delete.to_string())),
    ];
    let own = values.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    let theirs = map.iter().filter(|(key, _)| metadata::ALL.contains(&&***key));
    own.chain(theirs.map(|(key, value)| (key.clone(), value.clone()))).collect()
}
