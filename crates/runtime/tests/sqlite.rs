//! Stores and caches in SQLite files from their configuration: shared by name, and looked at without a trace.

#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;
use std::sync::Arc;

use bowline_events::{ErrorKind, NewEvent, Topic};
use bowline_runtime::{BusConfig, CacheConfig, OpenBus, StoreConfig, Stores, open_cache};
use support::{append, open, publish_and_read};

#[tokio::test]
async fn a_store_in_memory_is_one_per_set_of_stores() {
    let (stores, others) = (Stores::new(), Stores::new());
    let first = open(&stores, "memory:").await.unwrap();
    assert!(Arc::ptr_eq(
        &first,
        &open(&stores, "memory:").await.unwrap()
    ));
    assert!(Arc::ptr_eq(
        &first,
        &open(&stores.clone(), "memory:").await.unwrap()
    ));
    assert!(!Arc::ptr_eq(
        &first,
        &open(&others, "memory:").await.unwrap()
    ));

    stores.close().await.unwrap();
    let closed = first.stats().await.unwrap_err();
    assert_eq!(closed.kind(), bowline_store::ErrorKind::Closed);
    let second = open(&stores, "memory:").await.unwrap();
    assert!(second.stats().await.is_ok());
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_file_is_one_store_however_its_path_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().display().to_string();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(folder.path().join("app.db"), &link).unwrap();

    let stores = Stores::new();
    let first = open(&stores, &format!("sqlite:{root}/app.db"))
        .await
        .unwrap();
    for same in ["app.db", "./app.db", "sub/../app.db", "link.db", "app%2Edb"] {
        let store = open(&stores, &format!("sqlite://{root}/{same}"))
            .await
            .unwrap();
        assert!(Arc::ptr_eq(&first, &store), "{same}");
    }
    for other in [format!("sqlite:{root}/other.db"), "sqlite::memory:".into()] {
        let store = open(&stores, &other).await.unwrap();
        assert!(!Arc::ptr_eq(&first, &store), "{other}");
        assert!(Arc::ptr_eq(&store, &open(&stores, &other).await.unwrap()));
    }
    stores.close().await.unwrap();
}

#[tokio::test]
async fn who_comes_later_may_ask_for_less_but_not_for_something_else() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/app.db", folder.path().display());
    let stores = Stores::new();
    let first = open(&stores, &format!("{url}?synchronous=full"))
        .await
        .unwrap();
    for fine in ["", "?synchronous=full"] {
        let store = open(&stores, &format!("{url}{fine}")).await.unwrap();
        assert!(Arc::ptr_eq(&first, &store), "{fine}");
    }
    for other in ["synchronous=normal", "synchronous=full&busy_timeout=1s"] {
        let cache = CacheConfig::from_url(&format!("{url}?{other}")).unwrap();
        let error = stores.open_cache(&cache).await.map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let text = error.to_string();
        let option = other.rsplit('&').next().unwrap().split('=').next().unwrap();
        assert!(
            text.contains(option) && text.contains("app.db?synchronous=full"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn cache_and_store_share_a_database() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/app.db", folder.path().display());
    let stores = Stores::new();
    let store = open(&stores, &url).await.unwrap();
    let config = CacheConfig::from_url(&format!("{url}?ttl=0s")).unwrap();
    assert_eq!(config.store(), Some(StoreConfig::from_url(&url).unwrap()));
    let cache = stores.open_cache(&config).await.unwrap();
    append(&*cache, "t", 3).await;
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.tables.len(), stats.tables[0].entries), (1, 3));
    stores.close().await.unwrap();
    // One store, so the cache is closed with it.
    let error = cache.topics().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn options_reach_the_cache_and_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let open = async |name: &str, options: &str| {
        let url = format!("sqlite:{}/{name}.db?{options}", folder.path().display());
        open_cache(&CacheConfig::from_url(&url).unwrap())
            .await
            .unwrap()
    };
    for (options, first) in [
        ("max_events=4", 5),
        ("max_topic_bytes=0&max_events=0&ttl=0s", 0),
        ("max_topic_bytes=1", 9),
        ("max_events=18446744073709551615", 0),
        ("ttl=18446744073709551s", 0),
    ] {
        let cache = open("kept", options).await;
        cache.clear(&Topic::new("t")).await.unwrap();
        append(&*cache, "t", 9).await;
        let page = cache.read(&Topic::new("t"), 0, 100).await.unwrap();
        assert_eq!((page.first, page.end), (first, 9), "{options}");
    }
    let short = open("short", "ttl=1ms").await;
    append(&*short, "t", 1).await;
    let begun = bowline_events::Timestamp::now().as_millis();
    while bowline_events::Timestamp::now().as_millis() < begun + 3 {
        tokio::task::yield_now().await;
    }
    let page = short.read(&Topic::new("t"), 0, 1).await.unwrap();
    assert!(page.events.is_empty());

    let small = open("small", "max_bytes=200KiB").await;
    let data = format!("\"{}\"", "x".repeat(50_000));
    let mut refused = None;
    for _ in 0..50 {
        let event = NewEvent::new("chunk", "r").with_json(data.clone()).unwrap();
        if let Err(error) = small.append(&Topic::new("t"), event.stamp()).await {
            refused = Some(error.kind());
        }
    }
    assert_eq!(refused, Some(ErrorKind::Full));
    small.clear(&Topic::new("t")).await.unwrap();
    append(&*small, "t", 1).await;
}

