//! Labs whose beginning goes wrong. Needs root and, when the lab's cache is empty, many minutes.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use e2e::cluster::{parts::LabParts, state::StateDir};
use labkit::{
    base::process::{MARKER, marked},
    parts::Kubernetes,
};
use rustix::process::{Pid, Signal, kill_process};

/// Machines of a lab.
const GUESTS: usize = 3;
const PATIENCE: Duration = Duration::from_mins(3);

/// A lab of this test alone; what is left of it goes with the value.
struct Lab {
    name: String,
    state: StateDir,
}

impl Lab {
    fn new(purpose: &str) -> Self {
        // So that the clock of the test does not run while parts are built.
        LabParts::ensure(Kubernetes::default()).unwrap();
        let name = format!("{purpose}-{}", std::process::id());
        let state = StateDir::open(&name).unwrap();
        Self { name, state }
    }

    fn command(&self, word: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
        command.args(["--name", &self.name, word]).env_remove(MARKER).stdin(Stdio::null()).stderr(Stdio::piped());
        command
    }

    /// `lab up`, as far as every machine is switched on.
    fn up(&self) -> (Child, Vec<u32>) {
        let mut up = self.command("up").stdout(Stdio::null()).spawn().unwrap();
        let until = Instant::now() + PATIENCE;
        loop {
            let machines: Vec<u32> = self.processes().into_iter().filter(|pid| runs(*pid, "qemu-system")).collect();
            if machines.len() == GUESTS {
                return (up, machines);
            }
            assert!(Instant::now() < until, "the guests do not start");
            assert!(up.try_wait().unwrap().is_none(), "lab up ended early");
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn processes(&self) -> Vec<u32> {
        marked(self.state.root())
    }

    fn down(&self) -> Output {
        self.command("down").output().unwrap()
    }

    /// What is in the lab's directory.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.state.root()).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.down();
        // A failure leaves the logs to be read.
        if !thread::panicking() {
            fs::remove_dir_all(self.state.root()).unwrap();
        }
    }
}

fn runs(pid: u32, program: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.starts_with(program))
}

fn kill(pid: u32) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
}

#[test]
fn down_leaves_nothing_behind_after_a_kill_of_the_lab_itself() {
    let lab = Lab::new("killed");
    let (mut up, _) = lab.up();
    up.kill().unwrap();
    up.wait().unwrap();
    assert!(lab.processes().len() >= GUESTS, "the machines outlive the program that started them");

    let down = lab.down();
    assert!(down.status.success(), "{}", String::from_utf8_lossy(&down.stderr));
    assert_eq!(lab.processes(), [0_u32; 0]);
    assert_eq!(lab.files(), ["lock", "logs"]);
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(lab.state.root().to_str().unwrap()), "{mounts}");
}

#[test]
fn a_failed_up_takes_down_what_came_up_and_names_the_log() {
    let lab = Lab::new("failed");
    let (up, machines) = lab.up();
    kill(machines[0]);
    let done = up.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(!done.status.success());
    assert!(told.contains(".log"), "{told}");
    assert_eq!(lab.processes(), [0_u32; 0], "{told}");
    assert!(lab.files().contains(&"logs".to_owned()));
    // Nothing of the failure stands in the way of the next one, which is stopped as soon as it runs.
    let (mut again, _) = lab.up();
    again.kill().unwrap();
    again.wait().unwrap();
}
