//! Whether publishers should wait for readers.

use std::time::Instant;

use super::entries::Entries;
use super::{Backlog, TopicLog};

impl TopicLog {
    /// Whether an attached reader is so far behind that publishers should wait a little.
    pub fn is_pressed(&mut self) -> bool {
        let group_floor = self.group_floor();
        if group_floor < self.entries.end()
            && self
                .entries
                .bytes_from(group_floor.max(self.entries.first()))
                > self.config.backlog.group_bytes
        {
            return true;
        }
        if !is_behind(&self.entries, &self.config.backlog, self.floor.position()) {
            return false;
        }
        self.look_at_floor();
        is_behind(&self.entries, &self.config.backlog, self.floor.position())
    }

    /// Whether waiting publishers should go on: readers have caught up well below the point where waiting began, so that
    /// publishers and readers take turns in large steps.
    pub fn has_room(&mut self) -> bool {
        let backlog = &self.config.backlog;
        let low = Backlog {
            events: backlog.events / 4,
            bytes: backlog.bytes / 4,
            ..*backlog
        };
        let group_floor = self
            .group_floor()
            .clamp(self.entries.first(), self.entries.end());
        if self.entries.bytes_from(group_floor) > low.group_bytes / 2 {
            return false;
        }
        if is_behind(&self.entries, &low, self.floor.position()) {
            self.look_at_floor();
        }
        !is_behind(&self.entries, &low, self.floor.position())
    }

    /// Stops waiting for readers that are behind and have not read since `stall_after` before `now`.
    pub fn mark_stalled(&mut self, now: Instant) {
        for reader in self.readers.values_mut() {
            let silent =
                now.saturating_duration_since(reader.last_read) >= self.config.backlog.stall_after;
            if silent && is_behind(&self.entries, &self.config.backlog, reader.next) {
                reader.stalled = true;
            }
        }
    }
}

/// Whether a reader at `position` is further behind than publishers should let it be.
fn is_behind(entries: &Entries, backlog: &Backlog, position: u64) -> bool {
    let position = position.max(entries.first());
    entries.end() - position > backlog.events as u64 || entries.bytes_from(position) > backlog.bytes
}
