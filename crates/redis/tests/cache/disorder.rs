//! Lists whose records stand in another order than that of their indices, as appends in two steps can leave them.

use std::time::Duration;

use bowline_events::codec::date::format_iso;
use bowline_events::{EventCache, Timestamp, Topic};
use bowline_redis::RedisCache;
use bowline_testkit::{PATIENCE, RedisCluster, RedisServer, Reply, skips_redis};

use crate::support::{all, indices, keys};

/// A cluster of one node, so that commands need not look for theirs. The cache cannot know that.
struct Stage {
    cluster: RedisCluster,
    cache: RedisCache,
}

impl Stage {
    async fn set() -> Self {
        let cluster = RedisCluster::start(1).await.unwrap();
        let cache = RedisCache::builder(cluster.url()).cluster(true).build();
        Self {
            cache: cache.unwrap(),
            cluster,
        }
    }

    fn server(&self) -> &RedisServer {
        &self.cluster.nodes()[0]
    }

    /// Puts a record with `index` at the end of the list, as created at `when`.
    async fn push(&self, topic: &str, index: u64, when: Timestamp) {
        let created = format_iso(when.as_millis());
        let record = format!(
            r#"{{"type":"chunk","runId":"r","id":"i{index}","createdAt":"{created}","index":{index}}}"#
        );
        self.command(&["RPUSH", &keys(topic).1, &record]).await;
    }

    /// A history of these records, in this order, of which `count` indices were given.
    async fn history(&self, topic: &str, records: &[u64], count: u64, when: Timestamp) {
        for index in records {
            self.push(topic, *index, when).await;
        }
        let count = count.to_string();
        self.command(&["SET", &keys(topic).0, &count]).await;
    }

    async fn command(&self, words: &[&str]) -> Reply {
        self.server().command(words).await.unwrap()
    }

    /// How many parts of lists were read.
    async fn looks(&self) -> u64 {
        let stats = self.command(&["INFO", "commandstats"]).await;
        let stats = stats.text().unwrap();
        let line = stats.lines().find(|line| line.contains("_lrange:calls="));
        let calls = line.and_then(|line| line.split_once('=')?.1.split(',').next()?.parse().ok());
        calls.unwrap_or(0)
    }
}

fn long_ago() -> Timestamp {
    Timestamp::from_millis(1_000)
}

#[tokio::test]
async fn a_read_waits_for_the_record_that_is_overtaken_at_the_beginning() {
    if skips_redis() {
        return;
    }
    let stage = Stage::set().await;
    for (there, from, read) in [
        (&[1][..], 0, &[0, 1][..]),
        (&[2, 1], 0, &[0, 1, 2]),
        (&[1, 2, 3], 2, &[2, 3]),
        (&[], 0, &[0]),
    ] {
        let topic = Topic::from(format!("{there:?}"));
        let count = there.len() as u64 + 1;
        stage.history(&topic, there, count, Timestamp::now()).await;
        let looks = stage.looks().await;
        let reading = tokio::spawn(stage.cache.read(&topic, from, 10));
        tokio::time::timeout(PATIENCE, async {
            // Several looks, each of which reads three parts of the list or four.
            while stage.looks().await < looks + 10 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await
        .expect("the list is looked at again");
        assert!(!reading.is_finished(), "{there:?}");
        stage.push(&topic, 0, Timestamp::now()).await;
        let page = reading.await.unwrap().unwrap();
        assert_eq!(indices(&page), read, "{there:?}");
        assert_eq!((page.first, page.end), (0, count), "{there:?}");
    }
}

#[tokio::test]
async fn a_list_that_was_lost_begins_above_0() {
    if skips_redis() {
        return;
    }
    let stage = Stage::set().await;
    let long: Vec<_> = (3..67).collect();
    for (name, records, when) in [
        ("old", &[3, 4][..], long_ago()),
        ("old and in disorder", &[5, 3, 4], long_ago()),
        ("of now", &[3, 4], Timestamp::now()),
        ("long", &long, Timestamp::now()),
    ] {
        let topic = Topic::from(name);
        let end = records.iter().max().unwrap() + 1;
        stage.history(&topic, records, end, when).await;
        for from in [0, 3] {
            let page = stage.cache.read(&topic, from, 100).await.unwrap();
            assert_eq!((page.first, page.end), (3, end), "{name}");
            assert_eq!(indices(&page), (3..end).collect::<Vec<_>>(), "{name}");
        }
        stage.cache.trim(&topic, 2).await.unwrap();
        assert_eq!(all(&stage.cache, &topic).await.first, 3, "{name}");
    }
    stage.history("empty", &[], 4, long_ago()).await;
    let page = all(&stage.cache, &"empty".into()).await;
    assert_eq!((page.first, page.end, page.generation), (4, 4, None));
}

#[tokio::test]
async fn trimming_forgets_by_index_in_every_order() {
    if skips_redis() {
        return;
    }
    let stage = Stage::set().await;
    for order in orders(&[0, 1, 2, 3]) {
        for before in 0..=4 {
            let topic = Topic::from(format!("{order:?} {before}"));
            stage.history(&topic, &order, 4, long_ago()).await;
            let name = format!("i{}", order[0]);
            // Never the other way round.
            for trim in [before, before / 2] {
                stage.cache.trim(&topic, trim).await.unwrap();
                let page = all(&stage.cache, &topic).await;
                assert_eq!((page.first, page.end), (before, 4), "{topic}");
                assert_eq!(indices(&page), (before..4).collect::<Vec<_>>(), "{topic}");
                assert_eq!(page.generation.as_deref(), Some(&*name), "{topic}");
            }
        }
    }
}

#[tokio::test]
async fn a_record_that_comes_after_a_trim_is_kept_or_forgotten_by_its_index() {
    if skips_redis() {
        return;
    }
    let stage = Stage::set().await;
    for (late, read) in [(1, &[2, 3][..]), (2, &[2, 3])] {
        let topic = Topic::from(format!("{late}"));
        let there: Vec<_> = (0..4).filter(|index| *index != late).collect();
        stage.history(&topic, &there, 4, Timestamp::now()).await;
        stage.cache.trim(&topic, 2).await.unwrap();
        stage.push(&topic, late, Timestamp::now()).await;
        let page = all(&stage.cache, &topic).await;
        assert_eq!((page.first, page.end), (2, 4), "{late}");
        assert_eq!(indices(&page), read, "{late}");
    }
}

/// All orders of `items`.
fn orders(items: &[u64]) -> Vec<Vec<u64>> {
    if items.is_empty() {
        return vec![Vec::new()];
    }
    let mut found = Vec::new();
    for (place, first) in items.iter().enumerate() {
        let others = [&items[..place], &items[place + 1..]].concat();
        for mut order in orders(&others) {
            order.insert(0, *first);
            found.push(order);
        }
    }
    found
}
