//! A commit as the arrays that the function in the database takes.

use bowline_events::Timestamp;
use tokio_postgres::types::ToSql;

use crate::apply::owner_after;
use crate::{Commit, Conflict, Expect, Expected, Index, Keep, Operation, Table};

const PUT: i16 = 0;
const DELETE: i16 = 1;
const CHECK: i16 = 2;
const APPEND: i16 = 3;
const TRIM: i16 = 4;
const DROP_LOG: i16 = 5;
const PUT_BLOB: i16 = 6;
const DROP_BLOB: i16 = 7;

const ABSENT: i64 = -1;
const PRESENT: i64 = -2;

pub(super) const SQL: &str = "SELECT stamp, failed, seen, appended FROM apply_commit(
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)";

/// The operations of a commit, member by member.
#[derive(Debug, Default)]
pub(super) struct Arrays<'a> {
    instant: i64,
    kinds: Vec<i16>,
    tables: Vec<&'a str>,
    keys: Vec<&'a str>,
    expects: Vec<Option<i64>>,
    statuses: Vec<Option<&'a str>>,
    groups: Vec<Option<&'a str>>,
    owners: Vec<Option<&'a str>>,
    dues: Vec<Option<i64>>,
    createds: Vec<Option<i64>>,
    bodies: Vec<Option<&'a [u8]>>,
    hashes: Vec<Option<&'a [u8]>>,
    keep_from: Vec<Option<i64>>,
    keep_entries: Vec<Option<i64>>,
    keep_bytes: Vec<Option<i64>>,
    oldest: Vec<Option<i64>>,
    entry_operations: Vec<i64>,
    entries: Vec<&'a [u8]>,
}

/// A number of ours as one of the database. What is larger is larger than everything there.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number of the database as one of ours; the schema has no negative ones.
pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

impl<'a> Arrays<'a> {
    /// The arrays of `commit`, or a conflict that needs no look at the database.
    pub(super) fn of(commit: &'a Commit) -> Result<Self, Conflict> {
        let now = commit.time();
        let mut arrays = Self {
            instant: now.as_millis(),
            ..Self::default()
        };
        let operations = commit.operations();
        for operation in operations {
            arrays.begin(operation);
            match operation {
                Operation::Put {
                    expect,
                    index,
                    body,
                    ..
                } => arrays.put(*expect, index, body),
                Operation::Delete { version, .. } => arrays.expect(signed(*version)),
                Operation::Check { expect, .. } => arrays.expect(expected(*expect)),
                Operation::Append {
                    end, entries, keep, ..
                } => {
                    if let Some(end) = end {
                        arrays.expect(signed(*end));
                    }
                    arrays.keep(keep, now);
                    let number = arrays.kinds.len() as i64;
                    for entry in entries {
                        arrays.entry_operations.push(number);
                        arrays.entries.push(entry);
                    }
                }
                Operation::Trim { keep, .. } => arrays.keep(keep, now),
                Operation::DropLog { end, .. } => {
                    if let Some(end) = end {
                        arrays.expect(signed(*end));
                    }
                }
                Operation::PutBlob { table, key, blob } => {
                    match owner_after(operations, *table, key) {
                        Some(true) => {}
                        Some(false) => return Err(no_owner(*table, key)),
                        None => arrays.expect(PRESENT),
                    }
                    set(&mut arrays.bodies, Some(&blob.bytes()[..]));
                    // The hash outlives this function as a part of the commit.
                    set(&mut arrays.hashes, Some(&blob.hash_ref().as_bytes()[..]));
                }
                Operation::DropBlob { hash, .. } => {
                    set(&mut arrays.hashes, Some(&hash.as_bytes()[..]));
                }
            }
        }
        Ok(arrays)
    }

    fn begin(&mut self, operation: &'a Operation) {
        self.kinds.push(match operation {
            Operation::Put { .. } => PUT,
            Operation::Delete { .. } => DELETE,
            Operation::Check { .. } => CHECK,
            Operation::Append { .. } => APPEND,
            Operation::Trim { .. } => TRIM,
            Operation::DropLog { .. } => DROP_LOG,
            Operation::PutBlob { .. } => PUT_BLOB,
            Operation::DropBlob { .. } => DROP_BLOB,
        });
        self.tables.push(operation.table().as_str());
        self.keys.push(operation.key());
        for numbers in [
            &mut self.expects,
            &mut self.dues,
            &mut self.createds,
            &mut self.keep_from,
            &mut self.keep_entries,
            &mut self.keep_bytes,
            &mut self.oldest,
        ] {
            numbers.push(None);
        }
        for texts in [&mut self.statuses, &mut self.groups, &mut self.owners] {
            texts.push(None);
        }
        self.bodies.push(None);
        self.hashes.push(None);
    }

