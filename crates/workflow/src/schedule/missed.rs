//! Which occurrences of a cadence lie between two instants, in bounded time.

use bowline_events::Timestamp;

use super::Cadence;
use super::core::MANY;

/// The occurrences from `first`, which is one, up to and with `now`.
#[derive(Debug)]
pub(super) struct Missed {
    /// The newest of them in order; never empty.
    pub(super) newest: Vec<Timestamp>,
    /// Those before: the first, the last, and how many, where `MANY` means that many or more.
    pub(super) older: Option<(Timestamp, Timestamp, u32)>,
}

impl Missed {
    /// Keeps the newest `keep` of them, at least one.
    pub(super) fn find(cadence: &Cadence, first: Timestamp, now: Timestamp, keep: usize) -> Self {
        let keep = keep.max(1);
        let mut all = vec![first];
        while let Some(next) = following(cadence, all[all.len() - 1], now) {
            if all.len() == MANY as usize + keep {
                return Self::among_many(cadence, first, now, keep);
            }
            all.push(next);
        }
        let newest = all.split_off(all.len().saturating_sub(keep));
        let older = match (all.first(), all.last()) {
            (Some(first), Some(last)) => Some((*first, *last, all.len() as u32)),
            _ => None,
        };
        Self { newest, older }
    }

    /// More than `MANY`: they are searched from the end.
    fn among_many(cadence: &Cadence, first: Timestamp, now: Timestamp, keep: usize) -> Self {
        let mut newest = Vec::with_capacity(keep + 1);
        let mut until = now;
        for _ in 0..=keep {
            let last = last_until(cadence, first, until);
            newest.push(last);
            until = Timestamp::from_millis(last.as_millis().saturating_sub(1));
        }
        newest.reverse();
        let last_older = newest.remove(0);
        Self {
            newest,
            older: Some((first, last_older, MANY)),
        }
    }
}

/// The occurrence after `at`, if it is not after `until`.
fn following(cadence: &Cadence, at: Timestamp, until: Timestamp) -> Option<Timestamp> {
    cadence.next_after(at).filter(|next| *next <= until)
}

/// The last occurrence that is not after `until`, where `known` is one. Halves the time in which it can be.
fn last_until(cadence: &Cadence, known: Timestamp, until: Timestamp) -> Timestamp {
    let (mut known, mut until) = (known, until);
    while let Some(next) = following(cadence, known, until) {
        known = next;
        let middle = known.as_millis() + until.as_millis().saturating_sub(known.as_millis()) / 2;
        let middle = Timestamp::from_millis(middle);
        match following(cadence, middle, until) {
            Some(later) => known = later,
            None => until = middle,
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_found_as_few_are() {
        for expression in [
            "* * * * * *",
            "*/7 9-10 * * MON",
            "0 0 29 2 *",
            "* * 1 * *",
            "*/30 * * * *",
        ] {
            let cadence = Cadence::cron(expression, Some("America/New_York")).unwrap();
            let first = cadence
                .next_after(Timestamp::from_millis(1_793_500_000_000))
                .unwrap();
            for span in [0, 1, 60_000, 400_000, 86_400_000] {
                let now = Timestamp::from_millis(first.as_millis() + span);
                let mut all = vec![first];
                while let Some(next) = following(&cadence, all[all.len() - 1], now) {
                    all.push(next);
                }
                assert_eq!(
                    last_until(&cadence, first, now),
                    all[all.len() - 1],
                    "{expression} {span}"
                );
                let missed = Missed::find(&cadence, first, now, 3);
                assert_eq!(
                    missed.newest,
                    all[all.len().saturating_sub(3)..],
                    "{expression} {span}"
                );
                let older = &all[..all.len().saturating_sub(3)];
                let count = (older.len() as u32).min(MANY);
                let expected = older
                    .first()
                    .map(|first| (*first, older[older.len() - 1], count));
                assert_eq!(missed.older, expected, "{expression} {span}");
            }
        }
    }

    #[test]
    fn a_century_of_seconds_is_no_work() {
        let cadence = Cadence::cron("* * * * * *", None).unwrap();
        let first = Timestamp::from_millis(1_000);
        let now = Timestamp::from_millis(3_155_760_000_500);
        let missed = Missed::find(&cadence, first, now, 2);
        let at = Timestamp::from_millis;
        assert_eq!(
            missed.newest,
            [at(3_155_759_999_000), at(3_155_760_000_000)]
        );
        assert_eq!(missed.older, Some((first, at(3_155_759_998_000), MANY)));
    }
}
