//! What can be said of a store, of its own or below a cache, without making or changing it.

use std::path::Path;
use std::time::{Duration, Instant};

use bowline_events::{Error, ErrorKind};
use bowline_runtime::{SqliteStoreConfig, SqliteSynchronous, StoreConfig};
use bowline_store::Stats;
use rustix::fs::{Access, access};
use tokio::time::timeout;

use super::finding::{Finding, Level};
use super::{ANSWER_WITHIN, explain};

/// Looks at the store.
pub(super) async fn examine(config: &StoreConfig) -> Vec<Finding> {
    if is_in_memory(config) {
        return vec![Finding::warning(
            "it is in the memory of one process, and ends with it; no other process sees it",
            "name a file: sqlite:events.db",
        )];
    }
    let start = Instant::now();
    let found = match timeout(ANSWER_WITHIN, config.inspect()).await {
        Ok(Ok(Some(stats))) => opens(&stats, start.elapsed()),
        Ok(Ok(None)) => absent(config),
        Ok(Err(error)) => refused(&error),
        Err(_) => Finding::problem(
            format!("it did not answer within {} s", ANSWER_WITHIN.as_secs()),
            "check host and port, and that the server runs and no other process holds the database locked",
        ),
    };
    match found.level {
        Level::Problem => vec![found],
        _ => vec![found, safety(config)],
    }
}

fn is_in_memory(config: &StoreConfig) -> bool {
    match config {
        StoreConfig::Sqlite(config) => config.is_in_memory(),
        other => matches!(other, StoreConfig::Memory),
    }
}

fn opens(stats: &Stats, time: Duration) -> Finding {
    let sum = |of: fn(&bowline_store::TableStats) -> u64| stats.tables.iter().map(of).sum::<u64>();
    let (records, logs, entries) = (
        sum(|table| table.records),
        sum(|table| table.logs),
        sum(|table| table.entries),
    );
    let size = stats.size.map_or_else(String::new, |bytes| {
        format!(", {:.1} MiB in all", bytes as f64 / f64::from(1 << 20))
    });
    Finding::ok(format!(
        "it opens in {:.1} ms, and this program knows its version; histories: {logs} (events: {entries}), records: \
         {records}{size}",
        time.as_secs_f64() * 1000.0
    ))
}

fn absent(config: &StoreConfig) -> Finding {
    let StoreConfig::Sqlite(config) = config else {
        return Finding::ok(
            "the server answers; the tables are not there yet, and the first use makes them, for which the user needs the right \
             to create a schema",
        );
    };
    let path = config.path.display();
    let folder = folder(config);
    // The file is empty where it is there.
    let usable = match config.path.exists() {
        true => access(&config.path, Access::WRITE_OK | Access::READ_OK),
        false => Ok(()),
    };
    if usable
        .and_then(|()| access(folder, Access::WRITE_OK | Access::EXEC_OK))
        .is_ok()
    {
        return Finding::ok(format!(
            "{path} is not a database yet; the first use makes it"
        ));
    }
    Finding::problem(
        format!("{path} is not there, and this user may not make it"),
        format!(
            "make {} writable for this user, or name a file elsewhere",
            folder.display()
        ),
    )
}

fn folder(config: &SqliteStoreConfig) -> &Path {
    match config.path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn refused(error: &Error) -> Finding {
    let remedy = match error.kind() {
        ErrorKind::Unavailable | ErrorKind::Timeout => {
            "check that the server runs and that host and port are right; a file may be held by a process that writes for long"
        }
        ErrorKind::PermissionDenied => {
            "make the file and its folder writable for this user; on a server, check user and password (percent-encoded) and \
             the rights on the schema"
        }
        _ => "change what it names",
    };
    Finding::problem(explain(error), remedy)
}

/// What the store keeps when something dies.
fn safety(config: &StoreConfig) -> Finding {
    Finding::ok(match config {
        StoreConfig::Sqlite(config) if config.synchronous == Some(SqliteSynchronous::Full) => {
            "what it has taken survives the end of the process and a loss of power (synchronous=full)"
        }
        StoreConfig::Sqlite(_) => {
            "what it has taken survives the end of the process; a loss of power may cost the last of it, which \
             synchronous=full prevents"
        }
        _ => {
            "what it has taken survives the end of the process, and of the server as its synchronous_commit and fsync say"
        }
    })
}
