//! One commit inside a transaction.

use bowline_events::{Text, Timestamp};
use rusqlite::Connection;

use super::{blobs, logs, records};
use crate::apply::{holds, owner_after};
use crate::{Appended, Claim, Commit, Conflict, Expected, LogName, Operation, Record, Table};

/// Why a commit did not happen.
#[derive(Debug)]
pub(super) enum Refusal {
    /// An expectation does not hold. Nothing was written.
    Conflict(Conflict),
    /// SQLite failed. Something may have been written.
    Failed(rusqlite::Error),
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error)
    }
}

/// What a commit did.
#[derive(Debug, Default)]
pub(super) struct Applied {
    pub(super) appended: Vec<Appended>,
    /// Whether there is something to sweep.
    pub(super) garbage: bool,
}

/// Makes `commit` happen in the open transaction of `connection`. All expectations are checked before anything is written.
pub(super) fn apply(
    connection: &Connection,
    commit: &Commit,
    version: u64,
) -> Result<Applied, Refusal> {
    let operations = commit.operations();
    let mut found = Vec::with_capacity(operations.len());
    for operation in operations {
        found.push(check(connection, operations, operation)?);
    }
    let now = commit.time();
    let mut applied = Applied::default();
    for (operation, found) in operations.iter().zip(found) {
        write(connection, operation, found, (version, now), &mut applied)?;
    }
    Ok(applied)
}

/// Whether the expectation of `operation` holds; the record that it is about.
fn check(
    connection: &Connection,
    operations: &[Operation],
    operation: &Operation,
) -> Result<Option<records::Found>, Refusal> {
    let (table, key, expected) = match operation {
        Operation::Put {
            table, key, expect, ..
        }
        | Operation::Check { table, key, expect } => (*table, key, (*expect).into()),
        Operation::Delete {
            table,
            key,
            version,
        } => (*table, key, Expected::Version(*version)),
        Operation::Append {
            log,
            end: Some(end),
            ..
        }
        | Operation::DropLog {
            log,
            end: Some(end),
        } => return check_end(connection, log, *end).map(|()| None),
        Operation::PutBlob { table, key, .. } => match owner_after(operations, *table, key) {
            Some(true) => return Ok(None),
            Some(false) => return Err(conflict(*table, key, Expected::Present, None)),
            None => (*table, key, Expected::Present),
        },
        _ => return Ok(None),
    };
    let record = records::find(connection, table, key)?;
    let found = record.as_ref().map(|record| record.version);
    if holds(expected, found) {
        return Ok(record);
    }
    Err(conflict(table, key, expected, found))
}

fn check_end(connection: &Connection, log: &LogName, end: u64) -> Result<(), Refusal> {
    let found = logs::find(connection, log)?.map(|row| row.next);
    if holds(Expected::End(end), found) {
        return Ok(());
    }
    Err(conflict(log.table, &log.key, Expected::End(end), found))
}

fn conflict(table: Table, key: &Text, expected: Expected, found: Option<u64>) -> Refusal {
    Refusal::Conflict(Conflict {
        table,
        key: key.clone(),
        expected,
        found,
    })
}

fn write(
    connection: &Connection,
    operation: &Operation,
    found: Option<records::Found>,
    stamp: (u64, Timestamp),
    applied: &mut Applied,
) -> rusqlite::Result<()> {
    match operation {
        Operation::Put {
            table,
            key,
            index,
            body,
            ..
        } => match found {
            Some(found) => records::update(connection, &found, stamp, index, body)?,
            None => records::insert(connection, (*table, key), stamp, index, body)?,
        },
        Operation::Delete { table, key, .. } => {
            if let Some(found) = found {
                records::delete(connection, found.id)?;
            }
            blobs::release_all(connection, *table, key)?;
        }
        Operation::Check { .. } => {}
        Operation::Append {
            log, entries, keep, ..
        } => {
            let (appended, garbage) = logs::append(connection, log, entries, keep, stamp)?;
            applied.appended.push(appended);
            applied.garbage |= garbage;
        }
        Operation::Trim { log, keep } => {
            applied.garbage |= logs::trim(connection, log, keep, stamp.1)?;
        }
        Operation::DropLog { log, .. } => applied.garbage |= logs::drop_log(connection, log)?,
        Operation::PutBlob { table, key, blob } => blobs::put(connection, *table, key, blob)?,
        Operation::DropBlob { table, key, hash } => {
            blobs::release(connection, *table, key, hash)?;
        }
    }
    Ok(())
}

/// Takes the records that are due.
pub(super) fn claim(
    connection: &Connection,
    table: Table,
    claim: &Claim,
    version: u64,
) -> rusqlite::Result<Vec<Record>> {
    let mut due = records::due(connection, table, claim.now, claim.limit)?;
    for record in &mut due {
        record.version = version;
        record.index.due = Some(claim.until);
        record.updated = claim.now;
        records::claim(connection, record)?;
    }
    Ok(due)
}
