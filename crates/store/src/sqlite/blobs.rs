//! Blobs in SQL, and who owns them.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Result, params};

use crate::{Blob, BlobHash, Table};

pub(super) fn put(connection: &Connection, table: Table, key: &str, blob: &Blob) -> Result<()> {
    let hash = blob.hash();
    let sql = "INSERT INTO blob_owners (tbl, key, hash) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    let owner = params![table.as_str(), key, hash.as_bytes()];
    if connection.prepare_cached(sql)?.execute(owner)? == 0 {
        return Ok(());
    }
    let sql = "UPDATE blobs SET owners = owners + 1 WHERE hash = ?1";
    if connection.prepare_cached(sql)?.execute([hash.as_bytes()])? > 0 {
        return Ok(());
    }
    let sql = "INSERT INTO blobs (hash, owners, bytes, body) VALUES (?1, 1, ?2, ?3)";
    let bytes = &blob.bytes()[..];
    connection
        .prepare_cached(sql)?
        .execute(params![hash.as_bytes(), bytes.len(), bytes])
        .map(drop)
}

pub(super) fn release(
    connection: &Connection,
    table: Table,
    key: &str,
    hash: &BlobHash,
) -> Result<()> {
    let sql = "DELETE FROM blob_owners WHERE tbl = ?1 AND key = ?2 AND hash = ?3";
    let owner = params![table.as_str(), key, hash.as_bytes()];
    if connection.prepare_cached(sql)?.execute(owner)? > 0 {
        forget(connection, hash.as_bytes())?;
    }
    Ok(())
}

pub(super) fn release_all(connection: &Connection, table: Table, key: &str) -> Result<()> {
    let sql = "DELETE FROM blob_owners WHERE tbl = ?1 AND key = ?2 RETURNING hash";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![table.as_str(), key], |row| row.get(0))?;
    let hashes: Vec<[u8; 32]> = rows.collect::<Result<_>>()?;
    hashes.iter().try_for_each(|hash| forget(connection, hash))
}

/// One owner less.
fn forget(connection: &Connection, hash: &[u8; 32]) -> Result<()> {
    let sql = "UPDATE blobs SET owners = owners - 1 WHERE hash = ?1";
    connection.prepare_cached(sql)?.execute([hash])?;
    let sql = "DELETE FROM blobs WHERE hash = ?1 AND owners <= 0";
    connection.prepare_cached(sql)?.execute([hash]).map(drop)
}

pub(super) fn get(connection: &Connection, hash: &BlobHash) -> Result<Option<Bytes>> {
    let mut statement = connection.prepare_cached("SELECT body FROM blobs WHERE hash = ?1")?;
    let body = statement.query_row([hash.as_bytes()], |row| row.get::<_, Vec<u8>>(0));
    Ok(body.optional()?.map(Bytes::from))
}
