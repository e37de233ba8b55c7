//! The node plugin in a guest that is server and client at once: what publishing costs, what it holds, and what reading and writing through it costs.

pub(super) mod data;
pub(super) mod held;
pub(super) mod publish;

use std::{path::Path, time::Duration};

use labkit::base::LabError;
use serde_json::Value;

use crate::cluster::{binaries::Binaries, parts::LabParts, single::Single, state::StateDir};

/// How long one run of the load generator may take.
const PATIENCE: Duration = Duration::from_mins(10);
/// What every mount has that is compared with the plugin's: the plugin's own defaults.
const OPTIONS: &str = "vers=4.1,hard,timeo=600,retrans=2,noresvport,rsize=1048576,wsize=1048576";
/// Where pods' volumes are.
const PODS: &str = "/var/lib/kubelet/pods";

/// A guest in which the plugin runs, and the load generator.
struct Stand<'a> {
    single: Single,
    endpoint: String,
    generator: &'a Path,
}

impl<'a> Stand<'a> {
    fn start(lab: &StateDir, parts: &LabParts, binaries: &Binaries, generator: &'a Path) -> Result<Self, LabError> {
        let single = Single::start(lab, parts.guest_image())?;
        let endpoint = single.start_driver(binaries)?.node;
        Ok(Self { single, endpoint, generator })
    }

    fn sh(&self, script: &str) -> Result<String, LabError> {
        self.single.machine().sh_within(script, PATIENCE)
    }

    /// Runs the load generator in the guest, behind the words of `prefix`.
    fn load(&self, prefix: &str, words: &str) -> Result<Value, LabError> {
        let text = self.single.run_copy(prefix, self.generator, words, PATIENCE)?;
        serde_json::from_str(&text).map_err(LabError::reply("lab-load"))
    }

    /// Words that publish directories of a share, by a plugin on a socket; `{}` stands for the number of each.
    fn publish(&self, endpoint: &str, share: &str, directory: &str, target: &str, count: usize) -> String {
        let server = self.single.backend().server;
        format!(
            "publish --endpoint {endpoint} --volume {directory} --context server={server} --context share={share} \
             --context subDir={directory} --target {PODS}/{target}/mount --count {count}"
        )
    }

    /// `host:/path` of a path on the server.
    fn source(&self, path: &str) -> String {
        format!("{}:{path}", self.single.backend().server)
    }

    /// What a shell script prints as its only number.
    fn number(&self, script: &str) -> Result<f64, LabError> {
        let text = self.sh(script)?;
        text.trim().parse().map_err(|_| LabError::Unmet(format!("{script} printed {text:?}, which is no number")))
    }
}

/// A figure of the load generator, in milliseconds.
fn milliseconds(figures: &Value, key: &str) -> Result<f64, LabError> {
    let found = figures[key].as_f64().map(|microseconds| microseconds / 1000.0);
    found.ok_or_else(|| LabError::Unmet(format!("no {key} in {figures}")))
}

/// The middle one of an odd number of figures.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_neither_the_first_nor_the_mean() {
        assert!((median(vec![9.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!(median(Vec::new()).is_nan());
    }
}
