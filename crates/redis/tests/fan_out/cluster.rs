//! Topics on different nodes of a cluster.

use bowline_events::{PubSub, StartFrom};
use bowline_redis::RedisStreamsPubSub;
use bowline_testkit::RedisCluster;

use crate::support::*;

#[tokio::test]
async fn topics_on_different_nodes_are_read_side_by_side() {
    need_redis!();
    let cluster = RedisCluster::start(3).await.expect("a cluster");
    let open = || {
        let builder = RedisStreamsPubSub::builder(cluster.url()).cluster(true);
        builder.build().expect("a bus")
    };
    let (reads, writes) = (open(), open());
    let topics: Vec<String> = (0..12).map(|n| format!("t{n}")).collect();
    let mut readers = Vec::new();
    for topic in &topics {
        publish(&writes, topic, 0..2).await;
        let live = listen(&reads, topic).await;
        let past = read_from(&reads, topic, StartFrom::Earliest).await;
        readers.push((topic, live, past));
    }
    for (topic, live, past) in &mut readers {
        publish(&writes, topic, 2..30).await;
        expect(live, 2..30).await;
        expect(past, 0..30).await;
    }
    let nodes = cluster.nodes();
    for (topic, live, past) in readers {
        live.unsubscribe().await.expect("unsubscribed");
        past.unsubscribe().await.expect("unsubscribed");
        writes
            .clear_topic(&topic.as_str().into())
            .await
            .expect("cleared");
    }
    for node in nodes {
        assert_eq!(keys(node).await, Vec::<String>::new());
    }
}
