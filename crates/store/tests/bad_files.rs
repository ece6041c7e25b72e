//! Files that are no stores, and disks that do not do their duty: typed errors, and nothing lost.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bowline_events::Timestamp;
use bowline_store::{
    Blob, Commit, Error, ErrorKind, Expect, Filter, Index, Query, SqliteStore, Store, Table,
};
use rusqlite::Connection;
use tempfile::TempDir;

const RUNS: Table = Table::new("runs");

fn scratch() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    (folder, path)
}

fn put(key: &str, body: usize) -> Commit {
    let index = Index::new(Timestamp::from_millis(0));
    Commit::new().put(RUNS, key.to_owned(), Expect::Absent, index, vec![7; body])
}

async fn refused(path: &Path) -> Error {
    let error = SqliteStore::open(path).await.expect_err("it was opened");
    assert!(
        error.to_string().contains(&*path.to_string_lossy()),
        "{error} does not name the file"
    );
    error
}

#[tokio::test]
async fn a_file_that_is_no_database_is_left_alone() {
    for content in [&b"Dear diary, this is no database.\n"[..], &[0; 5000]] {
        let (_folder, path) = scratch();
        fs::write(&path, content.repeat(4)).unwrap();
        assert_eq!(refused(&path).await.kind(), ErrorKind::Corrupt);
        assert_eq!(
            fs::read(&path).unwrap(),
            content.repeat(4),
            "the file has changed"
        );
    }
}

#[tokio::test]
async fn the_database_of_another_program_is_left_alone() {
    let (_folder, path) = scratch();
    let other = Connection::open(&path).unwrap();
    other
        .execute_batch("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)")
        .unwrap();
    other.close().unwrap();
    let before = fs::read(&path).unwrap();
    assert_eq!(refused(&path).await.kind(), ErrorKind::Corrupt);
    assert_eq!(fs::read(&path).unwrap(), before, "the file has changed");
}

#[tokio::test]
async fn the_schema_of_a_newer_program_is_left_alone() {
    let (_folder, path) = scratch();
    SqliteStore::open(&path)
        .await
        .unwrap()
        .close()
        .await
        .unwrap();
    let newer = Connection::open(&path).unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    newer.close().unwrap();
    let error = refused(&path).await;
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("99"), "{error}");
}

#[tokio::test]
async fn a_path_that_cannot_be_a_file_is_refused() {
    let (folder, _) = scratch();
    for path in [
        folder.path().to_owned(),
        folder.path().join("missing/store.db"),
    ] {
        assert_eq!(refused(&path).await.kind(), ErrorKind::PermissionDenied);
    }
}

#[tokio::test]
async fn a_locked_file_can_be_read_and_is_written_later() {
    let (_folder, path) = scratch();
    let patience = Duration::from_millis(20);
    let store = SqliteStore::builder(&path)
        .busy_timeout(patience)
        .open()
        .await
        .unwrap();
    store.commit(put("before", 1)).await.unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    for key in ["a", "b"] {
        let error = store.commit(put(key, 1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.is_retryable());
    }
    assert!(
        store.get(RUNS, "before").await.unwrap().is_some(),
        "a read during the lock"
    );
    other.execute_batch("ROLLBACK").unwrap();
    store.commit(put("a", 1)).await.unwrap();
    assert_eq!(store.count(RUNS, &Filter::new()).await.unwrap(), 2);
}

#[tokio::test]
async fn a_full_database_loses_nothing_and_goes_on_when_there_is_room() {
    let (_folder, path) = scratch();
    let store = SqliteStore::builder(&path)
        .max_bytes(1024 * 1024)
        .open()
        .await
        .unwrap();
    let mut kept = Vec::new();
    let error = loop {
        let key = format!("r{:04}", kept.len());
        match store.commit(put(&key, 20_000)).await {
            Ok(committed) => kept.push((key, committed.version)),
            Err(error) => break error,
        }
        assert!(kept.len() < 100, "the limit does not hold");
    };
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    assert_eq!(
        store.count(RUNS, &Filter::new()).await.unwrap(),
        kept.len() as u64
    );
    let (key, version) = kept.swap_remove(0);
    store
        .commit(Commit::new().delete(RUNS, key, version))
        .await
        .unwrap();
    store.commit(put("room", 15_000)).await.unwrap();
    for (key, version) in kept {
        let record = store
            .get(RUNS, &key)
            .await
            .unwrap()
            .expect("a commit is lost");
        assert_eq!((record.version, record.body.len()), (version, 20_000));
    }
}

#[tokio::test]
async fn one_commit_too_large_for_the_disk_does_not_fail_the_others() {
    let (_folder, path) = scratch();
    let store = SqliteStore::builder(&path)
        .max_bytes(1024 * 1024)
        .open()
        .await
        .unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..20 {
        let store = store.clone();
        let body = if task == 7 { 3_000_000 } else { 100 };
        tasks.spawn(async move { (task, store.commit(put(&format!("r{task}"), body)).await) });
    }
    while let Some(done) = tasks.join_next().await {
        let (task, outcome) = done.unwrap();
        match task {
            7 => assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Full),
            _ => drop(outcome.unwrap()),
        }
    }
    assert_eq!(store.count(RUNS, &Filter::new()).await.unwrap(), 19);
}

