//! What a run of tests came to.

/// Counts of one or more runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Tests that passed.
    pub passed: usize,
    /// Tests that failed, and whatever else shows that something was not tested.
    pub failed: usize,
    /// Tests that were not run.
    pub not_run: usize,
    /// Names of what failed.
    pub failures: Vec<String>,
}

impl Outcome {
    /// One thing that passed.
    pub fn pass() -> Self {
        Self { passed: 1, ..Self::default() }
    }

    /// One thing that failed.
    pub fn failure(name: impl Into<String>) -> Self {
        Self { failed: 1, failures: vec![name.into()], ..Self::default() }
    }

    /// Adds another run's counts.
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.not_run += other.not_run;
        self.failures.extend(other.failures);
    }

    /// The counts as the last line of a run has them.
    pub fn counts(&self) -> String {
        format!("{} passed, {} failed, {} not run", self.passed, self.failed, self.not_run)
    }
}
