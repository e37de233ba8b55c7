//! A controller dies before any one step of a create or a delete, the next one finishes the job, and a claim that is made again
//! under the same name gets the same place.
//!
//! The programs in the cluster die where they are struck; one that dies at an exact step is a build of its own, with the
//! feature `fault-points`, that runs on the host. Each step has a driver, a Lease, a class and a share of its own, so that all
//! of them die, and are followed, at the same time.

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use labkit::base::{LabError, chain, eventually, join};
use serde_json::json;

use super::{Context, Scenario, context::PATIENCE};
use crate::cluster::{api::name_of, binaries, machine::Machine, nfs};

/// Steps of a create in a custom place, in their order; docs/layout.md says what each is.
const CREATE: [&str; 7] = ["Hold", "Parents", "Place", "Record", "Owner", "Mode", "Created"];
/// Steps of its delete.
const DELETE: [&str; 4] = ["Trash", "GiveUp", "Forget", "Deleted"];
/// The signal by which a program dies at a fault point, and by nothing else.
const SIGABRT: i32 = 6;

/// See [`run`].
pub(super) const SCENARIO: Scenario = Scenario {
    name: "again",
    about: "a create or delete that a crash has ended before any step is finished, and a claim of the same name gets the same place",
    needs_lab: true,
    run,
};

/// One step, and what is its own.
struct Trial<'a> {
    context: &'a Context<'a>,
    program: &'a Path,
    server: &'a Machine,
    step: &'static str,
    /// The step as part of names.
    name: String,
    /// Name of its driver.
    driver: String,
    class: String,
    /// Its share, a directory on the server.
    share: String,
}

/// A controller on the host; it ends with the value.
struct Controller {
    process: Child,
}

fn run(context: &Context<'_>) -> Result<(), LabError> {
    context.timeline.note("building a controller with fault points (seconds, if the tests are built)");
    let program = binaries::with_fault_points()?;
    let server = context.lab()?.machine(nfs::MACHINE)?;
    let trials: Vec<Trial<'_>> =
        CREATE.iter().chain(&DELETE).map(|step| Trial::new(context, &program, server, step)).collect();
    let outcomes: Vec<Result<(), LabError>> = thread::scope(|scope| {
        let threads: Vec<_> = trials.iter().map(|trial| scope.spawn(|| trial.run())).collect();
        threads.into_iter().map(join).collect()
    });
    let because = |trial: &Trial<'_>| LabError::because(format!("a crash before {}", trial.step));
    trials.iter().zip(outcomes).try_for_each(|(trial, outcome)| outcome.map_err(because(trial)))?;
    context
        .timeline
        .step(&format!("again: a claim of the same name after {} crashes, each before another step", trials.len()));
    Ok(())
}

impl<'a> Trial<'a> {
    fn new(context: &'a Context<'a>, program: &'a Path, server: &'a Machine, step: &'static str) -> Self {
        let name = step.to_lowercase();
        Self {
            // Of this run: what an earlier one has left is not to be finished by this one's.
            driver: format!("{name}.{}.berth.dev", context.namespace),
            class: context.class_name(&name),
            share: format!("{}/{}-{name}", nfs::OTHER_SHARE, context.namespace),
            context,
            program,
            server,
            step,
            name,
        }
    }

    fn run(&self) -> Result<(), LabError> {
        self.server.sh(&format!("install -d -m 755 {}", self.share))?;
        self.crash_and_repeat()?;
        self.server.sh(&format!("rm -rf {}", self.share)).map(drop)
    }

