//! What this program does when a test starts it once more. It ends when nobody reads its output any more.

#![allow(clippy::print_stdout, reason = "the test reads it")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use bowline_events::Timestamp;
use bowline_store::{Blob, Commit, Expect, Index, SqliteStore, Store, Table};

const ROLE: &str = "BOWLINE_STORE_TEST_ROLE";
const DATABASE: &str = "BOWLINE_STORE_TEST_DATABASE";

pub(crate) const COUNTERS: Table = Table::new("counters");
pub(crate) const STEPS: Table = Table::new("steps");
/// Tasks of one process that write.
pub(crate) const WRITERS: usize = 8;

pub(crate) fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// This program in `role`, working on `database`.
pub(crate) fn command(role: &str, database: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .env(ROLE, role)
        .env(DATABASE, database)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

pub(crate) fn play(role: &str) -> ExitCode {
    let database = PathBuf::from(std::env::var_os(DATABASE).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    match role {
        "open" => runtime.block_on(open(&database)),
        process => runtime.block_on(write(process, &database)),
    }
}

/// Opens the database and says what came of it.
async fn open(database: &Path) -> ExitCode {
    match SqliteStore::open(database).await {
        Ok(_) => println!("opened"),
        Err(error) => println!("{:?}", error.kind()),
    }
    ExitCode::SUCCESS
}

/// Writes until it is killed, and says which commits were reported as done.
async fn write(process: &str, database: &Path) -> ExitCode {
    let store = SqliteStore::open(database).await.unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let store = store.clone();
        let name = format!("{process}-{writer}");
        writers.spawn(async move {
            loop {
                let done = count_up(&store, &name).await;
                println!("{name} {done}");
            }
        });
    }
    while writers.join_next().await.is_some() {}
    ExitCode::FAILURE
}

/// One commit that counts up in a record, a log, a new record and a blob.
async fn count_up(store: &SqliteStore, name: &str) -> u64 {
    let counter = store.get(COUNTERS, name).await.unwrap();
    let count = counter.as_ref().map_or(0, |record| number(&record.body)) + 1;
    let index = Index::new(Timestamp::from_millis(0)).group(name.to_owned());
    let expect = counter.map_or(Expect::Absent, |record| Expect::Version(record.version));
    let step = format!("{name}/{count}");
    let commit = Commit::new()
        .put(
            COUNTERS,
            name.to_owned(),
            expect,
            index.clone(),
            count.to_string(),
        )
        .put(STEPS, step.clone(), Expect::Absent, index, vec![b'x'; 2000])
        .append_at(STEPS.log(name.to_owned()), count - 1, [count.to_string()])
        .put_blob(STEPS, step.clone(), Blob::new(step));
    store.commit(commit).await.unwrap();
    count
}

pub(crate) fn number(body: &[u8]) -> u64 {
    std::str::from_utf8(body).unwrap().parse().unwrap()
}
