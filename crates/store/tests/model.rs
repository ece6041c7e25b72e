//! Random commits on every backend, against a naive model.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bowline_events::Timestamp;
use bowline_store::conformance::Fixture;
use bowline_store::{BlobHash, Claim, Commit, Committed, ErrorKind, Store};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use support::backends::{Memory, Postgres, SqliteFile, SqliteMemory};
use support::model::{Broken, Model, TABLES};
use support::script::{BLOBS, Op, Step, blob, commit, step};

fn blobs() -> Vec<BlobHash> {
    BLOBS.map(|number| blob(number).hash()).collect()
}

async fn assert_same(store: &dyn Store, model: &Model) {
    let (found, blobs) = Model::read(store, &blobs()).await;
    let owned: BTreeSet<_> = model.owned.iter().map(|(_, hash)| *hash).collect();
    let visible = Model {
        owned: BTreeSet::new(),
        ..model.clone()
    };
    assert_eq!(found, visible, "the store and the model");
    assert_eq!(blobs, owned, "the blobs and their owners");
    let stats = store.stats().await.unwrap();
    assert_eq!(stats.blobs, owned.len() as u64, "the number of blobs");
}

/// Each step of a script has the same outcome in the store and in the model, and leaves the same behind.
async fn follows_the_model(fixture: &dyn Fixture, script: &[Step]) {
    let stores = fixture.open().await.unwrap();
    let mut model = Model::default();
    let mut last = 0;
    for (number, step) in script.iter().enumerate() {
        let store = if number % 3 == 0 {
            &stores.other
        } else {
            &stores.store
        };
        match step {
            Step::Commit(ops) => {
                let commit = commit(ops, &model);
                let outcome = store.commit(commit.clone()).await;
                match outcome {
                    Ok(Committed { version, appended }) => {
                        assert!(version > last, "version {version} follows {last}");
                        last = version;
                        let (next, expected) = model
                            .after(&commit, version)
                            .expect("the model refuses what the store took");
                        assert_eq!(appended, expected, "where entries landed");
                        model = next;
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
                        let broken = model
                            .after(&commit, last + 1)
                            .expect_err("the store refuses what the model took");
                        let conflict = error
                            .conflict()
                            .expect("a conflict says what it is")
                            .clone();
                        let told = Broken {
                            name: (conflict.table, conflict.key.to_string()),
                            expected: conflict.expected,
                            found: conflict.found,
                        };
                        assert!(broken.contains(&told), "{told:?} is none of {broken:?}");
                    }
                }
            }
            Step::Claim { table, at, limit } => {
                let (table, now) = (TABLES[*table], Timestamp::from_millis(*at));
                let claim = Claim::new(now, Duration::from_millis(3), *limit);
                let claimed = store.claim_due(table, claim).await.unwrap();
                let keys: Vec<_> = claimed
                    .iter()
                    .map(|record| record.key.to_string())
                    .collect();
                assert_eq!(keys, model.due(table, now, *limit), "what was claimed");
                for record in claimed {
                    assert!(record.version > last, "a claim has a new version");
                    let name = (table, record.key.to_string());
                    model
                        .records
                        .insert(name, (record.version, record.index, record.body));
                }
                last = model
                    .records
                    .values()
                    .map(|it| it.0)
                    .max()
                    .unwrap_or(0)
                    .max(last);
            }
        }
        assert_same(&*stores.other, &model).await;
    }
    stores.store.close().await.unwrap();
    stores.other.close().await.unwrap();
}

