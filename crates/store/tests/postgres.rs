//! What only a server can do: die, be shared, be somebody else's.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use bowline_events::Timestamp;
use bowline_store::{Commit, ErrorKind, Expect, Filter, Index, PostgresStore, Store, Table};
use bowline_testkit::{PostgresServer, skips_postgres};
use support::backends::server;

const RUNS: Table = Table::new("runs");
const DEADLINE: Duration = Duration::from_secs(30);

fn put(key: String) -> Commit {
    let index = Index::new(Timestamp::from_millis(0));
    let log = RUNS.log(key.clone());
    Commit::new()
        .put(RUNS, key, Expect::Absent, index, "body")
        .append(log, ["entry"])
}

#[tokio::test]
async fn a_commit_wakes_the_watchers_of_other_processes() {
    if skips_postgres() {
        return;
    }
    let builder = PostgresStore::builder(&server().url()).schema(PostgresServer::fresh_schema());
    let (store, other) = (
        builder.clone().open().await.unwrap(),
        builder.open().await.unwrap(),
    );
    let mut watch = other.watch(RUNS);
    // The first wake-up says that the watch has begun to listen.
    tokio::time::timeout(DEADLINE, watch.changed())
        .await
        .expect("nobody listens")
        .unwrap();
    store.commit(put("a".into())).await.unwrap();
    tokio::time::timeout(DEADLINE, watch.changed())
        .await
        .expect("nobody woke")
        .unwrap();
}

#[tokio::test]
async fn connections_are_encrypted_and_certificates_verified() {
    if skips_postgres() {
        return;
    }
    let server = PostgresServer::start_with_tls().await.unwrap();
    let trusting = |mode: &str| {
        format!(
            "{}?sslmode={mode}&sslrootcert={}",
            server.url(),
            server.ca_path().display()
        )
    };
    for mode in ["require", "verify-full", "prefer"] {
        let store = PostgresStore::open(&trusting(mode)).await.unwrap();
        store.commit(put(format!("by {mode}"))).await.unwrap();
        let mut watch = store.watch(RUNS);
        tokio::time::timeout(DEADLINE, watch.changed())
            .await
            .expect("nobody listens")
            .unwrap();
        store.close().await.unwrap();
    }
    // An authority that nobody knows, and no encryption at all.
    let unknown = format!("{}?sslmode=require", server.url());
    let error = PostgresStore::open(&unknown)
        .await
        .expect_err("an unknown authority");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let error = PostgresStore::open(&trusting("disable"))
        .await
        .expect_err("no encryption");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
}

#[tokio::test]
async fn two_schemas_are_two_stores() {
    if skips_postgres() {
        return;
    }
    let open = || {
        PostgresStore::builder(&server().url())
            .schema(PostgresServer::fresh_schema())
            .open()
    };
    let (one, two) = (open().await.unwrap(), open().await.unwrap());
    one.commit(put("a".into())).await.unwrap();
    two.commit(put("a".into())).await.unwrap();
    assert_ne!(one.id(), two.id());
}

#[tokio::test]
async fn many_processes_make_one_schema() {
    if skips_postgres() {
        return;
    }
    let schema = PostgresServer::fresh_schema();
    let mut openings = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let builder = PostgresStore::builder(&server().url()).schema(schema.clone());
        openings.spawn(builder.open());
    }
    let mut ids = Vec::new();
    while let Some(opened) = openings.join_next().await {
        ids.push(opened.unwrap().unwrap().id().to_string());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
}

#[tokio::test]
async fn the_schema_of_a_newer_program_is_left_alone() {
    if skips_postgres() {
        return;
    }
    let schema = PostgresServer::fresh_schema();
    let builder = PostgresStore::builder(&server().url()).schema(schema.clone());
    builder.clone().open().await.unwrap().close().await.unwrap();
    server()
        .execute(&format!(
            "UPDATE {schema}.meta SET value = '99' WHERE name = 'schema'"
        ))
        .unwrap();
    let error = builder.open().await.expect_err("a newer schema");
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
}

