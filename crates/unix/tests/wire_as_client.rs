//! A raw broker against our client: what is on the wire.

#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use std::time::Duration;

use bowline_events::{ErrorKind, NewEvent, PubSub, PubSubExt, SubscribeOptions, Subscription};
use bowline_unix::UnixSocketPubSub;
use support::{Place, Raw, event, next, silent, subscribe, types, until};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;

/// A place with somebody else as broker.
fn foreign() -> (Place, UnixListener) {
    let place = Place::new();
    let listener = UnixListener::bind(&place.socket).unwrap();
    (place, listener)
}

/// Accepts a client that subscribes to the topic `t`.
async fn accept_subscriber(listener: &UnixListener) -> Raw {
    let mut peer = Raw::accept(listener).await;
    let asked = r#"{"type":"subscribe","topic":"t"}"#;
    peer.answer(asked, r#"{"type":"subscribed","topic":"t"}"#)
        .await;
    peer
}

/// A subscription of `bus` to the topic `t`, and the broker's side of it.
async fn attach(listener: &UnixListener, bus: &UnixSocketPubSub) -> (Raw, Subscription) {
    let subscribe = bus.subscribe("t", SubscribeOptions::new());
    let (peer, subscription) = tokio::join!(accept_subscriber(listener), subscribe);
    (peer, subscription.unwrap())
}

/// The frame of an event on the topic `t`, whose `event` member and what follows is this.
fn frame(members: &str) -> String {
    format!(r#"{{"type":"event","topic":"t",{members}}}"#)
}

const EVENT: &str = r#""event":{"type":"e","runId":"r","data":1,"id":"7cd32bbe-8126-4816-ad1f-5ccc6ca0dc10","createdAt":{"__m_codec__":"Date","v":"2026-11-20T03:09:52.423Z"},"deliveryAttempt":1}"#;

#[tokio::test]
async fn frames_are_written_as_every_generation_reads_them() {
    let (place, listener) = foreign();
    let bus = place.bus();
    let serve = async {
        let mut peer = Raw::accept(&listener).await;
        peer.expect(r#"{"type":"subscribe","topic":"t"}"#).await;
        peer.send(r#"{"type":"subscribed","topic":"t"}"#).await;
        peer.expect(r#"{"type":"subscribe","topic":"t","group":""}"#)
            .await;
        peer.send(r#"{"type":"subscribed","topic":"t","group":""}"#)
            .await;
        peer
    };
    let subscribe = async {
        let all = subscribe(&bus, "t").await;
        let second = subscribe(&bus, "t").await;
        let member = bus
            .subscribe("t", SubscribeOptions::new().group(""))
            .await
            .unwrap();
        (all, second, member)
    };
    let (mut peer, (all, second, member)) = tokio::join!(serve, subscribe);
    bus.publish(
        "t",
        NewEvent::new("hello", "run-1")
            .with_json("{\n \"s\": \"héllo\"\n}")
            .unwrap(),
    )
    .await
    .unwrap();
    peer.expect(r#"{"type":"publish","topic":"t","event":{"type":"hello","runId":"run-1","data":{  "s": "héllo" }},"seq":2}"#).await;
    all.unsubscribe().await.unwrap();
    drop(second);
    peer.expect(r#"{"type":"unsubscribe","topic":"t"}"#).await;
    drop(member);
    peer.expect(r#"{"type":"unsubscribe","topic":"t","group":""}"#)
        .await;
    bus.publish("t", NewEvent::new("last", "")).await.unwrap();
    peer.expect(r#"{"type":"publish","topic":"t","event":{"type":"last","runId":""},"seq":3}"#)
        .await;
}

#[tokio::test]
async fn all_memberships_are_replayed_at_once_and_only_once_each() {
    let (place, listener) = foreign();
    let bus = place
        .builder()
        .membership_ack_timeout(Duration::from_secs(30))
        .build()
        .unwrap();
    let mut subscriptions = Vec::new();
    let mut expected = Vec::new();
    let mut peer = None;
    for n in 0..20 {
        let subscribing = bus.subscribe(format!("t{n}"), SubscribeOptions::new().group("g"));
        let serving = async {
            let mut serving = match peer.take() {
                Some(peer) => peer,
                None => Raw::accept(&listener).await,
            };
            let line: String = serving.line().await.unwrap();
            serving.send(&line.replace("subscribe", "subscribed")).await;
            (serving, line)
        };
        let (subscription, (serving, line)) = tokio::join!(subscribing, serving);
        subscriptions.push(subscription.unwrap());
        expected.push(line);
        peer = Some(serving);
    }
    drop(peer);
    // The next broker acknowledges nothing; everything comes all the same.
    let mut peer = Raw::accept(&listener).await;
    for line in &expected {
        assert_eq!(peer.line().await.as_ref(), Some(line));
    }
    peer.send(&format!(
        r#"{{"type":"event","topic":"t7",{EVENT},"group":"g"}}"#
    ))
    .await;
    assert_eq!(types(&mut subscriptions[7], 1).await, ["e"]);
}

#[tokio::test]
async fn an_event_without_group_is_fan_out_however_the_broker_writes_that() {
    let (place, listener) = foreign();
    let bus = place.bus();
    let (mut peer, mut subscription) = attach(&listener, &bus).await;
    for (n, group) in [
        "",
        r#","group":{"__m_codec__":"Undefined"}"#,
        r#","group":null"#,
    ]
    .into_iter()
    .enumerate()
    {
        let event = EVENT.replace("dc10", &format!("dc1{n}"));
        peer.send(&frame(&(event + group))).await;
        let delivery = next(&mut subscription).await;
        assert_eq!(delivery.created_at.as_millis(), 1_795_144_192_423);
        assert!(delivery.id.to_string().ends_with(&format!("dc1{n}")));
    }
    // The same event again, one for a group that nobody joined here, one for a topic that nobody subscribed to.
    let again = EVENT.replace("dc10", "dc12");
    peer.send(&frame(&again)).await;
    peer.send(&format!(
        r#"{{"type":"event","topic":"t",{EVENT},"group":"other"}}"#
    ))
    .await;
    peer.send(&format!(r#"{{"type":"event","topic":"u",{EVENT}}}"#))
        .await;
    silent(&mut subscription).await;
    assert_eq!(bus.stats().duplicates, 1);
}

#[tokio::test]
async fn members_that_json_lacks_and_unknown_ones_are_read_leniently() {
    let (place, listener) = foreign();
    let bus = place.bus();
    let (mut peer, mut subscription) = attach(&listener, &bus).await;
    let lines = [
        r#"{"type":"event","topic":"t","event":{"type":"a","data":{"__m_codec__":"Undefined"}}}"#,
        r#"{"type":"event","topic":"t","event":{"type":"b","data":null,"index":3,"logGeneration":"g1","more":{"x":1}}}"#,
        r#"{"type":"event","topic":"t","event":{"type":"c\ud800","createdAt":"2026-11-20T03:09:52.423Z","id":"odd","deliveryAttempt":3}}"#,
        r#"{"type":"event","topic":"t","event":{"type":"d","createdAt":5,"index":"odd"}}"#,
    ];
    for line in lines {
        peer.send(line).await;
    }
    let a = next(&mut subscription).await;
    assert!(a.data.is_absent());
    let b = next(&mut subscription).await;
    assert_eq!(b.data.as_json().unwrap(), "null");
    assert_eq!((b.index, b.generation.as_deref()), (Some(3), Some("g1")));
    assert_eq!(b.extra.as_ref().unwrap()[0].1, r#"{"x":1}"#);
    let c = next(&mut subscription).await;
    assert_eq!(
        (&*c.event_type, c.delivery_attempt, c.id.to_string()),
        ("c\u{fffd}", 3, "odd".to_owned())
    );
    assert_eq!(c.created_at.as_millis(), 1_795_144_192_423);
    let d = next(&mut subscription).await;
    assert_eq!((d.created_at.as_millis(), d.index), (5, None));
}

#[tokio::test]
async fn a_broker_without_groups_is_refused_for_groups_only() {
    let (place, listener) = foreign();
    let bus = place.bus();
    let serve = async {
        let mut peer = Raw::accept(&listener).await;
        for _ in 0..2 {
            peer.line().await.unwrap();
            // It knows topics only.
            peer.send(r#"{"type":"subscribed","topic":"t"}"#).await;
        }
        peer
    };
    let subscribe = async {
        let all = subscribe(&bus, "t").await;
        let refused = bus
            .subscribe("t", SubscribeOptions::new().group("g"))
            .await
            .unwrap_err();
        (all, refused)
    };
    let (mut peer, (mut all, refused)) = tokio::join!(serve, subscribe);
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert!(refused.to_string().contains("groups"), "{refused}");
    peer.send(&frame(EVENT)).await;
    assert_eq!(types(&mut all, 1).await, ["e"]);
    // It does not acknowledge unsubscribing either; that does not block for long, and only once.
    all.unsubscribe().await.unwrap();
}

#[tokio::test]
async fn a_group_ends_with_an_error_when_the_next_broker_does_not_know_groups() {
    let (place, listener) = foreign();
    let bus = place.bus();
    let serve = async {
        let mut peer = Raw::accept(&listener).await;
        peer.line().await.unwrap();
        peer.send(r#"{"type":"subscribed","topic":"t","group":"g"}"#)
            .await;
    };
    let (subscription, ()) = tokio::join!(
        bus.subscribe("t", SubscribeOptions::new().group("g")),
        serve
    );
    let mut peer = Raw::accept(&listener).await;
    peer.line().await.unwrap();
    peer.send(r#"{"type":"subscribed","topic":"t"}"#).await;
    let error = subscription.unwrap().next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn a_broker_that_does_not_acknowledge_is_trusted_after_the_timeout() {
    let (place, listener) = foreign();
    let bus = place
        .builder()
        .membership_ack_timeout(Duration::from_millis(80))
        .build()
        .unwrap();
    let serve = async {
        let mut peer = Raw::accept(&listener).await;
        peer.line().await.unwrap();
        peer
    };
    let (mut peer, subscription) = tokio::join!(serve, bus.subscribe("t", SubscribeOptions::new()));
    peer.send(&frame(EVENT)).await;
    assert_eq!(types(&mut subscription.unwrap(), 1).await, ["e"]);
}

#[tokio::test]
async fn a_broker_that_hangs_up_again_and_again_is_an_error_in_the_end() {
    let (place, listener) = foreign();
    let bus = place
        .builder()
        .membership_ack_timeout(Duration::from_millis(200))
        .build()
        .unwrap();
    let hang_up = tokio::spawn(async move {
        loop {
            drop(listener.accept().await);
        }
    });
    let error = bus
        .subscribe("t", SubscribeOptions::new())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.is_retryable());
    assert!(bus.topics().await.unwrap().is_empty());
    hang_up.abort();
}

#[tokio::test]
async fn an_overlong_line_costs_the_connection_and_no_later_event() {
    let (place, listener) = foreign();
    let bus = place.builder().max_frame_bytes(1000).build().unwrap();
    let (mut peer, mut subscription) = attach(&listener, &bus).await;
    peer.send(&frame(EVENT)).await;
    assert_eq!(types(&mut subscription, 1).await, ["e"]);
    peer.writer.write_all(&[b'x'; 1001]).await.unwrap();
    assert!(peer.is_closed().await);
    let mut peer = Raw::accept(&listener).await;
    peer.expect(r#"{"type":"subscribe","topic":"t"}"#).await;
    let later = EVENT.replace("dc10", "dc11");
    peer.send(&frame(&later)).await;
    assert_eq!(types(&mut subscription, 1).await, ["e"]);
}

#[tokio::test]
async fn frames_that_the_broker_did_not_take_go_to_the_next_one_in_order() {
    let (place, listener) = foreign();
    let bus = place
        .builder()
        .send_window_bytes(64 * 1024)
        .build()
        .unwrap();
    let data = format!("\"{}\"", "x".repeat(16 * 1024));
    let publish = {
        let bus = bus.clone();
        tokio::spawn(async move {
            for n in 0..64 {
                bus.publish("t", event(&n.to_string(), &data))
                    .await
                    .unwrap();
            }
        })
    };
    let number = |line: String| {
        let frame: serde_json::Value = serde_json::from_str(&line).unwrap();
        frame["event"]["type"]
            .as_str()
            .unwrap()
            .parse::<usize>()
            .unwrap()
    };
    let mut peer = Raw::accept(&listener).await;
    // It reads a little, stops until the publisher is stuck, and dies.
    let first = number(peer.line().await.unwrap());
    assert_eq!(first, 0);
    until("a full window", || !publish.is_finished()).await;
    tokio::time::sleep(support::SHORT).await;
    drop(peer);
    let mut peer = Raw::accept(&listener).await;
    let mut numbers = Vec::new();
    while numbers.last() != Some(&63) {
        numbers.push(number(peer.line().await.unwrap()));
    }
    publish.await.unwrap();
    // What the first broker's kernel had taken is gone with it; from there on nothing is missing and nothing comes twice.
    assert!(numbers[0] > 0);
    assert!(
        numbers.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "{numbers:?}"
    );
    assert!(bus.stats().resent_frames > 0);
}

#[tokio::test]
async fn an_event_that_the_broker_had_not_read_when_it_died_goes_to_the_next_one() {
    let (place, listener) = foreign();
    let bus = place.bus();
    let serve = async {
        let mut peer = Raw::accept(&listener).await;
        assert!(peer.line().await.unwrap().contains("read"));
        peer
    };
    let (peer, published) = tokio::join!(serve, bus.publish("t", event("read", "1")));
    published.unwrap();
    bus.publish("t", event("unread", "2")).await.unwrap();
    bus.flush().await.unwrap();
    drop(peer);
    let mut peer = Raw::accept(&listener).await;
    assert!(peer.line().await.unwrap().contains("unread"));
    bus.publish("t", event("next", "3")).await.unwrap();
    assert!(peer.line().await.unwrap().contains("next"));
}

#[tokio::test]
async fn an_event_that_two_brokers_give_is_delivered_once() {
    let (place, listener) = foreign();
    let bus = place.bus();
    let subscribe = bus.subscribe("t", SubscribeOptions::new());
    let serve = async {
        for _ in 0..2 {
            let mut peer = Raw::accept(&listener).await;
            peer.line().await.unwrap();
            peer.send(r#"{"type":"subscribed","topic":"t"}"#).await;
            peer.send(&frame(EVENT)).await;
        }
        let mut peer = Raw::accept(&listener).await;
        peer.line().await.unwrap();
        let later = EVENT
            .replace("dc10", "dc11")
            .replace(r#""e""#, r#""later""#);
        peer.send(&frame(&later)).await;
        peer
    };
    let (subscription, _peer) = tokio::join!(subscribe, serve);
    assert_eq!(types(&mut subscription.unwrap(), 2).await, ["e", "later"]);
    assert_eq!((bus.stats().duplicates, bus.stats().failovers), (1, 2));
}

#[tokio::test]
async fn what_was_published_before_the_last_handle_was_dropped_goes_out() {
    let (place, listener) = foreign();
    let bus = place.bus();
    let serve = Raw::accept(&listener);
    let (mut peer, published) = tokio::join!(serve, bus.publish("t", event("0", "1")));
    published.unwrap();
    for n in 1..100 {
        bus.publish("t", event(&n.to_string(), "1")).await.unwrap();
    }
    drop(bus);
    for n in 0..100 {
        assert_eq!(peer.json().await["event"]["type"], n.to_string());
    }
    assert!(peer.is_closed().await);
}

#[tokio::test]
async fn an_event_that_no_broker_takes_does_not_block_the_others_for_ever() {
    let (place, listener) = foreign();
    let bus = place.bus();
    // A peer with a smaller limit hangs up in the middle of the line.
    let hang_up = async {
        for _ in 0..4 {
            let mut peer = Raw::accept(&listener).await;
            let mut part = [0; 1000];
            peer.read_exact(&mut part).await;
        }
        Raw::accept(&listener).await
    };
    let publish = async {
        bus.publish("t", event("large", &format!("\"{}\"", "x".repeat(1 << 20))))
            .await
            .unwrap();
        bus.publish("t", event("next", "1")).await.unwrap();
    };
    let (mut peer, ()) = tokio::join!(hang_up, publish);
    assert_eq!(peer.json().await["event"]["type"], "next");
    assert_eq!(bus.stats().rejected_events, 1);
}

/// A client that published three events, of which its broker read all and confirmed one before it died.
async fn orphaned() -> (Place, UnixListener, UnixSocketPubSub, Vec<String>) {
    let (place, listener) = foreign();
    let bus = place.bus();
    let serve = async {
        let mut peer = Raw::accept(&listener).await;
        assert!(
            peer.any_line()
                .await
                .unwrap()
                .starts_with(r#"{"type":"hello","publisher":""#)
        );
        peer.send(r#"{"type":"welcome"}"#).await;
        let mut lines = Vec::new();
        for _ in 0..3 {
            lines.push(peer.line().await.unwrap());
        }
        peer.send(r#"{"type":"confirmed","seq":2}"#).await;
        lines
    };
    let publish = async {
        for kind in ["one", "two", "three"] {
            bus.publish("t", event(kind, "1")).await.unwrap();
        }
    };
    let (lines, ()) = tokio::join!(serve, publish);
    assert!(
        lines[0].contains(r#""one""#) && lines[0].ends_with(r#""seq":2}"#),
        "{lines:?}"
    );
    (place, listener, bus, lines)
}

#[tokio::test]
async fn what_a_broker_had_not_confirmed_goes_to_the_next_one_under_the_same_number() {
    let (_place, listener, bus, lines) = orphaned().await;
    let mut peer = Raw::accept(&listener).await;
    // Until the broker says that it knows numbers, nothing that could be doubled is sent.
    assert!(peer.any_line().await.unwrap().contains("hello"));
    assert!(peer.any_line().await.unwrap().contains("unsubscribe"));
    bus.publish("t", event("four", "1")).await.unwrap();
    peer.send(r#"{"type":"welcome"}"#).await;
    assert_eq!(peer.line().await.as_ref(), Some(&lines[1]));
    assert_eq!(peer.line().await.as_ref(), Some(&lines[2]));
    assert!(peer.line().await.unwrap().contains("four"));
}

#[tokio::test]
async fn a_broker_that_is_just_dying_takes_nothing_with_it() {
    let (_place, listener, bus, lines) = orphaned().await;
    // It accepts, or would have, and is gone.
    drop(Raw::accept(&listener).await);
    bus.publish("t", event("four", "1")).await.unwrap();
    let mut peer = Raw::accept(&listener).await;
    peer.send(r#"{"type":"welcome"}"#).await;
    for expected in [&lines[1], &lines[2]] {
        assert_eq!(peer.line().await.as_ref(), Some(expected));
    }
    assert!(peer.line().await.unwrap().contains("four"));
}

#[tokio::test]
async fn nothing_is_doubled_by_a_broker_that_does_not_know_numbers() {
    let (_place, listener, bus, _) = orphaned().await;
    let mut peer = Raw::accept(&listener).await;
    peer.any_line().await.unwrap();
    let probe = peer.any_line().await.unwrap();
    peer.send(&probe.replace("unsubscribe", "unsubscribed"))
        .await;
    bus.publish("t", event("four", "1")).await.unwrap();
    assert!(peer.line().await.unwrap().contains("four"));
    assert_eq!(bus.stats().rejected_events, 2);
}

#[tokio::test]
async fn a_full_window_is_a_retryable_error_after_the_deadline_and_nothing_was_sent() {
    let (place, listener) = foreign();
    let bus = place
        .builder()
        .send_window_bytes(64 * 1024)
        .publish_deadline(Duration::from_millis(100))
        .build()
        .unwrap();
    let data = format!("\"{}\"", "x".repeat(16 * 1024));
    let mut sent = 0;
    let error = loop {
        match bus.publish("t", event("e", &data)).await {
            Ok(_) => sent += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Full);
    assert!(error.is_retryable());
    let mut peer = Raw::accept(&listener).await;
    for _ in 0..sent {
        peer.line().await.unwrap();
    }
    bus.publish("t", event("after", "1")).await.unwrap();
    assert!(peer.line().await.unwrap().contains("after"));
}

#[tokio::test]
async fn a_stopped_reader_stops_the_socket_and_loses_nothing() {
    let place = Place::new();
    let (broker, client) = (place.bus(), place.bus());
    let _own = subscribe(&broker, "own").await;
    let mut slow = subscribe(&client, "t").await;
    let data = format!("\"{}\"", "x".repeat(16 * 1024));
    let publish = tokio::spawn(async move {
        for n in 0..1000 {
            broker
                .publish("t", event(&n.to_string(), &data))
                .await
                .unwrap();
        }
        broker
    });
    for n in 0..1000 {
        if n % 100 == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(types(&mut slow, 1).await, [n.to_string()]);
    }
    publish.await.unwrap();
}
