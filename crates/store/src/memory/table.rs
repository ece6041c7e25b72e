//! The records of one table, and what they are found by.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use bowline_events::{Text, Timestamp};
use bytes::Bytes;

use super::log::MemoryLog;
use crate::page::Budget;
use crate::{Cursor, Filter, Index, Order, Page, Query, Record, Table};

/// Text that is ordered by its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Key(pub(super) Text);

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.as_str().cmp(other.0.as_str())
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A place in an index: the attribute (empty where all records are meant), a time, the key.
type Place = (Key, Timestamp, Key);
type Sorted = BTreeSet<Place>;

#[derive(Debug)]
pub(super) struct Stored {
    pub(super) version: u64,
    pub(super) index: Index,
    pub(super) body: Bytes,
    pub(super) updated: Timestamp,
}

#[derive(Debug, Default)]
pub(super) struct TableData {
    pub(super) records: HashMap<Text, Stored>,
    pub(super) logs: BTreeMap<Key, MemoryLog>,
    by_created: Sorted,
    by_due: Sorted,
    by_status: Sorted,
    by_group: Sorted,
    by_owner: Sorted,
}

impl TableData {
    pub(super) fn put(&mut self, key: &Text, record: Stored) {
        let index = record.index.clone();
        let before = self.records.insert(key.clone(), record);
        let before = before.map(|record| record.index);
        if before.as_ref() != Some(&index) {
            self.reindex(key, before.as_ref(), Some(&index));
        }
    }

    pub(super) fn delete(&mut self, key: &Text) {
        if let Some(record) = self.records.remove(key) {
            self.reindex(key, Some(&record.index), None);
        }
    }

    fn reindex(&mut self, key: &Text, before: Option<&Index>, after: Option<&Index>) {
        type Part = fn(&Index) -> Option<(Key, Timestamp)>;
        let parts: [(&mut Sorted, Part); 5] = [
            (&mut self.by_created, |index| {
                Some((Key::default(), index.created))
            }),
            (&mut self.by_due, |index| Some((Key::default(), index.due?))),
            (&mut self.by_status, |index| {
                Some((Key(index.status.clone()?), index.created))
            }),
            (&mut self.by_group, |index| {
                Some((Key(index.group.clone()?), index.created))
            }),
            (&mut self.by_owner, |index| {
                Some((Key(index.owner.clone()?), index.created))
            }),
        ];
        for (sorted, part) in parts {
            let (before, after) = (before.and_then(part), after.and_then(part));
            if before == after {
                continue;
            }
            if let Some((attribute, time)) = before {
                sorted.remove(&(attribute, time, Key(key.clone())));
            }
            if let Some((attribute, time)) = after {
                sorted.insert((attribute, time, Key(key.clone())));
            }
        }
    }

    pub(super) fn record(&self, table: Table, key: &str) -> Option<Record> {
        let (key, stored) = self.records.get_key_value(key)?;
        Some(Record {
            table,
            key: key.clone(),
            version: stored.version,
            index: stored.index.clone(),
            body: stored.body.clone(),
            updated: stored.updated,
        })
    }

    pub(super) fn list(&self, table: Table, query: &Query) -> Page {
        let mut budget = Budget::new(query.limit);
        let mut page = Page::default();
        for record in self.matching(&query.filter, query.order, query.after.as_ref()) {
            let Some(record) = self.record(table, record) else {
                continue;
            };
            if !budget.takes(record.body.len()) {
                page.next = page.records.last().map(Cursor::after);
                break;
            }
            page.records.push(record);
        }
        page
    }

    pub(super) fn count(&self, filter: &Filter) -> usize {
        self.matching(filter, Order::OldestFirst, None).count()
    }

    pub(super) fn due(&self, table: Table, at: Timestamp, limit: usize) -> Vec<Record> {
        let mut budget = Budget::new(limit);
        self.by_due
            .iter()
            .take_while(|(_, due, _)| *due <= at)
            .filter_map(|(_, _, key)| self.record(table, &key.0))
            .take_while(|record| budget.takes(record.body.len()))
            .collect()
    }

    /// The keys of the records that `filter` means, in order, after `cursor`.
    fn matching<'a>(
        &'a self,
        filter: &'a Filter,
        order: Order,
        cursor: Option<&Cursor>,
    ) -> impl Iterator<Item = &'a str> {
        let (sorted, attribute) = match filter {
            Filter {
                group: Some(group), ..
            } => (&self.by_group, group.clone()),
            Filter {
                owner: Some(owner), ..
            } => (&self.by_owner, owner.clone()),
            Filter { status, .. } if status.len() == 1 => (&self.by_status, status[0].clone()),
            _ => (&self.by_created, Text::default()),
        };
        let places = between(sorted, Key(attribute), filter, order, cursor);
        let places: Box<dyn Iterator<Item = &'a Place>> = match order {
            Order::OldestFirst => Box::new(places),
            Order::NewestFirst => Box::new(places.rev()),
        };
        places.map(|(_, _, key)| key.0.as_str()).filter(move |key| {
            let record = self.records.get(*key);
            record.is_some_and(|record| filter.matches(key, &record.index))
        })
    }
}

/// The places of `attribute` within the times of `filter`, on the far side of `cursor`.
fn between<'a>(
    sorted: &'a Sorted,
    attribute: Key,
    filter: &Filter,
    order: Order,
    cursor: Option<&Cursor>,
) -> std::collections::btree_set::Range<'a, Place> {
    let begin = Timestamp::from_millis(i64::MIN);
    let from = (
        attribute.clone(),
        filter.created_from.unwrap_or(begin),
        Key::default(),
    );
    let mut lower = Bound::Included(from.clone());
    let mut upper = match filter.created_before {
        Some(before) => Bound::Excluded((attribute.clone(), before, Key::default())),
        // The first attribute after this one.
        None => Bound::Excluded((
            Key(format!("{}\0", attribute.0).into()),
            begin,
            Key::default(),
        )),
    };
    if let Some(cursor) = cursor {
        let place = (attribute, cursor.created, Key(cursor.key.clone()));
        match order {
            Order::OldestFirst if place >= from => lower = Bound::Excluded(place),
            Order::OldestFirst => {}
            Order::NewestFirst => match &upper {
                Bound::Excluded(end) if *end <= place => {}
                _ => upper = Bound::Excluded(place),
            },
        }
    }
    let empty = match (&lower, &upper) {
        (Bound::Included(low) | Bound::Excluded(low), Bound::Excluded(high)) => low >= high,
        _ => false,
    };
    if empty {
        // A range that ends before it begins would panic.
        lower = Bound::Included(from.clone());
        upper = Bound::Excluded(from);
    }
    sorted.range((lower, upper))
}
