//! Whether KVM works on this machine.
//!
//! That `/dev/kvm` exists means little: on some machines a stock kernel hangs under it. So a guest is booted as far as its
//! first program, once per boot of the machine, and whoever does not get there in time is emulated.

use std::{
    fs::{self, OpenOptions},
    path::Path,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{BuiltParts, Kernel, LabError, Part, kernels, store::Inputs, workshop::Workshop};
use crate::guest::qemu_command;

pub(super) const FILE: &str = "accelerator";

/// How long the trial may take. Where KVM works it takes about a second.
const DEADLINE: Duration = Duration::from_secs(15);
const DEVICE: &str = "/dev/kvm";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

pub(super) fn inputs(inputs: &mut Inputs) -> Result<(), LabError> {
    // The answer holds as long as the host is what it is.
    let boot = fs::read(BOOT_ID).map_err(LabError::file(BOOT_ID))?;
    inputs.add("boot", boot);
    inputs.add("usable", [u8::from(is_usable())]);
    Ok(())
}

fn is_usable() -> bool {
    OpenOptions::new().read(true).write(true).open(DEVICE).is_ok()
}

pub(super) fn build(shop: &mut Workshop, needs: &BuiltParts) -> Result<(), LabError> {
    let works = is_usable() && trial(shop, needs)?;
    let path = shop.path(FILE);
    fs::write(&path, if works { "kvm\n" } else { "tcg\n" }).map_err(LabError::file(&path))
}

pub(super) fn is_kvm(path: &Path) -> Result<bool, LabError> {
    Ok(fs::read_to_string(path).map_err(LabError::file(path))?.trim() == "kvm")
}

fn trial(shop: &Workshop, needs: &BuiltParts) -> Result<bool, LabError> {
    let kernel = needs.path(Part::kernel(Kernel::Linux6_1))?.join(kernels::KERNEL);
    let initrd = needs.path(Part::BOOT)?;
    let console = shop.path("trial.log");
    let mut command = qemu_command(true, &kernel, &initrd, &console, "lab.trial");
    command.args(["-smp", "2", "-m", "512"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child =
        command.spawn().map_err(|source| LabError::Start { program: "qemu-system-x86_64".to_owned(), source })?;
    let passed = || fs::read(&console).is_ok_and(|said| contains(&said, b"lab: trial passed"));
    let end = Instant::now() + DEADLINE;
    while Instant::now() < end && !passed() && !matches!(child.try_wait(), Ok(Some(_))) {
        thread::sleep(Duration::from_millis(50));
    }
    let works = passed();
    end_within(&mut child, Duration::from_secs(5));
    Ok(works)
}

/// Kills the trial. A process that hangs in the host's kernel is left to it: waiting could take for ever.
fn end_within(child: &mut Child, patience: Duration) {
    let end = Instant::now() + patience;
    // It may have ended by itself.
    let _ = child.kill();
    while Instant::now() < end && !matches!(child.try_wait(), Ok(Some(_))) {
        thread::sleep(Duration::from_millis(20));
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}
