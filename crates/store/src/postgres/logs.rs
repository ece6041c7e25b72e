//! Logs in SQL.

use bowline_events::{Text, Timestamp};
use bytes::Bytes;
use tokio_postgres::{Error, Row};

use super::arrays::unsigned;
use crate::limits::MAX_PAGE_BYTES;
use crate::{LogEntry, LogInfo, LogPage};

/// The state of a log and its entries in one statement, so that both are of one instant. Parameters: table, key, first
/// position, limit. A log without such entries is one row without an entry.
pub(super) fn read_sql() -> String {
    format!(
        "SELECT l.first, l.next, l.base, l.total, l.born, l.updated, e.position, e.at, e.body
         FROM logs AS l LEFT JOIN LATERAL (
             SELECT position, at, body, ends - octet_length(body) AS begins, first_value(ends - octet_length(body)) OVER (ORDER BY position) AS base
             FROM (
                 SELECT * FROM entries WHERE log = l.id AND position >= greatest($3, l.first) ORDER BY position LIMIT $4
             ) AS part
         ) AS e ON e.begins - e.base < {MAX_PAGE_BYTES}
         WHERE l.tbl = $1 AND l.key = $2 ORDER BY e.position"
    )
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

/// Parameters: table, the key to begin after, limit.
pub(super) const LIST: &str = "SELECT first, next, base, total, born, updated, key FROM logs
    WHERE tbl = $1 AND key > $2 ORDER BY key LIMIT $3";

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
