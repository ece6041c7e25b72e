//! One log in memory.

use std::collections::VecDeque;

use bowline_events::Timestamp;
use bytes::Bytes;

use crate::page::Budget;
use crate::{Appended, Keep, LogEntry, LogInfo, LogPage};

#[derive(Debug)]
pub(super) struct MemoryLog {
    info: LogInfo,
    entries: VecDeque<(Timestamp, Bytes)>,
}

impl MemoryLog {
    pub(super) fn new(born: u64, now: Timestamp) -> Self {
        Self {
            info: LogInfo {
                first: 0,
                end: 0,
                bytes: 0,
                born,
                updated: now,
            },
            entries: VecDeque::new(),
        }
    }

    pub(super) fn info(&self) -> LogInfo {
        self.info
    }

    pub(super) fn append(&mut self, entries: Vec<Bytes>, now: Timestamp) -> Appended {
        let first = self.info.end;
        self.info.updated = self.info.updated.max(now);
        for body in entries {
            self.info.end += 1;
            self.info.bytes += body.len() as u64;
            self.entries.push_back((self.info.updated, body));
        }
        Appended {
            first,
            end: self.info.end,
            born: self.info.born,
        }
    }

    pub(super) fn trim(&mut self, keep: &Keep, now: Timestamp) {
        let floor = keep.floor(self.info.first, self.info.end);
        let oldest = keep.oldest(now);
        while let Some((at, body)) = self.entries.front() {
            let stays = self.info.first >= floor
                && keep.bytes.is_none_or(|bytes| self.info.bytes <= bytes)
                && oldest.is_none_or(|oldest| *at >= oldest);
            if stays {
                break;
            }
            self.info.bytes -= body.len() as u64;
            self.info.first += 1;
            self.entries.pop_front();
        }
        if self.entries.len() * 4 < self.entries.capacity() {
            self.entries.shrink_to(self.entries.len() * 2);
        }
    }

    pub(super) fn read(&self, from: u64, limit: usize) -> LogPage {
        let start = from.clamp(self.info.first, self.info.end);
        let skipped = usize::try_from(start - self.info.first).unwrap_or(usize::MAX);
        let mut budget = Budget::new(limit);
        let entries = self.entries.iter().skip(skipped).zip(start..);
        let entries = entries
            .take_while(|((_, body), _)| budget.takes(body.len()))
            .map(|((at, body), position)| LogEntry {
                position,
                at: *at,
                body: body.clone(),
            });
        LogPage {
            entries: entries.collect(),
            info: Some(self.info),
        }
    }
}
