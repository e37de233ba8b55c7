use super::*;

fn parse(items: &[&str]) -> Result<MountOptions, MountOptionError> {
    MountOptions::parse(items, 2049)
}

fn key(items: &[&str]) -> String {
    parse(items).expect("legal").pool_key()
}

const DEFAULT: &str = "vers=4.1,hard,timeo=600,retrans=2,noresvport,rsize=1048576,wsize=1048576";

#[test]
fn the_defaults_are_those_documented() {
    assert_eq!(key(&[]), DEFAULT);
    assert_eq!(MountOptions::default().rsize(), 1_048_576);
    assert_eq!(MountOptions::default().attributes(), MountAttributes::default());
    assert_eq!(parse(&[]), Ok(MountOptions::default()));
}

#[test]
fn options_override_and_add() {
    assert_eq!(
        key(&["nfsvers=4.2,soft", "timeo=50", "rsize=65536", "nconnect=4", "noac", "resvport"]),
        "vers=4.2,soft,timeo=50,retrans=2,resvport,rsize=65536,wsize=1048576,nconnect=4,noac"
    );
    assert_eq!(parse(&["rsize=65536"]).expect("legal").rsize(), 65536);
    assert_eq!(key(&["soft", "hard"]), DEFAULT, "the later one counts");
    assert_eq!(key(&["", " hard , tcp ", "defaults,rw,_netdev,proto=tcp,async"]), DEFAULT);
    assert_eq!(key(&["sync", "async"]), DEFAULT);
}

#[test]
fn spelling_and_order_do_not_split_the_pool() {
    assert_eq!(key(&["actimeo=030", "soft", "vers=4.2"]), key(&["vers=4.2,soft,actimeo=30"]));
    assert_eq!(key(&["vers=4", "ro", "noatime"]), DEFAULT);
    assert_ne!(key(&["sec=krb5"]), key(&["sec=sys"]));
}

#[test]
fn versions_without_sessions_are_refused() {
    for option in ["vers=3", "nfsvers=4.0", "vers=2"] {
        assert_eq!(parse(&[option]), Err(MountOptionError::Version(option.to_owned())), "{option}");
    }
    assert!(matches!(parse(&["vers=4,minorversion=0"]), Err(MountOptionError::Version(_))));
    assert_eq!(key(&["minorversion=2", "vers=4"]), DEFAULT.replace("4.1", "4.2"));
    for option in ["vers=5", "vers=", "vers=4.3", "minorversion=x"] {
        assert!(matches!(parse(&[option]), Err(MountOptionError::Value { .. })), "{option}");
    }
    assert!(parse(&["vers"]).is_err());
}

#[test]
fn attributes_belong_to_the_mount() {
    let attributes = |items: &[&str]| parse(items).expect("legal").attributes();
    let none = MountAttributes::default();
    assert_eq!(attributes(&["ro"]), MountAttributes { read_only: true, ..none });
    assert_eq!(attributes(&["ro", "rw"]), none);
    assert_eq!(
        attributes(&["noexec,nosuid,nodev,nodiratime"]),
        MountAttributes { noexec: true, nosuid: true, nodev: true, nodiratime: true, ..none }
    );
    assert_eq!(attributes(&["noexec", "exec"]), none);
    assert_eq!(attributes(&["noatime", "relatime"]), MountAttributes { relatime: true, ..none });
    assert_eq!(attributes(&["strictatime", "noatime"]), MountAttributes { noatime: true, ..none });
}

