//! What holds for every input, not only for the examples beside the code.

use std::{collections::BTreeMap, path::Path};

use proptest::prelude::*;
use volume::{
    MountOptions, OnDelete, Parameters, Record, RecordKey, Server, SharePath, SubPath, Template, Terms, VolumeContext,
    VolumeId, capacity, id::LONGEST_ID, record::ClaimRef, template::Metadata,
};

/// Text that is likely to meet a special case: dots, slashes, escapes, template syntax, control and non-ASCII characters.
fn hostile() -> impl Strategy<Value = String> {
    let fragment = prop_oneof![
        4 => "[a-z0-9]{1,8}",
        1 => prop::sample::select(vec![
            "/", "//", ".", "..", "%", "%2f", "%00", "#", "~", ":", "[", "]", "=", ",", "${", "}", "$", "-", "berth://",
            ".berth", "${pvc.metadata.name}", "${pv.metadata.name}", "\0", "\n", "\u{85}", "é", "𝕏", " ", "+", "2049",
            "vers=4.1", "{", "\"", "\\",
        ])
        .prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(fragment, 0..12).prop_map(|fragments| fragments.concat())
}

fn server() -> impl Strategy<Value = Server> {
    let host = prop_oneof![
        "[a-z][a-z0-9]{0,10}(\\.[a-z][a-z0-9]{0,6}){0,3}",
        any::<std::net::Ipv4Addr>().prop_map(|address| address.to_string()),
        any::<std::net::Ipv6Addr>().prop_map(|address| format!("[{address}]")),
    ];
    (host, prop::option::of(1..=u16::MAX)).prop_map(|(host, port)| {
        let text = port.map_or(host.clone(), |port| format!("{host}:{port}"));
        text.parse().expect("made to be legal")
    })
}

/// A legal component: any characters but a slash and control characters, and not dots alone.
fn component() -> impl Strategy<Value = String> {
    "[^/\\p{Cc}]{1,20}".prop_filter("dots alone", |text| text != "." && text != "..")
}

fn share() -> impl Strategy<Value = SharePath> {
    prop::collection::vec(component(), 0..4)
        .prop_map(|components| format!("/{}", components.join("/")).parse().expect("made to be legal"))
}

fn sub_path() -> impl Strategy<Value = SubPath> {
    prop::collection::vec(component(), 1..4).prop_filter_map("reserved", |components| components.join("/").parse().ok())
}

fn metadata() -> impl Strategy<Value = Metadata> {
    let value = || prop::option::of(prop_oneof![hostile(), component()]);
    (value(), value(), value()).prop_map(|(pvc_name, pvc_namespace, pv_name)| Metadata {
        pvc_name,
        pvc_namespace,
        pv_name,
    })
}

fn template() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("${pvc.metadata.name}".to_owned()),
        Just("${pvc.metadata.namespace}".to_owned()),
        Just("${pv.metadata.name}".to_owned()),
        Just("/".to_owned()),
        Just(".".to_owned()),
        "[a-z.-]{1,4}",
    ];
    prop::collection::vec(part, 1..8).prop_map(|parts| parts.concat())
}

