//! Every seed of the fuzz targets, the inputs that once broke something among them, is run here too: what holds for every
//! input has to hold for these in every `cargo test`.

#[path = "../../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "it is also the library of the fuzz targets")]
mod properties;

use std::{
    collections::BTreeSet,
    fs, panic,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

/// What all seeds together may take: enough to begin with, and no burden to who clones the repository.
const MOST_FILES: usize = 200;
const MOST_BYTES: usize = 300 * 1024;

/// Whether anything has panicked: a runtime keeps the panics of its tasks to itself.
static PANICKED: AtomicBool = AtomicBool::new(false);

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz").join(name)
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn every_seed_holds_to_the_property_of_its_target() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        PANICKED.store(true, Ordering::Relaxed);
        report(panic);
    }));
    let (mut files, mut bytes) = (0, 0);
    for (target, check) in properties::TARGETS {
        let folder = folder("seeds").join(target);
        for name in names(&folder) {
            let seed = fs::read(folder.join(&name)).expect("a seed");
            // The harness prints this only if the test fails.
            println!("fuzz/seeds/{target}/{name}");
            check(&seed);
            assert!(!PANICKED.load(Ordering::Relaxed), "a task panicked at fuzz/seeds/{target}/{name}");
            files += 1;
            bytes += seed.len();
        }
    }
    assert!(
        files <= MOST_FILES && bytes <= MOST_BYTES,
        "{files} seeds of {bytes} bytes; CONTRIBUTING.md says how to choose"
    );
}

#[test]
fn every_target_is_run_here_and_has_seeds() {
    let known: BTreeSet<String> = properties::TARGETS.iter().map(|(target, _)| (*target).to_owned()).collect();
    assert_eq!(names(&folder("seeds")), known);
    let programs: BTreeSet<String> = known.iter().map(|target| format!("{target}.rs")).collect();
    assert_eq!(names(&folder("fuzz_targets")), programs);
    for target in known {
        assert!(!names(&folder("seeds").join(&target)).is_empty(), "{target} has no seed");
    }
}
