use super::*;

fn request(address: &str) -> MountRequest {
    MountRequest {
        source: "nfs:/export".to_owned(),
        address: address.parse().unwrap(),
        options: vec![("vers".to_owned(), Some("4.1".to_owned())), ("hard".to_owned(), None)],
        attributes: MountAttributes::default(),
    }
}

fn options(address: &str) -> Vec<String> {
    let options = Filesystem::Nfs.options(&request(address));
    options.into_iter().map(|(name, value)| format!("{name}={}", value.unwrap_or_default())).collect()
}

#[test]
fn the_kernel_is_told_the_address_and_a_port_only_if_it_is_unusual() {
    assert_eq!(options("10.0.0.5:2049"), ["addr=10.0.0.5", "vers=4.1", "hard="]);
    assert_eq!(options("[fd00::5]:20049"), ["addr=fd00::5", "port=20049", "vers=4.1", "hard="]);
    assert_eq!(options("[fe80::5%3]:2049")[0], "addr=fe80::5%3");
}

#[test]
fn a_mounter_without_an_identity_does_not_say_that_it_has_renewed_one() {
    let mounter = LinuxMounter::new(Filesystem::Nfs, Api::Newest, PathBuf::from("/nowhere"));
    assert!(mounter.renew_client().unwrap_err().to_string().contains("no identity"));
}

#[test]
fn of_a_shares_root_only_that_it_is_forgotten_keeps_pods_from_it() {
    let answer = |errno| unless_forgotten(Err(Fault::new("statx", errno)));
    for errno in [Errno::ACCESS, Errno::PERM, Errno::TIMEDOUT, Errno::IO] {
        assert_eq!(answer(errno), Ok(()));
    }
    assert_eq!(answer(Errno::STALE).map_err(|fault| fault.errno), Err(Errno::STALE));
    assert_eq!(unless_forgotten(Ok(())), Ok(()));
}

#[test]
fn a_directory_is_reached_without_symbolic_links() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("a/b")).unwrap();
    std::os::unix::fs::symlink("/", dir.path().join("out")).unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let root = open_directory(dir.path()).unwrap();
    let open = |below: &str| open_below(root.as_fd(), &below.parse().unwrap()).map_err(|fault| fault.errno);
    assert!(open("a/b").is_ok());
    assert_eq!(open("out/etc").err(), Some(Errno::LOOP));
    assert_eq!(open("out").err(), Some(Errno::LOOP));
    assert_eq!(open("a/none").err(), Some(Errno::NOENT));
    assert_eq!(open("file").err(), Some(Errno::NOTDIR));
}
