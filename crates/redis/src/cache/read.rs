//! Reading a part of a history.

use std::sync::Arc;

use bowline_events::{CachePage, Result, Text, Topic};
use bytes::Bytes;

use super::histories::{Histories, failed};
use super::layout::Keys;
use super::record::{Record, generation, stamped};
use super::walk::{Found, Walk};
use crate::wire::{Command, Failure, Repeat, Reply};

/// Elements that one look at a list takes at most.
pub(super) const PAGE: u64 = 512;

/// How often a look is repeated.
const LOOKS: usize = 16;

/// How far records that were appended without script can be from the place of their index.
pub(super) const DISORDER: u64 = 64;

/// A part of a list and both its ends, of one history.
pub(super) struct Look {
    /// The first elements: as many as were asked for, the oldest part of this look.
    opening: Vec<Bytes>,
    head: Option<Bytes>,
    last: Vec<Bytes>,
    pub(super) length: u64,
    pub(super) slice: Vec<Bytes>,
    /// How many indices were given, at this moment or before; unknown on a cluster, where the counter may be on another node.
    pub(super) count: Option<u64>,
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
    pub(crate) async fn read(
        self: &Arc<Self>,
        topic: &Topic,
        from: u64,
        limit: usize,
    ) -> Result<CachePage> {
        let keys = self.layout.keys(topic);
        self.while_up(self.page(&keys, from, limit))
            .await
            .map_err(|failure| failed(failure, "cache read", "LRANGE", &keys.list))
    }

    async fn page(&self, keys: &Keys, from: u64, limit: usize) -> Result<CachePage, Failure> {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        // Where nothing was trimmed the index is the position.
        let guess = self.before(from);
        let look = self.first_look(keys, guess, limit).await?;
        let span = look.span();
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

    /// Looks at the list and its first `opening` elements, at least one. It is repeated when the history was cleared while the
    /// server answered.
    pub(super) async fn look(
        &self,
        keys: &Keys,
        position: u64,
        step: u64,
        opening: u64,
    ) -> Result<Look, Failure> {
        let range = |from: i64, to: i64| {
            let command = Command::new("LRANGE").key(&keys.list);
            command.arg(from.to_string()).arg(to.to_string())
        };
        let tail = if self.is_unordered() { DISORDER } else { 1 };
        let from = i64::try_from(position).unwrap_or(i64::MAX - PAGE as i64);
        let mut asked = vec![
            range(0, opening as i64 - 1),
            range(-(tail as i64), -1),
            Command::new("LLEN").key(&keys.list),
            range(0, 0),
        ];
        if step > 0 {
            // Before the end of the list is asked for, which must not be older than the slice.
            asked.insert(1, range(from, from + step.min(PAGE) as i64 - 1));
        }
        let counted = !self.is_unordered();
        if counted {
            asked.insert(0, count(keys));
        }
        for _ in 0..LOOKS {
            let mut replies = self.store.run_all(&asked).await?.into_iter();
            // What stands in the place of the counter is the affair of those who append.
            let count = counted.then(|| replies.next().and_then(number).unwrap_or(0));
            let mut replies = replies.map(Reply::into_result);
            let mut next = || replies.next().unwrap_or(Ok(Reply::Nil));
            let opening = texts(next()?)?;
            let slice = if step > 0 {
                texts(next()?)?
            } else {
                Vec::new()
            };
            let look = Look {
                opening,
                slice,
                last: texts(next()?)?,
                length: u64::try_from(next()?.into_int()?).unwrap_or(0),
                head: texts(next()?)?.into_iter().next(),
                count,
            };
            let before = look.opening.first().map(|head| generation(head));
            if before == look.head.as_deref().map(generation) {
                return Ok(look);
            }
        }
        Err(Failure::Protocol(
            "the history is cleared faster than it can be read".to_owned(),
        ))
    }

    /// How many indices were given.
    pub(super) async fn count(&self, keys: &Keys) -> Result<Option<u64>, Failure> {
        let count = self.store.run(&count(keys), Repeat::Yes).await?;
        Ok(number(count).or(Some(0)))
    }
}

fn count(keys: &Keys) -> Command {
    Command::new("GET").key(&keys.counter)
}

/// A counter, if it is one.
fn number(reply: Reply) -> Option<u64> {
    u64::try_from(reply.into_int().ok()?).ok()
}

impl Look {
    pub(super) fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    fn span(&self) -> Span {
        let base = self.head().map_or(0, |head| head.index);
        let first = self.first();
        let last = self
            .last
            .iter()
            .filter_map(|text| Record::decode(text).ok());
        let end = match last.map(|record| record.index + 1).max() {
            Some(end) => end,
            None => {
                let counted = self.count.filter(|count| *count > 0 || self.is_empty());
                counted.unwrap_or(base + self.length)
            }
        };
        Span {
            base,
            first: if self.is_empty() { end } else { first },
            end: end.max(first),
        }
    }

    /// The oldest index that is not forgotten, as far as this look shows.
    pub(super) fn first(&self) -> u64 {
        let Some(head) = self.head() else {
            return 0;
        };
        let trimmed = self.is_stamped().then_some(head.index);
        head.first.or(trimmed).unwrap_or_else(|| {
            let opening = self.opening.iter();
            let records = opening.filter_map(|text| Record::decode(text).ok());
            records
                .map(|record| record.index)
                .fold(head.index, u64::min)
        })
    }

    /// Whether trimming has said where the history begins.
    pub(super) fn is_stamped(&self) -> bool {
        self.head
            .as_ref()
            .is_some_and(|head| stamped(head).is_some())
    }

    pub(super) fn name(&self) -> Option<Text> {
        self.head.as_ref().and_then(|head| generation(head))
    }

    pub(super) fn head(&self) -> Option<Record> {
        self.head
            .as_ref()
            .and_then(|head| Record::decode(head).ok())
    }
}

/// The elements of a list. A service that has read them as JSON may answer something else than texts.
fn texts(list: Reply) -> Result<Vec<Bytes>, Failure> {
    let elements = list.into_array()?.into_iter();
    elements
        .map(|element| match element {
            Reply::Bulk(text) => Ok(text),
            Reply::Int(number) => Ok(Bytes::from(number.to_string())),
            Reply::Nil => Ok(Bytes::from_static(b"null")),
            Reply::Array(_) => Ok(Bytes::from_static(b"[]")),
            Reply::Error(error) => Err(Failure::Server(error)),
        })
        .collect()
}
