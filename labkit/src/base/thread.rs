//! Threads whose work can fail.

use std::thread::{self, ScopedJoinHandle};

use super::LabError;

/// What a thread came to. One that panicked has said why on standard error.
pub fn join<T>(thread: ScopedJoinHandle<'_, Result<T, LabError>>) -> Result<T, LabError> {
    thread.join().unwrap_or_else(|_| Err(LabError::Unmet("a thread of the lab panicked: see above".to_owned())))
}

/// Does `work` in a thread of its own. The network namespace that it enters is that thread's alone.
pub fn apart<T: Send>(work: impl FnOnce() -> Result<T, LabError> + Send) -> Result<T, LabError> {
    thread::scope(|scope| join(scope.spawn(work)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error() {
        assert_eq!(apart(|| Ok(7)).unwrap(), 7);
        assert!(apart(|| if true { panic!("on purpose") } else { Ok(()) }).is_err());
    }
}