/// Whatever several tasks commit at once, the outcome is that of the same commits one after the other, by version.
async fn is_serialisable(fixture: &dyn Fixture, scripts: &[Vec<Vec<Op>>]) {
    let stores = fixture.open().await.unwrap();
    let mut tasks = Vec::new();
    for (number, script) in scripts.iter().cloned().enumerate() {
        let store = Arc::clone(if number % 2 == 0 {
            &stores.store
        } else {
            &stores.other
        });
        tasks.push(tokio::spawn(async move { play(&*store, &script).await }));
    }
    let mut happened = Vec::new();
    for task in tasks {
        happened.extend(task.await.unwrap());
    }
    happened.sort_by_key(|(_, committed)| committed.version);
    let mut model = Model::default();
    for (commit, Committed { version, appended }) in happened {
        let (next, expected) = model
            .after(&commit, version)
            .unwrap_or_else(|broken| panic!("{commit:?} happened against {broken:?}"));
        assert_eq!(appended, expected, "where entries landed");
        model = next;
    }
    assert_same(&*stores.other, &model).await;
    stores.store.close().await.unwrap();
    stores.other.close().await.unwrap();
}

async fn play(store: &dyn Store, script: &[Vec<Op>]) -> Vec<(Commit, Committed)> {
    let mut happened = Vec::new();
    for ops in script {
        let commit = commit(ops, &seen(store).await);
        match store.commit(commit.clone()).await {
            Ok(committed) => happened.push((commit, committed)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
        }
    }
    happened
}

/// What one task sees while others write: versions and log ends, of several instants.
async fn seen(store: &dyn Store) -> Model {
    let mut model = Model::default();
    for table in TABLES {
        for key in support::model::KEYS {
            let name = (table, key.to_owned());
            if let Some(record) = store.get(table, key).await.unwrap() {
                model
                    .records
                    .insert(name.clone(), (record.version, record.index, record.body));
            }
            if let Some(info) = store.log_info(&table.log(key)).await.unwrap() {
                model.logs.entry(name).or_default().end = info.end;
            }
        }
    }
    model
}

fn run<S: Strategy>(cases: u32, strategy: S, test: impl AsyncFn(S::Value)) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 2000,
        ..ProptestConfig::default()
    };
    TestRunner::new(config)
        .run(&strategy, |value| {
            runtime.block_on(test(value));
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

fn sequential(fixture: &dyn Fixture, cases: u32) {
    let script = proptest::collection::vec(step(), 1..25);
    run(cases, script, async |script| {
        follows_the_model(fixture, &script).await;
    });
}

fn concurrent(fixture: &dyn Fixture, cases: u32) {
    let commits = step().prop_filter_map("claims are not replayed", |step| match step {
        Step::Commit(ops) => Some(ops),
        Step::Claim { .. } => None,
    });
    let scripts = proptest::collection::vec(proptest::collection::vec(commits, 1..12), 2..5);
    run(cases, scripts, async |scripts| {
        is_serialisable(fixture, &scripts).await;
    });
}

#[test]
fn memory_follows_the_model() {
    sequential(&Memory, 256);
}

#[test]
fn memory_is_serialisable() {
    concurrent(&Memory, 64);
}

#[test]
fn sqlite_in_memory_follows_the_model() {
    sequential(&SqliteMemory, 64);
}

#[test]
fn sqlite_in_memory_is_serialisable() {
    concurrent(&SqliteMemory, 32);
}

#[test]
fn one_sqlite_file_follows_the_model() {
    sequential(&SqliteFile { handles: 1 }, 24);
}

#[test]
fn one_sqlite_file_is_serialisable() {
    concurrent(&SqliteFile { handles: 1 }, 24);
}

#[test]
fn two_sqlite_handles_follow_the_model() {
    sequential(&SqliteFile { handles: 2 }, 24);
}

#[test]
fn two_sqlite_handles_are_serialisable() {
    concurrent(&SqliteFile { handles: 2 }, 24);
}

#[test]
fn postgres_follows_the_model() {
    if !bowline_testkit::skips_postgres() {
        sequential(&Postgres, 12);
    }
}

#[test]
fn postgres_is_serialisable() {
    if !bowline_testkit::skips_postgres() {
        concurrent(&Postgres, 16);
    }
}
