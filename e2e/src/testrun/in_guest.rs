//! Tests in a guest: nextest starts them on the host, each behind this runner, which starts the same program in the guest.

use std::{
    collections::BTreeSet,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use labkit::{
    base::LabError,
    guest::{Exec, Guest},
};
use serde_json::Value;

use super::nextest::matching;

/// Where test programs lie in a guest.
const FOLDER: &str = "/var/tmp/tests";
/// Longer than any test: nextest ends what takes too long by ending the runner, and with it the command in the guest.
const FOREVER: Duration = Duration::from_hours(2);
/// Variables of these prefixes are the test's, wherever it runs.
const PASSED_ON: &[&str] = &["BERTH_TEST_", "NEXTEST", "RUST_"];

/// Copies the test programs of a rung, from nextest's list of it, into the guest.
pub(super) fn copy(list: &Value, guest: &Guest) -> Result<(), LabError> {
    let programs: BTreeSet<&Path> =
        matching(list).filter_map(|case| case.suite["binary-path"].as_str()).map(Path::new).collect();
    for program in programs {
        guest.copy_in(program, &inside(program).to_string_lossy(), 0o755)?;
    }
    Ok(())
}

fn inside(program: &Path) -> PathBuf {
    Path::new(FOLDER).join(program.file_name().unwrap_or(program.as_os_str()))
}

/// Runs a test program in the guest whose files are in `directory`, and ends with its status. A program that is asked for
/// its list of tests answers on the host: the list is the same, and quicker to be had.
pub fn run(directory: &Path, program: &Path, words: &[String]) -> Result<i32, LabError> {
    if words.iter().any(|word| word == "--list") {
        let source = Command::new(program).args(words).exec();
        return Err(LabError::Start { program: program.display().to_string(), source });
    }
    let guest = Guest::attach(directory)?;
    let inside = inside(program).to_string_lossy().into_owned();
    let mut command = Exec::new([inside].into_iter().chain(words.iter().cloned())).timeout(FOREVER);
    for (key, value) in std::env::vars() {
        if PASSED_ON.iter().any(|prefix| key.starts_with(prefix)) {
            command = command.env(&key, &value);
        }
    }
    guest.exec_shown(&command)
}
