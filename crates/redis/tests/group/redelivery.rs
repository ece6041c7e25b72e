//! Refused events.

use std::time::Duration;

use bowline_events::{NewEvent, PubSub, PubSubExt, SubscribeOptions, Topic};
use bowline_redis::Redelivery;

use crate::support::*;

const LOCAL: Redelivery = Redelivery::GroupLocal {
    delay: Duration::from_millis(20),
};

#[tokio::test]
async fn a_republished_event_is_the_same_record_with_the_next_attempt() {
    let server = server!();
    let bus = bus(&server);
    let mut member = join(&bus).await;
    let mut monitor = server.monitor().await.expect("a monitor");
    let json = r#"{"type":"x","data":{"b":1,"a":[1.50,"\ud800"]},"runId":"r","id":"id-1","createdAt":"2026-01-01T00:00:00.000Z","deliveryAttempt":1,"unknown":{"k":null}}"#;
    let add = ["XADD", KEY, "*", "event", json];
    server.command(&add).await.expect("XADD");
    next(&mut member).await.nack().await.expect("nacked");
    let again = next(&mut member).await;
    assert_eq!(
        (again.delivery_attempt, again.id.to_string()),
        (2, "id-1".to_owned())
    );
    again.ack().await.expect("acked");
    let commands = monitor.take().await.expect("commands");
    let add = commands
        .iter()
        .find(|line| line.command() == "XADD")
        .expect("an XADD");
    assert_eq!(add.arguments[1..6], [KEY, "MAXLEN", "~", "10000", "*"]);
    let record: serde_json::Value =
        serde_json::from_str(&add.arguments[7].replace("\\ud800", "")).expect("JSON");
    assert_eq!(record["deliveryAttempt"], 2);
    assert_eq!(record["createdAt"], "2026-01-01T00:00:00.000Z");
    assert_eq!(record["unknown"]["k"], serde_json::Value::Null);
    assert!(
        add.arguments[7].contains(r#""data":{"b":1,"a":[1.50,"\ud800"]}"#),
        "{}",
        add.arguments[7]
    );
    assert!(pending(&server).await.is_empty());
    assert_eq!(length(&server).await, 2);
}

#[tokio::test]
async fn a_republished_event_reaches_the_other_groups_too() {
    let server = server!();
    let bus = bus(&server);
    let mut refuses = join(&bus).await;
    let other = SubscribeOptions::new().group("other");
    let mut other = bus.subscribe(TOPIC, other).await.expect("a member");
    publish(&bus, 0..1).await;
    next(&mut refuses).await.nack().await.expect("nacked");
    for attempt in 1..=2 {
        let delivery = next(&mut other).await;
        assert_eq!(delivery.delivery_attempt, attempt);
        delivery.ack().await.expect("acked");
    }
}

#[tokio::test]
async fn a_group_local_redelivery_writes_nothing_and_is_counted() {
    let server = server!();
    let bus = builder(&server).redelivery(LOCAL).build().expect("a bus");
    let mut member = join(&bus).await;
    publish(&bus, 0..1).await;
    for attempt in 1..=3 {
        let delivery = next(&mut member).await;
        assert_eq!(delivery.delivery_attempt, attempt);
        delivery.nack().await.expect("nacked");
    }
    let held = next(&mut member).await;
    assert_eq!(held.delivery_attempt, 4);
    until("the server to count", async || {
        pending(&server).await[0].deliveries == 4
    })
    .await;
    assert_eq!(length(&server).await, 1);
    held.ack().await.expect("acked");
    assert!(pending(&server).await.is_empty());
}

#[tokio::test]
async fn the_cap_holds_in_both_ways_of_redelivery() {
    for redelivery in [Redelivery::Republish, LOCAL] {
        let server = server!();
        let bus = builder(&server)
            .redelivery(redelivery)
            .max_deliveries(Some(3))
            .dead_letters("letters")
            .build()
            .expect("a bus");
        let mut member = join(&bus).await;
        publish(&bus, 7..8).await;
        for attempt in 1..=3 {
            let delivery = next(&mut member).await;
            assert_eq!(delivery.delivery_attempt, attempt, "{redelivery:?}");
            // Dropping it counts as much as refusing it.
            match attempt {
                2 => drop(delivery),
                _ => delivery.nack().await.expect("nacked"),
            }
        }
        expect_quiet(&mut member).await;
        assert!(pending(&server).await.is_empty());
        let letters = bus
            .history(&Topic::from("letters"), 0, 10)
            .await
            .expect("history");
        assert_eq!(letters.len(), 1);
        assert_eq!((number(&letters[0]), letters[0].delivery_attempt), (7, 3));
        let why = letters[0].extra.as_ref().expect("a reason");
        assert!(why.iter().any(|(name, _)| *name == "deadLetter"));
        assert_eq!(bus.stats().dead_lettered, 1);
    }
}

#[tokio::test]
async fn without_dead_letters_the_last_refusal_drops() {
    let server = server!();
    let bus = builder(&server)
        .max_deliveries(Some(1))
        .build()
        .expect("a bus");
    let mut member = join(&bus).await;
    publish(&bus, 0..1).await;
    next(&mut member).await.nack().await.expect("nacked");
    expect_quiet(&mut member).await;
    assert!(pending(&server).await.is_empty());
    assert_eq!((bus.stats().dropped, length(&server).await), (1, 1));
}

#[tokio::test]
async fn a_release_is_not_counted() {
    let server = server!();
    for redelivery in [Redelivery::Republish, LOCAL] {
        let bus = builder(&server)
            .redelivery(redelivery)
            .build()
            .expect("a bus");
        let mut member = join(&bus).await;
        publish(&bus, 0..1).await;
        for _ in 0..20 {
            let delivery = next(&mut member).await;
            assert_eq!(delivery.delivery_attempt, 1);
            delivery.release().await.expect("released");
        }
        assert_eq!(pending(&server).await[0].deliveries, 1);
        assert_eq!(take(&mut member, 1).await, [0]);
        member.unsubscribe().await.expect("unsubscribed");
    }
}

#[tokio::test]
async fn released_events_come_before_later_ones() {
    let server = server!();
    let bus = bus(&server);
    let mut member = join(&bus).await;
    publish(&bus, 0..5).await;
    let held = [next(&mut member).await, next(&mut member).await];
    for delivery in held.into_iter().rev() {
        delivery.release().await.expect("released");
    }
    let mut seen = Vec::new();
    while seen.len() < 5 {
        seen.extend(take(&mut member, 1).await);
    }
    seen.retain(|n| *n < 2);
    assert_eq!(seen, [0, 1]);
}

#[tokio::test]
async fn an_event_that_hangs_is_taken_from_its_handler() {
    for redelivery in [Redelivery::Republish, LOCAL] {
        let server = server!();
        let bus = builder(&server)
            .redelivery(redelivery)
            .in_flight_timeout(Some(Duration::from_millis(200)))
            .build()
            .expect("a bus");
        let mut member = join(&bus).await;
        publish(&bus, 0..1).await;
        let hangs = next(&mut member).await;
        let again = next(&mut member).await;
        assert_eq!(
            (again.delivery_attempt, again.id.clone()),
            (2, hangs.id.clone())
        );
        // What the first handler decides now is of no interest any more.
        hangs.nack().await.expect("ignored");
        again.ack().await.expect("acked");
        expect_quiet(&mut member).await;
        assert!(pending(&server).await.is_empty());
    }
}

#[tokio::test]
async fn a_renewed_delivery_does_not_hang() {
    let server = server!();
    let timeout = Duration::from_secs(2);
    let bus = builder(&server)
        .in_flight_timeout(Some(timeout))
        .build()
        .expect("a bus");
    let mut member = join(&bus).await;
    publish(&bus, 0..1).await;
    let works = next(&mut member).await;
    let began = tokio::time::Instant::now();
    while began.elapsed() < timeout + timeout / 4 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        works.renew().await.expect("renewed");
    }
    works.ack().await.expect("acked");
    expect_quiet(&mut member).await;
    assert_eq!(length(&server).await, 1);
}

