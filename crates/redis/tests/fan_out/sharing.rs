//! One connection, one group, one decode for all subscribers of a process.

use std::time::Duration;

use bowline_events::{
    ErrorKind, NewEvent, PubSub, PubSubExt, PublishOptions, StartFrom, SubscribeOptions,
};

use crate::support::*;

async fn connections(server: &bowline_testkit::RedisServer) -> usize {
    let list = command(server, &["CLIENT", "LIST"]).await;
    let list = list.text().expect("text");
    list.lines()
        .filter(|line| {
            line.contains("lib-name=bowline")
                || line.contains("cmd=xreadgroup")
                || line.contains("cmd=xgroup")
                || line.contains("cmd=xrevrange")
                || line.contains("cmd=xadd")
                || line.contains("cmd=xack")
        })
        .count()
}

#[tokio::test]
async fn ten_subscribers_are_two_connections_and_one_group() {
    need_redis!();
    let server = server().await;
    let bus = bus(&server);
    let mut readers = Vec::new();
    for _ in 0..10 {
        readers.push(listen(&bus, "t").await);
    }
    publish(&bus, "t", 0..20).await;
    for reader in &mut readers {
        expect(reader, 0..20).await;
    }
    assert_eq!(connections(&server).await, 2);
    assert_eq!(private_groups(&server, "t").await.len(), 1);
    let info = command(&server, &["XINFO", "GROUPS", "mastra:topic:t"]).await;
    let consumers = info.items()[0]
        .field("consumers")
        .and_then(|field| field.int());
    assert_eq!(consumers, Some(1));
    until("the acknowledgement of all entries", async || {
        let group = private_groups(&server, "t").await.remove(0);
        let pending = command(&server, &["XPENDING", "mastra:topic:t", &group]).await;
        pending.items()[0].int() == Some(0)
    })
    .await;
}

#[tokio::test]
async fn the_last_to_leave_removes_the_group() {
    need_redis!();
    let server = server().await;
    let bus = bus(&server);
    let one = listen(&bus, "t").await;
    let other = listen(&bus, "t").await;
    publish(&bus, "t", 0..3).await;
    one.unsubscribe().await.expect("unsubscribed");
    assert_eq!(private_groups(&server, "t").await.len(), 1);
    other.unsubscribe().await.expect("unsubscribed");
    assert_eq!(private_groups(&server, "t").await.len(), 0);
    assert_eq!(keys(&server).await, ["mastra:topic:t"]);
    drop(listen(&bus, "t").await);
    until("the removal after a drop", async || {
        private_groups(&server, "t").await.is_empty()
    })
    .await;
}

#[tokio::test]
async fn runs_leave_nothing_behind() {
    need_redis!();
    let server = server().await;
    let (reads, writes) = (bus(&server), bus(&server));
    for run in 0..200 {
        let topic = format!("agent.stream.{run}");
        let mut reader = listen(&reads, &topic).await;
        // Some runs say nothing.
        if run % 4 > 0 {
            publish(&writes, &topic, 0..3).await;
            expect(&mut reader, 0..3).await;
            let clears = if run % 4 == 1 { &reads } else { &writes };
            clears
                .clear_topic(&topic.as_str().into())
                .await
                .expect("cleared");
        }
        if run % 8 < 4 {
            reader.unsubscribe().await.expect("unsubscribed");
        }
    }
    reads.close().await.expect("closed");
    until("an empty server", async || keys(&server).await.is_empty()).await;
}

