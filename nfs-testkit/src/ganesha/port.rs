//! Ports that no two servers of tests have at a time, whatever processes the tests run in.

use std::{
    env,
    fs::{self, File},
    io,
    net::{Ipv4Addr, TcpListener},
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

/// Below the ports that the kernel gives to outgoing connections (32768 on), so that none of those takes one while its
/// server is away, and that no look for the server meets itself; below Kubernetes' node ports (30000 on) too.
const RANGE: RangeInclusive<u16> = 21_000..=29_999;

/// A TCP port of 127.0.0.1 that is nobody else's until it is dropped: an advisory lock on a file stands for it.
#[derive(Debug)]
pub(super) struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// A port that no other launcher on this machine has, and that nobody listens on.
    pub(super) fn acquire() -> io::Result<Self> {
        Self::acquire_among(RANGE, &env::temp_dir().join("nfs-testkit-ports"))
    }

    fn acquire_among(range: RangeInclusive<u16>, locks: &Path) -> io::Result<Self> {
        fs::create_dir_all(locks)?;
        let count = range.end() - range.start() + 1;
        let first = fastrand::u16(..count);
        for step in 0..count {
            let number = range.start() + (first + step) % count;
            if let Some(lock) = lock(&locks.join(number.to_string()))?
                && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok()
            {
                return Ok(Self { number, _lock: lock });
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, format!("every port of {range:?} is taken")))
    }

    pub(super) fn number(&self) -> u16 {
        self.number
    }
}

/// The lock on a file, unless somebody has it.
fn lock(path: &PathBuf) -> io::Result<Option<File>> {
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_nobody_elses_until_it_is_dropped() {
        let locks = tempfile::tempdir().unwrap();
        let range = 29_990..=29_993;
        let acquire = || Port::acquire_among(range.clone(), locks.path());
        let mut held: Vec<Port> = std::iter::from_fn(|| acquire().ok()).collect();
        let mut numbers: Vec<u16> = held.iter().map(Port::number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), held.len(), "each has its own");
        assert!(!held.is_empty(), "all four ports are taken by something else");
        assert_eq!(acquire().unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let free = held.pop().map(|port| port.number());
        assert_eq!(acquire().ok().map(|port| port.number()), free);
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_passed_over() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let taken = listener.local_addr().unwrap().port();
        let locks = tempfile::tempdir().unwrap();
        assert!(Port::acquire_among(taken..=taken, locks.path()).is_err());
        drop(listener);
        assert_eq!(Port::acquire_among(taken..=taken, locks.path()).unwrap().number(), taken);
    }
}
