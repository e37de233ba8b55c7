use super::*;

fn share(server: &str, path: &str, options: &[&str]) -> Share {
    Share::new(server.parse().unwrap(), path.parse().unwrap(), MountOptions::parse(options, 2049).unwrap(), true)
}

#[test]
fn a_location_is_what_the_mount_table_shows() {
    assert_eq!(share("nfs:20049", "/export/", &[]).location(), "nfs:/export");
    assert_eq!(share("[fd00::5]", "/", &[]).location_of(Some(&"a/b".parse().unwrap())), "[fd00::5]:/a/b");
}

#[test]
fn the_pool_tells_servers_paths_and_options_apart_but_not_flags() {
    let name = |server, path, options: &[&str]| share(server, path, options).pool_name().to_owned();
    let usual = name("nfs", "/export", &[]);
    assert_eq!(usual, name("nfs", "/export", &["ro", "noexec"]));
    assert_eq!(usual.len(), 32);
    for other in [
        name("nfs2", "/export", &[]),
        name("nfs:20049", "/export", &[]),
        name("nfs", "/export/a", &[]),
        name("nfs", "/export", &["nconnect=4"]),
    ] {
        assert_ne!(usual, other);
    }
}

/// The share of one volume may be what another's directory leads to.
#[test]
fn a_volume_mounted_by_itself_has_a_place_of_its_own_in_the_pool() {
    let whole = share("nfs", "/export/pvc-1", &[]);
    let wanted = Wanted {
        share: share("nfs", "/export", &[]),
        below: Some("pvc-1".parse().unwrap()),
        attributes: MountAttributes::default(),
        target: PathBuf::from("/target"),
    };
    let alone = wanted.alone().unwrap();
    assert_eq!(alone.location(), whole.location());
    assert_ne!(alone.pool_name(), whole.pool_name());
    assert!(!alone.follows_links);
}
