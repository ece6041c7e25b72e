//! How much a group reads at once.

use std::time::{Duration, Instant};

/// Entries of the first read, as in the reference.
const FIRST: usize = 10;

/// Members that need longer than this to take what was read are slow.
const SLOW: Duration = Duration::from_millis(50);

/// Bytes of unsettled events at which reading waits.
const BYTES: usize = 64 * 1024 * 1024;

/// Events and bytes that are unsettled in this process.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Load {
    /// Unsettled entries, those included whose acknowledgement is on its way.
    pub(super) unsettled: usize,
    /// Those of them that no member has taken.
    pub(super) waiting: usize,
    pub(super) bytes: usize,
}

/// Doubles what is read at once while members take it quickly, so that a fast member costs few round trips; goes back to a
/// little when they are slow, so that other processes get what this one could not do yet.
#[derive(Debug)]
pub(super) struct Pace {
    count: usize,
    batch: usize,
    in_flight: usize,
    /// The last read: when it was answered, and whether it brought as much as was asked for.
    last: Option<(Instant, bool)>,
    /// Bytes of an event, lately.
    weight: usize,
}

impl Pace {
    /// Reads of at most `batch` entries, as long as at most `in_flight` are unsettled.
    pub(super) fn new(batch: usize, in_flight: usize) -> Self {
        Self {
            count: FIRST.min(batch),
            batch,
            in_flight,
            last: None,
            weight: 0,
        }
    }

    /// How many entries to ask for; 0 to wait until members have made room.
    pub(super) fn next(&mut self, load: Load, now: Instant) -> usize {
        if load.waiting > self.most_waiting() {
            return 0;
        }
        if let Some((answered, full)) = self.last.take() {
            let slow = now.saturating_duration_since(answered) >= SLOW;
            if slow && full {
                self.count = FIRST.min(self.batch);
            } else if full {
                self.count = (self.count * 2).min(self.batch);
            }
        }
        let room = self.in_flight.saturating_sub(load.unsettled);
        let bytes = BYTES.saturating_sub(load.bytes);
        let fit = match bytes {
            0 => 0,
            bytes => bytes.checked_div(self.weight).unwrap_or(room).max(1),
        };
        self.count.min(room).min(fit)
    }

    /// A read was answered with `got` of `asked` entries, of `bytes` bytes together.
    pub(super) fn answered(&mut self, asked: usize, got: usize, bytes: usize, now: Instant) {
        self.last = Some((now, got >= asked));
        if let Some(weight) = bytes.checked_div(got) {
            self.weight = weight.max(self.weight / 2);
        }
    }

    /// Entries of the next read at most.
    pub(super) fn most(&self) -> usize {
        self.count
    }

    /// How many events may be waiting for members when the next read is sent.
    pub(super) fn most_waiting(&self) -> usize {
        self.count / 2
    }

    /// How many events a member may take at once.
    pub(super) fn share(&self, small: usize, large: usize) -> usize {
        self.count.clamp(small, large.max(small))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(unsettled: usize, waiting: usize) -> Load {
        Load {
            unsettled,
            waiting,
            bytes: 0,
        }
    }

    #[test]
    fn full_reads_that_are_taken_quickly_double_the_next() {
        let now = Instant::now();
        let mut pace = Pace::new(100, 1_000);
        let mut asked = Vec::new();
        for _ in 0..6 {
            let count = pace.next(load(0, 0), now);
            pace.answered(count, count, 100 * count, now);
            asked.push(count);
        }
        assert_eq!(asked, [10, 20, 40, 80, 100, 100]);
    }

    #[test]
    fn a_read_that_found_less_changes_nothing() {
        let now = Instant::now();
        let mut pace = Pace::new(100, 1_000);
        pace.answered(10, 10, 0, now);
        assert_eq!(pace.next(load(0, 0), now), 20);
        pace.answered(20, 3, 0, now);
        assert_eq!(pace.next(load(0, 0), now + SLOW), 20);
    }

    #[test]
    fn slow_members_bring_it_back_to_the_first() {
        let now = Instant::now();
        let mut pace = Pace::new(100, 1_000);
        for _ in 0..4 {
            let count = pace.next(load(0, 0), now);
            pace.answered(count, count, 0, now);
        }
        assert_eq!(pace.next(load(80, 80), now), 0, "nothing was taken yet");
        assert_eq!(pace.next(load(80, 0), now + SLOW), 10);
    }

    #[test]
    fn no_more_than_there_is_room_for() {
        let now = Instant::now();
        let mut pace = Pace::new(100, 12);
        assert_eq!(pace.next(load(0, 0), now), 10);
        assert_eq!(pace.next(load(9, 0), now), 3);
        assert_eq!(pace.next(load(12, 0), now), 0);
        assert_eq!(pace.next(load(13, 0), now), 0);
    }

    #[test]
    fn large_events_are_read_in_small_numbers() {
        let now = Instant::now();
        let mut pace = Pace::new(100, 1_000);
        let count = pace.next(load(0, 0), now);
        pace.answered(count, count, count * BYTES / 4, now);
        assert_eq!(pace.next(load(0, 0), now), 4);
        let full = Load {
            bytes: BYTES,
            ..load(4, 0)
        };
        assert_eq!(pace.next(full, now), 0);
        let nearly = Load {
            bytes: BYTES - 1,
            ..load(4, 0)
        };
        assert_eq!(pace.next(nearly, now), 1, "one always fits");
    }
}
