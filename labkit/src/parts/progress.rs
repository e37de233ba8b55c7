//! What a person sees while parts are built.

use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

/// One part that is being built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    /// What is being built.
    pub(super) name: String,
    /// Its place in this run, from 1.
    pub(super) number: usize,
    /// How many parts this run builds.
    pub(super) of: usize,
    /// How long it took here the last time, or else on the machine where it was measured.
    pub(super) usual: Duration,
}

/// One step as lines on standard error. On a terminal the last line counts up; elsewhere a line appears every twenty
/// seconds, so that a log shows that something happens.
#[derive(Debug)]
pub(super) struct Progress {
    step: Step,
    begun: Instant,
    /// When after the beginning it was told last.
    told: Duration,
    /// When a line for the log was written last.
    logged: Duration,
}

/// Time between two updates on a terminal.
const TICK: Duration = Duration::from_secs(1);
/// Time between two lines where standard error is no terminal.
const PERIOD: Duration = Duration::from_secs(20);

impl Progress {
    /// The step begins.
    pub(super) fn begin(step: Step) -> Self {
        line(&format!("{} ({} usually)", place(&step), seconds(step.usual)), true);
        Self { step, begun: Instant::now(), told: Duration::ZERO, logged: Duration::ZERO }
    }

    /// It goes on; to be called more often than there is something to tell.
    pub(super) fn tick(&mut self) {
        let now = self.begun.elapsed();
        if now < self.told + TICK {
            return;
        }
        self.told = now;
        let (place, usual) = (place(&self.step), seconds(self.step.usual));
        if io::stderr().is_terminal() {
            line(&format!("{place} {} s ({usual} usually)", now.as_secs()), false);
        } else if now >= self.logged + PERIOD {
            self.logged = now;
            line(&format!("{place} {} s so far ({usual} usually)", now.as_secs()), true);
        }
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.step.name
    }

    /// When it was told last; zero: never.
    #[cfg(test)]
    pub(super) fn told(&self) -> Duration {
        self.told
    }

    /// It is done; tells how long it took.
    pub(super) fn end(&self) -> Duration {
        let took = self.begun.elapsed();
        line(&format!("{} done in {}", place(&self.step), seconds(took)), true);
        took
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
        let step = Step { name: "kubelet".to_owned(), number: 3, of: 12, usual: Duration::from_secs(14) };
        assert_eq!(place(&step), "building [3/12] kubelet");
        assert_eq!(seconds(Duration::from_millis(1500)), "1.5 s");
        assert_eq!(seconds(Duration::from_millis(61_500)), "61 s");
    }
}
