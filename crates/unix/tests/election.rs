//! Who is broker, and what happens when it goes. Every instance is a participant of its own.

#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::{Duration, SystemTime};

use bowline_events::{
    ErrorKind, NewEvent, PubSub, PubSubExt, PublishOptions, SubscribeOptions, Subscription, Topic,
};
use bowline_unix::UnixSocketPubSub;
use support::{Place, event, next, settled, silent, subscribe, types, until};
use tokio::runtime::{Builder, Runtime};

/// A participant that can die: its tasks vanish without a chance to clean up, as in a killed process.
struct Mortal {
    bus: UnixSocketPubSub,
    runtime: Runtime,
}

impl Mortal {
    async fn broker(bus: UnixSocketPubSub) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let starting = bus.clone();
        let started = runtime.spawn(async move {
            starting
                .subscribe("mortal", SubscribeOptions::new())
                .await
                .map(drop)
        });
        started.await.unwrap().unwrap();
        assert!(bus.is_broker());
        Self { bus, runtime }
    }

    fn die(self) {
        self.runtime.shutdown_background();
        std::mem::forget(self.bus);
    }
}

/// Every subscriber gets what every bus publishes, once.
async fn works(buses: &[&UnixSocketPubSub], subscriptions: &mut [Subscription]) {
    for bus in buses {
        bus.publish("t", event("probe", "1")).await.unwrap();
        for subscription in subscriptions.iter_mut() {
            assert_eq!(types(subscription, 1).await, ["probe"]);
        }
    }
}

#[tokio::test]
async fn when_the_broker_dies_one_of_the_others_takes_over() {
    let place = Place::new();
    let mortal = Mortal::broker(place.bus()).await;
    let buses = [place.bus(), place.bus(), place.bus()];
    let [a, b, c] = &buses;
    let mut subscriptions = [
        subscribe(a, "t").await,
        subscribe(b, "t").await,
        subscribe(c, "t").await,
    ];
    let mut members = Vec::new();
    for bus in &buses {
        members.push(
            bus.subscribe("jobs", SubscribeOptions::new().group("g"))
                .await
                .unwrap(),
        );
    }
    mortal.die();
    settled(&[a, b, c]).await;
    works(&[a, b, c], &mut subscriptions).await;
    for n in 0..6 {
        a.publish("jobs", NewEvent::new(n.to_string(), "r"))
            .await
            .unwrap();
    }
    let mut done = Vec::new();
    for member in &mut members {
        done.extend(types(member, 2).await);
    }
    done.sort();
    assert_eq!(done, ["0", "1", "2", "3", "4", "5"]);
    assert_eq!(place.files(), ["s.sock"]);
}

#[tokio::test]
async fn a_closing_broker_leaves_the_socket_of_its_successor() {
    let place = Place::new();
    let (broker, a, b) = (place.bus(), place.bus(), place.bus());
    let own = subscribe(&broker, "t").await;
    let mut subscriptions = [subscribe(&a, "t").await, subscribe(&b, "t").await];
    broker.close().await.unwrap();
    drop(own);
    settled(&[&a, &b]).await;
    works(&[&a, &b], &mut subscriptions).await;
    assert_eq!(place.files(), ["s.sock"]);
    let late = place.bus();
    let late_subscription = subscribe(&late, "t").await;
    assert!(!late.is_broker());
    drop(late_subscription);
}

#[tokio::test]
async fn dropping_the_last_handle_leaves_the_bus_in_order() {
    let place = Place::new();
    let (broker, client) = (place.bus(), place.bus());
    let own = subscribe(&broker, "t").await;
    let there = subscribe(&client, "t").await;
    drop(broker);
    assert_eq!(own_count(&client), 0, "a subscription keeps its bus alive");
    drop(own);
    settled(&[&client]).await;
    drop((client, there));
    until("an empty folder", || place.files().is_empty()).await;
}

fn own_count(bus: &UnixSocketPubSub) -> usize {
    bus.remote_client_count()
}

#[tokio::test]
async fn any_number_may_start_at_once_with_or_without_a_stale_socket() {
    for round in 0..20 {
        let place = Place::new();
        if round % 2 == 0 {
            drop(std::os::unix::net::UnixListener::bind(&place.socket).unwrap());
        }
        let buses = [place.bus(), place.bus(), place.bus(), place.bus()];
        let mut starting = tokio::task::JoinSet::new();
        for bus in buses.clone() {
            starting.spawn(async move { subscribe(&bus, "t").await });
        }
        let mut subscriptions = starting.join_all().await;
        let [a, b, c, d] = &buses;
        settled(&[a, b, c, d]).await;
        works(&[a, d], &mut subscriptions).await;
        assert_eq!(place.files(), ["s.sock"]);
    }
}