proptest! {
    // A failing input is printed; a file beside the sources would be forgotten there.
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_id_reads_back_as_itself(server in server(), share in share(), name in "\\PC{1,100}") {
        if let Ok(id) = VolumeId::new(&server, &share, &name) {
            let text = id.to_string();
            prop_assert!(text.len() <= LONGEST_ID);
            prop_assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{text:?} is printable ASCII");
            prop_assert_eq!(text.parse::<VolumeId>(), Ok(id.clone()));
            prop_assert_eq!((id.server(), id.share()), (&server, &share));
            prop_assert_eq!(VolumeId::new(&server, &share, &name), Ok(id), "deterministic");
        } else {
            prop_assert!(server.to_string().len() + share.as_str().len() * 3 > 92, "short places always have an id");
        }
    }

    #[test]
    fn an_id_that_is_read_prints_as_it_was(
        server in "[a-zA-Z0-9.:]{1,8}", share in "(/[a-z%#A-F0-9]{0,5}){0,3}", key in "[a-z~.-]{0,8}|~[a-z2-7]{26}",
    ) {
        let text = format!("berth://{server}{share}#{key}");
        if let Ok(id) = text.parse::<VolumeId>() {
            prop_assert_eq!(id.to_string(), text);
        }
    }

    #[test]
    fn names_have_keys_of_their_own(one in "\\PC{1,70}", other in "\\PC{1,70}") {
        let server: Server = "nfs".parse().expect("legal");
        let share: SharePath = "/".parse().expect("legal");
        let key = |name: &str| VolumeId::new(&server, &share, name).expect("short").key().clone();
        prop_assert_eq!(one == other, key(&one) == key(&other));
        let place = key(&one).default_place();
        prop_assert_eq!(place.components().count(), 1);
        prop_assert_eq!(place.as_str().parse::<RecordKey>(), Ok(key(&one)));
    }

    #[test]
    fn places_print_and_read_back(server in server(), share in share(), path in sub_path()) {
        prop_assert_eq!(server.to_string().parse::<Server>(), Ok(server.clone()));
        prop_assert_eq!(share.as_str().parse::<SharePath>(), Ok(share.clone()));
        prop_assert_eq!(path.as_str().parse::<SubPath>(), Ok(path.clone()));
        let context = VolumeContext { server, share, sub_dir: Some(path), identity: None, terms: Terms::default() };
        prop_assert_eq!(VolumeContext::from_map(&context.to_map()), Ok((context, Vec::new())));
    }

    #[test]
    fn a_record_reads_back_as_itself(
        name in ".{0,100}", path in sub_path(), size_bytes: u64, retain: bool, claim in prop::option::of(("[a-z]{1,63}", ".{1,100}")),
    ) {
        let record = Record {
            size_bytes,
            on_delete: if retain { OnDelete::Retain } else { OnDelete::Delete },
            claim: claim.map(|(namespace, name)| ClaimRef { namespace, name }),
            ..Record::new(name, path)
        };
        if let Ok(text) = record.to_text() {
            prop_assert!(!text.contains(['\0', '\n']));
            prop_assert_eq!(Record::from_text(&text).expect("just written"), record);
        }
    }

    #[test]
    fn a_directory_below_a_share_stays_there(share in share(), text in hostile()) {
        if let Ok(path) = text.parse::<SubPath>() {
            let joined = share.join(&path);
            prop_assert!(Path::new(&joined).starts_with(share.as_str()));
            prop_assert_eq!(Path::new(&joined).components().count(), 1 + share.components().count() + path.components().count());
            prop_assert!(!path.components().any(|component| matches!(component, "" | "." | "..")));
            prop_assert!(!path.components().next().is_some_and(|first| first.eq_ignore_ascii_case(".berth")));
        }
    }

    #[test]
    fn no_value_changes_the_shape_of_a_template(text in prop_oneof![template(), hostile()], metadata in metadata()) {
        let Ok(template) = text.parse::<Template>() else { return Ok(()) };
        prop_assert_eq!(template.to_string().parse(), Ok(template.clone()));
        if let Ok(path) = template.render(&metadata) {
            // No variable's name holds a slash, so the template shows its components as they stand.
            let shown = text.split('/').filter(|component| !component.is_empty());
            prop_assert_eq!(path.components().count(), shown.count());
            prop_assert_eq!(path.as_str().parse::<SubPath>(), Ok(path));
        }
    }

    #[test]
    fn options_that_may_share_a_superblock_have_one_key(
        options in prop::collection::vec(prop::sample::select(vec![
            "hard", "soft", "softerr", "timeo=50", "timeo=050", "retrans=5", "ro", "rw", "noatime", "nconnect=4", "vers=4.2",
            "nfsvers=4.1", "noresvport", "resvport", "noac", "ac", "sync", "async", "rsize=65536", "tcp", "defaults",
        ]), 0..10),
    ) {
        let parsed = MountOptions::parse(&options, 2049).expect("legal");
        let again = MountOptions::parse(&[parsed.pool_key()], 2049).expect("its own key is legal");
        prop_assert_eq!(again.pool_key(), parsed.pool_key());
        prop_assert_eq!(again.superblock(), parsed.superblock());
        let joined = MountOptions::parse(&[options.join(",")], 2049);
        prop_assert_eq!(joined, Ok(parsed));
    }

    #[test]
    fn a_size_that_is_given_admits_itself(required: i64, limit: i64) {
        if let Ok(size) = capacity::resolve(required, limit) {
            let range = capacity::Range { required, limit };
            prop_assert!(range.admits(size));
            prop_assert!(limit == 0 || size <= limit.unsigned_abs());
        }
    }

    #[test]
    fn no_text_makes_anything_panic(text in prop_oneof![hostile(), any::<String>()], key in hostile()) {
        let _ = text.parse::<Server>();
        let _ = text.parse::<SharePath>();
        let _ = text.parse::<SubPath>();
        let _ = text.parse::<RecordKey>().map(|key| key.default_place());
        let _ = text.parse::<VolumeId>();
        let _ = format!("berth://nfs/{text}").parse::<VolumeId>();
        let _ = text.parse::<Template>();
        let _ = text.parse::<OnDelete>();
        let _ = Record::from_text(&text);
        let _ = MountOptions::parse(&[&text], 2049);
        let _ = VolumeContext::from_map([("server", &text), ("share", &text), ("subDir", &text), (key.as_str(), &text)]);
    }

    #[test]
    fn parameters_are_read_or_explained(
        values in prop::collection::btree_map(
            prop::sample::select(vec!["server", "share", "subDir", "mountPermissions", "uid", "gid", "onDelete", "Share", "x"]),
            prop_oneof![hostile(), "[0-9]{1,12}"],
            0..9,
        ),
    ) {
        let mut map: BTreeMap<String, String> = BTreeMap::from([
            ("server".to_owned(), "nfs".to_owned()),
            ("share".to_owned(), "/".to_owned()),
        ]);
        map.extend(values.into_iter().map(|(key, value)| (key.to_owned(), value)));
        match Parameters::parse(&map) {
            Ok(parameters) => {
                prop_assert!((1..=0o7777).contains(&parameters.mode()));
                prop_assert!(parameters.uid != Some(u32::MAX) && parameters.gid != Some(u32::MAX));
            }
            Err(error) => {
                let text = error.to_string();
                prop_assert!(text.starts_with("parameter \""), "{text}");
                prop_assert!(!text.contains(char::is_control), "{text:?}");
            }
        }
    }
}
