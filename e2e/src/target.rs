//! The cluster that scenarios run on: the lab, or the one that `KUBECONFIG` names.

use std::{env, path::PathBuf, thread};

use labkit::{
    base::{LabError, join},
    parts::{BUSYBOX_IMAGE, Kubernetes, Part},
};

use crate::{
    cluster::{
        Cluster, Lab,
        binaries::Binaries,
        chart::{self, Installation, NAMESPACE, Release},
        image::{self, BerthImage},
        nfs::Backend,
        parts::{self, LabParts},
        state::StateDir,
    },
    report::Timeline,
};

/// Name of the driver that the chart installs.
pub(crate) const DRIVER: &str = "csi.berth.dev";
/// Class that the chart makes.
const CLASS: &str = "efs-sc";

/// The driver as it is installed.
#[derive(Debug, Clone)]
pub struct Driver {
    /// The cluster it runs on.
    pub cluster: Cluster,
    /// Namespace of its pods.
    pub namespace: String,
    /// Name under which it is registered.
    pub name: String,
    /// Class that provisions on `backend`.
    pub class: String,
    /// Where volumes are made.
    pub backend: Backend,
    /// Image that it was installed from.
    pub image: String,
    /// Image with a shell that every node has or can pull.
    pub shell_image: String,
    /// What takes it away and installs it again; `None` where it was not installed by the chart.
    pub release: Option<Release>,
}

/// A cluster on which the driver is installed.
#[derive(Debug)]
pub struct Target {
    lab: Option<TheLab>,
    driver: Driver,
}

/// The lab, and with what the driver is installed on it.
#[derive(Debug)]
struct TheLab {
    lab: Lab,
    parts: LabParts,
    image: BerthImage,
}

impl Target {
    /// Builds what is needed and installs the driver: on the cluster of `KUBECONFIG` when that is set, else on the lab, of
    /// this Kubernetes.
    pub fn prepare(state: &StateDir, kubernetes: Kubernetes, timeline: &Timeline) -> Result<Self, LabError> {
        match foreign_kubeconfig() {
            Some(kubeconfig) => Self::foreign(kubeconfig, timeline),
            None => Self::lab_with_driver(state, kubernetes, timeline),
        }
    }

    /// The driver under test.
    pub fn driver(&self) -> &Driver {
        &self.driver
    }

    /// The lab, unless the cluster is another.
    pub fn lab(&self) -> Option<&Lab> {
        self.lab.as_ref().map(|own| &own.lab)
    }

    /// What the lab is made from, unless the cluster is another.
    pub fn parts(&self) -> Option<&LabParts> {
        self.lab.as_ref().map(|own| &own.parts)
    }

    /// Installs the driver anew, by the manifests instead of the chart and with a class on the lab's second server, and does
    /// `work` with it; it is taken away then. `None` on another cluster, whose installation is not the lab's to replace.
    pub fn by_manifests<T>(&self, work: impl FnOnce(&Driver) -> Result<T, LabError>) -> Result<Option<T>, LabError> {
        let Some((TheLab { lab, image, .. }, release)) = self.lab.as_ref().zip(self.driver.release.as_ref()) else {
            return Ok(None);
        };
        release.uninstall(lab.cluster())?;
        lab.import(&[&image.release])?;
        let backend = lab.ganesha();
        let done = chart::apply(lab.cluster(), &backend).and_then(|()| {
            // Names of class and driver are the examples' and the chart's, and the same.
            work(&Driver { backend, release: None, ..self.driver.clone() })
        });
        chart::remove(lab.cluster())?;
        done.map(Some)
    }

    fn lab_with_driver(state: &StateDir, kubernetes: Kubernetes, timeline: &Timeline) -> Result<Self, LabError> {
        timeline.note(
            "building the lab's parts and the release binaries (12 to 20 min when nothing is built, else seconds)",
        );
        // Side by side: linkers, of which both have many, use one processor.
        let (parts, binaries) = thread::scope(|scope| {
            let binaries = scope.spawn(Binaries::build);
            (LabParts::ensure(kubernetes), join(binaries))
        });
        let (parts, binaries) = (parts?, binaries?);
        let image = image::build(&binaries)?;
        timeline.step("parts, binaries and image built");
        let lab = Lab::up(state, &parts, &[&image.archive], timeline)?;
        let backend = lab.kernel_server();
        let (repository, tag) = (image.repository.clone(), image.tag.clone());
        // The lab's nodes may join with it; the manifests are installed without.
        let installation = Installation { repository, tag, backend: backend.clone(), startup_taint: true };
        timeline.note("installing the chart, until its pods are ready (10 to 40 s usually)");
        let release = Release { helm: parts.helm().to_owned(), installation };
        release.install(lab.cluster())?;
        timeline.step("chart installed");
        let driver = driver(lab.cluster().clone(), backend, image.name(), BUSYBOX_IMAGE.to_owned(), release);
        Ok(Self { lab: Some(TheLab { lab, parts, image }), driver })
    }

    fn foreign(kubeconfig: PathBuf, timeline: &Timeline) -> Result<Self, LabError> {
        let wanted = |name: &str, what: &str| {
            env::var(name).map_err(|_| {
                LabError::Precondition(format!(
                    "KUBECONFIG is set, so the scenarios run on that cluster; {name} must say {what}"
                ))
            })
        };
        let backend = Backend {
            server: wanted("BERTH_SERVER", "which NFS server its nodes and pods reach")?,
            share: wanted("BERTH_SHARE", "which share of that server is free for tests")?,
        };
        let image = wanted("BERTH_IMAGE", "where it pulls Berth's image from, as REPOSITORY:TAG")?;
        let (repository, tag) = image
            .rsplit_once(':')
            .ok_or_else(|| LabError::Precondition(format!("BERTH_IMAGE={image} is not REPOSITORY:TAG")))?;
        let cluster = Cluster::new(parts::program(Part::KUBECTL)?, kubeconfig)?;
        let installation = Installation {
            repository: repository.to_owned(),
            tag: tag.to_owned(),
            backend: backend.clone(),
            startup_taint: false,
        };
        let release = Release { helm: parts::program(Part::HELM)?, installation };
        release.install(&cluster)?;
        timeline.step("chart installed");
        let shell_image = env::var("BERTH_SHELL_IMAGE").unwrap_or_else(|_| BUSYBOX_IMAGE.to_owned());
        Ok(Self { lab: None, driver: driver(cluster, backend, image, shell_image, release) })
    }
}

/// Whether the scenarios run on a cluster that is not the lab's.
pub fn is_foreign() -> bool {
    foreign_kubeconfig().is_some()
}

fn foreign_kubeconfig() -> Option<PathBuf> {
    env::var_os("KUBECONFIG").filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn driver(cluster: Cluster, backend: Backend, image: String, shell_image: String, release: Release) -> Driver {
    Driver {
        cluster,
        namespace: NAMESPACE.to_owned(),
        name: DRIVER.to_owned(),
        class: CLASS.to_owned(),
        backend,
        image,
        shell_image,
        release: Some(release),
    }
}
