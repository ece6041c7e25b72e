//! What lists are asked for.

use std::fmt;
use std::str::FromStr;

use bowline_events::{Text, Timestamp};

use crate::{Error, ErrorKind, Index, Record};

/// Which records are meant. Everything that is set has to hold; the default means all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// The status is one of these; any, if there are none.
    pub status: Vec<Text>,
    /// The group is this one.
    pub group: Option<Text>,
    /// The owner is this one.
    pub owner: Option<Text>,
    /// The key begins with this.
    pub key_prefix: Option<Text>,
    /// Created at this instant or later.
    pub created_from: Option<Timestamp>,
    /// Created before this instant.
    pub created_before: Option<Timestamp>,
}

impl Filter {
    /// All records.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, with this as one of the statuses.
    #[must_use]
    pub fn status(mut self, status: impl Into<Text>) -> Self {
        self.status.push(status.into());
        self
    }

    /// The same, of this group.
    #[must_use]
    pub fn group(mut self, group: impl Into<Text>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// The same, of this owner.
    #[must_use]
    pub fn owner(mut self, owner: impl Into<Text>) -> Self {
        self.owner = Some(owner.into());
        self
    }

    /// The same, with keys that begin with `prefix`.
    #[must_use]
    pub fn key_prefix(mut self, prefix: impl Into<Text>) -> Self {
        self.key_prefix = Some(prefix.into());
        self
    }

    /// The same, created at `from` or later.
    #[must_use]
    pub fn created_from(mut self, from: Timestamp) -> Self {
        self.created_from = Some(from);
        self
    }

    /// The same, created before `before`.
    #[must_use]
    pub fn created_before(mut self, before: Timestamp) -> Self {
        self.created_before = Some(before);
        self
    }

    /// Whether there can be such a record: none has a byte of value 0 in its key or index.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(crate) fn is_possible(&self) -> bool {
        let texts = [&self.group, &self.owner, &self.key_prefix];
        let mut texts = texts.into_iter().flatten();
        // A status that no record has does not rule out the others.
        !texts.any(|text| text.contains('\0'))
    }

    /// Whether a record with this key and index is meant.
    pub fn matches(&self, key: &str, index: &Index) -> bool {
        let is = |wanted: &Option<Text>, is: &Option<Text>| wanted.is_none() || wanted == is;
        (self.status.is_empty()
            || index
                .status
                .as_ref()
                .is_some_and(|status| self.status.contains(status)))
            && is(&self.group, &index.group)
            && is(&self.owner, &index.owner)
            && self
                .key_prefix
                .as_ref()
                .is_none_or(|prefix| key.starts_with(prefix.as_str()))
            && self.created_from.is_none_or(|from| index.created >= from)
            && self
                .created_before
                .is_none_or(|before| index.created < before)
    }
}

/// The order of a list: by time of creation, and by key where that is equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The newest record first.
    #[default]
    NewestFirst,
    /// The oldest record first.
    OldestFirst,
}

/// What [`Store::list`](crate::Store::list) is asked for.
///
/// ```
/// use bowline_store::{Filter, Query};
/// let running = Query::new(Filter::new().status("running").group("triage")).limit(20);
/// # drop(running);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Which records.
    pub filter: Filter,
    /// In which order.
    pub order: Order,
    /// How many at most; never more than [`MAX_PAGE`](crate::limits::MAX_PAGE).
    pub limit: usize,
    /// Where the page before this one ended.
    pub after: Option<Cursor>,
}

impl Query {
    /// The first 100 records that `filter` means, newest first.
    pub fn new(filter: Filter) -> Self {
        Self {
            filter,
            order: Order::default(),
            limit: 100,
            after: None,
        }
    }

    /// The same in another order.
    #[must_use]
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// The same with another limit.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// The page after the one that ended at `cursor`.
    #[must_use]
    pub fn after(mut self, cursor: impl Into<Option<Cursor>>) -> Self {
        self.after = cursor.into();
        self
    }
}

impl Default for Query {
    fn default() -> Self {
        Self::new(Filter::new())
    }
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// The records. A page may be shorter than its limit because of its bytes.
    pub records: Vec<Record>,
    /// Where to go on; `None` at the end of the list.
    pub next: Option<Cursor>,
}

/// A place in a list. It stays valid whatever is written meanwhile: records that were there all the time come once.
///
/// Its text form goes through URLs (encoded) and comes back by `parse`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The time of creation of the last record seen.
    pub created: Timestamp,
    /// Its key.
    pub key: Text,
}

impl Cursor {
    /// The place after `record`.
    pub fn after(record: &Record) -> Self {
        Self {
            created: record.index.created,
            key: record.key.clone(),
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.created.as_millis(), self.key)
    }
}

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parts = text.split_once(':').and_then(|(millis, key)| {
            let created = Timestamp::from_millis(millis.parse().ok()?);
            let key = Text::from(key.to_owned());
            (!key.is_empty()).then_some(Self { created, key })
        });
        parts.ok_or_else(|| {
            let message = "a cursor is what the page before has named; begin without one";
            Error::new(ErrorKind::InvalidInput, "read cursor", message)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text() {
        for (millis, key) in [(0, "a"), (-5, "a:b"), (i64::MAX, "ü ")] {
            let cursor = Cursor {
                created: Timestamp::from_millis(millis),
                key: key.into(),
            };
            assert_eq!(cursor.to_string().parse::<Cursor>().unwrap(), cursor);
        }
    }

    #[test]
    fn other_texts_are_no_cursors() {
        for text in ["", ":", "1", "1:", "x:a", "99999999999999999999:a"] {
            assert_eq!(
                text.parse::<Cursor>().unwrap_err().kind(),
                ErrorKind::InvalidInput,
                "{text:?}"
            );
        }
    }
}
