use volume::MountOptions;

use super::*;
use crate::mountinfo::Device;
use crate::share::Share;

const POOL: &str = "/kubelet/plugins/csi.berth.dev/pool";

fn share(server: &str, path: &str, options: &[&str]) -> Share {
    Share {
        server: server.parse().unwrap(),
        path: path.parse().unwrap(),
        options: MountOptions::parse(options, 2049).unwrap(),
    }
}

fn wanted(options: &[&str]) -> Wanted {
    let share = share("nfs", "/export", options);
    let attributes = share.options.attributes();
    Wanted { share, below: Some("pvc-1".parse().unwrap()), attributes, target: PathBuf::from("/pods/1/mount") }
}

fn entry(mount_point: impl Into<PathBuf>, source: &str, minor: u32) -> Entry {
    Entry {
        id: 1,
        device: Device { major: 0, minor },
        root: PathBuf::from("/"),
        mount_point: mount_point.into(),
        attributes: MountAttributes { relatime: true, ..MountAttributes::default() },
        fs_type: "nfs4".to_owned(),
        source: source.to_owned(),
    }
}

fn pool_entry(share: &Share, source: &str, minor: u32) -> Entry {
    entry(Path::new(POOL).join(share.pool_name()), source, minor)
}

fn judge(wanted: &Wanted, entries: Vec<Entry>) -> Verdict {
    wanted.judge(&MountTable::new(entries), Path::new(POOL))
}

#[test]
fn a_target_is_judged_by_place_flags_and_options() {
    let wanted = wanted(&[]);
    let pool = pool_entry(&wanted.share, "nfs:/export", 50);
    let at = |source, minor| entry("/pods/1/mount", source, minor);
    assert_eq!(judge(&wanted, vec![pool.clone()]), Verdict::Free);
    assert_eq!(judge(&wanted, vec![pool.clone(), at("nfs:/export/pvc-1", 50)]), Verdict::Published);
    assert_eq!(judge(&wanted, vec![at("nfs:/export/pvc-1", 60)]), Verdict::Published, "mounted directly");

    let other_directory = judge(&wanted, vec![pool.clone(), at("nfs:/export/pvc-2", 50)]);
    assert_eq!(other_directory, Verdict::Other("nfs:/export/pvc-2".to_owned()));
    let covered = vec![pool.clone(), at("nfs:/export/pvc-1", 50), at("tmpfs", 70)];
    assert_eq!(judge(&wanted, covered), Verdict::Other("tmpfs".to_owned()));

    let mut read_only = at("nfs:/export/pvc-1", 50);
    read_only.attributes.read_only = true;
    assert!(matches!(judge(&wanted, vec![pool.clone(), read_only]), Verdict::Other(why) if why.contains("flags")));

    let other_options = share("nfs", "/export", &["nconnect=4"]);
    let with_other_options = vec![pool, pool_entry(&other_options, "nfs:/export", 51), at("nfs:/export/pvc-1", 51)];
    assert!(matches!(judge(&wanted, with_other_options), Verdict::Other(why) if why.contains("options")));
}

#[test]
fn a_server_under_two_names_is_recognised_by_its_superblock() {
    let wanted = wanted(&[]);
    let pool = pool_entry(&wanted.share, "10.0.0.5:/export", 50);
    assert_eq!(
        judge(&wanted, vec![pool.clone(), entry("/pods/1/mount", "10.0.0.5:/export/pvc-1", 50)]),
        Verdict::Published
    );
    let stranger = judge(&wanted, vec![pool, entry("/pods/1/mount", "10.0.0.6:/export/pvc-1", 51)]);
    assert!(matches!(stranger, Verdict::Other(_)));
}

#[test]
fn the_same_directory_elsewhere_is_found_and_the_pool_does_not_count() {
    let mut wanted = wanted(&[]);
    let pool = Path::new(POOL);
    let entries = vec![
        pool_entry(&wanted.share, "nfs:/export", 50),
        entry("/pods/1/mount", "nfs:/export/pvc-1", 50),
        entry("/pods/2/mount", "nfs:/export/pvc-2", 50),
    ];
    assert_eq!(wanted.elsewhere(&MountTable::new(entries.clone()), pool), None);
    wanted.target = PathBuf::from("/pods/3/mount");
    assert_eq!(wanted.elsewhere(&MountTable::new(entries.clone()), pool), Some(PathBuf::from("/pods/1/mount")));
    wanted.below = None;
    assert_eq!(wanted.elsewhere(&MountTable::new(entries), pool), None);
}

#[test]
fn mounts_of_a_pooled_share_wait_in_its_lane() {
    let share = share("nfs", "/export", &[]);
    let nested = entry("/pods/2/mount", "nfs:/export/nested", 51);
    let namesake = entry("/pods/3/mount", "nfs:/exports/x", 52);
    let clone = entry("/pods/1/mount", "nfs:/export/pvc-1", 50);
    let table =
        MountTable::new(vec![pool_entry(&share, "nfs:/export", 50), clone.clone(), nested.clone(), namesake.clone()]);
    assert_eq!(lane_of(&clone, &table, Path::new(POOL)), share.lane());
    assert_eq!(lane_of(&nested, &table, Path::new(POOL)), share.lane());
    let twin = Share { server: "10.0.0.5".parse().unwrap(), ..share.clone() };
    let twins = MountTable::new(vec![pool_entry(&share, "nfs:/export", 50), pool_entry(&twin, "nfs:/export", 50)]);
    let own = lane_of(&pool_entry(&twin, "nfs:/export", 50), &twins, Path::new(POOL));
    assert_eq!(own.key, twin.pool_name(), "a mount of the pool waits in its own lane, whoever shares its superblock");
    assert_eq!(lane_of(&namesake, &table, Path::new(POOL)).key, "nfs:/exports/x");
}
