//! A cluster as `kubectl` shows it.

use std::{path::PathBuf, process::Command, time::Duration};

use serde_json::Value;

use crate::base::{Finished, LabError, Tool};

/// `kubectl` against one cluster. Cheap to clone.
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

    /// A `kubectl` command without arguments.
    pub fn tool(&self) -> Tool {
        Tool::new(&self.program)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBERC", "off")
            .deadline(Duration::from_mins(3))
    }

    /// `kubectl` with these words, to run on the caller's terminal.
    pub fn command(&self, words: &[String]) -> Command {
        let mut command = Command::new(&self.program);
        command.env("KUBECONFIG", &self.kubeconfig).args(words);
        command
    }

    /// The kubeconfig this client uses.
    pub fn kubeconfig(&self) -> &PathBuf {
        &self.kubeconfig
    }

    /// Runs `kubectl` with these words and returns what it printed.
    pub fn run<S: AsRef<str>>(&self, words: &[S]) -> Result<String, LabError> {
        self.tool().args(words.iter().map(AsRef::as_ref)).output()
    }

    /// Applies YAML or JSON by server-side apply.
    pub fn apply(&self, text: impl Into<Vec<u8>>) -> Result<String, LabError> {
        self.tool().args(["apply", "--server-side", "--force-conflicts", "-f", "-"]).stdin(text).output()
    }

    /// Creates what the text names; one that exists is an error.
    pub fn create(&self, text: impl Into<Vec<u8>>) -> Result<String, LabError> {
        self.tool().args(["create", "-f", "-"]).stdin(text).output()
    }

    /// One object or `None`. `namespace` is empty for objects of the cluster.
    pub fn get(&self, kind: &str, name: &str, namespace: &str) -> Result<Option<Value>, LabError> {
        let text = self.run(&["get", kind, name, "-o", "json", "--ignore-not-found", "-n", namespace])?;
        if text.trim().is_empty() { Ok(None) } else { decode("kubectl get", &text).map(Some) }
    }

    /// Objects of a kind that carry the labels of `selector` (empty: all).
    pub fn list(&self, kind: &str, namespace: &str, selector: &str) -> Result<Vec<Value>, LabError> {
        let text = self.run(&["get", kind, "-o", "json", "-n", namespace, "-l", selector])?;
        let mut list: Value = decode("kubectl get", &text)?;
        match list["items"].take() {
            Value::Array(items) => Ok(items),
            _ => Ok(Vec::new()),
        }
    }

    /// Body of a GET on the API server.
    pub fn raw(&self, path: &str) -> Result<String, LabError> {
        self.run(&["get", "--raw", path])
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
        let done = self.exec(namespace, pod, words, b"")?;
        if done.status.success() {
            return Ok(done.text());
        }
        Err(LabError::Command {
            command: format!("{} in pod {namespace}/{pod}", words.join(" ")),
            status: done.status.to_string(),
            output: done.printed(),
        })
    }

    /// Waits with a watch until `condition` (`kubectl wait --for=`) holds for what `target` names.
    pub fn wait(&self, namespace: &str, target: &[&str], condition: &str, deadline: Duration) -> Result<(), LabError> {
        let timeout = format!("--timeout={}s", deadline.as_secs());
        self.tool()
            .args(["wait", "-n", namespace, &format!("--for={condition}"), &timeout])
            .args(target)
            .deadline(deadline + Duration::from_secs(20))
            .output()
            .map(drop)
    }
}

fn decode(what: &str, text: &str) -> Result<Value, LabError> {
    serde_json::from_str(text).map_err(|source| LabError::Reply { what: what.to_owned(), source })
}
