//! Who gets what.

use std::collections::BTreeSet;
use std::time::Duration;

use bowline_events::{
    BatchPolicy, ErrorKind, PubSub, PubSubExt, PublishOptions, StartFrom, SubscribeOptions, Topic,
};

use crate::support::*;

#[tokio::test]
async fn two_processes_share_the_work() {
    let server = server!();
    let (one, two) = (bus(&server), bus(&server));
    let (mut here, mut there) = (join(&one).await, join(&two).await);
    let work = async |member: &mut bowline_events::Subscription| {
        let mut done = Vec::new();
        while let Ok(item) = tokio::time::timeout(Duration::from_millis(500), member.next()).await {
            let delivery = item.expect("open").expect("a delivery");
            done.push(number(&delivery));
            delivery.ack().await.expect("acked");
        }
        done
    };
    publish(&one, 0..200).await;
    let (here, there) = tokio::join!(work(&mut here), work(&mut there));
    let mut all: Vec<u64> = here.iter().chain(&there).copied().collect();
    all.sort_unstable();
    assert!(all.iter().copied().eq(0..200), "{all:?}");
    assert!(pending(&server).await.is_empty());
}

#[tokio::test]
async fn members_of_one_process_are_one_consumer() {
    let server = server!();
    let bus = bus(&server);
    let mut members = Vec::new();
    for _ in 0..5 {
        members.push(join(&bus).await);
    }
    publish(&bus, 0..1).await;
    until("a consumer", async || consumers(&server).await.len() == 1).await;
    let clients = server
        .command(&["CLIENT", "LIST"])
        .await
        .expect("CLIENT LIST");
    let blocked = clients.text().expect("text");
    let readers = blocked
        .lines()
        .filter(|line| line.contains("cmd=xreadgroup"));
    assert_eq!(readers.count(), 1, "{blocked}");
}

#[tokio::test]
async fn concurrent_first_members_make_the_group_once() {
    let server = server!();
    let bus = bus(&server);
    let mut monitor = server.monitor().await.expect("a monitor");
    let joins: Vec<_> = (0..8)
        .map(|_| {
            let bus = bus.clone();
            tokio::spawn(async move { join(&bus).await })
        })
        .collect();
    let mut members = Vec::new();
    for joined in joins {
        members.push(joined.await.expect("joined"));
    }
    let commands = monitor.take().await.expect("commands");
    let created = commands.iter().filter(|line| line.command() == "XGROUP");
    assert_eq!(created.count(), 1);
}

#[tokio::test]
async fn a_group_begins_where_it_was_told() {
    let server = server!();
    let bus = bus(&server);
    publish(&bus, 0..10).await;
    for (name, start, wanted) in [
        ("earliest", StartFrom::Earliest, 0..11),
        ("latest", StartFrom::Latest, 10..11),
        ("fourth", StartFrom::Offset(4), 4..11),
        ("end", StartFrom::Offset(10), 10..11),
        ("beyond", StartFrom::Offset(1_000), 10..11),
    ] {
        let options = SubscribeOptions::new().group(name).start(start);
        let mut member = bus.subscribe(TOPIC, options).await.expect("a member");
        if name == "earliest" {
            assert_eq!(take(&mut member, 10).await, (0..10).collect::<Vec<_>>());
            // The tenth is of use to all.
            continue;
        }
        let already = take(&mut member, (10 - wanted.start) as usize).await;
        assert!(already.into_iter().eq(wanted.start..10), "{name}");
        drop(member);
    }
    for name in ["earliest", "latest", "fourth", "end", "beyond"] {
        // An existing group keeps its position.
        let options = SubscribeOptions::new()
            .group(name)
            .start(StartFrom::Earliest);
        let mut member = bus.subscribe(TOPIC, options).await.expect("a member");
        if name == "earliest" {
            publish(&bus, 10..11).await;
        }
        assert_eq!(take(&mut member, 1).await, [10], "{name}");
        expect_quiet(&mut member).await;
    }
}

