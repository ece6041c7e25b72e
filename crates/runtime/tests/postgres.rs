//! Stores and caches on a PostgreSQL server from their configuration.

#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;

use bowline_events::{ErrorKind, Topic};
use bowline_runtime::{BusConfig, CacheConfig, OpenBus, StoreConfig, Stores};
use bowline_testkit::{PostgresServer, skips_postgres};
use support::{append, open, publish_and_read};

#[tokio::test]
async fn caches_and_stores_are_on_a_server() {
    if skips_postgres() {
        return;
    }
    let server = PostgresServer::start().await.unwrap();
    let url = server.url();
    let config = StoreConfig::from_url(&format!("{url}?schema=app&max_connections=3")).unwrap();
    assert_eq!(config.inspect().await.unwrap(), None);
    let schemas = server.execute("SELECT count(*) FROM pg_namespace WHERE nspname = 'app'");
    assert_eq!(schemas.unwrap().trim(), "0", "a look has made the schema");

    let stores = Stores::new();
    let store = stores.open(&config).await.unwrap();
    let same = open(&stores, &format!("{url}?schema=app")).await.unwrap();
    let other = open(&stores, &format!("{url}?max_connections=2"))
        .await
        .unwrap();
    assert!(Arc::ptr_eq(&store, &same) && !Arc::ptr_eq(&store, &other));
    let named = open(&stores, &format!("{url}?schema=bowline"))
        .await
        .unwrap();
    assert!(
        Arc::ptr_eq(&other, &named),
        "the schema that is meant when none is named"
    );

    let cache = CacheConfig::from_url(&format!("{url}?schema=app&max_events=4")).unwrap();
    let cache = stores.open_cache(&cache).await.unwrap();
    append(&*cache, "t", 9).await;
    let page = cache.read(&Topic::new("t"), 0, 100).await.unwrap();
    assert_eq!((page.first, page.end), (5, 9));
    stores.close().await.unwrap();

    let found = config.inspect().await.unwrap().unwrap();
    assert_eq!(found.tables[0].entries, 4);
    let cache = CacheConfig::from_url(&format!("{url}?schema=streams")).unwrap();
    for process in 1..=2 {
        publish_and_read(&cache, process * 2).await;
    }
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_told_without_the_password() {
    // Port 1 is that of a service that nobody runs.
    let url = "postgres://app:hunter2@127.0.0.1:1/d?timeout=5s&sslmode=prefer";
    let store = StoreConfig::from_url(url).unwrap();
    let cache = CacheConfig::from_url(url).unwrap();
    let bus = BusConfig::from_url("memory:").unwrap();
    let errors = [
        store.open().await.map(drop).unwrap_err(),
        store.inspect().await.map(drop).unwrap_err(),
        OpenBus::open_cached(&bus, &cache)
            .await
            .map(drop)
            .unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let text = format!("{error} {error:?}");
        assert!(
            text.contains("127.0.0.1:1") && !text.contains("hunter2"),
            "{text}"
        );
    }
    let missing = format!("{url}&sslrootcert=/none/ca.pem");
    let error = StoreConfig::from_url(&missing)
        .unwrap()
        .open()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("/none/ca.pem"), "{error}");
}

#[tokio::test]
async fn a_server_with_tls_wants_its_certificate_trusted() {
    if skips_postgres() {
        return;
    }
    let server = PostgresServer::start_with_tls().await.unwrap();
    let base = server.url();
    let base = base
        .split('?')
        .next()
        .unwrap()
        .replace("127.0.0.1", "localhost");
    let trusted = format!(
        "{base}?sslmode=require&sslrootcert={}",
        server.ca_path().display()
    );
    let cache = CacheConfig::from_url(&trusted).unwrap();
    publish_and_read(&cache, 2).await;
    let stranger = StoreConfig::from_url(&format!("{base}?sslmode=require")).unwrap();
    let error = stranger.open().await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("sslrootcert"), "{error}");
}