    fn crash_and_repeat(&self) -> Result<(), LabError> {
        let cluster = self.context.cluster();
        cluster.create(&json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
            "metadata": { "name": self.class, "labels": self.context.labels() }, "provisioner": self.driver,
            "parameters": {
                "server": self.context.driver.backend.server, "share": self.share, "uid": "1000",
                "subDir": "${pvc.metadata.namespace}/${pvc.metadata.name}",
            },
        }))?;
        let doomed = self.start(Some(self.step))?;
        self.context.claim_of(&self.name, &self.class)?;
        let (earlier, heir) = if DELETE.contains(&self.step) {
            let earlier = self.used()?;
            self.delete_claim()?;
            doomed.dies()?;
            (earlier, self.start(None)?)
        } else {
            doomed.dies()?;
            let heir = self.start(None)?;
            let earlier = self.used()?;
            self.delete_claim()?;
            (earlier, heir)
        };
        self.context.claim_of(&self.name, &self.class)?;
        let volume = self.context.bound(&self.name)?;
        cluster.gone::<PersistentVolume>("", &[&earlier])?;
        self.holds(Some(name_of(&volume)))?;
        self.delete_claim()?;
        cluster.gone::<PersistentVolume>("", &[name_of(&volume)])?;
        self.holds(None)?;
        heir.end()
    }

    /// Waits until the claim is bound and puts a file into its volume; the volume's name.
    fn used(&self) -> Result<String, LabError> {
        let volume = self.context.bound(&self.name)?;
        self.holds(Some(name_of(&volume)))?;
        self.server.sh(&format!("echo earlier >{}/file", self.place()))?;
        Ok(name_of(&volume).to_owned())
    }

    fn delete_claim(&self) -> Result<(), LabError> {
        self.context.cluster().delete::<PersistentVolumeClaim>(&self.context.namespace, &self.name)
    }

    fn place(&self) -> String {
        format!("{}/{}/{}", self.share, self.context.namespace, self.name)
    }

    /// Waits until there is this volume on the share, complete and empty, and nothing else; or nothing at all.
    fn holds(&self, volume: Option<&str>) -> Result<(), LabError> {
        let Self { share, context, name, .. } = self;
        let script = format!(
            "cd {share} && find .berth/places -mindepth 1 -printf 'held by %l\\n'\n\
             find .berth/records -mindepth 1 -printf 'record %f\\n'\n\
             find .berth/trash .berth/retained -mindepth 1 -print\n\
             find . -mindepth 2 -path './.berth/*' -prune -o -printf '%P %U %m\\n'"
        );
        let place = format!("{}/{name} 1000 777", context.namespace);
        let wanted = volume.map(|volume| format!("held by {volume}\nrecord {volume}\n{place}\n")).unwrap_or_default();
        eventually(&format!("nothing but {volume:?} on {share}"), PATIENCE, Duration::from_secs(1), || {
            let found = self.server.sh(&script).map_err(|error| chain(&error))?;
            if found == wanted { Ok(()) } else { Err(found) }
        })
    }

    /// Starts a controller of this driver; with a step, one that dies before it.
    fn start(&self, step: Option<&str>) -> Result<Controller, LabError> {
        let lab = self.context.lab()?;
        let identity = format!("{}-{}", self.name, if step.is_some() { "doomed" } else { "heir" });
        let log = lab.logs().join(format!("again-{identity}.log"));
        let file = fs::File::create(&log).map_err(LabError::file(&log))?;
        let socket = lab.file(&format!("{identity}.sock"));
        let process = Command::new(self.program)
            .arg(format!("--endpoint=unix://{}", socket.display()))
            .arg(format!("--driver-name={}", self.driver))
            .arg(format!("--leader-election-namespace={}", self.context.namespace))
            .arg(format!("--identity={identity}"))
            .env("KUBECONFIG", self.context.cluster().kubeconfig())
            .env("BERTH_ABORT_BEFORE", step.unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .map_err(|source| LabError::Start { program: self.program.display().to_string(), source })?;
        Ok(Controller { process })
    }
}

impl Controller {
    /// Waits for its death at its fault point.
    fn dies(mut self) -> Result<(), LabError> {
        let status = self.until_ended("its death")?;
        // A panic or an orderly end would have cleaned up.
        if status.signal() == Some(SIGABRT) {
            Ok(())
        } else {
            Err(LabError::Unmet(format!("it ended by itself: {status}")))
        }
    }

    /// Asks it to end and demands that it does so in order.
    fn end(mut self) -> Result<(), LabError> {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)
            .map_err(|errno| LabError::Start { program: "SIGTERM".to_owned(), source: errno.into() })?;
        let status = self.until_ended("its end")?;
        if status.success() { Ok(()) } else { Err(LabError::Unmet(format!("asked to end, it said {status}"))) }
    }

    fn until_ended(&mut self, what: &str) -> Result<ExitStatus, LabError> {
        eventually(what, PATIENCE, Duration::from_millis(100), || match self.process.try_wait() {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err("it runs".to_owned()),
            Err(error) => Err(error.to_string()),
        })
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