#[tokio::test]
async fn a_group_that_begins_in_what_was_trimmed_is_told() {
    let server = server!();
    let bus = bus(&server);
    publish(&bus, 0..10).await;
    bus.trim_topic(&Topic::from(TOPIC), 6)
        .await
        .expect("trimmed");
    let options = SubscribeOptions::new()
        .group(GROUP)
        .start(StartFrom::Offset(2));
    let mut member = bus.subscribe(TOPIC, options).await.expect("a member");
    let told = notice(&mut member).await;
    let missed = told.truncated().expect("a range");
    assert_eq!((missed.wanted, missed.first), (2, 6));
    assert_eq!(take(&mut member, 4).await, [6, 7, 8, 9]);
}

#[tokio::test]
async fn no_more_is_held_than_allowed() {
    let server = server!();
    let bus = builder(&server).max_in_flight(20).build().expect("a bus");
    let mut member = join(&bus).await;
    publish(&bus, 0..100).await;
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(next(&mut member).await);
    }
    expect_quiet(&mut member).await;
    assert_eq!(pending(&server).await.len(), 20);
    for delivery in held {
        delivery.ack().await.expect("acked");
    }
    assert!(take(&mut member, 80).await.into_iter().eq(20..100));
}

#[tokio::test]
async fn one_member_may_hold_as_much_as_the_process() {
    let server = server!();
    let bus = bus(&server);
    let mut member = join(&bus).await;
    publish(&bus, 0..1_100).await;
    let mut held = Vec::new();
    for _ in 0..1_024 {
        held.push(next(&mut member).await);
    }
    expect_quiet(&mut member).await;
}

#[tokio::test]
async fn a_member_that_stands_still_keeps_only_what_it_took() {
    let server = server!();
    let bus = bus(&server);
    let mut works = join(&bus).await;
    let mut stands = join(&bus).await;
    publish(&bus, 0..2).await;
    let held = next(&mut stands).await;
    publish(&bus, 2..3_000).await;
    let mut seen = take(&mut works, 2_999 - 16).await;
    seen.push(number(&held));
    // The rest is what the standing member took with its first.
    drop(stands);
    seen.extend(take(&mut works, 3_000 - seen.len()).await);
    let seen: BTreeSet<u64> = seen.into_iter().collect();
    assert_eq!(seen.len(), 3_000);
}

#[tokio::test]
async fn local_events_never_touch_the_server() {
    let server = server!();
    let bus = bus(&server);
    let (mut one, mut two) = (join(&bus).await, join(&bus).await);
    let other = SubscribeOptions::new().group("other");
    let mut other = bus.subscribe(TOPIC, other).await.expect("a member");
    let mut monitor = server.monitor().await.expect("a monitor");
    let topic = Topic::from(TOPIC);
    for n in 0..4 {
        let options = PublishOptions::LOCAL_ONLY;
        bus.publish_with(&topic, event(n), options)
            .await
            .expect("published");
    }
    assert_eq!(take(&mut other, 4).await, [0, 1, 2, 3]);
    let refused = next(&mut one).await;
    let again = number(&refused);
    refused.nack().await.expect("nacked");
    let mut seen = BTreeSet::new();
    while seen.len() < 4 {
        let delivery = tokio::select! {
            item = one.next() => item,
            item = two.next() => item,
        };
        let delivery = delivery.expect("open").expect("a delivery");
        assert_eq!(
            delivery.delivery_attempt,
            if number(&delivery) == again { 2 } else { 1 }
        );
        seen.insert(number(&delivery));
        delivery.ack().await.expect("acked");
    }
    let commands = monitor.take().await.expect("commands");
    let wrote = commands
        .iter()
        .filter(|line| matches!(line.command().as_str(), "XADD" | "XACK"));
    assert_eq!(wrote.count(), 0);
}

