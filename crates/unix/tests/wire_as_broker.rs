//! Raw peers against our broker: what is on the wire.

#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use std::time::Duration;

use bowline_events::{PubSub, PubSubExt, SubscribeOptions};
use serde_json::{Value, json};
use support::{Place, event, next, silent, subscribe, types, until};
use tokio::io::AsyncWriteExt;

const VECTORS: &str = include_str!("../testdata/vectors.ndjson");

/// A broker with a subscription of its own, so that it is there.
async fn broker(place: &Place) -> (bowline_unix::UnixSocketPubSub, bowline_events::Subscription) {
    let bus = place.bus();
    let own = subscribe(&bus, "own").await;
    (bus, own)
}

/// Ids and times differ from run to run.
fn masked(line: &str) -> Value {
    let mut frame: Value = serde_json::from_str(line).unwrap();
    if frame["type"] == "event" {
        assert_eq!(frame["event"]["id"].as_str().unwrap().len(), 36);
        let time = frame["event"]["createdAt"]["v"].as_str().unwrap();
        assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
        frame["event"]["id"] = json!("id");
        frame["event"]["createdAt"]["v"] = json!("time");
    }
    frame
}

#[tokio::test]
async fn the_captured_dialogue_with_a_node_broker_comes_out_the_same() {
    let place = Place::new();
    let bus = place.bus();
    let mut own = subscribe(&bus, "t").await;
    let mut member = bus
        .subscribe("t", SubscribeOptions::new().group("g"))
        .await
        .unwrap();
    let (mut a, mut b) = (place.raw().await, place.raw().await);
    until("both connected", || bus.remote_client_count() == 2).await;
    let (mut compared, mut sent) = (0, String::new());
    for line in VECTORS.lines() {
        let entry: Value = serde_json::from_str(line).unwrap();
        let note = entry["note"].as_str().unwrap();
        let Some(note) = note.strip_prefix("[2 raw client <-> node broker] raw ") else {
            continue;
        };
        let peer = if note.starts_with('A') {
            &mut a
        } else {
            &mut b
        };
        let frame = entry["frame"].as_str().unwrap();
        if entry["dir"] == "c2b" {
            peer.send(frame).await;
            frame.clone_into(&mut sent);
            continue;
        }
        if note.contains("subscribe without topic") {
            // We ignore what Node takes for a topic called undefined.
            continue;
        }
        let line = peer.line().await.expect("a frame");
        if note.contains("group null") {
            assert_eq!(
                line, r#"{"type":"subscribed","topic":"t"}"#,
                "absent like null"
            );
        } else if note.contains("unknown class envelope") {
            // Node reorders and rounds; we relay what was sent.
            let data = sent
                .split_once(r#""data":"#)
                .unwrap()
                .1
                .strip_suffix("}}")
                .unwrap();
            assert!(line.contains(data), "{line}\n{sent}");
        } else if frame.contains(r#""event""#) {
            assert_eq!(masked(&line), masked(frame), "{note}");
        } else {
            assert_eq!(line, frame, "{note}");
        }
        compared += 1;
    }
    assert_eq!(compared, 24);
    a.nothing_before_probe().await;
    b.nothing_before_probe().await;
    assert_eq!(types(&mut own, 6).await, ["p0", "p1", "p2", "p3", "x", ""]);
    assert_eq!(types(&mut member, 2).await, ["p0", "p3"]);
    silent(&mut member).await;
    assert_eq!(
        bus.stats().rejected_events,
        2,
        "the invalid big integer and the invalid URL"
    );
}

#[tokio::test]
async fn the_stamp_overrides_what_the_publisher_wrote_and_all_else_is_kept() {
    let place = Place::new();
    let (_bus, _own) = broker(&place).await;
    let mut peer = place.raw().await;
    peer.subscribe("t").await;
    let data = r#"{"lone":"\ud800","ctl":"\u0001","sep":"  ","emoji":"😀","q":"\"\\\n","big":9007199254740993,"neg":-0.0,"huge":1e400,"u":{"__m_codec__":"Undefined"}}"#;
    peer.send(&format!(
        r#"{{"type":"publish","topic":"t","event":{{"id":"mine","createdAt":{{"__m_codec__":"Date","v":"1970-01-01T00:00:00.005Z"}},"deliveryAttempt":9,"index":7,"type":"x","runId":"r","data":{data},"extra":[1]}}}}"#
    ))
    .await;
    let line = peer.line().await.unwrap();
    assert!(line.contains(data), "{line}");
    assert!(
        line.contains(r#""index":7"#) && line.contains(r#""extra":[1]"#),
        "{line}"
    );
    assert!(
        line.contains(r#""deliveryAttempt":1"#) && !line.contains("mine") && !line.contains("1970"),
        "{line}"
    );
}

#[tokio::test]
async fn one_event_has_one_id_in_all_frames_fan_out_first() {
    let place = Place::new();
    let (bus, mut own) = broker(&place).await;
    let mut peer = place.raw().await;
    for line in [
        r#"{"type":"subscribe","topic":"own","group":"g"}"#,
        r#"{"type":"subscribe","topic":"own"}"#,
    ] {
        peer.send(line).await;
        peer.line().await.unwrap();
    }
    bus.publish("own", event("e", "1")).await.unwrap();
    let (fan_out, grouped) = (peer.json().await, peer.json().await);
    assert!(fan_out.get("group").is_none());
    assert_eq!(grouped["group"], "g");
    assert_eq!(fan_out["event"], grouped["event"]);
    assert_eq!(fan_out["event"]["id"], next(&mut own).await.id.to_string());
}

#[tokio::test]
async fn the_empty_group_is_a_group_and_an_absent_one_is_none() {
    let place = Place::new();
    let (bus, _own) = broker(&place).await;
    let groups = [
        "",
        r#","group":{"__m_codec__":"Undefined"}"#,
        r#","group":null"#,
        r#","group":"""#,
    ];
    let mut peers = Vec::new();
    for group in groups {
        let mut peer = place.raw().await;
        peer.send(&format!(r#"{{"type":"subscribe","topic":"t"{group}}}"#))
            .await;
        let answer = peer.json().await;
        assert_eq!(
            answer.get("group").is_some(),
            group.ends_with("\"\""),
            "{group}"
        );
        peers.push(peer);
    }
    bus.publish("t", event("e", "1")).await.unwrap();
    for (peer, group) in peers.iter_mut().zip(groups) {
        let frame = peer.json().await;
        assert_eq!(
            frame.get("group").and_then(Value::as_str),
            group.ends_with("\"\"").then_some("")
        );
        peer.nothing_before_probe().await;
    }
}

#[tokio::test]
async fn the_way_of_chunking_does_not_matter() {
    let place = Place::new();
    let (_bus, _own) = broker(&place).await;
    let text = "{\"type\":\"subscribe\",\"topic\":\"é1\"}\r\n\n   \n{\"type\":\"publish\",\"topic\":\"é1\",\"event\":{\"type\":\"😀\"}}\n{\"type\":\"unsubscribe\",\"topic\":\"é1\"}\n";
    for size in [1, 7, text.len()] {
        let mut peer = place.raw().await;
        for chunk in text.as_bytes().chunks(size) {
            peer.writer.write_all(chunk).await.unwrap();
            tokio::task::yield_now().await;
        }
        peer.expect(r#"{"type":"subscribed","topic":"é1"}"#).await;
        assert_eq!(peer.json().await["event"]["type"], "😀");
        peer.expect(r#"{"type":"unsubscribed","topic":"é1"}"#).await;
    }
}

#[tokio::test]
async fn hostile_lines_change_nothing() {
    let place = Place::new();
    let (bus, _own) = broker(&place).await;
    let mut peer = place.raw().await;
    peer.subscribe("t").await;
    let deep = format!(
        r#"{{"type":"publish","topic":"t","event":{{"data":{}1{}}}}}"#,
        "[".repeat(5000),
        "]".repeat(5000)
    );
    let lines = [
        "null",
        "[]",
        "{",
        "\u{feff}{}",
        r#"{"type":"subscribe"}"#,
        r#"{"type":"subscribe","topic":7}"#,
        r#"{"type":"subscribe","topic":"t","group":7}"#,
        r#"{"type":"hello","version":9}"#,
        r#"{"type":"ack","id":"x"}"#,
        r#"{"type":"publish","topic":"t","event":{"__m_codec__":"Map","v":[]}}"#,
        r#"{"type":"publish","topic":"t","event":{"data":{"__m_codec__":"Date","v":"never"}}}"#,
        r#"{"type":"publish","topic":"t","event":{"data":{"__m_codec__":"BigInt","v":"abc"}}}"#,
        r#"{"type":"publish","topic":"t","event":{"data":{"__m_codec__":"URL","v":"nope"}}}"#,
        &deep,
    ];
    for line in lines {
        peer.send(line).await;
    }
    peer.writer.write_all(b"\xff\xfe\x00\n").await.unwrap();
    peer.nothing_before_probe().await;
    assert_eq!(bus.stats().rejected_events, 3);
    assert!(bus.stats().malformed_frames >= 7);
    // Bytes that are not UTF-8 inside a string are replaced, and the event goes on.
    peer.writer
        .write_all(b"{\"type\":\"publish\",\"topic\":\"t\",\"event\":{\"data\":\"a\xffb\"}}\n")
        .await
        .unwrap();
    assert_eq!(peer.json().await["event"]["data"], "a\u{fffd}b");
}

#[tokio::test]
async fn an_old_client_that_wants_only_itself_is_echoed_alone() {
    let place = Place::new();
    let (bus, mut own) = broker(&place).await;
    let (mut old, mut other) = (place.raw().await, place.raw().await);
    for peer in [&mut old, &mut other] {
        peer.subscribe("own").await;
    }
    old.send(r#"{"type":"publish","topic":"own","event":{"type":"x"},"localOnly":true}"#)
        .await;
    assert_eq!(old.json().await["event"]["type"], "x");
    other.nothing_before_probe().await;
    bus.publish("own", event("y", "1")).await.unwrap();
    assert_eq!(types(&mut own, 1).await, ["y"]);
}

#[tokio::test]
async fn a_numbered_frame_has_one_id_however_often_it_comes_and_is_confirmed() {
    let place = Place::new();
    let (_bus, mut own) = broker(&place).await;
    let publisher = r#"{"type":"hello","publisher":"7cd32bbe-8126-4816-ad1f-5ccc6ca0dc10"}"#;
    let frame = |number| {
        format!(r#"{{"type":"publish","topic":"own","event":{{"type":"e"}},"seq":{number}}}"#)
    };
    let mut ids = Vec::new();
    for number in [7, 8, 7] {
        let mut peer = place.raw().await;
        peer.ask(publisher, r#"{"type":"welcome"}"#).await;
        peer.ask(
            &frame(number),
            &format!(r#"{{"type":"confirmed","seq":{number}}}"#),
        )
        .await;
        ids.push(next(&mut own).await.id.to_string());
    }
    assert_eq!(ids[0], ids[2]);
    assert_ne!(ids[0], ids[1]);
    // Without a hello a number means nothing, and nobody asked for a confirmation.
    let mut stranger = place.raw().await;
    stranger.send(&frame(7)).await;
    stranger.nothing_before_probe().await;
    assert_ne!(next(&mut own).await.id.to_string(), ids[0]);
}

#[tokio::test]
async fn a_line_may_be_as_long_as_the_limit_and_no_longer() {
    let cases: [(usize, &[u8], bool); 4] = [
        (200, b"\n", true),
        (201, b"\n", false),
        (200, b"", true),
        (201, b"", false),
    ];
    for (length, end, stays) in cases {
        let place = Place::new();
        let bus = place.builder().max_frame_bytes(200).build().unwrap();
        let _own = subscribe(&bus, "own").await;
        let (mut peer, mut other) = (place.raw().await, place.raw().await);
        peer.writer.write_all(&vec![b'x'; length]).await.unwrap();
        peer.writer.write_all(end).await.unwrap();
        if stays {
            peer.writer.write_all(b"\n").await.unwrap();
            peer.nothing_before_probe().await;
        } else {
            assert!(peer.is_closed().await);
            assert_eq!(bus.stats().refused_connections, 1);
        }
        other.nothing_before_probe().await;
    }
}

#[tokio::test]
async fn large_events_pass_in_both_directions() {
    let place = Place::new();
    let (bus, mut own) = broker(&place).await;
    let client = place.bus();
    let mut there = subscribe(&client, "own").await;
    for bytes in [10 << 20, 63 << 20] {
        for publisher in [&bus, &client] {
            let data = format!("\"{}\"", "x".repeat(bytes));
            publisher
                .publish("own", event("large", &data))
                .await
                .unwrap();
            for subscription in [&mut own, &mut there] {
                let delivery = next(subscription).await;
                assert!(
                    delivery.data.as_json().unwrap() == data.as_bytes(),
                    "{bytes} bytes differ"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off_and_slows_nobody_for_long() {
    let place = Place::new();
    let bus = place
        .builder()
        .max_client_queue_bytes(256 * 1024)
        .build()
        .unwrap();
    let mut own = subscribe(&bus, "t").await;
    let healthy = place.bus();
    let mut there = subscribe(&healthy, "t").await;
    let mut stopped = place.raw().await;
    stopped
        .ask(
            r#"{"type":"subscribe","topic":"t"}"#,
            r#"{"type":"subscribed","topic":"t"}"#,
        )
        .await;
    assert_eq!(bus.remote_client_count(), 2);
    let data = format!("\"{}\"", "x".repeat(32 * 1024));
    let reading = tokio::spawn(async move {
        for _ in 0..40 {
            let _ = next(&mut there).await;
        }
    });
    for _ in 0..40 {
        bus.publish("t", event("e", &data)).await.unwrap();
        let _ = next(&mut own).await;
    }
    reading.await.unwrap();
    assert_eq!(
        (bus.remote_client_count(), bus.stats().kicked_clients),
        (1, 1)
    );
    let mut complete = 0;
    while let Some(line) = stopped.line().await {
        serde_json::from_str::<Value>(&line).unwrap();
        complete += 1;
    }
    assert!(complete < 40, "{complete}");
}

#[tokio::test]
async fn a_client_that_stops_for_a_while_loses_nothing_below_the_limit() {
    let place = Place::new();
    let (bus, _own) = broker(&place).await;
    let mut peer = place.raw().await;
    peer.subscribe("t").await;
    let data = format!("\"{}\"", "x".repeat(32 * 1024));
    for _ in 0..60 {
        bus.publish("t", event("e", &data)).await.unwrap();
    }
    for _ in 0..60 {
        assert_eq!(peer.json().await["event"]["type"], "e");
    }
    assert_eq!(bus.stats().kicked_clients, 0);
}

#[tokio::test]
async fn a_reader_that_is_slow_slows_publishers_and_loses_nothing() {
    let place = Place::new();
    let bus = place
        .builder()
        .max_client_queue_bytes(1 << 20)
        .build()
        .unwrap();
    let _own = subscribe(&bus, "own").await;
    let client = place.bus();
    let _there = subscribe(&client, "own").await;
    for publisher in [bus.clone(), client] {
        let mut slow = place.raw().await;
        slow.subscribe("t").await;
        let data = format!("\"{}\"", "x".repeat(16 * 1024));
        let publish = tokio::spawn(async move {
            for n in 0..250 {
                publisher
                    .publish("t", event(&n.to_string(), &data))
                    .await
                    .unwrap();
            }
        });
        for n in 0..250 {
            if n % 10 == 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            assert_eq!(slow.json().await["event"]["type"], n.to_string());
        }
        publish.await.unwrap();
    }
    assert_eq!(bus.stats().kicked_clients, 0);
}

#[tokio::test]
async fn a_peer_cannot_fill_the_memory_with_memberships() {
    let place = Place::new();
    let bus = place
        .builder()
        .max_client_queue_bytes(64 * 1024)
        .build()
        .unwrap();
    let _own = subscribe(&bus, "own").await;
    let mut peer = place.raw().await;
    let mut accepted = 0;
    loop {
        peer.send(&format!(r#"{{"type":"subscribe","topic":"t{accepted}"}}"#))
            .await;
        if peer.line().await.is_none() {
            break;
        }
        accepted += 1;
    }
    assert!(accepted > 100, "{accepted}");
    until("its topics are gone", || bus.remote_client_count() == 0).await;
    assert_eq!(bus.topics().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_group_member_that_is_cut_off_passes_its_event_on() {
    let place = Place::new();
    let bus = place
        .builder()
        .max_client_queue_bytes(16 * 1024)
        .build()
        .unwrap();
    let _own = subscribe(&bus, "own").await;
    let (mut stops, mut reads) = (place.raw().await, place.raw().await);
    for peer in [&mut stops, &mut reads] {
        peer.ask(
            r#"{"type":"subscribe","topic":"t","group":"g"}"#,
            r#"{"type":"subscribed","topic":"t","group":"g"}"#,
        )
        .await;
    }
    let pad = "x".repeat(4 * 1024);
    let mut after_the_cut = 0;
    for n in 0.. {
        bus.publish("t", event("e", &format!(r#"{{"n":{n},"pad":"{pad}"}}"#)))
            .await
            .unwrap();
        let cut = bus.stats().kicked_clients == 1;
        // They take turns until one is cut off; the event that was too much for it reaches the other.
        if cut || n % 2 == 1 {
            assert_eq!(reads.json().await["event"]["data"]["n"], n);
        }
        after_the_cut += u32::from(cut);
        if after_the_cut == 3 {
            break;
        }
    }
    assert_eq!(bus.remote_client_count(), 1);
}

#[tokio::test]
async fn closing_writes_what_is_queued_first() {
    let place = Place::new();
    let (bus, _own) = broker(&place).await;
    let mut peer = place.raw().await;
    peer.subscribe("t").await;
    let data = format!("\"{}\"", "x".repeat(16 * 1024));
    for _ in 0..64 {
        bus.publish("t", event("e", &data)).await.unwrap();
    }
    let closing = tokio::spawn(async move { bus.close().await });
    for _ in 0..64 {
        assert_eq!(peer.json().await["event"]["type"], "e");
    }
    assert!(peer.is_closed().await);
    closing.await.unwrap().unwrap();
    assert!(!place.socket.exists());
}

#[tokio::test]
async fn a_peer_that_comes_and_goes_leaves_nothing_behind() {
    let place = Place::new();
    let (bus, _own) = broker(&place).await;
    for _ in 0..50 {
        let mut peer = place.raw().await;
        peer.subscribe("t").await;
    }
    until("all gone", || bus.remote_client_count() == 0).await;
    let topics = bus.topics().await.unwrap();
    assert_eq!(
        topics
            .iter()
            .map(|info| info.topic.as_str())
            .collect::<Vec<_>>(),
        ["own"]
    );
}
