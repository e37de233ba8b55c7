use volume::MountOptions;

use super::*;
use crate::mountinfo::Device;
use crate::share::Share;

const POOL: &str = "/kubelet/plugins/csi.berth.dev/pool";

fn share(server: &str, path: &str, options: &[&str]) -> Share {
    Share::new(server.parse().unwrap(), path.parse().unwrap(), MountOptions::parse(options, 2049).unwrap(), true)
}

fn wanted(options: &[&str]) -> Wanted {
    let share = share("nfs", "/export", options);
    let attributes = share.options.attributes();
    Wanted { share, below: Some("pvc-1".parse().unwrap()), attributes, target: PathBuf::from("/pods/1/mount") }
}

fn entry(mount_point: impl Into<PathBuf>, source: &str, minor: u32) -> Entry {
    Entry {
        id: 1,
        parent: 0,
        device: Device { major: 0, minor },
        root: PathBuf::from("/"),
        mount_point: mount_point.into(),
        attributes: MountAttributes { relatime: true, ..MountAttributes::default() },
        is_shared: false,
        fs_type: "nfs4".to_owned(),
        source: source.to_owned(),
        options: SuperOptions::new("rw,vers=4.1,sec=sys,addr=10.0.0.5"),
    }
}

fn pool_entry(share: &Share, source: &str, minor: u32) -> Entry {
    entry(Path::new(POOL).join(share.pool_name()), source, minor)
}

fn lane(share: &Share) -> Lane {
    Lane { key: share.pool_name().to_owned(), purpose: Purpose::Work, label: share.location() }
}

fn judge(wanted: &Wanted, entries: Vec<Entry>) -> Verdict {
    wanted.judge(&MountTable::new(entries), Path::new(POOL))
}

const PUBLISHED: Verdict = Verdict::Published { otherwise: None };

#[test]
fn a_target_is_judged_by_place_and_flags() {
    let wanted = wanted(&[]);
    let pool = pool_entry(&wanted.share, "nfs:/export", 50);
    let at = |source, minor| entry("/pods/1/mount", source, minor);
    assert_eq!(judge(&wanted, vec![pool.clone()]), Verdict::Free);
    assert_eq!(judge(&wanted, vec![pool.clone(), at("nfs:/export/pvc-1", 50)]), PUBLISHED);
    assert_eq!(judge(&wanted, vec![at("nfs:/export/pvc-1", 60)]), PUBLISHED, "by its name, if the pool has nothing");

    for other in ["nfs:/export/pvc-2", "nfs:/export/pvc-1/below", "nfs:/export", "nfs:/exportpvc-1"] {
        assert_eq!(judge(&wanted, vec![pool.clone(), at(other, 50)]), Verdict::Other(other.to_owned()));
    }
    let mut cover = at("tmpfs", 70);
    (cover.id, cover.parent, cover.fs_type) = (2, 1, "tmpfs".to_owned());
    let covered = judge(&wanted, vec![cover, at("nfs:/export/pvc-1", 50)]);
    assert_eq!(covered, Verdict::Other("tmpfs".to_owned()));

    for change in [
        |flags: &mut MountAttributes| flags.read_only = true,
        |flags: &mut MountAttributes| flags.noexec = true,
        |flags: &mut MountAttributes| flags.nosuid = true,
        |flags: &mut MountAttributes| flags.nodev = true,
    ] {
        let mut changed = at("nfs:/export/pvc-1", 50);
        change(&mut changed.attributes);
        assert!(matches!(judge(&wanted, vec![pool.clone(), changed]), Verdict::Other(why) if why.contains("flags")));
    }
    let mut times = at("nfs:/export/pvc-1", 50);
    (times.attributes.noatime, times.attributes.relatime) = (true, false);
    assert_eq!(judge(&wanted, vec![pool, times]), PUBLISHED, "no pod ends because of its access times");
}

#[test]
fn options_that_were_others_when_the_pod_started_are_told_and_accepted() {
    let now = wanted(&["vers=4.2", "timeo=300"]);
    let mut at = entry("/pods/1/mount", "nfs:/export/pvc-1", 50);
    at.options = SuperOptions::new("rw,vers=4.1,rsize=65536,timeo=600,retrans=2,sec=sys,addr=10.0.0.5");
    let otherwise = |entries| match judge(&now, entries) {
        Verdict::Published { otherwise } => otherwise,
        other => panic!("{other:?}"),
    };
    let told = Some("vers=4.1 instead of 4.2, timeo=600 instead of 300".to_owned());
    assert_eq!(otherwise(vec![at.clone()]), told, "the server may grant a smaller rsize");
    at.options = SuperOptions::new("rw,vers=4.2,timeo=300,sec=sys");
    assert_eq!(otherwise(vec![at.clone()]), None);
    let pooled = pool_entry(&now.share, "nfs:/export", 51);
    assert!(otherwise(vec![pooled, at]).is_some_and(|told| told.contains("superblock of other options")));
}

