//! What the shared reader has handed over of a topic, and what was lost before it could.
//!
//! The local log numbers events 0, 1, 2 ... in the order in which they were handed over. Subscribers count by position in the
//! stream. The two differ by a constant until something interferes: an event of this process only, an entry without an event, a
//! loss, a clear. Then a [`Mark`] tells every subscriber, in its place between the events.

use bowline_events::Truncated;

use crate::stream::{StreamId, StreamInfo};

/// What the numbers of the local log mean, from one of them on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Run {
    /// Entries of the stream; the position of the first, where the server tells positions.
    Entries(Option<u64>),
    /// Events that were published to this process only.
    Local,
}

/// What a subscriber is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notice {
    /// Entries were trimmed before they were read: which, where that is known.
    Truncated(Option<Truncated>),
    /// The stream was deleted; a new one begins.
    Cleared,
}

/// Something between two events of the local log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// The number of the event that follows.
    pub(super) at: u64,
    pub(super) what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// Another run begins.
    Run(Run),
    Notice(Notice),
    /// What one subscriber has seen already, or did not ask for, is over.
    Begin,
}

/// A loss that was found out by comparing a batch with what the server keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gap {
    None,
    Before(Truncated),
    /// Some entries were lost before the batch and some behind it, so many together. Which is not known: the stream was
    /// trimmed past the whole batch meanwhile.
    Around(Truncated),
}

/// The account of one topic.
#[derive(Debug, Clone)]
pub(super) struct Ledger {
    /// The number of the next event in the local log.
    next_local: u64,
    /// The position of the next entry, where the server tells positions.
    next: Option<u64>,
    /// The last entry that was read; where the group began, before the first.
    last_id: StreamId,
    run: Run,
    run_start: u64,
}

impl Ledger {
    /// Begins behind `last_id`, whose successor has position `next`.
    pub(super) fn new(next: Option<u64>, last_id: StreamId) -> Self {
        Self {
            next_local: 0,
            next,
            last_id,
            run: Run::Entries(next),
            run_start: 0,
        }
    }

    pub(super) fn next_local(&self) -> u64 {
        self.next_local
    }

    pub(super) fn next(&self) -> Option<u64> {
        self.next
    }

    pub(super) fn last_id(&self) -> StreamId {
        self.last_id
    }

    /// The run that the last event belongs to, and its first number.
    pub(super) fn run(&self) -> (Run, u64) {
        (self.run, self.run_start)
    }

    /// The entry `id` becomes the next event of the local log.
    pub(super) fn entry(&mut self, id: StreamId) -> Option<Mark> {
        let expected = match self.run {
            Run::Entries(first) => {
                Some(first.map(|first| first + (self.next_local - self.run_start)))
            }
            Run::Local => None,
        };
        let mark = (expected != Some(self.next)).then(|| self.begin(Run::Entries(self.next)));
        self.next_local += 1;
        self.pass(id);
        mark
    }

    /// The entry `id` was read and is no event of the local log.
    pub(super) fn pass(&mut self, id: StreamId) {
        self.next = self.next.map(|next| next + 1);
        self.last_id = id;
    }

    /// An event of this process only becomes the next event of the local log.
    pub(super) fn local(&mut self) -> Option<Mark> {
        let mark = (self.run != Run::Local).then(|| self.begin(Run::Local));
        self.next_local += 1;
        mark
    }

    /// Entries up to `gap.first` are gone.
    pub(super) fn lost(&mut self, gap: Truncated) -> Mark {
        self.next = Some(gap.first);
        self.mark(What::Notice(Notice::Truncated(Some(gap))))
    }

    /// Entries may be gone here; nobody can say how many.
    pub(super) fn doubtful(&self) -> Mark {
        self.mark(What::Notice(Notice::Truncated(None)))
    }

    /// A new stream begins, of which nothing was read.
    pub(super) fn cleared(&mut self, next: Option<u64>) -> Mark {
        self.next = next;
        self.last_id = StreamId::ZERO;
        self.mark(What::Notice(Notice::Cleared))
    }

    /// What was lost between the last entry and the next one that the stream keeps, given what the server said before it was
    /// read.
    pub(super) fn gap_before(&self, info: &StreamInfo) -> Option<Truncated> {
        let wanted = self.next?;
        let trimmed = info.first_id.is_none_or(|first| first > self.last_id);
        let first = info.first();
        (trimmed && first > wanted).then_some(Truncated { wanted, first })
    }

