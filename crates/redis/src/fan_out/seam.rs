//! From the history of a topic to its live events, without a gap and without a repetition.
//!
//! A subscriber that begins in the past reads the stream page by page, as fast as it wants to, and slows nobody. When a page
//! comes back that is not full, it is near the end: it attaches to the local log, reads up to the entry behind which that begins,
//! and goes on there. If it is ahead of the shared reader, the local log passes over what it has already seen.

use bowline_events::{StartFrom, Truncated};

use super::ledger::Notice;
use super::live::Present;
use crate::history::PAGE;
use crate::stream::{Entry, StreamId, StreamInfo};

/// What a subscriber in the past does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Read a page: entries behind `after`, up to `upto` where that is known.
    Page {
        after: Option<StreamId>,
        upto: Option<StreamId>,
    },
    /// Attach to the local log, which passes over entries up to this one.
    Attach(StreamId),
    /// Go on in the local log.
    Live,
}

/// What came of a page.
#[derive(Debug)]
pub(super) struct Page {
    /// What is to be said before the entries.
    pub(super) notices: Vec<Notice>,
    /// Entries and their positions.
    pub(super) entries: Vec<(Option<u64>, Entry)>,
}

/// A subscriber on its way from the past to the present.
#[derive(Debug, Clone)]
pub(super) struct Seam {
    /// The epoch of the topic that the positions below belong to.
    epoch: u64,
    /// The last entry of the last page.
    after: Option<StreamId>,
    /// The position of the next entry of the stream.
    walk: Option<u64>,
    /// Entries before this position are passed over.
    from: u64,
    /// To be said first.
    first: Option<Notice>,
    near: bool,
    /// Where the local log begins: the entry before it, and its position.
    behind: Option<(StreamId, Option<u64>)>,
    done: bool,
}

impl Seam {
    /// Begins at `start`, given what the server said of the stream when the subscription was made.
    pub(super) fn new(start: StartFrom, info: Option<&StreamInfo>, present: &Present) -> Self {
        let first = info.map(StreamInfo::first);
        let end = info.map_or(0, |info| info.end);
        let mut seam = Self {
            epoch: present.epoch,
            after: None,
            walk: first,
            from: 0,
            first: None,
            near: false,
            behind: None,
            done: false,
        };
        match start {
            // A position that the stream has not reached belongs to a stream that is gone.
            StartFrom::Offset(offset) if info.is_some() && offset > end => {
                seam.first = Some(Notice::Cleared);
            }
            StartFrom::Offset(offset) => {
                seam.from = offset;
                seam.walk = Some(seam.walk.unwrap_or(0).min(offset));
            }
            StartFrom::Earliest | StartFrom::Latest => {}
        }
        seam
    }

    /// What to do, given where the shared reader is.
    pub(super) fn step(&mut self, present: &Present) -> Step {
        if self.done {
            return Step::Live;
        }
        if self.behind.is_none() && present.epoch != self.epoch {
            self.restart(present.epoch);
        }
        match self.behind {
            None if self.near => Step::Attach(self.after.unwrap_or_default()),
            Some((behind, _)) if self.after >= Some(behind) || behind == StreamId::ZERO => {
                self.done = true;
                Step::Live
            }
            behind => Step::Page {
                after: self.after,
                upto: behind.map(|(id, _)| id),
            },
        }
    }

    /// The subscriber is attached; the local log begins behind the entry `present.last_id`.
    pub(super) fn attached(&mut self, present: &Present) {
        if present.epoch != self.epoch {
            // The stream was deleted in the meantime: what is between is the beginning of the new one.
            self.restart(present.epoch);
            self.near = true;
        }
        self.behind = Some((present.last_id, present.next));
    }

    /// What is left to say when the way is over without another page.
    pub(super) fn last_word(&mut self) -> Option<Notice> {
        self.first.take()
    }

    /// Takes a page, with what the server said of the stream at the same time.
    pub(super) fn page(&mut self, info: Option<&StreamInfo>, entries: Vec<Entry>) -> Page {
        let mut notices: Vec<Notice> = self.first.take().into_iter().collect();
        let full = entries.len() as u64 >= PAGE;
        self.near |= !full;
        let recreated = info
            .zip(self.walk)
            .is_some_and(|(info, walk)| info.end < walk.max(self.from));
        if recreated {
            // The shared reader has not noticed yet. It will, and say so to those who are attached.
            self.near = true;
            self.done = self.behind.is_some();
            return Page {
                notices,
                entries: Vec::new(),
            };
        }
        if let Some(info) = info {
            notices.extend(self.look(info, entries.first()));
        }
        let placed = self.place(entries);
        if !full && self.behind.is_some() {
            self.done = true;
        }
        Page {
            notices,
            entries: placed,
        }
    }

    /// Finds out whether entries were trimmed before they were read.
    fn look(&mut self, info: &StreamInfo, entry: Option<&Entry>) -> Option<Notice> {
        let wanted = self.walk?.max(self.from);
        if info.first_id.is_some_and(|first| Some(first) <= self.after) {
            return None;
        }
        let limit = self.behind.and_then(|(_, next)| next).unwrap_or(u64::MAX);
        let first = info.first().min(limit);
        if entry.is_some() {
            self.walk = Some(info.first());
        }
        if first <= wanted {
            return None;
        }
        self.from = self.from.max(first);
        Some(Notice::Truncated(Some(Truncated { wanted, first })))
    }

    fn place(&mut self, entries: Vec<Entry>) -> Vec<(Option<u64>, Entry)> {
        let mut placed = Vec::with_capacity(entries.len());
        for entry in entries {
            if self.behind.is_some_and(|(behind, _)| entry.id > behind) {
                self.done = true;
                break;
            }
            self.after = Some(entry.id);
            let position = self.walk;
            self.walk = position.map(|position| position + 1);
            if position.is_none_or(|position| position >= self.from) {
                placed.push((position, entry));
            }
        }
        placed
    }

    fn restart(&mut self, epoch: u64) {
        *self = Self {
            epoch,
            after: None,
            walk: self.walk.map(|_| 0),
            from: 0,
            first: Some(Notice::Cleared),
            near: false,
            behind: None,
            done: false,
        };
    }
}
