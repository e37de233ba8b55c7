//! `kubectl`: for people, and for streams into and out of pods.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use labkit::base::{Finished, LabError, Tool};

/// `kubectl` against one cluster.
#[derive(Debug, Clone)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
}

impl Kubectl {
    /// `program` with `kubeconfig`.
    pub fn new(program: PathBuf, kubeconfig: PathBuf) -> Self {
        Self { program, kubeconfig }
    }

    /// `kubectl` with these words, to run on the caller's terminal.
    pub fn command(&self, words: &[String]) -> Command {
        let mut command = Command::new(&self.program);
        command.env("KUBECONFIG", &self.kubeconfig).args(words);
        command
    }

    /// The kubeconfig it uses.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Runs `kubectl` with these words and returns what it printed.
    pub fn run<S: AsRef<str>>(&self, words: &[S]) -> Result<String, LabError> {
        self.tool().args(words.iter().map(AsRef::as_ref)).output()
    }

    /// Runs a program in a pod; any exit status is a result.
    pub fn exec(&self, namespace: &str, pod: &str, words: &[&str], stdin: &[u8]) -> Result<Finished, LabError> {
        let mut tool = self.tool().args(["exec", "-n", namespace, pod]);
        if !stdin.is_empty() {
            tool = tool.arg("-i").stdin(stdin);
        }
        tool.arg("--").args(words).finish()
    }

    /// As [`Kubectl::exec`], but a failing program is an error and its output is text.
    pub fn exec_text(&self, namespace: &str, pod: &str, words: &[&str]) -> Result<String, LabError> {
        self.tool().args(["exec", "-n", namespace, pod, "--"]).args(words).output()
    }

    /// A `kubectl` command without arguments.
    pub fn tool(&self) -> Tool {
        Tool::new(&self.program)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBERC", "off")
            .deadline(Duration::from_mins(3))
    }
}
