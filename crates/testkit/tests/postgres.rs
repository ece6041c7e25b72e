//! The launcher of PostgreSQL servers.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bowline_testkit::{PostgresServer, skips_postgres};

#[tokio::test]
async fn data_survives_a_kill_and_a_restart() {
    if skips_postgres() {
        return;
    }
    let server = PostgresServer::start().await.unwrap();
    server.execute("CREATE TABLE t (n int)").unwrap();
    server.execute("INSERT INTO t VALUES (7)").unwrap();
    server.kill();
    assert!(!server.is_running());
    assert!(
        server.execute("SELECT 1").is_err(),
        "a killed server answers"
    );
    server.restart().await.unwrap();
    assert_eq!(server.execute("SELECT n FROM t").unwrap(), "7");
    assert!(
        server.execute("SELECT no_such_column").is_err(),
        "an error is no error"
    );
}

#[tokio::test]
async fn two_servers_are_two() {
    if skips_postgres() {
        return;
    }
    let (one, two) = tokio::join!(PostgresServer::start(), PostgresServer::start());
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_ne!(one.port(), two.port());
    one.execute("CREATE TABLE t (n int)").unwrap();
    assert!(
        two.execute("SELECT * FROM t").is_err(),
        "the servers share their data"
    );
}
