//! Opening what was configured: every option arrives, and opening alone touches nothing.

use bowline_events::{ErrorKind, NewEvent, PubSubExt, StartFrom, SubscribeOptions};
#[cfg(feature = "redis")]
use bowline_runtime::open_cache;
use bowline_runtime::{BusConfig, CacheConfig, OpenBus, Sources};

fn open(url: &str) -> bowline_events::Result<OpenBus> {
    OpenBus::open(&BusConfig::from_url(url)?)
}

#[tokio::test]
async fn a_memory_bus_keeps_events_unless_it_is_told_not_to() {
    for (url, replays) in [
        ("memory:", true),
        ("memory:?max_bytes=1MiB&replay=true", true),
        ("memory:?replay=false", false),
    ] {
        let bus = open(url).unwrap();
        assert_eq!(bus.pubsub().capabilities().replay, replays, "{url}");
        assert_eq!((bus.is_broker(), bus.remote_clients()), (None, None));
        let shared = bus.shared();
        shared.publish("t", NewEvent::new("a", "r")).await.unwrap();
        let options = SubscribeOptions::new().start(StartFrom::Earliest);
        let mut reader = bus.pubsub().subscribe("t", options).await.unwrap();
        shared.publish("t", NewEvent::new("b", "r")).await.unwrap();
        let first = reader.next().await.unwrap().unwrap();
        assert_eq!(first.event_type, if replays { "a" } else { "b" }, "{url}");
    }
}

#[cfg(feature = "unix")]
mod unix {
    use super::*;

    #[test]
    fn opening_touches_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sub/events.sock");
        let bus = open(&format!("unix://{}", path.display())).unwrap();
        assert_eq!(
            (bus.is_broker(), bus.remote_clients()),
            (Some(false), Some(0))
        );
        assert!(!folder.path().join("sub").exists());
    }

    #[test]
    fn limits_reach_the_bus() {
        let bus = open("unix:///a/b.sock?max_frame_bytes=4KiB").unwrap();
        assert_eq!(bus.pubsub().capabilities().max_event_bytes, Some(4096));
        for option in [
            "max_frame_bytes=0",
            "max_client_queue_bytes=0",
            "send_window_bytes=0",
            "membership_ack_timeout=0s",
            "publish_deadline=0s",
            "path_check_interval=0s",
        ] {
            let error = open(&format!("unix:///a/b.sock?{option}")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            let (name, _) = option.split_once('=').unwrap();
            assert!(error.to_string().contains(name), "{option}: {error}");
        }
    }

    #[test]
    fn a_path_that_is_too_long_is_refused() {
        let error = open(&format!("unix:///{}", "x".repeat(107))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("107"), "{error}");
    }
}

#[tokio::test]
async fn a_cache_makes_a_bus_resumable() {
    let plain = BusConfig::from_url("memory:?replay=false").unwrap();
    let cache = CacheConfig::from_url("memory:?max_bytes=1MiB").unwrap();
    let bus = OpenBus::open_cached(&plain, &cache).await.unwrap();
    assert!(bus.pubsub().capabilities().replay);
    for kind in ["a", "b"] {
        bus.pubsub()
            .publish("t", NewEvent::new(kind, "r"))
            .await
            .unwrap();
    }
    let options = SubscribeOptions::new().start(StartFrom::Offset(1));
    let mut reader = bus.shared().subscribe("t", options).await.unwrap();
    let event = reader.next().await.unwrap().unwrap();
    assert_eq!((&*event.event_type, event.index), ("b", Some(1)));
}

#[tokio::test]
async fn the_sources_say_whether_there_is_a_cache() {
    for (cache, replays) in [(Some("memory:"), true), (None, false)] {
        let settings = Sources::new()
            .flag(Some("memory:?replay=false"))
            .cache_flag(cache)
            .load()
            .unwrap();
        let bus = OpenBus::of_settings(&settings).await.unwrap();
        assert_eq!(bus.pubsub().capabilities().replay, replays);
    }
}

#[cfg(feature = "redis")]
mod redis {
    use super::*;

    #[test]
    fn opening_needs_no_server() {
        for url in ["redis://localhost:1/3", "valkey://u:p@[::1]:1?cluster=true"] {
            let bus = open(url).unwrap();
            assert_eq!(bus.pubsub().capabilities().name, "redis");
            assert_eq!((bus.is_broker(), bus.remote_clients()), (None, None));
            assert!(!format!("{bus:?}").contains("u:p"), "{bus:?}");
        }
    }

