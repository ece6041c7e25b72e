//! Reading a part of a history.

use std::sync::Arc;

use bowline_events::{CachePage, Event, Result, Text, Topic};
use bytes::Bytes;

use super::histories::{Histories, failed};
use super::layout::Keys;
use super::record::{Record, generation};
use crate::wire::{Command, Failure, Repeat, Reply};

/// Elements that one look at a list takes at most.
const PAGE: u64 = 512;

/// How far records that were appended without script can be from the place of their index.
const DISORDER: u64 = 64;

/// A part of a list and both its ends, all of one moment.
struct Look {
    head: Option<Bytes>,
    last: Vec<Bytes>,
    length: u64,
    slice: Vec<Bytes>,
}

/// What the ends of a list say of its history.
struct Span {
    generation: Option<Text>,
    /// The index of the element at position 0.
    base: u64,
    /// The oldest index that is not forgotten.
    first: u64,
    end: u64,
}

impl Histories {
    /// Up to `limit` events of `topic` from index `from` on.
    pub(crate) async fn read(&self, topic: &Topic, from: u64, limit: usize) -> Result<CachePage> {
        let keys = self.layout.keys(topic);
        self.page(&keys, from, limit)
            .await
            .map_err(|failure| failed(failure, "cache read", "LRANGE", &keys.list))
    }

    async fn page(&self, keys: &Keys, from: u64, limit: usize) -> Result<CachePage, Failure> {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        // Where nothing was trimmed the index is the position.
        let mut position = self.before(from);
        let mut look = self.look(keys, position, limit).await?;
        let span = self.span(keys, &look).await?;
        let mut page = CachePage {
            events: Vec::new(),
            first: span.first,
            end: span.end,
            generation: span.generation.clone(),
        };
        if limit == 0 || from >= span.end {
            return Ok(page);
        }
        let from = from.max(span.first);
        let place = self.before(from.saturating_sub(span.base));
        if place != position {
            position = place;
            look = self.look(keys, position, limit).await?;
        }
        let mut found = Found::new(from, span.generation.as_ref(), keys);
        loop {
            if look.name() != span.generation {
                // The history was cleared meanwhile; the next page belongs to the new one.
                break;
            }
            let taken = look.slice.len() as u64;
            if let Some(back) = found.missed(&look.slice)
                && position > 0
            {
                // Records before this place are missing, so that it lies behind the index that is wanted.
                position = position.saturating_sub(back);
            } else {
                found.take(look.slice, position);
                position += taken;
                let full = u64::try_from(found.events.len()).is_ok_and(|found| found >= limit);
                if full || taken == 0 || position >= look.length {
                    break;
                }
            }
            look = self.look(keys, position, limit).await?;
        }
        let open = match self.is_unordered() {
            true => page.end.saturating_sub(DISORDER),
            false => u64::MAX,
        };
        page.events = found.into_events(limit, open);
        let last = page.events.last().and_then(|event| event.index);
        page.end = page.end.max(last.map_or(0, |last| last + 1));
        Ok(page)
    }

    /// Where to begin so that a record with index `position` cannot be before.
    fn before(&self, position: u64) -> u64 {
        match self.is_unordered() {
            true => position.saturating_sub(DISORDER),
            false => position,
        }
    }

    async fn look(&self, keys: &Keys, position: u64, limit: u64) -> Result<Look, Failure> {
        let range = |from: i64, to: i64| {
            let command = Command::new("LRANGE").key(&keys.list);
            command.arg(from.to_string()).arg(to.to_string())
        };
        let tail = if self.is_unordered() { DISORDER } else { 1 };
        let count = limit.min(PAGE);
        let from = i64::try_from(position).unwrap_or(i64::MAX - PAGE as i64);
        let mut asked = vec![
            range(0, 0),
            range(-(tail as i64), -1),
            Command::new("LLEN").key(&keys.list),
        ];
        if count > 0 {
            asked.push(range(from, from + count as i64 - 1));
        }
        let replies = self.store.run_all(&asked, true).await?;
        let mut replies = replies.into_iter();
        let mut next = || replies.next().unwrap_or(Reply::Nil).into_result();
        let (head, last, length, slice) = (next()?, next()?, next()?, next()?);
        Ok(Look {
            head: texts(head)?.into_iter().next(),
            last: texts(last)?,
            length: u64::try_from(length.into_int()?).unwrap_or(0),
            slice: texts(slice)?,
        })
    }

    async fn span(&self, keys: &Keys, look: &Look) -> Result<Span, Failure> {
        let head = look
            .head
            .as_ref()
            .and_then(|head| Record::decode(head).ok());
        let base = head.as_ref().map_or(0, |head| head.index);
        let first = head.as_ref().and_then(|head| head.first).unwrap_or(base);
        let last = look
            .last
            .iter()
            .filter_map(|text| Record::decode(text).ok());
        let end = match last.map(|record| record.index + 1).max() {
            Some(end) => end,
            None => self.count(keys).await?.unwrap_or(base + look.length),
        };
        Ok(Span {
            generation: look.name(),
            base,
            first: if look.head.is_some() { first } else { end },
            end: end.max(first),
        })
    }

    /// How many indices were given, where the server knows it.
    async fn count(&self, keys: &Keys) -> Result<Option<u64>, Failure> {
        let get = Command::new("GET").key(&keys.counter);
        match self.store.run(&get, Repeat::Yes).await? {
            Reply::Nil => Ok(None),
            count => Ok(u64::try_from(count.into_int()?).ok()),
        }
    }
}

impl Look {
    fn name(&self) -> Option<Text> {
        self.head.as_ref().and_then(|head| generation(head))
    }
}

fn texts(list: Reply) -> Result<Vec<Bytes>, Failure> {
    list.into_array()?
        .into_iter()
        .map(Reply::into_bytes)
        .collect()
}

/// The events that were found so far.
struct Found<'a> {
    from: u64,
    generation: Option<&'a Text>,
    keys: &'a Keys,
    events: Vec<(u64, Arc<Event>)>,
    /// The place of the first wanted record was found.
    placed: bool,
}

impl<'a> Found<'a> {
    fn new(from: u64, generation: Option<&'a Text>, keys: &'a Keys) -> Self {
        Self {
            from,
            generation,
            keys,
            events: Vec::new(),
            placed: false,
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

    fn take(&mut self, slice: Vec<Bytes>, position: u64) {
        self.placed = true;
        for (place, text) in (position..).zip(slice) {
            match Record::decode(&text) {
                Ok(record) if record.index >= self.from => {
                    let mut event = record.event;
                    event.generation = self.generation.cloned();
                    self.events.push((record.index, Arc::new(event)));
                }
                Ok(_) => {}
                Err(reason) => {
                    let key = &self.keys.list;
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

    /// The events in order, without those behind a gap at `open` or later: what is missing there may be on its way.
    fn into_events(mut self, limit: u64, open: u64) -> Vec<Arc<Event>> {
        self.events.sort_by_key(|(index, _)| *index);
        self.events.dedup_by_key(|(index, _)| *index);
        let mut next = self.from;
        self.events.retain(|(index, _)| {
            let kept = *index == next || next < open;
            next = if kept { index + 1 } else { next };
            kept
        });
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        self.events.truncate(limit);
        self.events.into_iter().map(|(_, event)| event).collect()
    }
}