/// A closed database of a few hundred records.
async fn filled(path: &Path) {
    let store = SqliteStore::open(path).await.unwrap();
    for i in 0..200 {
        store.commit(put(&format!("r{i:03}"), 3000)).await.unwrap();
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_damaged_file_is_reported_and_never_taken_for_a_good_one() {
    for (what, from, bytes) in [
        ("the schema", 100_u64, 3000_usize),
        ("the middle", 200_000, 300_000),
    ] {
        let (_folder, path) = scratch();
        filled(&path).await;
        let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.seek(SeekFrom::Start(from)).unwrap();
        file.write_all(&vec![0xa5; bytes]).unwrap();
        drop(file);
        let error = read_everything(&path).await.expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
    }
}

#[tokio::test]
async fn a_truncated_file_is_reported() {
    let (_folder, path) = scratch();
    filled(&path).await;
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    drop(file);
    let error = read_everything(&path).await.expect_err("half a file");
    assert!(
        matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Io),
        "{error}"
    );
}

async fn read_everything(path: &Path) -> Result<(), Error> {
    let store = SqliteStore::open(path).await?;
    let mut query = Query::default();
    loop {
        let page = store.list(RUNS, &query).await?;
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(()),
        }
    }
}

#[tokio::test]
async fn a_blob_that_was_changed_behind_our_back_is_refused() {
    let (_folder, path) = scratch();
    let store = SqliteStore::open(&path).await.unwrap();
    let blob = Blob::new("the truth");
    store
        .commit(put("a", 1).put_blob(RUNS, "a", blob.clone()))
        .await
        .unwrap();
    let other = Connection::open(&path).unwrap();
    other
        .execute("UPDATE blobs SET body = CAST('a lie' AS BLOB)", [])
        .unwrap();
    let error = store.blob(blob.hash()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(
        error.to_string().contains(&blob.hash().to_string()),
        "{error}"
    );
}

#[tokio::test]
async fn a_store_survives_being_closed_and_opened() {
    let (_folder, path) = scratch();
    let store = SqliteStore::open(&path).await.unwrap();
    let id = store.id().clone();
    let version = store.commit(put("a", 5)).await.unwrap().version;
    store.close().await.unwrap();
    assert!(
        !path.with_extension("db-wal").exists(),
        "the write-ahead log is left behind"
    );
    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(store.id(), &id, "the name of the data");
    assert_eq!(
        store.get(RUNS, "a").await.unwrap().unwrap().version,
        version
    );
    let next = store.commit(put("b", 5)).await.unwrap().version;
    assert!(next > version, "versions begin anew");
}

#[tokio::test]
async fn what_dropped_logs_have_left_is_swept_away() {
    let (_folder, path) = scratch();
    let store = SqliteStore::open(&path).await.unwrap();
    let log = RUNS.log("long");
    for _ in 0..3 {
        store
            .commit(Commit::new().append(log.clone(), vec![vec![1_u8; 10]; 3000]))
            .await
            .unwrap();
    }
    store.commit(Commit::new().drop_log(log)).await.unwrap();
    // Closing does not wait for the sweep; whoever opens the file goes on with it.
    store.close().await.unwrap();
    let store = SqliteStore::open(&path).await.unwrap();
    let watching = Connection::open(&path).unwrap();
    let count = || {
        watching.query_row(
            "SELECT (SELECT count(*) FROM entries) + (SELECT count(*) FROM garbage)",
            [],
            |row| row.get::<_, i64>(0),
        )
    };
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while count().unwrap() > 0 {
        assert!(
            tokio::time::Instant::now() < deadline,
            "{} entries are left",
            count().unwrap()
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    store.close().await.unwrap();
}