    #[test]
    fn limits_reach_the_bus() {
        let can = |url: &str| open(url).unwrap().pubsub().capabilities();
        assert_eq!(
            can("redis://h?max_event_bytes=4KiB").max_event_bytes,
            Some(4096)
        );
        assert_eq!(can("redis://h?max_deliveries=3").max_deliveries, Some(3));
        assert_eq!(can("redis://h?max_deliveries=0").max_deliveries, None);
        let local = "redis://h?redelivery=group-local&redelivery_delay=300ms";
        assert_eq!(can(local).redelivery_delay.as_millis(), 300);
        let off = "redis://h?max_stream_length=0&stream_idle_ttl=0s&reclaim_interval=0s&in_flight_timeout=0s&sweep_idle=0s";
        assert!(open(off).is_ok());
        for option in [
            "block=0s",
            "reclaim_idle=0s",
            "publish_timeout=0s",
            "max_event_bytes=0",
            "max_in_flight=0",
            "read_batch=0",
            "in_flight_timeout=1s&reclaim_interval=0s",
        ] {
            let error = open(&format!("redis://h?{option}")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            let (name, _) = option.split_once('=').unwrap();
            assert!(error.to_string().contains(name), "{option}: {error}");
        }
    }

    #[tokio::test]
    async fn certificates_that_cannot_be_read_are_named() {
        let url = "rediss://h?tls_ca=/none/ca.pem";
        let cache = open_cache(&CacheConfig::from_url(url).unwrap())
            .await
            .map(drop);
        for error in [open(url).unwrap_err(), cache.unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains("/none/ca.pem"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_cache_over_https_needs_a_token() {
        let open = async |url: &str| open_cache(&CacheConfig::from_url(url).unwrap()).await;
        let shown = format!(
            "{:?}",
            open("upstash://h?token=hunter2&ttl=90s").await.unwrap()
        );
        assert!(shown.contains("https://h"), "{shown}");
        assert!(
            shown.contains("Some(90s)") && !shown.contains("hunter2"),
            "{shown}"
        );
        for (url, part) in [
            ("upstash://h", "UPSTASH_REDIS_REST_TOKEN"),
            ("upstash://h?token=hunter2&tls=false", "in the clear"),
            ("upstash://h?token=hunter2&tls_ca=/none", "/none"),
            ("upstash://h?token=hunter2&timeout=0s", "timeout"),
        ] {
            let error = open(url).await.map(drop).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            let text = format!("{error} {error:?}");
            assert!(text.contains(part) && !text.contains("hunter2"), "{text}");
        }
    }

    #[tokio::test]
    async fn limits_reach_the_cache() {
        let open = async |options: &str| {
            let url = format!("redis://u:hunter2@h?{options}");
            let cache = open_cache(&CacheConfig::from_url(&url).unwrap()).await;
            cache.map(|cache| format!("{cache:?}"))
        };
        let all = "key_prefix=a:&topic_prefix=b:&ttl=90s&max_events=7&cluster=true&timeout=1s";
        let shown = open(all).await.unwrap();
        for part in ["\"a:\"", "\"b:\"", "Some(90s)", "Some(7)"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert!(!shown.contains("hunter2"), "{shown}");
        let shown = open("ttl=0s&max_events=0").await.unwrap();
        assert!(shown.contains("ttl: None, max_events: None"), "{shown}");
        let error = open("timeout=0s").await.unwrap_err();
        assert!(error.to_string().contains("timeout"), "{error}");
    }
}

#[cfg(not(feature = "redis"))]
#[test]
fn a_kind_of_bus_that_was_left_out_says_so() {
    let error = open("redis://h").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("feature redis"), "{error}");
}

#[cfg(not(feature = "sqlite"))]
#[tokio::test]
async fn sqlite_that_was_left_out_says_so() {
    let error = bowline_runtime::StoreConfig::from_url("sqlite:a.db")
        .unwrap()
        .open()
        .await
        .map(drop)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("feature sqlite"), "{error}");
}

#[cfg(not(feature = "postgres"))]
#[tokio::test]
async fn postgres_that_was_left_out_says_so() {
    let config = CacheConfig::from_url("postgres://h/d").unwrap();
    let error = bowline_runtime::open_cache(&config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("feature postgres"), "{error}");
}
