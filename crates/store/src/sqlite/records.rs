//! Records in SQL.

use bowline_events::{Text, Timestamp, json};
use bytes::Bytes;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Result, Row, params, params_from_iter};

use crate::page::Budget;
use crate::{Cursor, Filter, Index, Order, Page, Query, Record, Table, limits};

const COLUMNS: &str = "key, version, status, grp, owner, due, created, updated, body";

/// What a commit has to know of a record before it writes.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) id: i64,
    pub(super) version: u64,
    index: Index,
}

fn record(table: Table, row: &Row<'_>) -> Result<Record> {
    Ok(Record {
        table,
        key: text(row, 0)?.unwrap_or_default(),
        version: row.get(1)?,
        index: index(row, 2)?,
        updated: Timestamp::from_millis(row.get(7)?),
        body: Bytes::from(row.get::<_, Vec<u8>>(8)?),
    })
}

/// Five columns from `column` on: status, group, owner, due, created.
fn index(row: &Row<'_>, column: usize) -> Result<Index> {
    Ok(Index {
        status: text(row, column)?,
        group: text(row, column + 1)?,
        owner: text(row, column + 2)?,
        due: row
            .get::<_, Option<i64>>(column + 3)?
            .map(Timestamp::from_millis),
        created: Timestamp::from_millis(row.get(column + 4)?),
    })
}

pub(super) fn text(row: &Row<'_>, column: usize) -> Result<Option<Text>> {
    Ok(row.get::<_, Option<String>>(column)?.map(Text::from))
}

pub(super) fn find(connection: &Connection, table: Table, key: &str) -> Result<Option<Found>> {
    connection
        .prepare_cached(
            "SELECT id, version, status, grp, owner, due, created FROM records WHERE tbl = ?1 AND key = ?2",
        )?
        .query_row(params![table.as_str(), key], |row| {
            Ok(Found {
                id: row.get(0)?,
                version: row.get(1)?,
                index: index(row, 2)?,
            })
        })
        .optional()
}

pub(super) fn insert(
    connection: &Connection,
    (table, key): (Table, &str),
    (version, now): (u64, Timestamp),
    index: &Index,
    body: &[u8],
) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO records (tbl, key, version, status, grp, owner, due, created, updated, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            table.as_str(),
            key,
            version,
            index.status.as_deref(),
            index.group.as_deref(),
            index.owner.as_deref(),
            index.due.map(Timestamp::as_millis),
            index.created.as_millis(),
            now.as_millis(),
            body,
        ])
        .map(drop)
}

/// Writes over `found`. An index that stays costs nothing: SQLite touches the indexes of the columns that a statement names.
pub(super) fn update(
    connection: &Connection,
    found: &Found,
    (version, now): (u64, Timestamp),
    index: &Index,
    body: &[u8],
) -> Result<()> {
    if found.index == *index {
        let sql = "UPDATE records SET version = ?2, updated = ?3, body = ?4 WHERE id = ?1";
        let mut statement = connection.prepare_cached(sql)?;
        return statement
            .execute(params![found.id, version, now.as_millis(), body])
            .map(drop);
    }
    connection
        .prepare_cached(
            "UPDATE records SET version = ?2, updated = ?3, body = ?4, status = ?5, grp = ?6, owner = ?7, due = ?8, created = ?9
             WHERE id = ?1",
        )?
        .execute(params![
            found.id,
            version,
            now.as_millis(),
            body,
            index.status.as_deref(),
            index.group.as_deref(),
            index.owner.as_deref(),
            index.due.map(Timestamp::as_millis),
            index.created.as_millis(),
        ])
        .map(drop)
}

pub(super) fn delete(connection: &Connection, id: i64) -> Result<()> {
    let mut statement = connection.prepare_cached("DELETE FROM records WHERE id = ?1")?;
    statement.execute([id]).map(drop)
}

pub(super) fn get(connection: &Connection, table: Table, key: &str) -> Result<Option<Record>> {
    let sql = format!("SELECT {COLUMNS} FROM records WHERE tbl = ?1 AND key = ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    statement
        .query_row(params![table.as_str(), key], |row| record(table, row))
        .optional()
}

pub(super) fn due(
    connection: &Connection,
    table: Table,
    at: Timestamp,
    limit: usize,
) -> Result<Vec<Record>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM records INDEXED BY records_due
         WHERE tbl = ?1 AND due <= ?2 ORDER BY due, key LIMIT ?3"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![table.as_str(), at.as_millis(), limits::page(limit)])?;
    let mut budget = Budget::new(limit);
    let mut due = Vec::new();
    while let Some(row) = rows.next()? {
        let record = record(table, row)?;
        if !budget.takes(record.body.len()) {
            break;
        }
        due.push(record);
    }
    Ok(due)
}