#[tokio::test]
async fn nobody_elects_under_the_lock_of_somebody_else() {
    let place = Place::new();
    drop(std::os::unix::net::UnixListener::bind(&place.socket).unwrap());
    let stale = fs::metadata(&place.socket).unwrap().ino();
    let lock = place.folder.path().join("s.sock.elect");
    fs::write(&lock, "").unwrap();
    let bus = place.bus();
    let starting = {
        let bus = bus.clone();
        tokio::spawn(async move { subscribe(&bus, "t").await })
    };
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!starting.is_finished());
    assert_eq!(fs::metadata(&place.socket).unwrap().ino(), stale);
    fs::remove_file(&lock).unwrap();
    let _subscription = starting.await.unwrap();
    assert!(bus.is_broker());
}

#[tokio::test]
async fn the_lock_of_a_dead_process_is_broken() {
    let place = Place::new();
    drop(std::os::unix::net::UnixListener::bind(&place.socket).unwrap());
    let lock = fs::File::create(place.folder.path().join("s.sock.elect")).unwrap();
    lock.set_modified(SystemTime::now() - Duration::from_secs(3))
        .unwrap();
    let bus = place.bus();
    let _subscription = subscribe(&bus, "t").await;
    assert!(bus.is_broker());
    assert_eq!(place.files(), ["s.sock"]);
}

