//! Mount options are refused, or have one canonical spelling that means the same.

use std::collections::BTreeSet;

use volume::{MountOptions, mount_options::MountAttributes};

use super::{assert_readable, texts};

/// Items of a list of mount options.
pub fn check(input: &[u8]) {
    let items = texts(input);
    let options = match MountOptions::parse(&items, 2049) {
        Ok(options) => options,
        Err(error) => return assert_readable(&error),
    };
    let key = options.pool_key();
    assert_eq!(MountOptions::parse(&[items.join(",")], 2049), Ok(options.clone()), "commas and items are the same");
    let canonical = MountOptions::parse(&[&key], 2049).expect("a key is a list of options");
    assert_eq!(canonical.pool_key(), key);
    assert_eq!(canonical.superblock(), options.superblock());
    let mut whole = vec![key];
    whole.extend(written(options.attributes()).into_iter().map(str::to_owned));
    assert_eq!(MountOptions::parse(&whole, 2049), Ok(options.clone()));
    assert_given_to_the_kernel(&options);
    assert!((1024..=1 << 20).contains(&options.rsize()), "{} bytes for each READ", options.rsize());
}

/// The flags of a mount as options, in the spelling of mount(8).
fn written(attributes: MountAttributes) -> Vec<&'static str> {
    let times = [attributes.noatime, attributes.relatime, attributes.strictatime];
    assert!(times.into_iter().filter(|&set| set).count() <= 1, "{attributes:?}");
    let flags = [
        (attributes.read_only, "ro"),
        (attributes.noexec, "noexec"),
        (attributes.nosuid, "nosuid"),
        (attributes.nodev, "nodev"),
        (attributes.noatime, "noatime"),
        (attributes.relatime, "relatime"),
        (attributes.strictatime, "strictatime"),
        (attributes.nodiratime, "nodiratime"),
    ];
    flags.into_iter().filter_map(|(set, name)| set.then_some(name)).collect()
}

/// Nothing can smuggle a second option, or another version, into a call of fsconfig(2).
fn assert_given_to_the_kernel(options: &MountOptions) {
    let given = options.superblock();
    let names: BTreeSet<&str> = given.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names.len(), given.len(), "an option is given twice: {given:?}");
    for (name, value) in &given {
        let texts = [Some(name), value.as_ref()];
        let plain =
            |text: &String| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
        assert!(texts.into_iter().flatten().all(plain), "{name:?} = {value:?}");
    }
    let version = given.iter().find(|(name, _)| name == "vers").and_then(|(_, value)| value.as_deref());
    assert!(matches!(version, Some("4.1" | "4.2")), "version {version:?}");
}
