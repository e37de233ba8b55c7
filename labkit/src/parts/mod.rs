//! What the lab is made of: programs, disks and images, each built once per set of inputs and kept in the lab's cache.
//!
//! A part's key is a hash over everything that it is made from, so nothing is ever rebuilt in place: another input is
//! another directory. A directory appears under its name only when it is complete.

mod accelerator;
mod boot;
mod catalog;
mod crates;
mod debian;
mod disk;
mod go;
mod images;
mod kernels;
mod kubernetes;
mod packages;
mod plan;
mod programs;
mod progress;
mod rustc;
mod store;
mod workshop;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

pub use catalog::Part;
pub use images::{BUSYBOX_IMAGE, PAUSE_IMAGE};
pub use kernels::Kernel;
pub use kubernetes::Kubernetes;
use plan::{Batch, Plan};
use progress::Step;
use store::Store;
pub use store::default_root as cache;
use workshop::{Tools, Workshop};

use crate::{
    base::{LabError, join},
    guest::Image,
};

/// The lab's cache and what can be built into it for one release of Kubernetes.
#[derive(Debug)]
pub struct Parts {
    store: Store,
    tools: Tools,
    kubernetes: Kubernetes,
}

/// Parts that are there, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuiltParts {
    directories: BTreeMap<&'static str, PathBuf>,
}

impl Parts {
    /// The cache: `$BERTH_LAB_CACHE`, or `berth-lab` in `$XDG_CACHE_HOME` or `~/.cache`.
    pub fn open(kubernetes: Kubernetes) -> Result<Self, LabError> {
        Ok(Self::at(Store::open(&store::default_root()?)?, kubernetes))
    }

    fn at(store: Store, kubernetes: Kubernetes) -> Self {
        Self { store, tools: Tools::default(), kubernetes }
    }

    /// Builds what is missing of `wanted`, telling on standard error how it goes, and says where everything is. Debian
    /// packages that the lab needs on the host are installed first, unless `wanted` is Go programs alone: these need
    /// nothing but go, and so no root. Two programs that call this at once do not build the same part twice.
    pub fn ensure(&self, wanted: &[Part]) -> Result<BuiltParts, LabError> {
        if wanted.iter().any(|part| part.needs_packages()) {
            packages::ensure(&self.store.log("packages"))?;
        }
        if let Ok(built) = self.built(wanted) {
            return Ok(built);
        }
        let _lock = self.store.lock(|| eprintln!("another program builds parts of the lab; waiting for it"))?;
        let mut plan = Plan::default();
        for &part in wanted {
            plan.add(part, &|part| Ok(!self.directory(part)?.is_dir()))?;
        }
        let run =
            Run { parts: self, of: plan.batches().count(), begun: AtomicUsize::new(0), failed: AtomicBool::new(false) };
        thread::scope(|scope| {
            let programs = scope.spawn(|| run.lane(&plan.programs));
            let others = run.lane(&plan.others);
            join(programs).and(others)
        })?;
        run.lane(&plan.last)?;
        self.built(wanted)
    }

    /// Says where `wanted` is without building anything; an error names what is missing.
    pub fn built(&self, wanted: &[Part]) -> Result<BuiltParts, LabError> {
        let mut built = BuiltParts::default();
        let mut missing = BTreeSet::new();
        for &part in wanted {
            let directory = self.directory(part)?;
            if directory.is_dir() {
                built.directories.insert(part.name, directory);
            } else {
                missing.insert(part.name);
            }
        }
        if missing.is_empty() { Ok(built) } else { Err(not_built(missing)) }
    }

    fn build(&self, batch: &Batch, number: usize, of: usize) -> Result<(), LabError> {
        let first = batch[0];
        let directories =
            batch.iter().map(|part| self.store.fresh(&self.kind(*part))).collect::<Result<Vec<_>, _>>()?;
        let needs = self.built(first.needs)?;
        let usual = batch.iter().map(|part| self.store.took(&self.kind(*part)).unwrap_or(part.usual())).sum();
        let name = match batch.len() {
            1 => first.name.to_owned(),
            more => format!("{} and {} more", first.name, more - 1),
        };
        let step = Step { name, number, of, usual };
        let mut shop = Workshop::new(step, &directories[0], self.store.log(&self.kind(first)))?;
        Part::build(batch, self.kubernetes, &mut shop, &needs)?;
        for (part, directory) in batch.iter().zip(&directories).skip(1) {
            fs::rename(shop.path(part.file), directory.join(part.file)).map_err(LabError::file(directory))?;
        }
        let took = shop.finish();
        for part in batch {
            self.store.keep(&self.kind(*part), &self.key(*part)?)?;
            // To each the part of the time that it is expected to take.
            let whole: f64 = batch.iter().map(|part| part.usual().as_secs_f64()).sum();
            self.store.note_time(&self.kind(*part), took.mul_f64(part.usual().as_secs_f64() / whole));
        }
        Ok(())
    }

    fn directory(&self, part: Part) -> Result<PathBuf, LabError> {
        Ok(self.store.directory(&self.kind(part), &self.key(part)?))
    }

    /// What the store counts a part's versions by: builds of one release of Kubernetes do not push out another's.
    fn kind(&self, part: Part) -> String {
        let release = if part.follows_kubernetes() { format!("-{}", self.kubernetes.minor()) } else { String::new() };
        format!("{}{release}", part.name)
    }

