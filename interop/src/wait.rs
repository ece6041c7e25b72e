//! Waiting, always with an end.

use std::time::{Duration, Instant};

/// How long anything may take before the test fails. Nothing here takes long; a busy machine may.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How often something is asked again that cannot tell when it changes.
const PAUSE: Duration = Duration::from_millis(5);

/// Asks again until `check` gives a value.
///
/// # Panics
/// After [`PATIENCE`], naming `what` and the last answer.
#[track_caller]
pub fn eventually<T>(what: &str, mut check: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        match check() {
            Ok(value) => return value,
            Err(answer) if Instant::now() > end => {
                panic!("not within {PATIENCE:?}: {what}; last: {answer}")
            }
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}