#[test]
fn a_protection_that_was_asked_for_is_there_or_missed() {
    let weaker = |asked: &[&str], found: &str| {
        let options = MountOptions::parse(asked, 2049).unwrap();
        Weaker::find(&options, &SuperOptions::new(found)).map(|weaker| (weaker.asked, weaker.found))
    };
    let missed = |asked: &str, found: &str| Some((asked.to_owned(), found.to_owned()));
    assert_eq!(weaker(&[], "rw,sec=sys"), None, "what nobody asked for is not missed");
    assert_eq!(weaker(&["xprtsec=tls"], "rw,sec=sys"), missed("xprtsec=tls", "xprtsec=none"));
    assert_eq!(weaker(&["xprtsec=mtls"], "rw,sec=sys,xprtsec=tls"), missed("xprtsec=mtls", "xprtsec=tls"));
    assert_eq!(weaker(&["xprtsec=tls"], "rw,sec=sys,xprtsec=mtls"), None);
    assert_eq!(weaker(&["xprtsec=none"], "rw,sec=sys"), None);
    assert_eq!(weaker(&["sec=krb5p"], "rw,sec=krb5"), missed("sec=krb5p", "sec=krb5"));
    assert_eq!(weaker(&["sec=krb5"], "rw,sec=sys"), missed("sec=krb5", "sec=sys"));
    assert_eq!(weaker(&["sec=krb5"], "rw,sec=krb5i"), None);
    assert_eq!(weaker(&["sec=krb5"], "rw"), missed("sec=krb5", "sec=none"), "what cannot be seen is not believed");
    assert_eq!(weaker(&["sec=none"], "rw,sec=null"), None);

    let asked = wanted(&["sec=krb5"]);
    let found = judge(&asked, vec![entry("/pods/1/mount", "nfs:/export/pvc-1", 50)]);
    assert!(matches!(found, Verdict::Weaker(_)), "{found:?}");
}

#[test]
fn a_server_under_two_names_is_recognised_by_its_superblock() {
    let wanted = wanted(&[]);
    let pool = pool_entry(&wanted.share, "10.0.0.5:/export", 50);
    assert_eq!(judge(&wanted, vec![pool.clone(), entry("/pods/1/mount", "10.0.0.5:/export/pvc-1", 50)]), PUBLISHED);
    let stranger = judge(&wanted, vec![pool, entry("/pods/1/mount", "10.0.0.6:/export/pvc-1", 51)]);
    assert!(matches!(stranger, Verdict::Other(_)));
    let unknown = judge(&wanted, vec![entry("/pods/1/mount", "10.0.0.5:/export/pvc-1", 50)]);
    assert_eq!(unknown, Verdict::Unknown("10.0.0.5:/export/pvc-1".to_owned()), "the pool knows nothing of it");
}

/// A link or a referral: the kernel shows where it led.
#[test]
fn a_share_behind_a_link_of_its_server_is_recognised_by_its_superblock() {
    let wanted = wanted(&[]);
    let pool = pool_entry(&wanted.share, "nfs:/disk7/export", 50);
    let at = |source| entry("/pods/1/mount", source, 50);
    assert_eq!(judge(&wanted, vec![pool.clone(), at("nfs:/disk7/export/pvc-1")]), PUBLISHED);
    let other = judge(&wanted, vec![pool, at("nfs:/disk7/export/pvc-2")]);
    assert_eq!(other, Verdict::Other("nfs:/disk7/export/pvc-2".to_owned()));
}

#[test]
fn a_mount_of_which_nothing_is_known_may_be_of_any_share() {
    let (own, other) = (share("nfs", "/export", &[]), share("other", "/export", &[]));
    let of = |share: &Share, entries: Vec<Entry>| {
        let at = entry("/pods/1/mount", "10.0.0.5:/export/pvc-1", 50);
        may_be_of(&at, share, &MountTable::new(entries), Path::new(POOL))
    };
    assert!(of(&own, vec![]), "after a restart the pool is empty");
    assert!(of(&own, vec![pool_entry(&own, "10.0.0.5:/export", 50)]));
    assert!(!of(&other, vec![pool_entry(&own, "10.0.0.5:/export", 50)]));
    assert!(of(&other, vec![pool_entry(&own, "10.0.0.5:/export", 50), pool_entry(&other, "10.0.0.5:/export", 50)]));
    assert!(of(&share("10.0.0.5", "/export", &[]), vec![pool_entry(&own, "10.0.0.5:/export", 50)]), "by its name");
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
    assert_eq!(lane_of(&clone, &table, Path::new(POOL)), lane(&share));
    assert_eq!(lane_of(&nested, &table, Path::new(POOL)), lane(&share));
    let twin = Share::new("10.0.0.5".parse().unwrap(), share.path.clone(), share.options.clone(), true);
    let twins = MountTable::new(vec![pool_entry(&share, "nfs:/export", 50), pool_entry(&twin, "nfs:/export", 50)]);
    let own = lane_of(&pool_entry(&twin, "nfs:/export", 50), &twins, Path::new(POOL));
    assert_eq!(own.key, twin.pool_name(), "a mount of the pool waits in its own lane, whoever shares its superblock");
    let other = entry("/pods/5/mount", "nfs:/exports/y", 52);
    assert_eq!(lane_of(&namesake, &table, Path::new(POOL)), lane_of(&other, &table, Path::new(POOL)), "one superblock");
    assert_ne!(lane_of(&namesake, &table, Path::new(POOL)), lane(&share));
    let mut moved = entry("/pods/4/mount", "nfs:/export/pvc-1", 53);
    moved.options = SuperOptions::new("rw,addr=10.0.0.9");
    let apart = lane_of(&moved, &table, Path::new(POOL));
    assert_ne!(apart, lane(&share), "nobody waits behind an address that the server had once");
}
