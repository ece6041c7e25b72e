//! Gathering events from a list that others append to and trim.

use std::sync::Arc;

use bowline_events::{CachePage, Event, Text};
use bytes::Bytes;

use super::histories::Histories;
use super::layout::Keys;
use super::read::{Look, PAGE};
use super::record::Record;
use crate::wire::Failure;

/// A walk through a list from the first wanted record on.
pub(super) struct Walk<'a> {
    pub(super) keys: &'a Keys,
    /// Events wanted at most.
    pub(super) limit: u64,
    /// Elements that the next look takes.
    pub(super) step: u64,
    /// Where the next look begins.
    pub(super) position: u64,
    /// The index of the element at position 0.
    pub(super) base: u64,
    /// How much further to the front than computed the next look begins, while others trim the list.
    pub(super) slack: u64,
    pub(super) found: Found,
}

impl Walk<'_> {
    /// Gathers events until there are enough or the list ends. `look` is the first one, if it was taken already.
    pub(super) async fn collect(
        &mut self,
        histories: &Histories,
        mut look: Option<Look>,
        page: &mut CachePage,
    ) -> Result<(), Failure> {
        loop {
            let now = match look.take() {
                Some(look) => look,
                None => {
                    histories
                        .look(self.keys, self.position, self.step, 1)
                        .await?
                }
            };
            if now.name() != page.generation {
                // The history was cleared meanwhile; the next page belongs to the new one.
                return Ok(());
            }
            if let Some(head) = now.head() {
                if now.is_stamped() || head.index != self.base {
                    page.first = page.first.max(head.first.unwrap_or(head.index));
                }
                if self.follow(head.index) {
                    continue;
                }
            }
            if let Some(back) = self.found.missed(&now.slice)
                && self.position > 0
            {
                // Records before this place are missing, so that it lies behind the index that is wanted.
                self.position = self.position.saturating_sub(back);
                continue;
            }
            let (taken, length) = (now.slice.len() as u64, now.length);
            self.found.take(now.slice, self.position, self.keys);
            self.position += taken;
            if self.found.has(self.limit) {
                return Ok(());
            }
            self.step = PAGE;
            if taken == 0 || self.position >= length {
                if !self.found.is_lost() {
                    return Ok(());
                }
                // The indices do not tell where the record is.
                self.position = 0;
            }
        }
    }

    /// Whether the list was trimmed since the last look, so that all lies further to the front. It may be trimmed again before
    /// the next look.
    fn follow(&mut self, base: u64) -> bool {
        let moved = base.saturating_sub(self.base);
        self.base = base;
        if moved == 0 || self.position == 0 {
            return false;
        }
        self.slack = self.slack.saturating_mul(2).saturating_add(moved);
        self.position = self
            .position
            .saturating_sub(moved.saturating_add(self.slack));
        true
    }
}

/// The events that were found so far.
pub(super) struct Found {
    from: u64,
    events: Vec<(u64, Event)>,
    /// The place of the first wanted record was found.
    placed: bool,
    /// The whole list was searched.
    searched: bool,
}

impl Found {
    pub(super) fn new(from: u64) -> Self {
        Self {
            from,
            events: Vec::new(),
            placed: false,
            searched: false,
        }
    }

    /// How far to the front the first wanted record may be, when the first slice begins behind it.
    fn missed(&self, slice: &[Bytes]) -> Option<u64> {
        if self.placed {
            return None;
        }
        let first = slice.iter().find_map(|text| Record::decode(text).ok())?;
        first.index.checked_sub(self.from).filter(|back| *back > 0)
    }

    fn take(&mut self, slice: Vec<Bytes>, position: u64, keys: &Keys) {
        self.placed = true;
        self.searched |= position == 0;
        for (place, text) in (position..).zip(slice) {
            match Record::decode(&text) {
                Ok(record) if record.index >= self.from => {
                    self.events.push((record.index, record.event));
                }
                Ok(_) => {}
                Err(reason) => {
                    let key = &keys.list;
                    tracing::warn!(
                        key,
                        place,
                        reason,
                        "this element of a history is no event; passed over"
                    );
                }
            }
        }
    }

    fn has(&self, limit: u64) -> bool {
        u64::try_from(self.events.len()).is_ok_and(|found| found >= limit)
    }

    /// Whether nothing was found although something must be there, in a part of the list that was not searched.
    fn is_lost(&self) -> bool {
        self.events.is_empty() && !self.searched
    }

    /// The events in order, without those behind a gap at `open` or later: what is missing there may be on its way.
    pub(super) fn into_events(
        mut self,
        limit: u64,
        open: u64,
        generation: Option<&Text>,
    ) -> Vec<Arc<Event>> {
        self.events.sort_by_key(|(index, _)| *index);
        self.events.dedup_by_key(|(index, _)| *index);
        let mut next = self.from;
        self.events.retain(|(index, _)| {
            let kept = *index == next || next < open;
            next = if kept { index + 1 } else { next };
            kept
        });
        let events = self.events.into_iter().map(|(_, mut event)| {
            event.generation = generation.cloned();
            Arc::new(event)
        });
        events
            .take(usize::try_from(limit).unwrap_or(usize::MAX))
            .collect()
    }
}
