//! Stores from URLs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bowline_store::{ErrorKind, open};

#[tokio::test]
async fn each_url_opens_its_store() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.db").display().to_string();
    for (url, shown) in [
        ("memory:".into(), "MemoryStore"),
        ("sqlite::memory:".into(), "SqliteStore"),
        (format!("sqlite:{file}"), "SqliteStore"),
        (
            format!("sqlite:{file}?synchronous=full&busy_timeout=2.5&max_bytes=10000000"),
            "SqliteStore",
        ),
    ] {
        let store = open(&url).await.unwrap();
        assert!(format!("{store:?}").starts_with(shown), "{url}");
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_url_that_means_nothing_is_refused() {
    for url in [
        "",
        "memory",
        "mysql://host/db",
        "sqlite:",
        "sqlite:?synchronous=full",
        "sqlite::memory:?synchronous=full",
        "sqlite:x?synchronous=off",
        "sqlite:x?busy_timeout=soon",
        "sqlite:x?busy_timeout=-1",
        "sqlite:x?max_bytes=much",
        "sqlite:x?sync=full",
        "postgres://host:port/db",
        "postgres://host/db?no_such_option=1",
        "postgres://host/db?schema=no-schema",
        "postgres://host/db?schema=pg_catalog",
        "postgres://host/db?sslrootcert=/no/such/file",
    ] {
        let error = open(url).await.expect_err(url);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{url}: {error}");
    }
}

#[tokio::test]
async fn passwords_are_not_printed() {
    for url in [
        "postgres://app:geheim@127.0.0.1:1/db?connect_timeout=1",
        "postgres://app:ge?heim@127.0.0.1:1/db",
        "postgres://app:geheim@host:port/db",
        "postgres://app:geheim@host/db?option=geheim",
        "psql://app:geheim@host/db",
    ] {
        let error = open(url).await.expect_err("nobody listens there");
        let printed = format!("{error} {error:?}");
        assert!(!printed.contains("heim"), "{printed}");
    }
}