#[test]
fn unknown_options_are_named_with_the_nearest_one() {
    let error = parse(&["noresport"]).expect_err("a typo");
    assert_eq!(error.to_string(), r#"mount option "noresport" is not known, did you mean "noresvport"?"#);
    let error = parse(&["seclabel"]).expect_err("not on the list").to_string();
    assert!(error.ends_with("is not known"), "{error}");
    for option in ["hard\n", "addr=10.0.0.1 ", "=", "=x", "RO"] {
        assert!(parse(&[option]).is_err() || option.trim() != option, "{option:?}");
    }
}

#[test]
fn what_is_not_offered_says_why() {
    for (option, word) in [("bg", "background"), ("udp", "TCP"), ("addr=10.0.0.1", "server"), ("tls", "xprtsec")] {
        let error = parse(&[option]).expect_err(option);
        assert!(matches!(error, MountOptionError::NotOffered { .. }), "{option}: {error}");
        assert!(error.to_string().contains(word), "{option}: {error}");
    }
}

#[test]
fn labels_reach_the_kernel_whole_and_without_their_quotes() {
    let label = "system_u:object_r:container_file_t:s0:c1,c2";
    for item in [format!("context=\"{label}\""), format!("hard,context=\"{label}\",ro")] {
        let options = parse(&[&item]).expect("legal");
        assert!(options.superblock().contains(&("context".to_owned(), Some(label.to_owned()))), "{item}");
        // A superblock has one label.
        assert!(options.superblock().contains(&("nosharecache".to_owned(), None)), "{item}");
    }
    for name in ["context", "fscontext", "defcontext", "rootcontext"] {
        assert_ne!(key(&[&format!("{name}=a:b:c:s0")]), DEFAULT);
        let error = parse(&[&format!("{name}=\"a:b")]).expect_err("the quote does not end").to_string();
        assert!(error.contains("takes a label, between quotes where it holds commas"), "{error}");
    }
    assert_ne!(key(&["context=a:b:c:s0"]), key(&["context=a:b:c:s0:c1"]));
    assert!(!key(&["context=a:b:c:s0,sharecache"]).contains("nosharecache"), "somebody knows better");
    assert!(parse(&["context=a:b:c:s0:c1,c2"]).is_err(), "a comma without quotes");
    // kubelet adds a pod's to what the PersistentVolume says.
    assert!(parse(&["context=a:b:c:s0", "context=\"a:b:c:s0\""]).is_ok());
    let error = parse(&["context=a:b:c:s0", "context=\"a:b:c:s0:c1,c2\""]).expect_err("two labels").to_string();
    assert!(error.contains("\"context=a:b:c:s0\" contradicts") && error.contains("s0:c1,c2"), "{error}");
}

#[test]
fn quotes_hide_no_option() {
    for item in ["clientaddr=\"x,ro,noexec,sec=krb5p", "clientaddr=\"x,ro\"", "hard\",ro\"", "\"ro\""] {
        assert!(parse(&[item]).is_err(), "{item}");
    }
}

#[test]
fn what_means_nothing_on_version_4_changes_nothing() {
    let carried_over =
        "nolock,noacl,local_lock=all,mountport=20048,mountproto=tcp,mountvers=3,clientaddr=192.0.2.1,retry=2,lock,acl";
    assert_eq!(key(&[carried_over, "mounthost=a,mountaddr=192.0.2.1"]), DEFAULT);
    assert_eq!(key(&["rdirplus", "nordirplus"]), format!("{DEFAULT},nordirplus"), "4.x reads directories so, too");
    for (option, allowed) in [
        ("nolock=1", "nolock takes no value"),
        ("local_lock=some", "local_lock takes one of none, all, flock, posix"),
        ("mountvers", "mountvers takes a value"),
        ("retry=", "retry takes a value"),
    ] {
        let error = parse(&[option]).expect_err(option).to_string();
        assert_eq!(error, format!("mount option {option:?} is not valid; {allowed}"));
    }
}

#[test]
fn the_port_may_only_be_the_servers() {
    assert_eq!(key(&["port=2049"]), DEFAULT);
    assert_eq!(key(&["port=0"]), DEFAULT);
    assert_eq!(MountOptions::parse(&["port=20049"], 20049), Ok(MountOptions::default()));
    for option in ["port=2050", "port=x", "port=", "port=+2049", "port=67585"] {
        let error = parse(&[option]).expect_err(option).to_string();
        assert!(error.contains(option) && error.contains("which is 2049") && error.contains("host:port"), "{error}");
    }
    assert!(parse(&["port"]).is_err());
}

#[test]
fn every_option_is_documented() {
    let page = include_str!("../../docs/parameters.md");
    for known in table::KNOWN {
        assert!(page.contains(&format!("`{}`", known.name)), "{} is missing from docs/parameters.md", known.name);
    }
}

#[test]
fn values_are_held_to_what_the_kernel_takes() {
    for (option, allowed) in [
        ("hard=1", "hard takes no value"),
        ("nconnect=0", "nconnect takes a number from 1 to 16"),
        ("nconnect=17", "nconnect takes a number from 1 to 16"),
        ("timeo", "timeo takes a number from 1 to 2147483647"),
        ("timeo=", "timeo takes a number from 1 to 2147483647"),
        ("rsize=-1", "rsize takes a number from 1024 to 1048576"),
        ("rsize=99999999999", "rsize takes a number from 1024 to 1048576"),
        ("lookupcache=some", "lookupcache takes one of all, none, pos, positive"),
        ("proto=udp", "proto takes one of tcp, tcp6, rdma, rdma6"),
    ] {
        let error = parse(&[option]).expect_err(option).to_string();
        assert_eq!(error, format!("mount option {option:?} is not valid; {allowed}"));
    }
}
