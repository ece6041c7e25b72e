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

/// A place in an index: a time, and the key for records of one instant. The time comes first, so that most comparisons end
/// without a look at a key, which lies elsewhere in memory.
type Place = (Timestamp, Key);
type Sorted = BTreeSet<Place>;
/// An index per value of an attribute. None is empty.
type ByAttribute = HashMap<Text, Sorted>;

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
    by_status: ByAttribute,
    by_group: ByAttribute,
    by_owner: ByAttribute,
}

impl TableData {
    pub(super) fn put(&mut self, key: &Text, record: Stored) {
        let after = match self.records.get_mut(key) {
            Some(stored) => {
                let before = std::mem::replace(stored, record);
                if before.index == stored.index {
                    return;
                }
                let after = stored.index.clone();
                self.unindex(key, &before.index);
                after
            }
            None => {
                let after = record.index.clone();
                self.records.insert(key.clone(), record);
                after
            }
        };
        self.index(key, after);
    }

    pub(super) fn delete(&mut self, key: &Text) {
        if let Some(record) = self.records.remove(key) {
            self.unindex(key, &record.index);
        }
    }

    fn index(&mut self, key: &Text, index: Index) {
        let place = |time| (time, Key(key.clone()));
        self.by_created.insert(place(index.created));
        if let Some(due) = index.due {
            self.by_due.insert(place(due));
        }
        for (by, attribute) in [
            (&mut self.by_status, index.status),
            (&mut self.by_group, index.group),
            (&mut self.by_owner, index.owner),
        ] {
            if let Some(attribute) = attribute {
                by.entry(attribute)
                    .or_default()
                    .insert(place(index.created));
            }
        }
    }

    fn unindex(&mut self, key: &Text, index: &Index) {
        let place = |time| (time, Key(key.clone()));
        self.by_created.remove(&place(index.created));
        if let Some(due) = index.due {
            self.by_due.remove(&place(due));
        }
        for (by, attribute) in [
            (&mut self.by_status, &index.status),
            (&mut self.by_group, &index.group),
            (&mut self.by_owner, &index.owner),
        ] {
            let Some(attribute) = attribute else { continue };
            if let Some(sorted) = by.get_mut(attribute) {
                sorted.remove(&place(index.created));
                if sorted.is_empty() {
                    by.remove(attribute);
                }
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
            .take_while(|(due, _)| *due <= at)
            .filter_map(|(_, key)| self.record(table, &key.0))
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
        static NONE: Sorted = Sorted::new();
        let sorted = match filter {
            Filter {
                group: Some(group), ..
            } => self.by_group.get(group).unwrap_or(&NONE),
            Filter {
                owner: Some(owner), ..
            } => self.by_owner.get(owner).unwrap_or(&NONE),
            Filter { status, .. } if status.len() == 1 => {
                self.by_status.get(&status[0]).unwrap_or(&NONE)
            }
            _ => &self.by_created,
        };
        let places = between(sorted, filter, order, cursor);
        let places: Box<dyn Iterator<Item = &'a Place>> = match order {
            Order::OldestFirst => Box::new(places),
            Order::NewestFirst => Box::new(places.rev()),
        };
        places.map(|(_, key)| key.0.as_str()).filter(move |key| {
            let record = self.records.get(*key);
            record.is_some_and(|record| filter.matches(key, &record.index))
        })
    }
}

/// The places within the times of `filter`, on the far side of `cursor`.
fn between<'a>(
    sorted: &'a Sorted,
    filter: &Filter,
    order: Order,
    cursor: Option<&Cursor>,
) -> std::collections::btree_set::Range<'a, Place> {
    let begin = Timestamp::from_millis(i64::MIN);
    let from = (filter.created_from.unwrap_or(begin), Key::default());
    let mut lower = Bound::Included(from.clone());
    let mut upper = match filter.created_before {
        Some(before) => Bound::Excluded((before, Key::default())),
        None => Bound::Unbounded,
    };
    if let Some(cursor) = cursor {
        let place = (cursor.created, Key(cursor.key.clone()));
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
