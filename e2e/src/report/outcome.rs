//! What a run of tests came to, read from what the test harness prints.

/// Counts of one or more test programs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Tests that passed.
    pub passed: usize,
    /// Tests that failed, and programs that ended without saying how their tests went.
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

    /// Reads the output of one or more Rust test programs run by `program`. When that ended badly although no test is
    /// reported as failed (it crashed, or did not build), this counts as one failure under its name.
    pub fn from_libtest(program: &str, output: &str, succeeded: bool) -> Self {
        let mut outcome = Self::default();
        for line in output.lines() {
            if let Some(counts) = line.trim_start().strip_prefix("test result: ") {
                outcome.passed += count(counts, "passed");
                outcome.failed += count(counts, "failed");
                outcome.not_run += count(counts, "ignored");
            } else if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
                outcome.failures.push(format!("{program}: {name}"));
            }
        }
        if !succeeded && outcome.failed == 0 {
            outcome.add(Self::failure(format!("{program} ended badly without a failed test")));
        }
        if succeeded && outcome == Self::default() && !output.contains("test result: ") {
            outcome.add(Self::failure(format!("{program} printed no result")));
        }
        outcome
    }
}

/// The number before `word` in `12 passed; 0 failed; …`.
fn count(text: &str, word: &str) -> usize {
    let end = text.find(&format!(" {word}")).unwrap_or(0);
    let digits = text[..end].rsplit(|character: char| !character.is_ascii_digit()).next();
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIXED: &str = "running 3 tests\ntest a::b ... ok\ntest a::c ... FAILED\ntest d ... ignored\n\n\
        test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s\n";

    #[test]
    fn counts_and_names_are_read() {
        let outcome = Outcome::from_libtest("x", MIXED, false);
        assert_eq!((outcome.passed, outcome.failed, outcome.not_run), (1, 1, 1));
        assert_eq!(outcome.failures, ["x: a::c"]);
    }

    #[test]
    fn several_programs_add_up() {
        let twice = MIXED.repeat(2);
        assert_eq!(Outcome::from_libtest("x", &twice, false).failed, 2);
    }

    #[test]
    fn a_program_that_dies_is_a_failure() {
        let outcome = Outcome::from_libtest("x", "running 3 tests\ntest a ... ok\n", false);
        assert_eq!((outcome.passed, outcome.failed), (0, 1));
    }

    #[test]
    fn silence_is_a_failure() {
        assert_eq!(Outcome::from_libtest("x", "", true).failed, 1);
        let empty = "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(Outcome::from_libtest("x", empty, true), Outcome::default());
    }
}