#[tokio::test]
async fn an_event_that_was_hung_on_too_often_is_buried() {
    let server = server!();
    let bus = builder(&server)
        .in_flight_timeout(Some(Duration::from_millis(50)))
        .max_deliveries(Some(2))
        .build()
        .expect("a bus");
    let mut member = join(&bus).await;
    publish(&bus, 0..1).await;
    let _first = next(&mut member).await;
    let _second = next(&mut member).await;
    until("the event to be buried", async || bus.stats().dropped == 1).await;
    until("nothing to be pending", async || {
        pending(&server).await.is_empty()
    })
    .await;
}

#[tokio::test]
async fn settling_works_outside_of_a_runtime() {
    let server = server!();
    let bus = bus(&server);
    let mut member = join(&bus).await;
    publish(&bus, 0..2).await;
    let (one, two) = (next(&mut member).await, next(&mut member).await);
    let settle = std::thread::spawn(move || {
        drop(one.ack());
        drop(two);
    });
    tokio::task::spawn_blocking(move || settle.join().expect("no panic"))
        .await
        .expect("joined");
    let again = next(&mut member).await;
    assert_eq!((number(&again), again.delivery_attempt), (1, 2));
    again.ack().await.expect("acked");
    until("all to be settled", async || {
        pending(&server).await.is_empty()
    })
    .await;
}

#[tokio::test]
async fn an_event_of_another_language_comes_back_whole() {
    let server = server!();
    let bus = bus(&server);
    let mut member = join(&bus).await;
    let event = NewEvent::new("x", "r")
        .with_json(r#"{"big":1e21,"deep":[[[]]],"text":"\ud83d"}"#)
        .expect("JSON");
    bus.publish(TOPIC, event).await.expect("published");
    let first = next(&mut member).await;
    let data = first.data.to_json().expect("JSON").to_vec();
    first.nack().await.expect("nacked");
    let second = next(&mut member).await;
    assert_eq!(second.data.to_json().expect("JSON").to_vec(), data);
    second.ack().await.expect("acked");
}
