//! Steps with the time at which they were reached, printed as they happen and once more at the end.

use std::{
    fmt::Write,
    sync::Mutex,
    time::{Duration, Instant},
};

/// A run's clock and the steps reached so far. Shared by reference between threads.
#[derive(Debug)]
pub struct Timeline {
    begun: Instant,
    steps: Mutex<Vec<(Duration, String)>>,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { begun: Instant::now(), steps: Mutex::default() }
    }
}

impl Timeline {
    /// Prints what is going on; not a step.
    pub fn note(&self, text: &str) {
        println!("[{:>6.1} s] {text}", self.elapsed().as_secs_f64());
    }

    /// Prints a step and keeps it for the summary.
    pub fn step(&self, text: &str) {
        self.note(text);
        self.steps.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((self.elapsed(), text.to_owned()));
    }

    /// Time since the run began.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Every step with the moment it was reached and how long it took after the one before.
    pub fn summary(&self) -> String {
        let steps = self.steps.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut before = Duration::ZERO;
        let mut text = String::from("timeline (reached at, took)\n");
        for (at, step) in steps.iter() {
            let took = at.saturating_sub(before);
            let (at_seconds, seconds) = (at.as_secs_f64(), took.as_secs_f64());
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {at_seconds:>7.1} s  {seconds:>7.1} s  {step}");
            before = *at;
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_lists_steps_in_order() {
        let timeline = Timeline::default();
        timeline.note("only said");
        timeline.step("first");
        timeline.step("second");
        let summary = timeline.summary();
        assert!(summary.find("first") < summary.find("second"));
        assert!(!summary.contains("only said"));
    }
}
