//! Acknowledgements on the wire.

use bowline_events::{PubSub, PubSubExt};

use crate::support::*;

#[tokio::test]
async fn many_acks_are_few_commands() {
    let server = server!();
    let bus = builder(&server)
        .max_stream_length(None)
        .build()
        .expect("a bus");
    let publishes = (0..10_000).map(|n| {
        let bus = bus.clone();
        tokio::spawn(async move { bus.publish(TOPIC, event(n)).await })
    });
    for published in publishes.collect::<Vec<_>>() {
        published.await.expect("joined").expect("published");
    }
    let mut monitor = server.monitor().await.expect("a monitor");
    let mut member = join(&bus).await;
    let mut acked = 0;
    while acked < 10_000 {
        let batch = member
            .next_batch()
            .await
            .expect("open")
            .expect("deliveries");
        for delivery in batch {
            drop(delivery.ack());
            acked += 1;
        }
    }
    bus.flush().await.expect("flushed");
    assert!(pending(&server).await.is_empty());
    let commands = monitor.take().await.expect("commands");
    let acks: Vec<usize> = commands
        .iter()
        .filter(|line| line.command() == "XACK")
        .map(|line| line.arguments.len() - 3)
        .collect();
    assert_eq!(acks.iter().sum::<usize>(), 10_000);
    assert!(acks.len() < 1_000, "{} commands", acks.len());
    let reads = commands
        .iter()
        .filter(|line| line.command() == "XREADGROUP");
    assert!(reads.count() < 500);
}

#[tokio::test]
async fn the_reads_are_those_of_the_reference() {
    let server = server!();
    let bus = builder(&server).build().expect("a bus");
    let mut monitor = server.monitor().await.expect("a monitor");
    let mut member = join(&bus).await;
    publish(&bus, 0..1).await;
    assert_eq!(take(&mut member, 1).await, [0]);
    let commands = monitor.take().await.expect("commands");
    let of = |name: &str| {
        let line = commands.iter().find(|line| line.command() == name);
        line.expect("the command").arguments.clone()
    };
    assert_eq!(
        of("XGROUP"),
        ["XGROUP", "CREATE", KEY, GROUP, "0", "MKSTREAM"]
    );
    let read = of("XREADGROUP");
    let consumer = read[3].clone();
    assert!(consumer.starts_with("g-"), "{consumer}");
    assert_eq!(consumer.len(), 2 + 36);
    let wanted = [
        "XREADGROUP",
        "GROUP",
        GROUP,
        &consumer,
        "COUNT",
        "10",
        "BLOCK",
        "100",
        "STREAMS",
        KEY,
        ">",
    ];
    assert_eq!(read, wanted);
    let ack = of("XACK");
    assert_eq!(ack[..3], ["XACK", KEY, GROUP]);
    assert_eq!(ack.len(), 4);
}
