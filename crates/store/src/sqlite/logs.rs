//! Logs in SQL.

use bowline_events::{Text, Timestamp};
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Result, Row, params};

use super::records::text;
use crate::page::Budget;
use crate::{Appended, Keep, LogEntry, LogInfo, LogName, LogPage, Table, limits};

/// Entries that a commit deletes at once; more are left to the sweep.
const AT_ONCE: u64 = 1024;
/// Entries that one step of the sweep deletes.
const SWEEP: u64 = 2048;

const COLUMNS: &str = "id, first, next, base, total, born, updated";

/// The row of a log.
#[derive(Debug, Clone)]
pub(super) struct LogRow {
    id: i64,
    first: u64,
    pub(super) next: u64,
    base: u64,
    total: u64,
    born: u64,
    updated: Timestamp,
}

impl LogRow {
    fn read(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            first: row.get(1)?,
            next: row.get(2)?,
            base: row.get(3)?,
            total: row.get(4)?,
            born: row.get(5)?,
            updated: Timestamp::from_millis(row.get(6)?),
        })
    }

    fn info(&self) -> LogInfo {
        LogInfo {
            first: self.first,
            end: self.next,
            bytes: self.total.saturating_sub(self.base),
            born: self.born,
            updated: self.updated,
        }
    }
}

pub(super) fn find(connection: &Connection, log: &LogName) -> Result<Option<LogRow>> {
    let sql = format!("SELECT {COLUMNS} FROM logs WHERE tbl = ?1 AND key = ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    statement
        .query_row(params![log.table.as_str(), log.key.as_str()], LogRow::read)
        .optional()
}

fn begin(connection: &Connection, log: &LogName, version: u64, now: Timestamp) -> Result<LogRow> {
    let sql = "INSERT INTO logs (tbl, key, first, next, base, total, born, updated) VALUES (?1, ?2, 0, 0, 0, 0, ?3, ?4)";
    let name = (log.table.as_str(), log.key.as_str());
    connection
        .prepare_cached(sql)?
        .execute(params![name.0, name.1, version, now.as_millis()])?;
    Ok(LogRow {
        id: connection.last_insert_rowid(),
        first: 0,
        next: 0,
        base: 0,
        total: 0,
        born: version,
        updated: now,
    })
}

fn store(connection: &Connection, row: &LogRow) -> Result<()> {
    let sql =
        "UPDATE logs SET first = ?2, next = ?3, base = ?4, total = ?5, updated = ?6 WHERE id = ?1";
    let updated = row.updated.as_millis();
    let values = params![row.id, row.first, row.next, row.base, row.total, updated];
    connection.prepare_cached(sql)?.execute(values).map(drop)
}

/// Appends `entries`, and trims. Returns whether something is left to the sweep.
pub(super) fn append(
    connection: &Connection,
    log: &LogName,
    entries: &[Bytes],
    keep: &Keep,
    (version, now): (u64, Timestamp),
) -> Result<(Appended, bool)> {
    let mut row = match find(connection, log)? {
        Some(row) => row,
        None => begin(connection, log, version, now)?,
    };
    let first = row.next;
    row.updated = row.updated.max(now);
    let sql = "INSERT INTO entries (log, position, at, ends, body) VALUES (?1, ?2, ?3, ?4, ?5)";
    let mut statement = connection.prepare_cached(sql)?;
    for body in entries {
        row.total += body.len() as u64;
        let at = row.updated.as_millis();
        statement.execute(params![row.id, row.next, at, row.total, &body[..]])?;
        row.next += 1;
    }
    let swept = shrink(connection, &mut row, keep, now)?;
    store(connection, &row)?;
    let appended = Appended {
        first,
        end: row.next,
        born: row.born,
    };
    Ok((appended, swept))
}

/// Trims. Returns whether something is left to the sweep.
pub(super) fn trim(
    connection: &Connection,
    log: &LogName,
    keep: &Keep,
    now: Timestamp,
) -> Result<bool> {
    let Some(mut row) = find(connection, log)? else {
        return Ok(false);
    };
    let before = row.first;
    let swept = shrink(connection, &mut row, keep, now)?;
    if row.first != before {
        store(connection, &row)?;
    }
    Ok(swept)
}

/// Moves the beginning of `row` to the first entry that `keep` lets stay.
fn shrink(connection: &Connection, row: &mut LogRow, keep: &Keep, now: Timestamp) -> Result<bool> {
    let floor = keep.floor(row.first, row.next);
    let oldest = keep.oldest(now);
    let too_large = keep.bytes.is_some_and(|bytes| row.total - row.base > bytes);
    if row.first == row.next || (floor == row.first && !too_large && oldest.is_none()) {
        return Ok(false);
    }
    let base = row.total.saturating_sub(keep.bytes.unwrap_or(u64::MAX));
    let oldest = oldest.map_or(i64::MIN, Timestamp::as_millis);
    let sql = "SELECT position, ends - length(body) FROM entries
               WHERE log = ?1 AND position >= ?2 AND ends - length(body) >= ?3 AND at >= ?4
               ORDER BY position LIMIT 1";
    let stays = connection
        .prepare_cached(sql)?
        .query_row(params![row.id, floor, base, oldest], |found| {
            Ok((found.get(0)?, found.get(1)?))
        })
        .optional()?;
    let before = row.first;
    (row.first, row.base) = stays.unwrap_or((row.next, row.total));
    match row.first - before {
        0 => Ok(false),
        few @ 1..=AT_ONCE => delete(connection, row.id, row.first, few).map(|_| false),
        _ => discard(connection, row.id, row.first).map(|()| true),
    }
}

/// Forgets `log`. Returns whether something is left to the sweep.
pub(super) fn drop_log(connection: &Connection, log: &LogName) -> Result<bool> {
    let Some(row) = find(connection, log)? else {
        return Ok(false);
    };
    let mut statement = connection.prepare_cached("DELETE FROM logs WHERE id = ?1")?;
    statement.execute([row.id])?;
    if row.next - row.first <= AT_ONCE {
        delete(connection, row.id, row.next, AT_ONCE)?;
        // What an earlier trim has left is in the care of the sweep already.
        return Ok(false);
    }
    discard(connection, row.id, row.next).map(|()| true)
}

fn delete(connection: &Connection, log: i64, before: u64, limit: u64) -> Result<u64> {
    let sql = "DELETE FROM entries WHERE log = ?1 AND position IN (
                   SELECT position FROM entries WHERE log = ?1 AND position < ?2 ORDER BY position DESC LIMIT ?3)";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.execute(params![log, before, limit])? as u64)
}

