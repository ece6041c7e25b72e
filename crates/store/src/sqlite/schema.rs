//! Opening connections, and the tables.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bowline_events::Text;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::error::failed;
use super::{Durability, SqliteBuilder};
use crate::{Error, ErrorKind, Result};

/// "Bowl", in the header of the file.
const APPLICATION: i64 = 0x426f_776c;

/// One script per version of the schema; `user_version` counts those that were run.
const MIGRATIONS: [&str; 1] = [include_str!("schema.sql")];

/// Prepared statements that each connection keeps.
const STATEMENTS: usize = 128;

/// Where the data is.
#[derive(Debug, Clone)]
pub(super) enum Place {
    Memory,
    File(PathBuf),
}

impl Place {
    pub(super) fn name(&self) -> String {
        match self {
            Self::Memory => ":memory:".into(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// The file of the write-ahead log.
    pub(super) fn wal(&self) -> Option<PathBuf> {
        match self {
            Self::Memory => None,
            Self::File(path) => {
                let mut name = path.clone().into_os_string();
                name.push("-wal");
                Some(name.into())
            }
        }
    }
}

/// The connection that writes, with the schema up to date, and the name of the data.
pub(super) fn open_writer(options: &SqliteBuilder) -> Result<(Connection, Text)> {
    let name = options.place.name();
    let fail = |error| failed("open", &name, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = match &options.place {
        Place::Memory => Connection::open_in_memory_with_flags(flags),
        Place::File(path) => Connection::open_with_flags(path, flags),
    }
    .map_err(fail)?;
    prepare(&connection, options).map_err(fail)?;
    // Before anything is changed, so that no other program's database is.
    check_ours(&connection, &name)?;
    if connection.is_readonly("main").map_err(fail)? {
        let message = "the file is read-only for this user; make it writable";
        return Err(Error::new(ErrorKind::PermissionDenied, "open", message).with_subject(name));
    }
    if let Place::File(path) = &options.place {
        patiently(options.busy_timeout, || use_wal(&connection, options))
            .map_err(fail)
            .and_then(|mode| check_wal(&mode, path))?;
    }
    migrate(&mut connection, &name)?;
    let id: String = connection
        .query_row("SELECT value FROM meta WHERE name = 'id'", [], |row| {
            row.get(0)
        })
        .map_err(fail)?;
    Ok((connection, id.into()))
}

/// A connection that only reads.
pub(super) fn open_reader(path: &Path, options: &SqliteBuilder) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(options.busy_timeout)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

fn prepare(connection: &Connection, options: &SqliteBuilder) -> rusqlite::Result<()> {
    connection.busy_timeout(options.busy_timeout)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    let synchronous = match options.durability {
        Durability::Process => "NORMAL",
        Durability::PowerLoss => "FULL",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    if let Some(bytes) = options.max_bytes {
        let page: u64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let pages = (bytes / page).clamp(1, 4_294_967_294);
        connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
    }
    Ok(())
}

fn use_wal(connection: &Connection, options: &SqliteBuilder) -> rusqlite::Result<String> {
    let limit = options.wal_bytes;
    connection.pragma_update_and_check(None, "journal_size_limit", limit, |_| Ok(()))?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
}

fn check_wal(mode: &str, path: &Path) -> Result<()> {
    if mode.eq_ignore_ascii_case("wal") {
        return Ok(());
    }
    let message =
        format!("SQLite cannot use a write-ahead log here (it stays at {mode}); use a local disk");
    Err(Error::new(ErrorKind::Unsupported, "open", message)
        .with_subject(path.display().to_string()))
}

/// SQLite does not wait when the journal mode changes under several processes that open one file, so we do.
fn patiently<T>(
    patience: Duration,
    mut work: impl FnMut() -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    const PAUSE: Duration = Duration::from_millis(5);
    let begun = Instant::now();
    loop {
        match work() {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && begun.elapsed() < patience =>
            {
                std::thread::sleep(PAUSE);
            }
            outcome => return outcome,
        }
    }
}

/// Refuses the database of another program, and one that a newer version of this one wrote.
fn check_ours(connection: &Connection, name: &str) -> Result<()> {
    let fail = |error| failed("open", name, error);
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let application = number("application_id").map_err(fail)?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(fail)?;
    if application != APPLICATION && (tables > 0 || application != 0) {
        let message = "the file is the database of another program; name another one";
        return Err(Error::new(ErrorKind::Corrupt, "open", message).with_subject(name.to_owned()));
    }
    let version = number("user_version").map_err(fail)?;
    if version > MIGRATIONS.len() as i64 {
        let message = format!(
            "a newer program has written the database (schema {version}, this one knows {}); update this program",
            MIGRATIONS.len()
        );
        let error = Error::new(ErrorKind::Unsupported, "open", message);
        return Err(error.with_subject(name.to_owned()));
    }
    Ok(())
}

fn migrate(connection: &mut Connection, name: &str) -> Result<()> {
    let fail = |error| failed("open", name, error);
    // Several processes may come at once; the lock lets one do it, and the others look again.
    let transaction = connection
        .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
        .map_err(fail)?;
    check_ours(&transaction, name)?;
    let version: usize = transaction
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(fail)?;
    for script in MIGRATIONS.iter().skip(version) {
        transaction.execute_batch(script).map_err(fail)?;
    }
    if version < MIGRATIONS.len() {
        transaction
            .pragma_update(None, "application_id", APPLICATION)
            .map_err(fail)?;
        transaction
            .pragma_update(None, "user_version", MIGRATIONS.len() as i64)
            .map_err(fail)?;
        transaction
            .execute(
                "INSERT INTO meta (name, value) VALUES ('id', ?1) ON CONFLICT DO NOTHING",
                [crate::new_id().as_str()],
            )
            .map_err(fail)?;
    }
    transaction.commit().map_err(fail)
}