    fn expect(&mut self, expect: i64) {
        set(&mut self.expects, Some(expect));
    }

    fn put(&mut self, expect: Expect, index: &'a Index, body: &'a [u8]) {
        self.expect(expected(expect));
        set(&mut self.statuses, index.status.as_deref());
        set(&mut self.groups, index.group.as_deref());
        set(&mut self.owners, index.owner.as_deref());
        set(&mut self.dues, index.due.map(Timestamp::as_millis));
        set(&mut self.createds, Some(index.created.as_millis()));
        set(&mut self.bodies, Some(body));
    }

    fn keep(&mut self, keep: &Keep, now: Timestamp) {
        set(&mut self.keep_from, keep.from.map(signed));
        set(&mut self.keep_entries, keep.entries.map(signed));
        set(&mut self.keep_bytes, keep.bytes.map(signed));
        set(&mut self.oldest, keep.oldest(now).map(Timestamp::as_millis));
    }

    /// The parameters of [`SQL`].
    pub(super) fn parameters(&self) -> [&(dyn ToSql + Sync); 18] {
        [
            &self.instant,
            &self.kinds,
            &self.tables,
            &self.keys,
            &self.expects,
            &self.statuses,
            &self.groups,
            &self.owners,
            &self.dues,
            &self.createds,
            &self.bodies,
            &self.hashes,
            &self.keep_from,
            &self.keep_entries,
            &self.keep_bytes,
            &self.oldest,
            &self.entry_operations,
            &self.entries,
        ]
    }
}

/// Fills in a member of the operation that was begun last.
fn set<T>(members: &mut [T], value: T) {
    if let Some(last) = members.last_mut() {
        *last = value;
    }
}

fn expected(expect: Expect) -> i64 {
    match expect {
        Expect::Absent => ABSENT,
        Expect::Version(version) => signed(version),
    }
}

fn no_owner(table: Table, key: &bowline_events::Text) -> Conflict {
    Conflict {
        table,
        key: key.clone(),
        expected: Expected::Present,
        found: None,
    }
}

/// The conflict of the operation with this number, counted from 1.
pub(super) fn conflict(commit: &Commit, failed: i64, found: Option<i64>) -> Option<Conflict> {
    let number = usize::try_from(failed).ok()?.checked_sub(1)?;
    let operation = commit.operations().get(number)?;
    let expected = match operation {
        Operation::Put { expect, .. } | Operation::Check { expect, .. } => (*expect).into(),
        Operation::Delete { version, .. } => Expected::Version(*version),
        Operation::Append { end, .. } | Operation::DropLog { end, .. } => Expected::End((*end)?),
        _ => Expected::Present,
    };
    Some(Conflict {
        table: operation.table(),
        key: operation.key().clone(),
        expected,
        found: found.map(unsigned),
    })
}

/// The locks of all names that `commit` mentions: of records, logs and blobs of the store in `schema`.
pub(super) fn locks<'a>(schema: &'a str, commit: &'a Commit) -> impl Iterator<Item = i64> {
    let schema = schema.as_bytes();
    commit.operations().iter().flat_map(move |operation| {
        let table = operation.table().as_str();
        let kind = match operation {
            Operation::Append { .. } | Operation::Trim { .. } | Operation::DropLog { .. } => "log",
            _ => "record",
        };
        let name = hash([
            schema,
            kind.as_bytes(),
            table.as_bytes(),
            operation.key().as_bytes(),
        ]);
        let blob = match operation {
            Operation::PutBlob { blob, .. } => Some(blob.hash()),
            Operation::DropBlob { hash, .. } => Some(*hash),
            _ => None,
        };
        let blob = blob.map(|blob| hash([schema, b"blob", blob.as_bytes()]));
        std::iter::once(name).chain(blob)
    })
}

/// The lock of the whole store in `schema`.
pub(super) fn store_lock(schema: &str) -> i64 {
    hash([schema.as_bytes()])
}

/// FNV-1a, which every version of this program computes alike. Two names with one lock wait for each other without need.
fn hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> i64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for byte in part.iter().chain(&[0]) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash.cast_signed()
}
