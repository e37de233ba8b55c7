use volume::mount_options::MountOptions;

use super::*;

/// An export may be changed: then the share is mounted as a whole, by a plugin that goes on.
#[test]
fn a_share_that_could_not_be_pooled_is_tried_again_after_a_while() {
    let share = |path: &str| Share {
        server: "nfs".parse().unwrap(),
        path: path.parse().unwrap(),
        options: MountOptions::default(),
    };
    let (refused, other) = (share("/export"), share("/other"));
    let pool = Pool::<()>::new(PathBuf::from("/pool"), Duration::ZERO);
    let since = Instant::now();
    lock(&pool.unpoolable).insert(refused.pool_name(), since);
    for (after, expected) in [(Duration::ZERO, true), (UNPOOLABLE / 2, true), (UNPOOLABLE, false)] {
        assert_eq!(pool.is_unpoolable(&refused, since + after), expected, "{after:?}");
        assert!(!pool.is_unpoolable(&other, since + after));
    }
}