#[tokio::test]
async fn close_removes_all_groups() {
    need_redis!();
    let server = server().await;
    let bus = bus(&server);
    let mut readers = Vec::new();
    for topic in 0..50 {
        readers.push(listen(&bus, &format!("t{topic}")).await);
    }
    assert_eq!(keys(&server).await.len(), 50);
    bus.close().await.expect("closed");
    assert_eq!(keys(&server).await, Vec::<String>::new());
    for mut reader in readers {
        assert!(reader.next().await.is_none());
        reader.unsubscribe().await.expect("nothing is left to do");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_come_while_others_leave() {
    need_redis!();
    let server = server().await;
    let (reads, writes) = (bus(&server), bus(&server));
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let (reads, writes) = (reads.clone(), writes.clone());
        tasks.spawn(async move {
            for round in 0..40 {
                let mut reader = listen(&reads, "t").await;
                let n = 1000 * task + round;
                publish(&writes, "t", n..n + 1).await;
                while number(&delivery(&mut reader).await) != n {}
                match round % 2 {
                    0 => reader.unsubscribe().await.expect("unsubscribed"),
                    _ => drop(reader),
                }
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic");
    }
    until("the removal of the group", async || {
        private_groups(&server, "t").await.is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_topic_joins_while_a_read_is_blocked() {
    need_redis!();
    let server = server().await;
    // Much longer than a test waits for anything.
    let reads = builder(&server)
        .block(Duration::from_secs(3600))
        .build()
        .expect("a bus");
    let writes = bus(&server);
    let mut readers = Vec::new();
    for topic in 0..20_u64 {
        let name = format!("t{topic}");
        let mut reader = listen(&reads, &name).await;
        publish(&writes, &name, 0..3).await;
        expect(&mut reader, 0..3).await;
        readers.push((name, reader));
    }
    for (name, reader) in &mut readers {
        publish(&writes, name, 3..5).await;
        expect(reader, 3..5).await;
    }
    // Leaving does not wait for the blocked read, either.
    for (_, reader) in readers {
        reader.unsubscribe().await.expect("unsubscribed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_topics_share_two_connections() {
    need_redis!();
    const TOPICS: u64 = 2_000;
    let server = server().await;
    let (reads, writes) = (bus(&server), bus(&server));
    let mut readers = Vec::new();
    for topic in 0..TOPICS {
        readers.push(listen(&reads, &format!("t{topic}")).await);
    }
    for topic in 0..TOPICS {
        publish(&writes, &format!("t{topic}"), 0..2).await;
    }
    for reader in &mut readers {
        expect(reader, 0..2).await;
    }
    // One for commands and two lanes; and the other bus.
    assert!(connections(&server).await <= 4);
    reads.close().await.expect("closed");
}

#[tokio::test]
async fn a_nack_is_one_republished_copy() {
    need_redis!();
    let server = server().await;
    let bus = bus(&server);
    let mut readers = [
        listen(&bus, "t").await,
        listen(&bus, "t").await,
        listen(&bus, "t").await,
    ];
    publish(&bus, "t", 0..1).await;
    let mut refusals = Vec::new();
    for reader in &mut readers {
        refusals.push(delivery(reader).await.nack());
    }
    for refusal in refusals {
        refusal.await.expect("nacked");
    }
    for reader in &mut readers {
        let again = delivery(reader).await;
        assert_eq!((again.delivery_attempt, again.seq()), (2, Some(1)));
        again.ack().await.expect("acked");
        expect_quiet(reader).await;
    }
    assert_eq!(
        command(&server, &["XLEN", "mastra:topic:t"]).await.int(),
        Some(2)
    );
}

#[tokio::test]
async fn an_event_that_is_refused_too_often_is_buried_once() {
    need_redis!();
    let server = server().await;
    let bus = builder(&server)
        .max_deliveries(Some(2))
        .dead_letters("dead")
        .build()
        .expect("a bus");
    let mut readers = [listen(&bus, "t").await, listen(&bus, "t").await];
    publish(&bus, "t", 7..8).await;
    for _ in 0..2 {
        for reader in &mut readers {
            delivery(reader).await.nack().await.expect("nacked");
        }
    }
    let mut dead = read_from(&bus, "dead", StartFrom::Earliest).await;
    expect(&mut dead, 7..8).await;
    expect_quiet(&mut dead).await;
    for reader in &mut readers {
        expect_quiet(reader).await;
    }
    assert_eq!(bus.stats().dead_lettered, 1);
}

#[tokio::test]
async fn a_local_redelivery_is_for_one_subscriber_and_costs_nothing() {
    need_redis!();
    let server = server().await;
    let delay = Duration::from_millis(5);
    let redelivery = bowline_redis::Redelivery::GroupLocal { delay };
    let bus = builder(&server)
        .redelivery(redelivery)
        .build()
        .expect("a bus");
    let (mut refuses, mut accepts) = (listen(&bus, "t").await, listen(&bus, "t").await);
    publish(&bus, "t", 0..2).await;
    let first = delivery(&mut refuses).await;
    assert_eq!(number(&first), 0);
    first.nack().await.expect("nacked");
    expect(&mut refuses, 1..2).await;
    let again = delivery(&mut refuses).await;
    assert_eq!(
        (number(&again), again.delivery_attempt, again.seq()),
        (0, 2, Some(0))
    );
    expect(&mut accepts, 0..2).await;
    expect_quiet(&mut accepts).await;
    assert_eq!(
        command(&server, &["XLEN", "mastra:topic:t"]).await.int(),
        Some(2)
    );
}

#[tokio::test]
async fn local_events_reach_all_subscribers_of_the_process_only() {
    need_redis!();
    let server = server().await;
    let (here, there) = (bus(&server), bus(&server));
    publish(&there, "t", 0..2).await;
    let mut live = listen(&here, "t").await;
    let mut past = read_from(&here, "t", StartFrom::Earliest).await;
    let mut other = listen(&there, "t").await;
    let local = NewEvent::new("local", "r");
    here.publish_with(&"t".into(), local, PublishOptions::LOCAL_ONLY)
        .await
        .expect("published");
    publish(&there, "t", 2..3).await;
    let first = delivery(&mut live).await;
    assert_eq!((&*first.event_type, first.seq()), ("local", None));
    let next = delivery(&mut live).await;
    assert_eq!((number(&next), next.seq()), (2, Some(2)));
    let mut seen = Vec::new();
    for _ in 0..4 {
        let delivery = delivery(&mut past).await;
        seen.push((delivery.event_type.to_string(), delivery.seq()));
    }
    seen.sort();
    let entry = |position| ("test".to_owned(), Some(position));
    assert_eq!(
        seen,
        [("local".to_owned(), None), entry(0), entry(1), entry(2)]
    );
    expect(&mut other, 2..3).await;
    expect_quiet(&mut other).await;
}

#[tokio::test]
async fn what_crashed_processes_left_is_swept() {
    need_redis!();
    let server = server().await;
    let key = "mastra:topic:t";
    for group in ["__fanout-old", "__fanout-fresh", "workers"] {
        command(&server, &["XGROUP", "CREATE", key, group, "$", "MKSTREAM"]).await;
    }
    for group in ["__fanout-old", "workers"] {
        command(&server, &["XGROUP", "CREATECONSUMER", key, group, "c"]).await;
    }
    tokio::time::sleep(Duration::from_millis(60)).await;
    command(
        &server,
        &["XGROUP", "CREATECONSUMER", key, "__fanout-fresh", "c"],
    )
    .await;
    // Far longer than the rest of the test takes, or so it is hoped for the fresh one.
    let bus = builder(&server)
        .sweep_idle(Some(Duration::from_millis(50)))
        .build()
        .expect("a bus");
    let _reader = listen(&bus, "t").await;
    until("the sweep", async || {
        !private_groups(&server, "t")
            .await
            .contains(&"__fanout-old".to_owned())
    })
    .await;
    let groups = command(&server, &["XINFO", "GROUPS", key]).await;
    let names: Vec<_> = groups
        .items()
        .iter()
        .filter_map(|group| group.field("name")?.text())
        .collect();
    assert!(names.contains(&"workers".to_owned()));
}

#[tokio::test]
async fn a_closed_bus_takes_no_subscriber() {
    need_redis!();
    let server = server().await;
    let bus = bus(&server);
    bus.close().await.expect("closed");
    let refused = bus
        .subscribe("t", SubscribeOptions::new())
        .await
        .expect_err("closed");
    assert_eq!(refused.kind(), ErrorKind::Closed);
    assert_eq!(keys(&server).await, Vec::<String>::new());
}
