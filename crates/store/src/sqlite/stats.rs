//! What is in the database.

use std::collections::BTreeMap;

use rusqlite::{Connection, Result};

use crate::{Stats, TableStats};

pub(super) fn read(connection: &Connection) -> Result<Stats> {
    let mut tables = BTreeMap::<String, TableStats>::new();
    let mut statement = connection.prepare("SELECT tbl, count(*) FROM records GROUP BY tbl")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        tables.entry(row.get(0)?).or_default().records = row.get(1)?;
    }
    let sql = "SELECT tbl, count(*), sum(next - first), sum(total - base) FROM logs GROUP BY tbl";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let table = tables.entry(row.get(0)?).or_default();
        (table.logs, table.entries, table.entry_bytes) = (row.get(1)?, row.get(2)?, row.get(3)?);
    }
    let blobs = connection.query_row(
        "SELECT count(*), coalesce(sum(bytes), 0) FROM blobs",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, u64>(0));
    let named = |(table, stats): (String, TableStats)| TableStats {
        table: table.into(),
        ..stats
    };
    Ok(Stats {
        tables: tables.into_iter().map(named).collect(),
        blobs: blobs.0,
        blob_bytes: blobs.1,
        size: Some(number("page_count")? * number("page_size")?),
    })
}
