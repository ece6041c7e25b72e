//! A cluster of three nodes: topics on all of them, without hash tags.

use bowline_events::{NewEvent, PubSub, PubSubExt, Topic};
use bowline_redis::RedisStreamsPubSub;
use bowline_testkit::RedisCluster;

fn event(n: u32) -> NewEvent {
    NewEvent::new("test", "run-1")
        .with_json(n.to_string())
        .expect("JSON")
}

#[tokio::test]
async fn topics_live_on_the_nodes_of_their_keys() {
    if bowline_testkit::skips_redis() {
        return;
    }
    let cluster = RedisCluster::start(3).await.expect("a cluster");
    let bus = RedisStreamsPubSub::builder(cluster.url())
        .cluster(true)
        .build()
        .expect("a bus");
    for n in 0..30 {
        let topic = Topic::from(format!("topic-{n}"));
        bus.publish(&topic, event(n)).await.expect("published");
        let kept = bus.history(&topic, 0, 10).await.expect("history");
        assert_eq!(kept.len(), 1);
    }
    let mut used = 0;
    for node in cluster.nodes() {
        let keys = node.command(&["DBSIZE"]).await.expect("DBSIZE");
        used += usize::from(keys.int() > Some(0));
    }
    assert_eq!(used, 3, "all nodes hold streams");
    assert_eq!(bus.topics().await.expect("topics").len(), 30);
    let leases = bus.lease_provider().expect("leases");
    let minute = std::time::Duration::from_secs(60);
    let won = leases
        .acquire("thread", "me", minute)
        .await
        .expect("acquired");
    assert!(won.acquired);
    let lost = leases
        .acquire("thread", "you", minute)
        .await
        .expect("answered");
    assert_eq!((lost.acquired, lost.owner.as_deref()), (false, Some("me")));
    let with_expiry = RedisStreamsPubSub::builder(cluster.url())
        .cluster(true)
        .stream_idle_ttl(Some(minute))
        .build()
        .expect("a bus");
    with_expiry
        .publish("expires", event(1))
        .await
        .expect("published");
}