#[tokio::test]
async fn a_burst_across_the_death_of_the_broker_is_neither_doubled_nor_reordered_nor_stuck() {
    let place = Place::new();
    let mortal = Mortal::broker(place.bus()).await;
    let (publisher, other) = (place.bus(), place.bus());
    let mut here = subscribe(&publisher, "t").await;
    let mut there = subscribe(&other, "t").await;
    let publishing = {
        let publisher = publisher.clone();
        tokio::spawn(async move {
            for n in 0..3000 {
                publisher
                    .publish("t", event(&n.to_string(), "1"))
                    .await
                    .unwrap();
                if n % 50 == 0 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        })
    };
    assert_eq!(types(&mut here, 1).await, ["0"]);
    mortal.die();
    publishing.await.unwrap();
    publisher.publish("t", event("end", "1")).await.unwrap();
    for subscription in [&mut here, &mut there] {
        let mut numbers: Vec<u32> = Vec::new();
        loop {
            match &*types(subscription, 1).await[0] {
                "end" => break,
                number => numbers.push(number.parse().unwrap()),
            }
        }
        assert!(
            numbers.windows(2).all(|pair| pair[0] < pair[1]),
            "doubled or reordered: {numbers:?}"
        );
        assert_eq!(numbers.last(), Some(&2999));
    }
    settled(&[&publisher, &other]).await;
}

#[tokio::test]
async fn what_a_new_broker_publishes_reaches_peers_that_come_back_a_moment_later() {
    let place = Place::new();
    let mortal = Mortal::broker(place.bus()).await;
    let heir = place
        .builder()
        .recovery_horizon(Duration::from_secs(60))
        .build()
        .unwrap();
    let mut own = subscribe(&heir, "t").await;
    let mut member = heir
        .subscribe("t", SubscribeOptions::new().group("served"))
        .await
        .unwrap();
    mortal.die();
    until("the heir is broker", || heir.is_broker()).await;
    heir.publish("t", event("early", "1")).await.unwrap();
    let id = next(&mut own).await.id.to_string();
    next(&mut member).await.ack().await.unwrap();
    let mut back = place.raw().await;
    for (group, gets_it) in [
        ("", true),
        (r#","group":"served""#, false),
        (r#","group":"other""#, true),
    ] {
        back.send(&format!(r#"{{"type":"subscribe","topic":"t"{group}}}"#))
            .await;
        assert_eq!(back.json().await["type"], "subscribed");
        if gets_it {
            assert_eq!(back.json().await["event"]["id"], id.as_str());
        }
    }
    // Once for a connection, and for a group to one member only.
    back.ask(
        r#"{"type":"unsubscribe","topic":"t"}"#,
        r#"{"type":"unsubscribed","topic":"t"}"#,
    )
    .await;
    back.ask(
        r#"{"type":"subscribe","topic":"t"}"#,
        r#"{"type":"subscribed","topic":"t"}"#,
    )
    .await;
    back.nothing_before_probe().await;
    let mut second = place.raw().await;
    second
        .ask(
            r#"{"type":"subscribe","topic":"t","group":"other"}"#,
            r#"{"type":"subscribed","topic":"t","group":"other"}"#,
        )
        .await;
    second.nothing_before_probe().await;
    assert_eq!(heir.stats().recovered_events, 2);
}

#[tokio::test]
async fn a_first_broker_gives_nothing_from_before() {
    let place = Place::new();
    let bus = place.bus();
    let _own = subscribe(&bus, "t").await;
    bus.publish("t", event("early", "1")).await.unwrap();
    let mut peer = place.raw().await;
    peer.ask(
        r#"{"type":"subscribe","topic":"t"}"#,
        r#"{"type":"subscribed","topic":"t"}"#,
    )
    .await;
    peer.nothing_before_probe().await;
}

#[tokio::test]
async fn a_socket_that_was_removed_comes_back_and_keeps_its_clients() {
    let place = Place::new();
    let broker = place
        .builder()
        .path_check_interval(Duration::from_millis(20))
        .build()
        .unwrap();
    let client = place.bus();
    let mut subscriptions = vec![subscribe(&broker, "t").await, subscribe(&client, "t").await];
    fs::remove_file(&place.socket).unwrap();
    until("the socket is back", || place.socket.exists()).await;
    assert_eq!(
        (broker.remote_client_count(), client.stats().failovers),
        (1, 0)
    );
    let newcomer = place.bus();
    subscriptions.push(subscribe(&newcomer, "t").await);
    settled(&[&broker, &client, &newcomer]).await;
    works(&[&broker, &client, &newcomer], &mut subscriptions).await;
}

#[tokio::test]
async fn two_brokers_become_one_again() {
    let place = Place::new();
    let broker = place
        .builder()
        .path_check_interval(Duration::from_millis(200))
        .build()
        .unwrap();
    let client = place.bus();
    let mut subscriptions = vec![subscribe(&broker, "t").await, subscribe(&client, "t").await];
    // A newcomer that finds nothing at the path becomes broker before the old one looks.
    fs::remove_file(&place.socket).unwrap();
    let newcomer = place.bus();
    subscriptions.push(subscribe(&newcomer, "t").await);
    settled(&[&broker, &client, &newcomer]).await;
    works(&[&broker, &client, &newcomer], &mut subscriptions).await;
    broker.close().await.unwrap();
    assert!(place.socket.exists());
    settled(&[&client, &newcomer]).await;
}

#[tokio::test]
async fn files_are_for_this_user_alone() {
    let place = Place::new();
    let socket = place.folder.path().join("new/deeper/s.sock");
    let bus = UnixSocketPubSub::new(&socket).unwrap();
    let _own = subscribe(&bus, "t").await;
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&socket), 0o600);
    assert_eq!(mode(socket.parent().unwrap()), 0o700);
    assert_eq!(mode(&place.folder.path().join("new")), 0o700);
}

#[tokio::test]
async fn a_common_group_may_be_let_in() {
    let place = Place::new();
    let socket = place.folder.path().join("new/s.sock");
    let gid = fs::metadata(place.folder.path()).unwrap().gid();
    let bus = UnixSocketPubSub::builder(&socket)
        .allow_group(gid)
        .build()
        .unwrap();
    let _own = subscribe(&bus, "t").await;
    let metadata = fs::metadata(&socket).unwrap();
    assert_eq!(
        (metadata.permissions().mode() & 0o777, metadata.gid()),
        (0o660, gid)
    );
    let folder = fs::metadata(socket.parent().unwrap()).unwrap();
    assert_eq!(
        (folder.permissions().mode() & 0o777, folder.gid()),
        (0o770, gid)
    );
}

async fn refusal(bus: &UnixSocketPubSub) -> bowline_events::Error {
    let error = bus
        .subscribe("t", SubscribeOptions::new())
        .await
        .unwrap_err();
    let published = bus.publish("t", event("e", "1")).await.unwrap_err();
    assert_eq!(published.kind(), error.kind());
    assert!(error.to_string().contains("s.sock"), "{error}");
    error
}

#[tokio::test]
async fn a_socket_of_somebody_else_is_left_alone() {
    let place = Place::new();
    drop(std::os::unix::net::UnixListener::bind(&place.socket).unwrap());
    let root = fs::metadata("/proc/self").unwrap().uid() == 0;
    if root {
        std::os::unix::fs::chown(&place.socket, Some(12345), Some(12345)).unwrap();
    } else {
        fs::set_permissions(&place.socket, fs::Permissions::from_mode(0o000)).unwrap();
    }
    let before = fs::metadata(&place.socket).unwrap().ino();
    assert_eq!(
        refusal(&place.bus()).await.kind(),
        ErrorKind::PermissionDenied
    );
    assert_eq!(fs::metadata(&place.socket).unwrap().ino(), before);
    assert_eq!(place.files(), ["s.sock"]);
}

#[tokio::test]
async fn what_is_no_socket_is_removed_only_when_it_is_a_small_leftover() {
    let table = [
        (0, true, true),
        (1024, true, true),
        (1025, true, false),
        (0, false, true),
        (1, false, false),
    ];
    for (bytes, reclaim, removed) in table {
        let place = Place::new();
        fs::write(&place.socket, vec![b'x'; bytes]).unwrap();
        let bus = place.builder().reclaim_plain_file(reclaim).build().unwrap();
        if removed {
            let _own = subscribe(&bus, "t").await;
            assert!(bus.is_broker());
        } else {
            assert_eq!(
                refusal(&bus).await.kind(),
                ErrorKind::InvalidInput,
                "{bytes} {reclaim}"
            );
            assert_eq!(fs::metadata(&place.socket).unwrap().len(), bytes as u64);
        }
    }
    let place = Place::new();
    fs::create_dir(&place.socket).unwrap();
    assert_eq!(refusal(&place.bus()).await.kind(), ErrorKind::InvalidInput);
    let place = Place::new();
    fs::write(place.folder.path().join("file"), "x").unwrap();
    let bus = UnixSocketPubSub::new(place.folder.path().join("file/s.sock")).unwrap();
    assert_eq!(refusal(&bus).await.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_start_that_failed_is_tried_anew_by_the_next_call() {
    let place = Place::new();
    fs::create_dir(&place.socket).unwrap();
    let bus = place.bus();
    refusal(&bus).await;
    fs::remove_dir(&place.socket).unwrap();
    let mut subscriptions = [subscribe(&bus, "t").await];
    works(&[&bus], &mut subscriptions).await;
}

#[test]
fn bad_arguments_are_refused_before_anything_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().to_str().unwrap();
    let fits = format!("{base}/{}", "x".repeat(107 - base.len() - 1));
    assert!(UnixSocketPubSub::new(&fits).is_ok());
    let too_long = UnixSocketPubSub::new(format!("{fits}x")).unwrap_err();
    assert_eq!(too_long.kind(), ErrorKind::InvalidInput);
    assert!(too_long.to_string().contains("107"), "{too_long}");
    for path in ["", "/", "/tmp/", ".."] {
        let error = UnixSocketPubSub::new(path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{path}");
    }
    let zero = UnixSocketPubSub::builder(&fits)
        .max_frame_bytes(0)
        .build()
        .unwrap_err();
    assert!(zero.to_string().contains("max_frame_bytes"), "{zero}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn the_longest_path_works_in_both_roles() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().to_str().unwrap();
    let path = format!("{base}/{}", "x".repeat(107 - base.len() - 1));
    let (a, b) = (
        UnixSocketPubSub::new(&path).unwrap(),
        UnixSocketPubSub::new(&path).unwrap(),
    );
    let mut subscriptions = [subscribe(&a, "t").await, subscribe(&b, "t").await];
    works(&[&a, &b], &mut subscriptions).await;
}

#[test]
fn without_a_runtime_the_first_use_is_an_error() {
    let place = Place::new();
    let bus = place.bus();
    let topic = Topic::new("t");
    let published = bus
        .publish_with(&topic, event("e", "1"), PublishOptions::default())
        .now_or_self();
    assert_eq!(
        published.unwrap().unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
}

#[tokio::test]
async fn nothing_is_touched_before_the_first_use() {
    let place = Place::new();
    let bus = place.bus();
    assert_eq!(bus.stats(), bowline_unix::Stats::default());
    bus.flush().await.unwrap();
    assert!(place.files().is_empty());
    bus.close().await.unwrap();
    assert!(place.files().is_empty());
    assert_eq!(
        bus.publish("t", event("e", "1")).await.unwrap_err().kind(),
        ErrorKind::Closed
    );
}

#[tokio::test]
async fn what_node_would_not_survive_or_take_is_refused_in_both_roles() {
    let place = Place::new();
    let (broker, client) = (
        place.builder().max_frame_bytes(10_000).build().unwrap(),
        place.builder().max_frame_bytes(10_000).build().unwrap(),
    );
    let mut at_broker = subscribe(&broker, "t").await;
    let mut at_client = subscribe(&client, "t").await;
    for bus in [&broker, &client] {
        let bad = event("bad", r#"{"at":{"__m_codec__":"Date","v":"not a date"}}"#);
        let error = bus.publish("t", bad).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidPayload);
        let deep = event("deep", &format!("{}1{}", "[".repeat(127), "]".repeat(127)));
        let error = bus.publish("t", deep).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidPayload, "{error}");
        let large = event("large", &format!("\"{}\"", "x".repeat(10_000)));
        let error = bus.publish("t", large).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        assert!(error.to_string().contains("10000"), "{error}");
        let fits = event("fits", &format!("\"{}\"", "x".repeat(9_000)));
        bus.publish("t", fits).await.unwrap();
        assert_eq!(types(&mut at_broker, 1).await, ["fits"]);
        assert_eq!(types(&mut at_client, 1).await, ["fits"]);
    }
    silent(&mut at_client).await;
}
