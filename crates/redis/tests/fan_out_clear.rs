//! Streams that are deleted under their readers.

use std::time::Duration;

use bowline_events::{
    Delivery, Error, ErrorKind, NewEvent, PubSub, PubSubExt, SubscribeOptions, Subscription, Topic,
};
use bowline_redis::RedisStreamsPubSub;
use bowline_testkit::{PATIENCE, RedisServer};

macro_rules! need_redis {
    () => {
        if bowline_testkit::skips_redis() {
            return;
        }
    };
}

fn event(n: u64) -> NewEvent {
    NewEvent::new("test", "run-1")
        .with_json(n.to_string())
        .expect("JSON")
}

async fn item(subscription: &mut Subscription) -> Result<Delivery, Error> {
    tokio::time::timeout(PATIENCE, subscription.next())
        .await
        .expect("something comes in time")
        .expect("the stream goes on")
}

fn number(delivery: &Delivery) -> u64 {
    delivery.data.parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_behind_a_clear() {
    need_redis!();
    let server = RedisServer::start().await.expect("a server");
    let reads = RedisStreamsPubSub::new(server.url()).expect("a bus");
    let writes = RedisStreamsPubSub::new(server.url()).expect("a bus");
    for round in 0..200 {
        let topic = Topic::from(format!("clear-{round}"));
        let mut reader = reads
            .subscribe(&topic, SubscribeOptions::new())
            .await
            .expect("subscribed");
        for n in 0..10 {
            writes.publish(&topic, event(n)).await.expect("published");
        }
        let clears = if round % 2 == 0 { &reads } else { &writes };
        clears.clear_topic(&topic).await.expect("cleared");
        for n in 100..103 {
            writes.publish(&topic, event(n)).await.expect("published");
        }
        let mut cleared = 0;
        let mut seen = Vec::new();
        while seen.last() != Some(&102) {
            match tokio::time::timeout(Duration::from_secs(3), reader.next()).await {
                Ok(Some(Ok(delivery))) => seen.push(number(&delivery)),
                Ok(Some(Err(error))) if error.kind() == ErrorKind::Cleared => {
                    cleared += 1;
                    seen.clear()
                }
                Ok(other) => panic!("{round}: {other:?}"),
                Err(_) => panic!("{round}: {seen:?} {cleared}"),
            }
        }
        assert_eq!((cleared, seen), (1, vec![100, 101, 102]), "round {round}");
        reader.unsubscribe().await.expect("unsubscribed");
    }
    let _ = item;
}