fn discard(connection: &Connection, log: i64, before: u64) -> Result<()> {
    let sql = "INSERT INTO garbage (log, before) VALUES (?1, ?2)
               ON CONFLICT (log) DO UPDATE SET before = max(before, excluded.before)";
    let mut statement = connection.prepare_cached(sql)?;
    statement.execute(params![log, before]).map(drop)
}

/// Deletes some entries that no log has any more. Returns whether there are more.
pub(super) fn sweep(connection: &Connection) -> Result<bool> {
    let sql = "SELECT log, before FROM garbage LIMIT 1";
    let next = connection
        .prepare_cached(sql)?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((log, before)) = next else {
        return Ok(false);
    };
    if delete(connection, log, before, SWEEP)? < SWEEP {
        let mut statement = connection.prepare_cached("DELETE FROM garbage WHERE log = ?1")?;
        statement.execute([log])?;
    }
    Ok(true)
}

pub(super) fn read(
    connection: &Connection,
    log: &LogName,
    from: u64,
    limit: usize,
) -> Result<LogPage> {
    let Some(row) = find(connection, log)? else {
        return Ok(LogPage::default());
    };
    let mut entries = Vec::new();
    let mut budget = Budget::new(limit);
    if from < row.next && limit > 0 {
        let sql = "SELECT position, at, body FROM entries WHERE log = ?1 AND position >= ?2 ORDER BY position LIMIT ?3";
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows =
            statement.query(params![row.id, from.max(row.first), limits::page(limit)])?;
        while let Some(entry) = rows.next()? {
            let body = Bytes::from(entry.get::<_, Vec<u8>>(2)?);
            if !budget.takes(body.len()) {
                break;
            }
            entries.push(LogEntry {
                position: entry.get(0)?,
                at: Timestamp::from_millis(entry.get(1)?),
                body,
            });
        }
    }
    Ok(LogPage {
        entries,
        info: Some(row.info()),
    })
}

pub(super) fn list(
    connection: &Connection,
    table: Table,
    after: &str,
    limit: usize,
) -> Result<Vec<(Text, LogInfo)>> {
    let sql = format!(
        "SELECT {COLUMNS}, key FROM logs WHERE tbl = ?1 AND key > ?2 ORDER BY key LIMIT ?3"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let values = params![table.as_str(), after, limits::page(limit)];
    let rows = statement.query_map(values, |row| {
        Ok((text(row, 7)?.unwrap_or_default(), LogRow::read(row)?.info()))
    })?;
    rows.collect()
}
