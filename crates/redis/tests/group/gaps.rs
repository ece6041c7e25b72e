//! What was trimmed before the group had read it.

use bowline_testkit::RedisServer;

use crate::support::*;

async fn keep(server: &RedisServer, entries: &str) {
    let trim = ["XTRIM", KEY, "MAXLEN", entries];
    server.command(&trim).await.expect("XTRIM");
}

#[tokio::test]
async fn a_group_that_comes_back_too_late_is_told() {
    let server = server!();
    let bus = bus(&server);
    let mut end = 0;
    for round in 0..3 {
        let mut member = join(&bus).await;
        publish(&bus, end..end + 10).await;
        assert_eq!(
            take(&mut member, 10).await,
            (end..end + 10).collect::<Vec<_>>()
        );
        member.unsubscribe().await.expect("unsubscribed");
        publish(&bus, end + 10..end + 40).await;
        keep(&server, "5").await;
        let mut member = join(&bus).await;
        let missed = notice(&mut member).await.truncated().expect("a range");
        assert_eq!(
            (missed.wanted, missed.first),
            (end + 10, end + 35),
            "round {round}"
        );
        assert_eq!(
            take(&mut member, 5).await,
            (end + 35..end + 40).collect::<Vec<_>>()
        );
        member.unsubscribe().await.expect("unsubscribed");
        end += 40;
    }
}

#[tokio::test]
async fn a_group_that_lost_nothing_is_told_nothing() {
    let server = server!();
    let bus = bus(&server);
    let mut member = join(&bus).await;
    publish(&bus, 0..40).await;
    assert_eq!(take(&mut member, 40).await.len(), 40);
    member.unsubscribe().await.expect("unsubscribed");
    // What was read may go.
    keep(&server, "0").await;
    publish(&bus, 40..90).await;
    let mut member = join(&bus).await;
    assert_eq!(take(&mut member, 50).await, (40..90).collect::<Vec<_>>());
    expect_quiet(&mut member).await;
}

#[tokio::test]
async fn every_member_is_told_while_the_group_runs() {
    let server = server!();
    let bus = builder(&server).max_in_flight(10).build().expect("a bus");
    let (mut one, mut two) = (join(&bus).await, join(&bus).await);
    publish(&bus, 0..100).await;
    let mut held = Vec::new();
    while held.len() < 10 {
        held.push(tokio::select! {
            item = one.next() => item,
            item = two.next() => item,
        });
    }
    keep(&server, "20").await;
    drop(held);
    for member in [&mut one, &mut two] {
        let told = loop {
            match member.next().await.expect("open") {
                Ok(delivery) => delivery.ack().await.expect("acked"),
                Err(notice) => break notice,
            }
        };
        let missed = told.truncated().expect("a range");
        assert_eq!((missed.wanted, missed.first), (10, missed.first));
        assert!(missed.first >= 80, "{missed:?}");
    }
}
