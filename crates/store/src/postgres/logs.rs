//! Logs in SQL.

use bowline_events::{Text, Timestamp};
use bytes::Bytes;
use tokio_postgres::{Error, Row};

use super::arrays::{signed, unsigned};
use super::records::Asked;
use crate::limits::{self, MAX_PAGE_BYTES};
use crate::{LogEntry, LogInfo, LogName, LogPage, Table};

/// The state of a log and its entries in one statement, so that both are of one instant. A log without such entries is one
/// row without an entry.
pub(super) fn read(log: &LogName, from: u64, limit: usize) -> Asked {
    let mut asked = Asked::new(
        "SELECT l.first, l.next, l.base, l.total, l.born, l.updated, e.position, e.at, e.body
         FROM logs AS l LEFT JOIN LATERAL (
             SELECT position, at, body, ends - octet_length(body) AS begins,
                 first_value(ends - octet_length(body)) OVER (ORDER BY position) AS base
             FROM (SELECT * FROM entries WHERE log = l.id ",
    );
    asked.and("AND position >= greatest(?, l.first) ", signed(from));
    asked.and(
        "ORDER BY position LIMIT ?) AS part",
        limits::page(limit) as i64,
    );
    asked.and(") AS e ON e.begins - e.base < ? ", MAX_PAGE_BYTES as i64);
    asked.and("WHERE l.tbl = ? ", log.table.as_str());
    asked.and("AND l.key = ? ORDER BY e.position", log.key.to_string());
    asked
}

pub(super) fn list(table: Table, after: Option<&str>, limit: usize) -> Asked {
    let mut asked = Asked::new("SELECT first, next, base, total, born, updated, key FROM logs ");
    asked.and("WHERE tbl = ? ", table.as_str());
    asked.and("AND key > ? ", after.unwrap_or_default().replace('\0', ""));
    asked.and("ORDER BY key LIMIT ?", limits::page(limit) as i64);
    asked
}

pub(super) fn page(rows: &[Row]) -> Result<LogPage, Error> {
    let Some(first) = rows.first() else {
        return Ok(LogPage::default());
    };
    let mut entries = Vec::with_capacity(rows.len());
    for row in rows {
        let Some(position) = row.try_get::<_, Option<i64>>("position")? else {
            continue;
        };
        entries.push(LogEntry {
            position: unsigned(position),
            at: Timestamp::from_millis(row.try_get("at")?),
            body: Bytes::from(row.try_get::<_, Vec<u8>>("body")?),
        });
    }
    Ok(LogPage {
        entries,
        info: Some(info(first)?),
    })
}

pub(super) fn listed(row: &Row) -> Result<(Text, LogInfo), Error> {
    Ok((row.try_get::<_, String>("key")?.into(), info(row)?))
}

fn info(row: &Row) -> Result<LogInfo, Error> {
    let number = |column: &str| row.try_get(column).map(unsigned);
    Ok(LogInfo {
        first: number("first")?,
        end: number("next")?,
        bytes: number("total")?.saturating_sub(number("base")?),
        born: number("born")?,
        updated: Timestamp::from_millis(row.try_get("updated")?),
    })
}
