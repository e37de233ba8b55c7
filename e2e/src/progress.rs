//! What a person sees while parts are built.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

/// One part that is being built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// What is being built.
    pub name: &'static str,
    /// Its place in this run, from 1.
    pub number: usize,
    /// How many parts this run builds.
    pub of: usize,
    /// How long it took here the last time, or else on the machine where it was measured.
    pub usual: Duration,
}

/// Receives news of a build. The methods are called in the order in which things happen, `working` about once a second.
pub trait Progress {
    /// Something worth a line that is no step.
    fn note(&mut self, text: &str);
    /// A part begins.
    fn started(&mut self, step: &Step);
    /// A part is being built for so long.
    fn working(&mut self, step: &Step, elapsed: Duration);
    /// A part is ready.
    fn finished(&mut self, step: &Step, took: Duration);
}

/// Progress as lines on standard error. On a terminal the last line counts up; elsewhere a line appears every twenty
/// seconds, so that a log shows that something happens.
#[derive(Debug, Default)]
pub struct Lines {
    shown: u64,
}

/// Seconds between two lines about the same step where standard error is no terminal.
const PERIOD: u64 = 20;

impl Progress for Lines {
    fn note(&mut self, text: &str) {
        eprintln!("{text}");
    }

    fn started(&mut self, step: &Step) {
        self.shown = 0;
        line(&format!("{} ({} usually)", place(step), seconds(step.usual)), true);
    }

    fn working(&mut self, step: &Step, elapsed: Duration) {
        let now = elapsed.as_secs();
        if io::stderr().is_terminal() {
            line(&format!("{} {now} s ({} usually)", place(step), seconds(step.usual)), false);
        } else if now >= self.shown + PERIOD {
            self.shown = now;
            line(&format!("{} {now} s so far ({} usually)", place(step), seconds(step.usual)), true);
        }
    }

    fn finished(&mut self, step: &Step, took: Duration) {
        line(&format!("{} done in {}", place(step), seconds(took)), true);
    }
}

fn line(text: &str, whole: bool) {
    let mut to = io::stderr();
    // Progress that cannot be shown must not fail the build.
    let _ = if !to.is_terminal() {
        writeln!(to, "{text}")
    } else if whole {
        writeln!(to, "\r\x1b[K{text}")
    } else {
        write!(to, "\r\x1b[K{text}")
    };
    let _ = to.flush();
}

fn place(step: &Step) -> String {
    format!("building [{}/{}] {}", step.number, step.of, step.name)
}

fn seconds(time: Duration) -> String {
    if time < Duration::from_secs(10) {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} s", time.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_says_what_and_how_far() {
        let step = Step { name: "kubelet", number: 3, of: 12, usual: Duration::from_secs(14) };
        assert_eq!(place(&step), "building [3/12] kubelet");
        assert_eq!(seconds(Duration::from_millis(1500)), "1.5 s");
        assert_eq!(seconds(Duration::from_millis(61_500)), "61 s");
    }
}
