//! What the store takes, the same on every backend.

use std::collections::HashSet;

use bowline_events::Text;

use crate::{Commit, Error, ErrorKind, Index, Operation, Result, Table};

/// Bytes of a key; a key has at least one byte and none of value 0.
pub const MAX_KEY: usize = 1024;
/// Bytes of a status, group or owner; none of value 0.
pub const MAX_INDEX_TEXT: usize = 512;
/// Bytes of the body of a record. What is larger belongs into a blob.
pub const MAX_BODY: usize = 4 * MIB;
/// Bytes of one entry of a log.
pub const MAX_ENTRY: usize = 16 * MIB;
/// Bytes of a blob.
pub const MAX_BLOB: usize = 64 * MIB;
/// Operations of a commit; every entry that is appended counts as one, too.
pub const MAX_OPERATIONS: usize = 4096;
/// Bytes of a commit: keys, index texts, bodies, entries and blobs.
pub const MAX_COMMIT: usize = 80 * MIB;
/// Records or entries that one read returns, however many it asks for; also keys of a [`get_many`](crate::Store::get_many).
pub const MAX_PAGE: usize = 1000;
/// Bytes of bodies or entries after which a page ends before its limit. A page that is not empty has at least one item,
/// however large.
pub const MAX_PAGE_BYTES: usize = 16 * MIB;

const MIB: usize = 1024 * 1024;

/// Whether `commit` respects the limits and names every record and every log once. Every backend asks first.
///
/// # Errors
/// `TooLarge` or `InvalidInput`, naming the limit.
pub fn check(commit: &Commit) -> Result<()> {
    let mut operations = 0;
    for operation in commit.operations() {
        operations += 1;
        check_key(operation.key(), "commit")?;
        match operation {
            Operation::Put { index, body, .. } => {
                check_index(index)?;
                check_size("body of a record", body.len(), MAX_BODY)?;
            }
            Operation::Append { entries, .. } => {
                operations += entries.len();
                for entry in entries {
                    check_size("entry of a log", entry.len(), MAX_ENTRY)?;
                }
            }
            Operation::PutBlob { blob, .. } => check_size("blob", blob.bytes().len(), MAX_BLOB)?,
            _ => {}
        }
    }
    if operations > MAX_OPERATIONS {
        let message = format!(
            "the commit has {operations} operations and entries, the limit is {MAX_OPERATIONS}; split it"
        );
        return Err(Error::new(ErrorKind::TooLarge, "commit", message));
    }
    check_size("commit", commit.bytes(), MAX_COMMIT)?;
    check_once(commit.operations())
}

/// The number of items that a read of `limit` returns at most.
pub fn page(limit: usize) -> usize {
    limit.min(MAX_PAGE)
}

/// Whether `keys` are few enough for one read, and each is a key.
pub(crate) fn check_keys(keys: &[Text]) -> Result<()> {
    if keys.len() > MAX_PAGE {
        let message = format!(
            "{} keys, the limit is {MAX_PAGE}; ask in several calls",
            keys.len()
        );
        return Err(Error::new(ErrorKind::TooLarge, "get", message));
    }
    keys.iter().try_for_each(|key| check_key(key, "get"))
}

pub(crate) fn check_key(key: &str, operation: &'static str) -> Result<()> {
    let problem = if key.is_empty() {
        "a key has at least one byte".into()
    } else if key.len() > MAX_KEY {
        format!(
            "the key has {} bytes, the limit is {MAX_KEY}; use a hash",
            key.len()
        )
    } else if key.contains('\0') {
        "a key has no byte of value 0".into()
    } else {
        return Ok(());
    };
    let shown: String = key.chars().take(64).collect();
    Err(Error::new(ErrorKind::InvalidInput, operation, problem).with_subject(shown))
}

fn check_index(index: &Index) -> Result<()> {
    for (name, text) in [
        ("status", &index.status),
        ("group", &index.group),
        ("owner", &index.owner),
    ] {
        let Some(text) = text else { continue };
        if text.len() > MAX_INDEX_TEXT || text.contains('\0') {
            let message = format!(
                "it has {} bytes; the limit is {MAX_INDEX_TEXT}, none of value 0",
                text.len()
            );
            return Err(Error::new(ErrorKind::InvalidInput, "commit", message).with_subject(name));
        }
    }
    Ok(())
}

fn check_size(what: &'static str, bytes: usize, limit: usize) -> Result<()> {
    if bytes <= limit {
        return Ok(());
    }
    let message = format!(
        "it has {bytes} bytes, the limit is {limit}; store large values as blobs, in several commits"
    );
    Err(Error::new(ErrorKind::TooLarge, "commit", message).with_subject(what))
}

/// A commit is a set of facts that become true together, so each thing has one fact.
fn check_once(operations: &[Operation]) -> Result<()> {
    const FEW: usize = 8;
    let repeated = if operations.len() <= FEW {
        operations.iter().enumerate().find(|(i, operation)| {
            let name = named(operation);
            name.is_some() && operations[..*i].iter().any(|other| named(other) == name)
        })
    } else {
        let mut seen = HashSet::with_capacity(operations.len());
        let mut entries = operations.iter().enumerate();
        entries.find(|(_, operation)| named(operation).is_some_and(|name| !seen.insert(name)))
    };
    let Some((_, operation)) = repeated else {
        return Ok(());
    };
    let message = "two operations of the commit are about the same record or log; join them";
    Err(Error::new(ErrorKind::InvalidInput, "commit", message)
        .with_subject(operation.key().to_string()))
}

/// What an operation is about: a record (`false`) or a log (`true`). Blobs may be put and dropped freely.
fn named(operation: &Operation) -> Option<(bool, Table, &str)> {
    match operation {
        Operation::Put { table, key, .. }
        | Operation::Delete { table, key, .. }
        | Operation::Check { table, key, .. } => Some((false, *table, key)),
        Operation::Append { log, .. }
        | Operation::Trim { log, .. }
        | Operation::DropLog { log, .. } => Some((true, log.table, &log.key)),
        Operation::PutBlob { .. } | Operation::DropBlob { .. } => None,
    }
}