    /// What was lost before and behind a batch that is not entered yet, given what the server said after it was read.
    pub(super) fn gap_around(&self, info: &StreamInfo, batch: &[StreamId]) -> Gap {
        let Some(wanted) = self.next else {
            return Gap::None;
        };
        let before = |first: u64| match first > wanted {
            true => Gap::Before(Truncated { wanted, first }),
            false => Gap::None,
        };
        match info.first_id {
            Some(first) if first <= self.last_id => Gap::None,
            Some(first) if batch.last().is_some_and(|last| first <= *last) => {
                let inside = batch.partition_point(|id| *id < first) as u64;
                before(info.first().saturating_sub(inside))
            }
            _ => match before(info.first().saturating_sub(batch.len() as u64)) {
                Gap::Before(gap) => Gap::Around(gap),
                other => other,
            },
        }
    }

    fn begin(&mut self, run: Run) -> Mark {
        self.run = run;
        self.run_start = self.next_local;
        self.mark(What::Run(run))
    }

    fn mark(&self, what: What) -> Mark {
        Mark {
            at: self.next_local,
            what,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(millis: u64) -> StreamId {
        StreamId { millis, number: 0 }
    }

    fn info(first_id: Option<u64>, length: u64, end: u64) -> StreamInfo {
        StreamInfo {
            length,
            end,
            last_id: StreamId::ZERO,
            first_id: first_id.map(id),
        }
    }

    #[test]
    fn entries_in_a_row_need_no_mark() {
        let mut ledger = Ledger::new(Some(7), id(1));
        assert_eq!(ledger.entry(id(2)), None);
        assert_eq!(ledger.entry(id(3)), None);
        assert_eq!((ledger.next(), ledger.last_id()), (Some(9), id(3)));
    }

    #[test]
    fn whatever_breaks_the_row_is_marked_once() {
        let run = |at, run| {
            Some(Mark {
                at,
                what: What::Run(run),
            })
        };
        let mut ledger = Ledger::new(Some(0), StreamId::ZERO);
        assert_eq!(ledger.entry(id(1)), None);
        assert_eq!(ledger.local(), run(1, Run::Local));
        assert_eq!(ledger.local(), None);
        assert_eq!(ledger.entry(id(2)), run(3, Run::Entries(Some(1))));
        ledger.pass(id(3));
        assert_eq!(ledger.entry(id(4)), run(4, Run::Entries(Some(3))));
        assert_eq!(ledger.entry(id(5)), None);
    }

    #[test]
    fn positions_that_nobody_tells_stay_unknown() {
        let mut ledger = Ledger::new(None, StreamId::ZERO);
        assert_eq!(ledger.entry(id(1)), None);
        assert_eq!(ledger.next(), None);
        assert_eq!(ledger.gap_before(&info(Some(9), 1, 100)), None);
    }

    #[test]
    fn a_loss_is_seen_by_what_is_kept() {
        let ledger = Ledger::new(Some(5), id(5));
        let gap = |wanted, first| Some(Truncated { wanted, first });
        // The last read entry is still there, or its successor is the first.
        assert_eq!(ledger.gap_before(&info(Some(5), 6, 10)), None);
        assert_eq!(ledger.gap_before(&info(Some(6), 5, 10)), None);
        assert_eq!(ledger.gap_before(&info(Some(8), 3, 10)), gap(5, 7));
        assert_eq!(ledger.gap_before(&info(None, 0, 10)), gap(5, 10));
        assert_eq!(ledger.gap_before(&info(None, 0, 5)), None);
    }

    #[test]
    fn a_loss_is_seen_after_the_read_as_well() {
        let ledger = Ledger::new(Some(5), id(5));
        let batch = [id(8), id(9), id(10)];
        let before = |first| Gap::Before(Truncated { wanted: 5, first });
        for (kept, gap) in [
            (info(Some(5), 9, 14), Gap::None),
            (info(Some(8), 7, 12), Gap::None),
            (info(Some(8), 5, 12), before(7)),
            (info(Some(10), 3, 12), before(7)),
            (info(Some(11), 4, 12), Gap::None),
            (
                info(Some(11), 2, 12),
                Gap::Around(Truncated {
                    wanted: 5,
                    first: 7,
                }),
            ),
            (info(None, 0, 8), Gap::None),
        ] {
            assert_eq!(ledger.gap_around(&kept, &batch), gap, "{kept:?}");
        }
    }
}
