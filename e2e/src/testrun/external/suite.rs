//! Kubernetes' own test program on a cluster: what it needs there, and how it is called.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use labkit::{
    base::{LabError, Tool, checkout, process},
    parts::{BuiltParts, Kubernetes, Part, Parts},
};

use super::spec::{self, Listing, Verdict};
use crate::{
    cluster::{Lab, state::StateDir},
    report,
    target::Target,
};

/// What the suite is told about the driver.
const DRIVER: &str = "e2e/suite/driver.yaml";
/// The spec that wants a populator, and what plays its part.
const POPULATED: &str = "provision storage with any volume data source [Serial]";
const POPULATOR: &str = "e2e/suite/populator";

/// Builds what the suite is made of. It needs the network, so it comes before anything enters a lab.
pub fn build(kubernetes: Kubernetes) -> Result<BuiltParts, LabError> {
    Parts::open(kubernetes)?.ensure(Part::SUITE)
}

/// The suite, ready to run on a cluster.
#[derive(Debug)]
pub(super) struct Suite {
    e2e_test: PathBuf,
    ginkgo: PathBuf,
    flags: Vec<OsString>,
    environment: Vec<(&'static str, OsString)>,
    driver: String,
    /// The driver that it judges and the programs that do: what a verdict is about.
    pub(super) subject: BTreeMap<String, String>,
}

impl Suite {
    /// Where the cluster is the lab, gives its nodes the images, the way in and the tool that specs want. Another cluster's
    /// nodes pull the images; `KUBE_SSH_KEY_PATH` and `KUBE_SSH_USER` name the way in.
    pub(super) fn prepare(target: &Target, parts: &BuiltParts, state: &StateDir) -> Result<Self, LabError> {
        // What a run that was killed has left behind would run beside this one.
        let mark = state.file("suite");
        process::end_all(&mark)?;
        let driver = checkout().join(DRIVER);
        let told = fs::read_to_string(&driver).map_err(LabError::file(&driver))?;
        let mut subject = parts.inputs();
        subject.extend([("image".to_owned(), target.driver().image.clone()), ("driver".to_owned(), told)]);
        let flag = |name: &str, value: &Path| {
            let mut flag = OsString::from(format!("--{name}="));
            flag.push(value);
            flag
        };
        let kubectl = target.driver().cluster.kubectl();
        let mut environment = target.lab().map_or(Ok(Vec::new()), |lab| equip(lab, parts))?;
        environment.extend([
            (process::MARKER, mark.into()),
            ("KUBECTL", kubectl.command(&[]).get_program().to_owned()),
            ("KUBECONFIG", kubectl.kubeconfig().into()),
            ("SHELL_IMAGE", target.driver().shell_image.clone().into()),
        ]);
        Ok(Self {
            e2e_test: parts.path(Part::E2E_TEST)?,
            ginkgo: parts.path(Part::GINKGO)?,
            flags: vec![
                // Nothing but a cluster whose nodes are reached by SSH.
                "--provider=local".into(),
                flag("kubeconfig", kubectl.kubeconfig()),
                flag("storage.testdriver", &driver),
            ],
            driver: target.driver().name.clone(),
            environment,
            subject,
        })
    }

    /// Every spec that there is for the driver.
    pub(super) fn list(&self) -> Result<Listing, LabError> {
        let tool = Tool::new(&self.e2e_test).args(&self.flags).arg("--list-tests");
        let listing = spec::listing(&tool.env("DEBUG_STORAGE_TESTSUITE", "1").output()?, &self.driver);
        if listing.specs.is_empty() {
            return Err(LabError::Unmet(format!("e2e.test lists no spec for the driver {}", self.driver)));
        }
        Ok(listing)
    }

    /// Runs these specs in so many processes. What they print is in `target/report/external/LABEL.log`.
    pub(super) fn run(
        &self,
        specs: &[&str],
        processes: u8,
        label: &str,
    ) -> Result<BTreeMap<String, Verdict>, LabError> {
        let home = report::directory()?.join("external");
        fs::create_dir_all(&home).map_err(LabError::file(&home))?;
        let log = home.join(format!("{label}.log"));
        let out = File::create(&log).map_err(LabError::file(&log))?;
        let errors = out.try_clone().map_err(LabError::file(&log))?;
        let told = home.join("report.json");
        let focus = specs.iter().map(|name| format!("{}$", literal(name))).collect::<Vec<_>>().join("|");
        let mut command = Command::new(&self.ginkgo);
        command.args(["--no-color", "--timeout=3h", "--json-report=report.json"]);
        command.arg(format!("--procs={processes}")).arg(format!("--focus={focus}"));
        command.arg("--output-dir").arg(&home).arg(&self.e2e_test).arg("--").args(&self.flags);
        command.envs(self.environment.iter().map(|(key, value)| (key, value))).stdout(out).stderr(errors);
        // A report of an earlier run must not be taken for this one's.
        let _ = fs::remove_file(&told);
        let _populator = specs.iter().any(|name| name.ends_with(POPULATED)).then(|| self.populator()).transpose()?;
        // How it ended is in the report; without one, no spec was run.
        command.status().map_err(|source| LabError::Start { program: "ginkgo".to_owned(), source })?;
        fs::read_to_string(&told).map_or_else(
            |_| Ok(specs.iter().map(|&name| (name.to_owned(), Verdict::absent())).collect()),
            |text| spec::verdicts(&text, specs),
        )
    }

    fn populator(&self) -> Result<Populator, LabError> {
        let mut command = Command::new(checkout().join(POPULATOR));
        let command = command.envs(self.environment.iter().map(|(key, value)| (key, value))).stdout(Stdio::null());
        command.spawn().map(Populator).map_err(|source| LabError::Start { program: POPULATOR.to_owned(), source })
    }
}

/// Plays the part of a populator as long as it is kept.
struct Populator(Child);

impl Drop for Populator {
    fn drop(&mut self) {
        // The only failure is that it has ended by itself.
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// Gives the lab's nodes what specs want of a node, and says how `e2e.test` gets in.
fn equip(lab: &Lab, parts: &BuiltParts) -> Result<Vec<(&'static str, OsString)>, LabError> {
    lab.import(&[&parts.path(Part::SUITE_IMAGE)?])?;
    for node in lab.nodes() {
        node.copy_in(&parts.path(Part::CRICTL)?, "/usr/local/bin/crictl", 0o755)?;
    }
    Ok(vec![("KUBE_SSH_KEY_PATH", lab.serve_ssh()?.into()), ("KUBE_SSH_USER", "root".into())])
}

/// A regular expression, in Go's dialect, that is found in `text` alone.
fn literal(text: &str) -> String {
    let escaped = |letter: char| letter.is_ascii_punctuation().then_some('\\').into_iter().chain([letter]);
    text.chars().flat_map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_by_the_letter() {
        assert_eq!(literal("[Driver: a.b] (x) it's"), r"\[Driver\: a\.b\] \(x\) it\'s");
    }
}