#[tokio::test]
async fn who_may_not_write_is_told() {
    if skips_postgres() {
        return;
    }
    let schema = PostgresServer::fresh_schema();
    let owner = PostgresStore::builder(&server().url())
        .schema(schema.clone())
        .open()
        .await
        .unwrap();
    owner.commit(put("a".into())).await.unwrap();
    let role = format!("reader_{schema}");
    server()
        .execute(&format!(
            "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {schema} TO {role};
             GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}"
        ))
        .unwrap();
    let url = server().url().replace("bowline@", &format!("{role}@"));
    let reader = PostgresStore::builder(&url)
        .schema(schema)
        .open()
        .await
        .unwrap();
    assert!(reader.get(RUNS, "a").await.unwrap().is_some());
    let error = reader.commit(put("b".into())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    let stranger = server().url().replace("bowline@", "nobody_knows@");
    let error = PostgresStore::open(&stranger)
        .await
        .expect_err("a stranger");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    let elsewhere = server()
        .url()
        .replace("/bowline", "/no_such_database")
        .replace("//no_such_database", "//bowline");
    let error = PostgresStore::open(&elsewhere)
        .await
        .expect_err("no database");
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
}

#[tokio::test]
async fn a_statement_of_a_broken_commit_leaves_nothing_and_harms_no_other() {
    if skips_postgres() {
        return;
    }
    let schema = PostgresServer::fresh_schema();
    let store = PostgresStore::builder(&server().url())
        .schema(schema.clone())
        .open()
        .await
        .unwrap();
    // Something that the server refuses and we do not foresee.
    server()
        .execute(&format!(
            "ALTER TABLE {schema}.records ADD CONSTRAINT odd CHECK (key <> 'odd')"
        ))
        .unwrap();
    let mut commits = tokio::task::JoinSet::new();
    for number in 0..40 {
        let store = store.clone();
        let key = if number == 17 {
            "odd".to_owned()
        } else {
            format!("r{number}")
        };
        commits.spawn(async move { (number, store.commit(put(key)).await) });
    }
    while let Some(done) = commits.join_next().await {
        let (number, outcome) = done.unwrap();
        assert_eq!(
            outcome.is_err(),
            number == 17,
            "commit {number}: {outcome:?}"
        );
    }
    assert_eq!(store.count(RUNS, &Filter::new()).await.unwrap(), 39);
    assert!(
        store.log_info(&RUNS.log("odd")).await.unwrap().is_none(),
        "half of a commit"
    );
}

/// Commits go on while the server dies; what was reported is there, what failed is whole or not there.
#[tokio::test]
async fn a_server_that_dies_loses_nothing_that_was_reported() {
    if skips_postgres() {
        return;
    }
    let server = PostgresServer::start().await.unwrap();
    let store = Arc::new(
        PostgresStore::builder(&server.url())
            .timeout(DEADLINE)
            .open()
            .await
            .unwrap(),
    );
    let mut reported = Vec::new();
    for round in 0..3 {
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..8 {
            let store = Arc::clone(&store);
            writers.spawn(async move {
                write_until_it_fails(&*store, &format!("{round}-{writer}")).await
            });
        }
        until(async || store.count(RUNS, &Filter::new()).await.unwrap() >= (round + 1) * 100).await;
        server.kill();
        while let Some(written) = writers.join_next().await {
            reported.extend(written.unwrap());
        }
        server.restart().await.unwrap();
        // Connections of the pool find out one by one that they are broken.
        until(async || store.get(RUNS, "none").await.is_ok()).await;
        for key in &reported {
            assert!(
                store.get(RUNS, key).await.unwrap().is_some(),
                "{key} was reported and is gone"
            );
        }
        let records = store.count(RUNS, &Filter::new()).await.unwrap();
        let logs = server.execute("SELECT count(*) FROM bowline.logs").unwrap();
        assert_eq!(logs, records.to_string(), "half of a commit");
    }
}

async fn until(condition: impl AsyncFn() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting)
        .await
        .expect("it never comes");
}

async fn write_until_it_fails(store: &dyn Store, name: &str) -> Vec<String> {
    let mut reported = Vec::new();
    loop {
        let key = format!("{name}-{}", reported.len());
        match store.commit(put(key.clone())).await {
            Ok(_) => reported.push(key),
            Err(error) => {
                let known = matches!(error.kind(), ErrorKind::Io | ErrorKind::Unavailable);
                assert!(known, "{error:?}");
                return reported;
            }
        }
    }
}
