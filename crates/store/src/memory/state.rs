//! All data of a store in memory: a plain state machine.

use std::collections::HashMap;

use bowline_events::Text;
use bytes::Bytes;

use super::blobs::Blobs;
use super::log::MemoryLog;
use super::table::{Key, Stored, TableData};
use crate::{
    BlobHash, Claim, Commit, Committed, Conflict, Error, Expected, LogName, Operation, Record,
    Result, Stats, Table, TableStats,
};

#[derive(Debug, Default)]
pub(super) struct State {
    /// The number of the last commit.
    version: u64,
    tables: HashMap<Table, TableData>,
    blobs: Blobs,
}

impl State {
    pub(super) fn table(&self, table: Table) -> Option<&TableData> {
        self.tables.get(&table)
    }

    pub(super) fn log(&self, log: &LogName) -> Option<&MemoryLog> {
        self.table(log.table)?.logs.get(&Key(log.key.clone()))
    }

    pub(super) fn blob(&self, hash: &BlobHash) -> Option<Bytes> {
        self.blobs.get(hash)
    }

    fn version_of(&self, table: Table, key: &Text) -> Option<u64> {
        let record = self.table(table)?.records.get(key)?;
        Some(record.version)
    }

    /// Whether every expectation of `commit` holds. Changes nothing.
    pub(super) fn check(&self, commit: &Commit) -> Result<()> {
        let operations = commit.operations();
        operations.iter().try_for_each(|operation| match operation {
            Operation::Put {
                table, key, expect, ..
            }
            | Operation::Check { table, key, expect } => self.expect(*table, key, (*expect).into()),
            Operation::Delete {
                table,
                key,
                version,
            } => self.expect(*table, key, Expected::Version(*version)),
            Operation::Append {
                log,
                end: Some(end),
                ..
            }
            | Operation::DropLog {
                log,
                end: Some(end),
            } => self.expect_end(log, *end),
            Operation::PutBlob { table, key, .. } => {
                match crate::apply::owner_after(operations, *table, key) {
                    Some(true) => Ok(()),
                    Some(false) => Err(conflict(*table, key, Expected::Present, None)),
                    None => self.expect(*table, key, Expected::Present),
                }
            }
            _ => Ok(()),
        })
    }

    fn expect(&self, table: Table, key: &Text, expected: Expected) -> Result<()> {
        let found = self.version_of(table, key);
        if crate::apply::holds(expected, found) {
            return Ok(());
        }
        Err(conflict(table, key, expected, found))
    }

    fn expect_end(&self, log: &LogName, end: u64) -> Result<()> {
        let found = self.log(log).map(|log| log.info().end);
        if found.unwrap_or(0) == end {
            return Ok(());
        }
        Err(conflict(log.table, &log.key, Expected::End(end), found))
    }

    /// Makes the operations of `commit`, which [`check`](Self::check) has accepted, happen.
    pub(super) fn apply(&mut self, commit: Commit) -> Committed {
        let now = commit.time();
        self.version += 1;
        let version = self.version;
        let mut appended = Vec::new();
        for operation in commit.into_operations() {
            match operation {
                Operation::Put {
                    table,
                    key,
                    index,
                    body,
                    ..
                } => {
                    let record = Stored {
                        version,
                        index,
                        body,
                        updated: now,
                    };
                    self.tables.entry(table).or_default().put(&key, record);
                }
                Operation::Delete { table, key, .. } => {
                    self.tables.entry(table).or_default().delete(&key);
                    self.blobs.release_all(&(table, key));
                }
                Operation::Check { .. } => {}
                Operation::Append {
                    log, entries, keep, ..
                } => {
                    let logs = &mut self.tables.entry(log.table).or_default().logs;
                    let log = logs
                        .entry(Key(log.key))
                        .or_insert_with(|| MemoryLog::new(version, now));
                    appended.push(log.append(entries, now));
                    log.trim(&keep, now);
                }
                Operation::Trim { log, keep } => {
                    let logs = &mut self.tables.entry(log.table).or_default().logs;
                    if let Some(log) = logs.get_mut(&Key(log.key)) {
                        log.trim(&keep, now);
                    }
                }
                Operation::DropLog { log, .. } => {
                    let logs = &mut self.tables.entry(log.table).or_default().logs;
                    logs.remove(&Key(log.key));
                }
                Operation::PutBlob { table, key, blob } => self.blobs.put((table, key), &blob),
                Operation::DropBlob { table, key, hash } => {
                    self.blobs.release(&(table, key), &hash);
                }
            }
        }
        Committed { version, appended }
    }

    pub(super) fn claim(&mut self, table: Table, claim: Claim) -> Vec<Record> {
        let Some(data) = self.tables.get_mut(&table) else {
            return Vec::new();
        };
        let mut due = data.due(table, claim.now, claim.limit);
        if due.is_empty() {
            return due;
        }
        self.version += 1;
        for record in &mut due {
            record.version = self.version;
            record.index.due = Some(claim.until);
            record.updated = claim.now;
            let stored = Stored {
                version: record.version,
                index: record.index.clone(),
                body: record.body.clone(),
                updated: record.updated,
            };
            data.put(&record.key, stored);
        }
        due
    }

    pub(super) fn stats(&self) -> Stats {
        let tables = self.tables.iter().map(|(table, data)| TableStats {
            table: table.as_str().into(),
            records: data.records.len() as u64,
            logs: data.logs.len() as u64,
            entries: data
                .logs
                .values()
                .map(|log| log.info().end - log.info().first)
                .sum(),
            entry_bytes: data.logs.values().map(|log| log.info().bytes).sum(),
        });
        let mut tables: Vec<_> = tables.filter(|it| it.records + it.logs > 0).collect();
        tables.sort_by(|a, b| a.table.as_str().cmp(b.table.as_str()));
        Stats {
            tables,
            blobs: self.blobs.count(),
            blob_bytes: self.blobs.bytes(),
            size: None,
        }
    }
}

fn conflict(table: Table, key: &Text, expected: Expected, found: Option<u64>) -> Error {
    Error::conflicting(Conflict {
        table,
        key: key.clone(),
        expected,
        found,
    })
}
