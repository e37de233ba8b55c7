//! Waiting for a state, with an end.

use std::time::{Duration, Instant};

use super::LabError;

/// Asks `probe` until it answers `Ok`, at most for `deadline`. The last refusal becomes part of the error.
pub fn eventually<T>(
    what: &str,
    deadline: Duration,
    pause: Duration,
    mut probe: impl FnMut() -> Result<T, String>,
) -> Result<T, LabError> {
    let end = Instant::now() + deadline;
    loop {
        match probe() {
            Ok(found) => return Ok(found),
            Err(last) if Instant::now() >= end => {
                return Err(LabError::Timeout { what: what.to_owned(), seconds: deadline.as_secs(), last });
            }
            Err(_) => std::thread::sleep(pause),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eventually_reports_the_last_refusal() {
        let mut asked = 0;
        let error = eventually("the moon", Duration::from_millis(20), Duration::from_millis(5), || {
            asked += 1;
            Err::<(), _>(format!("ask {asked}"))
        })
        .unwrap_err();
        assert!(asked > 1);
        assert!(error.to_string().contains(&format!("last seen: ask {asked}")), "{error}");
    }
}
