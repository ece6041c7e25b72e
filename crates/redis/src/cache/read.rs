//! Reading a part of a history.

use bowline_events::{CachePage, Result, Text, Topic};
use bytes::Bytes;

use super::histories::{Histories, failed};
use super::layout::Keys;
use super::record::{Record, generation};
use super::walk::{Found, Walk};
use crate::wire::{Command, Failure, Repeat, Reply};

/// Elements that one look at a list takes at most.
pub(super) const PAGE: u64 = 512;

/// How often a look is repeated.
const LOOKS: usize = 16;

/// How far records that were appended without script can be from the place of their index.
const DISORDER: u64 = 64;

/// A part of a list and both its ends, of one history.
pub(super) struct Look {
    head: Option<Bytes>,
    last: Vec<Bytes>,
    pub(super) length: u64,
    pub(super) slice: Vec<Bytes>,
}

/// What the ends of a list say of its history.
struct Span {
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
        let guess = self.before(from);
        let look = self.look(keys, guess, limit).await?;
        let span = self.span(keys, &look).await?;
        let mut page = CachePage {
            events: Vec::new(),
            first: span.first,
            end: span.end,
            generation: look.name(),
        };
        if limit == 0 || from >= span.end {
            return Ok(page);
        }
        let wanted = from.max(span.first);
        let place = wanted.saturating_sub(span.base);
        let place = place.min(look.length.saturating_sub(span.end - wanted));
        let mut walk = Walk {
            keys,
            limit,
            step: limit,
            position: self.before(place),
            base: span.base,
            slack: 0,
            found: Found::new(wanted),
        };
        let look = (walk.position == guess).then_some(look);
        walk.collect(self, look, &mut page).await?;
        let open = match self.is_unordered() {
            true => page.end.saturating_sub(DISORDER),
            false => u64::MAX,
        };
        page.events = walk
            .found
            .into_events(limit, open, page.generation.as_ref());
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

    /// Looks at the list. It is repeated when the history was cleared while the server answered.
    pub(super) async fn look(
        &self,
        keys: &Keys,
        position: u64,
        step: u64,
    ) -> Result<Look, Failure> {
        let range = |from: i64, to: i64| {
            let command = Command::new("LRANGE").key(&keys.list);
            command.arg(from.to_string()).arg(to.to_string())
        };
        let tail = if self.is_unordered() { DISORDER } else { 1 };
        let from = i64::try_from(position).unwrap_or(i64::MAX - PAGE as i64);
        let mut asked = vec![
            range(0, 0),
            range(-(tail as i64), -1),
            Command::new("LLEN").key(&keys.list),
            range(0, 0),
        ];
        if step > 0 {
            // Before the end of the list is asked for, which must not be older than the slice.
            asked.insert(1, range(from, from + step.min(PAGE) as i64 - 1));
        }
        for _ in 0..LOOKS {
            let replies = self.store.run_all(&asked).await?;
            let mut replies = replies.into_iter().map(Reply::into_result);
            let mut next = || replies.next().unwrap_or(Ok(Reply::Nil));
            let before = texts(next()?)?;
            let slice = if step > 0 {
                texts(next()?)?
            } else {
                Vec::new()
            };
            let look = Look {
                slice,
                last: texts(next()?)?,
                length: u64::try_from(next()?.into_int()?).unwrap_or(0),
                head: texts(next()?)?.into_iter().next(),
            };
            if before.first().map(|head| generation(head)) == look.head.as_deref().map(generation) {
                return Ok(look);
            }
        }
        Err(Failure::Protocol(
            "the history is cleared faster than it can be read".to_owned(),
        ))
    }

    async fn span(&self, keys: &Keys, look: &Look) -> Result<Span, Failure> {
        let head = look.head();
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
    pub(super) fn name(&self) -> Option<Text> {
        self.head.as_ref().and_then(|head| generation(head))
    }

    pub(super) fn head(&self) -> Option<Record> {
        self.head
            .as_ref()
            .and_then(|head| Record::decode(head).ok())
    }
}

fn texts(list: Reply) -> Result<Vec<Bytes>, Failure> {
    list.into_array()?
        .into_iter()
        .map(Reply::into_bytes)
        .collect()
}
