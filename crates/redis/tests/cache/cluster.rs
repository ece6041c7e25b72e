//! On Redis Cluster: as everywhere with a hash tag, in two steps without.

use std::sync::Arc;

use bowline_events::{EventCache, Topic};
use bowline_redis::RedisCache;
use bowline_testkit::{RedisCluster, skips_redis};

use crate::support::{all, event, indices, numbers};

fn cache(cluster: &RedisCluster, prefix: &str) -> RedisCache {
    let builder = RedisCache::builder(cluster.url()).cluster(true);
    builder.key_prefix(prefix).build().unwrap()
}

#[tokio::test]
async fn keys_in_two_slots_are_appended_to_in_steps() {
    if skips_redis() {
        return;
    }
    let cluster = RedisCluster::start(3).await.unwrap();
    let caches = [
        cache(&cluster, "mastra:cache:"),
        cache(&cluster, "mastra:cache:"),
    ];
    for topic in (0..4).map(|n| Topic::from(format!("agent.stream.{n}"))) {
        let mut names = Vec::new();
        for n in 0..10_u64 {
            let position = caches[n as usize % 2]
                .append(&topic, event(n))
                .await
                .unwrap();
            assert_eq!(position.index, n);
            names.push(position.generation);
        }
        names.dedup();
        assert!(matches!(names.as_slice(), [Some(_)]), "{names:?}");
        for cache in &caches {
            let page = all(cache, &topic).await;
            assert_eq!(numbers(&page), (0..10).collect::<Vec<_>>());
            assert_eq!((page.first, page.end), (0, 10));
            assert_eq!(page.generation, names[0]);
            assert_eq!(indices(&cache.read(&topic, 4, 3).await.unwrap()), [4, 5, 6]);
        }
        caches[0].trim(&topic, 7).await.unwrap();
        assert_eq!(indices(&all(&caches[1], &topic).await), [7, 8, 9]);
        caches[0].clear(&topic).await.unwrap();
        assert_eq!(all(&caches[1], &topic).await.end, 0);
    }
    for node in cluster.nodes() {
        assert_eq!(node.command(&["DBSIZE"]).await.unwrap().int(), Some(0));
    }
}

#[tokio::test]
async fn a_hash_tag_keeps_both_keys_together() {
    if skips_redis() {
        return;
    }
    let cluster = RedisCluster::start(3).await.unwrap();
    let cache = cache(&cluster, "{cache}:");
    let topic = Topic::from("t");
    for n in 0..5 {
        assert_eq!(cache.append(&topic, event(n)).await.unwrap().index, n);
    }
    let mut found = 0;
    for node in cluster.nodes() {
        let list = node.command(&["KEYS", "{cache}:pubsub:t"]).await.unwrap();
        if list.items().is_empty() {
            continue;
        }
        let elements = node
            .command(&["LRANGE", "{cache}:pubsub:t", "0", "-1"])
            .await;
        assert!(elements.unwrap().texts()[4].starts_with("{\"index\":4,"));
        found += 1;
    }
    assert_eq!(found, 1);
    assert_eq!(numbers(&all(&cache, &topic).await), [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn appends_in_steps_lose_and_double_nothing() {
    if skips_redis() {
        return;
    }
    let cluster = RedisCluster::start(3).await.unwrap();
    let caches = [
        cache(&cluster, "mastra:cache:"),
        cache(&cluster, "mastra:cache:"),
    ];
    let caches = caches.map(Arc::new);
    let topic = Topic::from("agent.stream.0");
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..4_u64 {
        let (cache, topic) = (Arc::clone(&caches[task as usize % 2]), topic.clone());
        tasks.spawn(async move {
            for n in 0..50 {
                cache.append(&topic, event(task * 50 + n)).await.unwrap();
            }
        });
    }
    let mut next = 0;
    while next < 200 {
        let page = caches[0].read(&topic, next, 1_000).await.unwrap();
        for index in indices(&page) {
            assert_eq!(index, next);
            next += 1;
        }
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let mut sent = numbers(&all(&*caches[1], &topic).await);
    sent.sort_unstable();
    assert_eq!(sent, (0..200).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_topics_of_all_nodes_are_listed() {
    if skips_redis() {
        return;
    }
    let cluster = RedisCluster::start(3).await.unwrap();
    let cache = cache(&cluster, "mastra:cache:");
    let topics: Vec<_> = (0..20)
        .map(|n| Topic::from(format!("topic {n:02}")))
        .collect();
    for topic in &topics {
        cache.append(topic, event(0)).await.unwrap();
    }
    let listed = cache.topics().await.unwrap();
    let listed: Vec<_> = listed.into_iter().map(|info| info.topic).collect();
    assert_eq!(listed, topics);
}