#[tokio::test]
async fn a_stream_goes_on_in_the_next_process_and_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/events.db", folder.path().display());
    let cache = CacheConfig::from_url(&url).unwrap();
    for process in 1..=3 {
        publish_and_read(&cache, process * 2).await;
    }
    let _one = open_cache(&cache).await.unwrap();
    publish_and_read(&cache, 8).await;
}

#[tokio::test]
async fn what_cannot_be_opened_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().display().to_string();
    std::fs::write(folder.path().join("text.db"), "no database".repeat(100)).unwrap();
    let bus = BusConfig::from_url("memory:").unwrap();
    for (name, kind, part) in [
        ("text.db", ErrorKind::Io, "not an SQLite database"),
        ("none/a.db", ErrorKind::PermissionDenied, "folder"),
        ("", ErrorKind::InvalidInput, "no file"),
    ] {
        let opened = async {
            let cache = CacheConfig::from_url(&format!("sqlite:{root}/{name}"))?;
            OpenBus::open_cached(&bus, &cache).await
        };
        let error = opened.await.map(drop).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[tokio::test]
async fn a_look_at_a_file_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().display().to_string();
    let look = async |name: &str| {
        let config = StoreConfig::from_url(&format!("sqlite:{root}/{name}")).unwrap();
        config.inspect().await
    };
    std::fs::write(folder.path().join("empty.db"), "").unwrap();
    std::fs::write(folder.path().join("text.db"), "no database".repeat(100)).unwrap();
    for none in ["none.db", "empty.db"] {
        assert_eq!(look(none).await.unwrap(), None, "{none}");
    }
    assert_eq!(look("text.db").await.unwrap_err().kind(), ErrorKind::Io);
    let error = look("none/a.db").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("/none"), "{error}");
    assert_eq!(names(folder.path()), ["empty.db", "text.db"]);
    for memory in ["memory:", "sqlite::memory:"] {
        let config = StoreConfig::from_url(memory).unwrap();
        assert_eq!(config.inspect().await.unwrap(), None, "{memory}");
    }

    let stores = Stores::new();
    let cache = CacheConfig::from_url(&format!("sqlite:{root}/app.db")).unwrap();
    append(&*stores.open_cache(&cache).await.unwrap(), "t", 3).await;
    let beside = look("app.db").await.unwrap().unwrap();
    stores.close().await.unwrap();
    for _ in 0..2 {
        let found = look("app.db").await.unwrap().unwrap();
        assert_eq!((found.tables[0].entries, beside.tables[0].entries), (3, 3));
        assert!(found.size.is_some_and(|size| size > 0));
    }
    // SQLite may keep its own files beside an open database for a moment longer.
    let mut names = names(folder.path());
    names.retain(|name| !name.starts_with("app.db-"));
    assert_eq!(names, ["app.db", "empty.db", "text.db"]);
}
