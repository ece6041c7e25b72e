//! `kill -9` in the middle of group commits.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Child;

use bowline_store::{BlobHash, Filter, SqliteStore, Store};

use crate::child::{COUNTERS, STEPS, command, number};

/// Reported commits per writer.
type Reported = BTreeMap<String, u64>;

/// A process that writes.
struct Writer {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Writer {
    fn start(role: &str, database: &Path) -> Self {
        let mut child = command(role, database).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Notes the next `count` reports.
    fn read(&mut self, count: usize, reported: &mut Reported) {
        for line in self.lines.by_ref().take(count) {
            note(&line.unwrap(), reported);
        }
    }

    /// Kills the process, and notes what it has still reported.
    fn kill(mut self, reported: &mut Reported) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        for line in self.lines {
            note(&line.unwrap(), reported);
        }
    }
}

/// The last line may be cut off, which says less than the truth and so is no false report.
fn note(line: &str, reported: &mut Reported) {
    if let Some((name, count)) = line.split_once(' ')
        && let Ok(count) = count.parse::<u64>()
    {
        let last = reported.entry(name.to_owned()).or_default();
        *last = count.max(*last);
    }
}

/// What was reported is there, and what is there is whole.
fn check(database: &Path, reported: &Reported) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = SqliteStore::open(database).await.unwrap();
        for (name, reported) in reported {
            let counter = store.get(COUNTERS, name).await.unwrap();
            let count = counter.map_or(0, |record| number(&record.body));
            assert!(
                count >= *reported,
                "{name} reported {reported} commits, {count} are there"
            );
            let log = store.log_info(&STEPS.log(name.clone())).await.unwrap();
            assert_eq!(log.map_or(0, |log| log.end), count, "the log of {name}");
            let steps = store
                .count(STEPS, &Filter::new().group(name.clone()))
                .await
                .unwrap();
            assert_eq!(steps, count, "the records of {name}");
            let last = BlobHash::of(format!("{name}/{count}").as_bytes());
            assert!(
                count == 0 || store.blob(last).await.unwrap().is_some(),
                "the blob of {name}"
            );
            let beyond = BlobHash::of(format!("{name}/{}", count + 1).as_bytes());
            assert!(
                store.blob(beyond).await.unwrap().is_none(),
                "a blob of half a commit of {name}"
            );
        }
        store.close().await.unwrap();
    });
    let connection = rusqlite::Connection::open(database).unwrap();
    let verdict: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(verdict, "ok", "the integrity of the database");
}

/// One process after the other, each killed after another number of reports, on one file.
pub(crate) fn one_process() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("store.db");
    let mut reported = Reported::new();
    for reports in [1, 3, 40, 200, 450] {
        let mut writer = Writer::start("first", &database);
        writer.read(reports, &mut reported);
        writer.kill(&mut reported);
        check(&database, &reported);
    }
    assert!(!reported.is_empty(), "nothing was reported");
}

/// The death of one process takes nothing from the other.
pub(crate) fn two_processes() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("store.db");
    let mut reported = Reported::new();
    let mut first = Writer::start("first", &database);
    let mut second = Writer::start("second", &database);
    first.read(60, &mut reported);
    second.read(60, &mut reported);
    first.kill(&mut reported);
    second.read(100, &mut reported);
    second.kill(&mut reported);
    check(&database, &reported);
    assert!(
        reported.len() > crate::child::WRITERS,
        "only one process has reported: {reported:?}"
    );
}
