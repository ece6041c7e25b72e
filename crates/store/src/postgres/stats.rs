//! What is in the schema.

use std::collections::BTreeMap;

use tokio_postgres::{Error, Row};

use super::arrays::unsigned;
use crate::{Stats, TableStats};

/// Everything in one statement, so that it is of one instant: what is counted, the table, up to three numbers.
pub(super) const SQL: &str = "
    SELECT 'records' AS what, tbl, count(*) AS a, 0::bigint AS b, 0::bigint AS c FROM records GROUP BY tbl
    UNION ALL
    SELECT 'logs', tbl, count(*), sum(next - first)::bigint, sum(total - base)::bigint FROM logs GROUP BY tbl
    UNION ALL
    SELECT 'blobs', '', count(*), coalesce(sum(bytes), 0)::bigint, 0 FROM blobs
    UNION ALL
    SELECT 'size', '', sum(pg_total_relation_size(c.oid))::bigint, 0, 0 FROM pg_class AS c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'";

pub(super) fn read(rows: &[Row]) -> Result<Stats, Error> {
    let mut stats = Stats::default();
    let mut tables = BTreeMap::<String, TableStats>::new();
    for row in rows {
        let number = |column: &str| row.try_get(column).map(unsigned);
        let (a, b, c) = (number("a")?, number("b")?, number("c")?);
        let table: String = row.try_get("tbl")?;
        match row.try_get("what")? {
            "records" => tables.entry(table).or_default().records = a,
            "logs" => {
                let table = tables.entry(table).or_default();
                (table.logs, table.entries, table.entry_bytes) = (a, b, c);
            }
            "blobs" => (stats.blobs, stats.blob_bytes) = (a, b),
            _ => stats.size = Some(a),
        }
    }
    let named = |(table, stats): (String, TableStats)| TableStats {
        table: table.into(),
        ..stats
    };
    stats.tables = tables.into_iter().map(named).collect();
    Ok(stats)
}
