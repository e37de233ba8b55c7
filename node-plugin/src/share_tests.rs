use super::*;

fn share(server: &str, path: &str, options: &[&str]) -> Share {
    Share {
        server: server.parse().unwrap(),
        path: path.parse().unwrap(),
        options: MountOptions::parse(options, 2049).unwrap(),
    }
}

#[test]
fn a_location_is_what_the_mount_table_shows() {
    assert_eq!(share("nfs:20049", "/export/", &[]).location(), "nfs:/export");
    assert_eq!(share("[fd00::5]", "/", &[]).location_of(Some(&"a/b".parse().unwrap())), "[fd00::5]:/a/b");
}

#[test]
fn the_pool_tells_servers_paths_and_options_apart_but_not_flags() {
    let name = |server, path, options: &[&str]| share(server, path, options).pool_name();
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
