//! How long to wait after a failure.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(30);

/// The wait after `failures` failures in a row: twice as long each time up to 30 seconds, of which a random half is left
/// out, so that many who failed together do not come back together.
pub(super) fn wait(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let full = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    let random = uuid::Uuid::new_v4().as_u128() as u32;
    let half = full / 2;
    half + half.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_grows_to_its_limit() {
        for (failures, full) in [
            (1, 200),
            (2, 400),
            (5, 3200),
            (8, 25_600),
            (9, 30_000),
            (u32::MAX, 30_000),
        ] {
            let full = Duration::from_millis(full);
            for _ in 0..20 {
                let wait = wait(failures);
                assert!(wait >= full / 2 && wait <= full, "{failures}: {wait:?}");
            }
        }
    }
}
