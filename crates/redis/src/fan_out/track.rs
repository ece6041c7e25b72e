//! Where one subscriber is in the local log, and what that is in the stream.

use std::collections::VecDeque;

use bowline_events::Truncated;

use super::ledger::{Mark, Notice, Run, What};

/// Marks that a subscriber may leave unread. Beyond it the oldest are folded into one notice.
const MOST_MARKS: usize = 16 * 1024;

/// Marks on their way to one subscriber.
#[derive(Debug, Clone, Default)]
pub(super) struct Marks(VecDeque<Mark>);

impl Marks {
    /// Adds a mark behind the others.
    pub(super) fn push(&mut self, mark: Mark) {
        if self.0.len() >= MOST_MARKS {
            self.fold();
        }
        self.0.push_back(mark);
    }

    /// Moves all marks behind those in `into`.
    pub(super) fn move_to(&mut self, into: &mut Self) {
        if into.0.is_empty() {
            std::mem::swap(&mut into.0, &mut self.0);
        } else {
            into.0.append(&mut self.0);
        }
    }

    /// Forgets what the older half of the numbers meant, and says so in its place.
    fn fold(&mut self) {
        let half = self.0.len() / 2;
        let mut began = false;
        let mut cleared = false;
        let mut at = 0;
        for mark in self.0.drain(..half) {
            at = mark.at;
            began |= mark.what == What::Begin;
            cleared |= mark.what == What::Notice(Notice::Cleared);
        }
        let mut push = |what| self.0.push_front(Mark { at, what });
        push(What::Run(Run::Entries(None)));
        push(What::Notice(Notice::Truncated(None)));
        if cleared {
            push(What::Notice(Notice::Cleared));
        }
        if began {
            push(What::Begin);
        }
    }
}

/// What to do with an event of the local log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Nothing; the subscriber has it already, or it is older than the subscription.
    Skip,
    /// Deliver it at this position, where it has one.
    Deliver(Option<u64>),
}

/// One subscriber's way through the local log.
#[derive(Debug, Clone)]
pub(super) struct Track {
    run: Run,
    run_start: u64,
    marks: Marks,
    skipping: bool,
    /// A notice that matters only if the subscription begins right behind it.
    held: Option<(u64, Notice)>,
    /// The number of the event that comes next.
    next: u64,
}

impl Track {
    /// Begins at the number `next` of the local log, inside of `run`. With `skipping` entries are passed over until a
    /// [`What::Begin`].
    pub(super) fn new(next: u64, run: (Run, u64), skipping: bool) -> Self {
        Self {
            run: run.0,
            run_start: run.1,
            marks: Marks::default(),
            skipping,
            held: None,
            next,
        }
    }

    /// Where new marks go.
    pub(super) fn marks(&mut self) -> &mut Marks {
        &mut self.marks
    }

    /// The next thing to say before the event `local` is placed.
    pub(super) fn notice_before(&mut self, local: u64) -> Option<Notice> {
        while self.marks.0.front().is_some_and(|mark| mark.at <= local) {
            let mark = self.marks.0.pop_front()?;
            match mark.what {
                What::Run(run) => {
                    self.run = run;
                    self.run_start = mark.at;
                }
                What::Begin => {
                    self.skipping = false;
                    if let Some((at, notice)) = self.held.take()
                        && at == mark.at
                    {
                        return Some(notice);
                    }
                }
                What::Notice(notice) if self.skipping => self.held = Some((mark.at, notice)),
                What::Notice(notice) => return Some(notice),
            }
        }
        None
    }

    /// The next thing to say although no event follows yet.
    pub(super) fn notice(&mut self) -> Option<Notice> {
        self.notice_before(self.next)
    }

    /// Where the event `local` belongs, once nothing is to be said before it.
    pub(super) fn place(&mut self, local: u64) -> Place {
        self.next = local + 1;
        match self.run {
            Run::Entries(_) if self.skipping => Place::Skip,
            Run::Entries(_) | Run::Local => Place::Deliver(self.position(local)),
        }
    }

    /// The local log has dropped the events `wanted..first` before this subscriber read them: what it is told.
    pub(super) fn missed(&mut self, wanted: u64, first: u64) -> Vec<Notice> {
        let mut notices = Vec::new();
        while let Some(notice) = self.notice_before(wanted) {
            notices.push(notice);
        }
        let mut from = self.position(wanted);
        loop {
            let Some(notice) = self.notice_before(first) else {
                break;
            };
            if notice == Notice::Cleared {
                notices.push(notice);
                from = None;
            }
        }
        self.next = first;
        if self.skipping {
            return notices;
        }
        let range = from.zip(self.position(first));
        notices.push(Notice::Truncated(range.map(|(wanted, first)| Truncated {
            wanted: wanted.min(first),
            first,
        })));
        notices
    }

    fn position(&self, local: u64) -> Option<u64> {
        match self.run {
            Run::Entries(first) => Some(first? + local.saturating_sub(self.run_start)),
            Run::Local => None,
        }
    }
}