/// Gives `record` the version and due time of a claim.
pub(super) fn claim(connection: &Connection, record: &Record) -> Result<()> {
    connection
        .prepare_cached(
            "UPDATE records SET version = ?3, due = ?4, updated = ?5 WHERE tbl = ?1 AND key = ?2",
        )?
        .execute(params![
            record.table.as_str(),
            record.key.as_str(),
            record.version,
            record.index.due.map(Timestamp::as_millis),
            record.updated.as_millis(),
        ])
        .map(drop)
}

pub(super) fn list(connection: &Connection, table: Table, query: &Query) -> Result<Page> {
    let mut page = Page::default();
    if !query.filter.is_possible() {
        return Ok(page);
    }
    let mut wanted = Condition::new(table, &query.filter);
    let (beyond, direction) = match query.order {
        Order::OldestFirst => (">", "ASC"),
        Order::NewestFirst => ("<", "DESC"),
    };
    if let Some(Cursor { created, key }) = &query.after {
        let place = [
            Value::from(created.as_millis()),
            Value::from(key.to_string()),
        ];
        wanted.and(&format!("(created, key) {beyond} (?, ?)"), place);
    }
    let limit = limits::page(query.limit) + 1;
    let sql = format!(
        "SELECT {COLUMNS} FROM {} ORDER BY created {direction}, key {direction} LIMIT {limit}",
        wanted.sql
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(wanted.values))?;
    let mut budget = Budget::new(query.limit);
    while let Some(row) = rows.next()? {
        let record = record(table, row)?;
        if !budget.takes(record.body.len()) {
            page.next = page.records.last().map(Cursor::after);
            break;
        }
        page.records.push(record);
    }
    Ok(page)
}

pub(super) fn count(connection: &Connection, table: Table, filter: &Filter) -> Result<u64> {
    if !filter.is_possible() {
        return Ok(0);
    }
    let wanted = Condition::new(table, filter);
    let sql = format!("SELECT count(*) FROM {}", wanted.sql);
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_row(params_from_iter(wanted.values), |row| row.get(0))
}

/// The part of a statement that selects records, with its values in order.
struct Condition {
    sql: String,
    values: Vec<Value>,
}

impl Condition {
    fn new(table: Table, filter: &Filter) -> Self {
        let index = match filter {
            Filter { group: Some(_), .. } => "records_grp",
            Filter { owner: Some(_), .. } => "records_owner",
            Filter { status, .. } if status.len() == 1 => "records_status",
            _ => "records_created",
        };
        let mut condition = Self {
            sql: format!("records INDEXED BY {index} WHERE tbl = ?"),
            values: vec![Value::from(table.as_str().to_owned())],
        };
        match &filter.status[..] {
            [] => {}
            [one] => condition.and("status = ?", [one.to_string().into()]),
            many => {
                let list = Value::from(json_list(many));
                condition.and("status IN (SELECT value FROM json_each(?))", [list]);
            }
        }
        for (name, value) in [("grp = ?", &filter.group), ("owner = ?", &filter.owner)] {
            if let Some(value) = value {
                condition.and(name, [value.to_string().into()]);
            }
        }
        if let Some(prefix) = &filter.key_prefix {
            let prefix = Value::from(prefix.to_string());
            condition.and("substr(key, 1, length(?)) = ?", [prefix.clone(), prefix]);
        }
        for (name, value) in [
            ("created >= ?", filter.created_from),
            ("created < ?", filter.created_before),
        ] {
            if let Some(value) = value {
                condition.and(name, [value.as_millis().into()]);
            }
        }
        condition
    }

    fn and(&mut self, sql: &str, values: impl IntoIterator<Item = Value>) {
        self.sql.push_str(" AND ");
        self.sql.push_str(sql);
        self.values.extend(values);
    }
}

fn json_list(texts: &[Text]) -> String {
    let mut list = vec![b'['];
    for text in texts {
        if list.len() > 1 {
            list.push(b',');
        }
        json::escape_into(text, &mut list);
    }
    list.push(b']');
    // Texts and JSON are UTF-8.
    String::from_utf8_lossy(&list).into_owned()
}
