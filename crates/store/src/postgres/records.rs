//! Records in SQL.

use bowline_events::{Text, Timestamp};
use bytes::Bytes;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

use super::arrays::{signed, unsigned};
use crate::limits::{self, MAX_PAGE_BYTES};
use crate::{Cursor, Filter, Index, Order, Page, Query, Record, Table};

pub(super) type Parameter = Box<dyn ToSql + Sync + Send>;

const COLUMNS: &str = "key, version, status, grp, owner, due, created, updated, body";

/// A statement with its parameters.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) sql: String,
    pub(super) parameters: Vec<Parameter>,
}

impl Asked {
    pub(super) fn new(sql: impl Into<String>) -> Self {
        Self {
            sql: sql.into(),
            parameters: Vec::new(),
        }
    }

    /// Adds text in which `?` stands for `value`.
    pub(super) fn and(&mut self, sql: &str, value: impl ToSql + Sync + Send + 'static) {
        self.parameters.push(Box::new(value));
        let number = format!("${}", self.parameters.len());
        self.sql.push_str(&sql.replace('?', &number));
    }
}

pub(super) fn record(table: Table, row: &Row) -> Result<Record, Error> {
    let text = |column: &str| {
        row.try_get::<_, Option<String>>(column)
            .map(|it| it.map(Text::from))
    };
    let time = |column: &str| row.try_get(column).map(Timestamp::from_millis);
    Ok(Record {
        table,
        key: text("key")?.unwrap_or_default(),
        version: unsigned(row.try_get("version")?),
        index: Index {
            status: text("status")?,
            group: text("grp")?,
            owner: text("owner")?,
            due: row
                .try_get::<_, Option<i64>>("due")?
                .map(Timestamp::from_millis),
            created: time("created")?,
        },
        body: Bytes::from(row.try_get::<_, Vec<u8>>("body")?),
        updated: time("updated")?,
    })
}

pub(super) fn get(table: Table, keys: &[Text]) -> Asked {
    let mut asked = Asked::new(format!("SELECT {COLUMNS} FROM records WHERE "));
    asked.and("tbl = ?", table.as_str());
    let keys: Vec<String> = keys.iter().map(Text::to_string).collect();
    asked.and(" AND key = ANY (?)", keys);
    asked
}

pub(super) fn due(table: Table, at: Timestamp, limit: usize) -> Asked {
    let mut inner = Asked::new(format!("SELECT {COLUMNS} FROM records WHERE "));
    inner.and("tbl = ?", table.as_str());
    inner.and(" AND due <= ?", at.as_millis());
    bounded(inner, "due, key", limits::page(limit))
}

pub(super) fn claim(table: Table, claim: &crate::Claim) -> Asked {
    let mut asked = Asked::new(format!("SELECT {COLUMNS} FROM claim_records("));
    asked.and("?", table.as_str());
    asked.and(", ?", claim.now.as_millis());
    asked.and(", ?", claim.until.as_millis());
    asked.and(", ?", limits::page(claim.limit) as i64);
    asked.and(", ?)", MAX_PAGE_BYTES as i64);
    asked
}

/// One record more than the page has, to see whether it is the last one.
pub(super) fn list(table: Table, query: &Query) -> Asked {
    let (beyond, order) = match query.order {
        Order::OldestFirst => (">", "created, key"),
        Order::NewestFirst => ("<", "created DESC, key DESC"),
    };
    let mut inner = Asked::new(format!("SELECT {COLUMNS} FROM records WHERE "));
    wanted(&mut inner, table, &query.filter);
    if let Some(Cursor { created, key }) = &query.after {
        inner.and(
            &format!(" AND (created, key) {beyond} (?, "),
            created.as_millis(),
        );
        inner.and("?)", key.replace('\0', ""));
    }
    bounded(inner, order, limits::page(query.limit) + 1)
}

pub(super) fn page(table: Table, query: &Query, rows: &[Row]) -> Result<Page, Error> {
    let records: Result<Vec<_>, _> = rows.iter().map(|row| record(table, row)).collect();
    let mut records = records?;
    let found = rows
        .first()
        .map_or(Ok(0), |row| row.try_get::<_, i64>("found"))?;
    records.truncate(limits::page(query.limit));
    let more = signed(records.len() as u64) < found;
    Ok(Page {
        next: records.last().filter(|_| more).map(Cursor::after),
        records,
    })
}

pub(super) fn count(table: Table, filter: &Filter) -> Asked {
    let mut asked = Asked::new("SELECT count(*) FROM records WHERE ");
    wanted(&mut asked, table, filter);
    asked
}

/// Up to `limit` rows of `inner` in `order`, as many as the bytes of a page allow; `found` is how many there would be.
fn bounded(mut inner: Asked, order: &str, limit: usize) -> Asked {
    inner.sql = format!(
        "SELECT * FROM (
            SELECT *, count(*) OVER () AS found, sum(octet_length(body)) OVER (ORDER BY {order}) - octet_length(body) AS before
            FROM ({} ORDER BY {order} LIMIT {limit}) AS part
        ) AS sized WHERE before < {MAX_PAGE_BYTES} ORDER BY {order}",
        inner.sql
    );
    inner
}

fn wanted(asked: &mut Asked, table: Table, filter: &Filter) {
    asked.and("tbl = ?", table.as_str());
    let owned = Text::to_string;
    match &filter.status[..] {
        [] => {}
        [one] => asked.and(" AND status = ?", one.replace('\0', "")),
        many => {
            // No record has a status with a byte of value 0, which the server would refuse.
            let many = many.iter().filter(|status| !status.contains('\0'));
            asked.and(" AND status = ANY (?)", many.map(owned).collect::<Vec<_>>());
        }
    }
    if let Some(group) = &filter.group {
        asked.and(" AND grp = ?", owned(group));
    }
    if let Some(owner) = &filter.owner {
        asked.and(" AND owner = ?", owned(owner));
    }
    if let Some(prefix) = &filter.key_prefix {
        asked.and(" AND starts_with(key, ?)", owned(prefix));
    }
    if let Some(from) = filter.created_from {
        asked.and(" AND created >= ?", from.as_millis());
    }
    if let Some(before) = filter.created_before {
        asked.and(" AND created < ?", before.as_millis());
    }
}