#[tokio::test]
async fn members_get_batches_by_their_policy() {
    let server = server!();
    let bus = bus(&server);
    let policy = BatchPolicy::new().max_size(3);
    let mut member = bus
        .subscribe(TOPIC, group().batch(policy))
        .await
        .expect("a member");
    publish(&bus, 0..2).await;
    expect_quiet(&mut member).await;
    publish(&bus, 2..3).await;
    assert_eq!(take(&mut member, 3).await, [0, 1, 2]);
    publish(&bus, 3..4).await;
    until("the gathered event", async || {
        bus.flush().await.expect("flushed");
        let item = tokio::time::timeout(Duration::from_millis(5), member.next()).await;
        let Ok(item) = item else { return false };
        assert_eq!(number(&item.expect("open").expect("a delivery")), 3);
        true
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_read_is_buried_and_blocks_nothing() {
    let server = server!();
    let bus = builder(&server)
        .dead_letters("letters")
        .build()
        .expect("a bus");
    let mut member = join(&bus).await;
    publish(&bus, 0..1).await;
    for poison in ["no json", "null", "[1]", "{\"type\":"] {
        let add = ["XADD", KEY, "*", "event", poison];
        server.command(&add).await.expect("XADD");
    }
    publish(&bus, 1..2).await;
    assert_eq!(take(&mut member, 2).await, [0, 1]);
    until("all to be settled", async || {
        pending(&server).await.is_empty()
    })
    .await;
    let letters = bus
        .history(&Topic::from("letters"), 0, 10)
        .await
        .expect("history");
    assert_eq!(letters.len(), 4);
    assert!(
        letters
            .iter()
            .all(|letter| letter.event_type == "malformed")
    );
    let stats = bus.stats();
    assert_eq!((stats.malformed, stats.dead_lettered), (4, 4));
}

#[tokio::test]
async fn an_entry_without_the_field_is_an_empty_event() {
    let server = server!();
    let bus = bus(&server);
    let mut member = join(&bus).await;
    let add = ["XADD", KEY, "*", "other", "x"];
    server.command(&add).await.expect("XADD");
    let delivery = next(&mut member).await;
    assert_eq!(delivery.event_type, "");
    delivery.ack().await.expect("acked");
}

#[tokio::test]
async fn a_key_of_another_type_is_a_typed_error() {
    let server = server!();
    let bus = bus(&server);
    server.command(&["SET", KEY, "x"]).await.expect("SET");
    let error = bus.subscribe(TOPIC, group()).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains(KEY), "{error}");
    assert!(error.to_string().contains("WRONGTYPE"), "{error}");
    server.command(&["DEL", KEY]).await.expect("DEL");
    // While it runs: the last item says why.
    let mut member = join(&bus).await;
    publish(&bus, 0..1).await;
    assert_eq!(take(&mut member, 1).await, [0]);
    let mut other = server.connect().await.expect("a connection");
    for command in [&["MULTI"][..], &["DEL", KEY], &["SET", KEY, "x"], &["EXEC"]] {
        other.call(command).await.expect("executed");
    }
    let error = notice(&mut member).await;
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert!(member.next().await.is_none());
    server.command(&["DEL", KEY]).await.expect("DEL");
    let mut member = join(&bus).await;
    publish(&bus, 1..2).await;
    assert_eq!(take(&mut member, 1).await, [1]);
}

#[tokio::test]
async fn the_group_expires_with_the_stream() {
    let server = server!();
    let ttl = Some(Duration::from_secs(60));
    let bus = builder(&server)
        .stream_idle_ttl(ttl)
        .build()
        .expect("a bus");
    let mut monitor = server.monitor().await.expect("a monitor");
    let _member = join(&bus).await;
    let commands = monitor.take().await.expect("commands");
    let names: Vec<String> = commands.iter().map(|line| line.command()).collect();
    let made: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|name| matches!(*name, "MULTI" | "XGROUP" | "PEXPIRE" | "EXEC"))
        .collect();
    assert_eq!(made, ["MULTI", "XGROUP", "PEXPIRE", "EXEC"]);
    // A second process finds the group, and renews the time to live all the same.
    let other = builder(&server)
        .stream_idle_ttl(ttl)
        .build()
        .expect("a bus");
    let _other = join(&other).await;
    let ttl = server.command(&["PTTL", KEY]).await.expect("PTTL");
    assert!((1..=60_000).contains(&ttl.int().expect("a number")));
}