    /// Hash over a part's own inputs and the keys of what it is made from.
    fn key(&self, part: Part) -> Result<String, LabError> {
        let mut inputs = store::Inputs::new(part.name);
        part.inputs(self.kubernetes, &mut inputs, &self.tools)?;
        for &need in part.needs {
            inputs.add("need", self.key(need)?);
        }
        Ok(inputs.key())
    }
}

/// The building of a plan.
struct Run<'a> {
    parts: &'a Parts,
    /// How many batches there are in all, and how many have been begun.
    of: usize,
    begun: AtomicUsize,
    /// Once one has failed, no other is begun.
    failed: AtomicBool,
}

impl Run<'_> {
    fn lane(&self, batches: &[Batch]) -> Result<(), LabError> {
        for batch in batches {
            if self.failed.load(Ordering::Relaxed) {
                return Ok(());
            }
            let number = self.begun.fetch_add(1, Ordering::Relaxed) + 1;
            let built = self.parts.build(batch, number, self.of);
            self.failed.fetch_or(built.is_err(), Ordering::Relaxed);
            built?;
        }
        Ok(())
    }
}

fn not_built(parts: impl IntoIterator<Item = &'static str>) -> LabError {
    let parts = parts.into_iter().collect::<Vec<_>>().join(", ");
    LabError::Precondition(format!("not built: {parts}"))
}

impl BuiltParts {
    /// The file that is the part (a directory for [`Part::DEBIAN`] and [`Part::kernel`]); an error when it was not asked for.
    pub fn path(&self, part: Part) -> Result<PathBuf, LabError> {
        let missing = || not_built([part.name]);
        self.directories.get(part.name).map(|directory| directory.join(part.file)).ok_or_else(missing)
    }

    /// Name and directory of each part; the directory's name changes with every input.
    pub fn inputs(&self) -> BTreeMap<String, String> {
        self.directories.iter().map(|(&part, path)| (part.to_owned(), path.display().to_string())).collect()
    }

    /// What guests with this kernel boot from; needs [`Part::GUEST`] and the kernel.
    pub fn guest_image(&self, kernel: Kernel) -> Result<Image, LabError> {
        let home = self.path(Part::kernel(kernel))?;
        Ok(Image {
            kernel: home.join(kernels::KERNEL),
            modules: home.join(kernels::MODULES),
            initrd: vec![self.path(Part::BOOT)?, home.join(kernels::EARLY)],
            root: self.path(Part::DEBIAN)?.join(debian::ROOT),
            kvm: accelerator::is_kvm(&self.path(Part::ACCELERATOR)?)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use std::path::Path;

    use super::*;

    /// Every part, those aside that others are made from alone.
    fn all() -> Vec<Part> {
        let kernels: Vec<Part> = Kernel::value_variants().iter().copied().map(Part::kernel).collect();
        let others = [Part::NODE_PROGRAMS, Part::HELM, Part::CSI_SANITY, Part::CARGO_NEXTEST];
        [Part::CONTROL_PLANE, &Part::GUEST[..1], &kernels, &Part::GUEST[2..], Part::IMAGES, Part::SUITE, &others]
            .concat()
    }

    fn parts(home: &Path, kubernetes: Kubernetes) -> Parts {
        Parts::at(Store::open(home).unwrap(), kubernetes)
    }

    #[test]
    fn what_is_missing_is_named() {
        let home = tempfile::tempdir().unwrap();
        let parts = parts(home.path(), Kubernetes::default());
        let error = parts.built(&[Part::ETCD, Part::HELM]).unwrap_err();
        assert!(error.to_string().contains("etcd, helm"), "{error}");
        assert!(BuiltParts::default().path(Part::ETCD).is_err());
    }

    #[test]
    fn a_plan_has_needs_first_and_nothing_twice() {
        let mut plan = Plan::default();
        for part in all() {
            plan.add(part, &|_| Ok(true)).unwrap();
        }
        let plan: Vec<Part> = plan.batches().flatten().copied().collect();
        assert!(all().iter().all(|part| plan.contains(part)));
        for (index, &part) in plan.iter().enumerate() {
            assert!(!plan[..index].contains(&part), "{part:?}");
            assert!(part.needs.iter().all(|need| plan[..index].contains(need)), "{part:?}");
        }
    }

    #[test]
    fn go_programs_alone_need_no_packages() {
        assert!(![Part::KUBECTL, Part::HELM].into_iter().any(Part::needs_packages));
        for part in [Part::GUEST, Part::IMAGES, &[Part::NODE_PROGRAMS]].concat() {
            assert!(part.needs_packages(), "{part:?}");
        }
    }

    #[test]
    fn keys_are_stable_and_differ_between_parts() {
        let home = tempfile::tempdir().unwrap();
        let parts = parts(home.path(), Kubernetes::default());
        let keys: BTreeSet<String> = all().into_iter().map(|part| parts.key(part).unwrap()).collect();
        assert_eq!(keys.len(), all().len());
        assert_eq!(parts.key(Part::BOOT).unwrap(), parts.key(Part::BOOT).unwrap());
    }

    #[test]
    fn what_follows_kubernetes_differs_between_its_releases_and_nothing_else_does() {
        let home = tempfile::tempdir().unwrap();
        let releases = Kubernetes::value_variants().iter().map(|release| parts(home.path(), *release));
        let places = releases.map(|parts| all().into_iter().map(move |part| parts.directory(part).unwrap()));
        let mut places: Vec<Vec<PathBuf>> = places.map(Iterator::collect).collect();
        let newest = places.remove(0);
        for other in places {
            for ((part, one), two) in all().into_iter().zip(&newest).zip(other) {
                assert_eq!(*one != two, part.follows_kubernetes(), "{part:?}");
            }
        }
    }
}
