//! Reading gives the events from an index on, whatever stands in the list.

use bowline_events::{ErrorKind, EventCache, Topic};
use bowline_testkit::{RedisServer, skips_redis};

use crate::support::{
    all, builder, cache, elements, event, indices, list, node_append, node_record, numbers, push,
};

#[tokio::test]
async fn a_topic_without_history_reads_as_an_empty_page() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::start().await.unwrap();
    let cache = cache(&server);
    for (from, limit) in [
        (0, 0),
        (0, 10),
        (7, 10),
        (u64::MAX, 0),
        (u64::MAX, usize::MAX),
    ] {
        let page = cache.read(&"t".into(), from, limit).await.unwrap();
        assert_eq!((page.first, page.end, page.events.len()), (0, 0, 0));
        assert_eq!(page.generation, None);
    }
}

#[tokio::test]
async fn any_part_of_a_long_history_can_be_read() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::start().await.unwrap();
    let cache = cache(&server);
    let topic = Topic::from("long");
    let script = "for n = 0, 9999 do redis.call('RPUSH', KEYS[1], '{\"index\":' .. n .. ',\"type\":\"chunk\",\"runId\":\"r\",\"data\":' .. n .. ',\"id\":\"i' .. n .. '\",\"createdAt\":\"1970-01-01T00:00:00.000Z\"}') end redis.call('SET', KEYS[2], 10000)";
    let list = list(&topic);
    let counter = format!("{list}:counter");
    server
        .command(&["EVAL", script, "2", &list, &counter])
        .await
        .unwrap();
    for (from, limit) in [
        (0, 10_000),
        (0, usize::MAX),
        (0, 1),
        (1, 511),
        (1, 512),
        (1, 513),
        (4_321, 5_000),
        (9_990, 100),
        (9_999, 1),
        (10_000, 10),
        (20_000, 10),
        (5_000, 0),
        (u64::MAX, 1),
    ] {
        let page = cache.read(&topic, from, limit).await.unwrap();
        let end = from.saturating_add(limit as u64).min(10_000);
        let expected: Vec<_> = (from..end.max(from)).collect();
        assert_eq!(indices(&page), expected, "{from} {limit}");
        assert_eq!(numbers(&page), expected);
        assert_eq!((page.first, page.end), (0, 10_000));
        assert_eq!(page.generation.as_deref(), Some("i0"));
    }
}

#[tokio::test]
async fn what_is_no_event_is_passed_over() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::start().await.unwrap();
    let cache = cache(&server);
    let topic = Topic::from("t");
    let poison = [
        "",
        "not JSON",
        "7",
        "null",
        "[]",
        "{}",
        r#"{"type":"x","id":"no index"}"#,
        "\"\u{0}\"",
    ];
    let mut generation = None;
    for n in 0..3_u64 {
        let position = cache.append(&topic, event(n)).await.unwrap();
        assert_eq!(position.index, n);
        assert_eq!(
            *generation.get_or_insert(position.generation.clone()),
            position.generation
        );
        for element in poison {
            push(&server, &topic, element).await;
        }
        for _ in 0..600 {
            push(&server, &topic, "poison of more than a page").await;
        }
    }
    cache.append(&topic, event(3)).await.unwrap();
    for from in 0..5 {
        for limit in [1, 2, 10] {
            let page = cache.read(&topic, from, limit).await.unwrap();
            let expected: Vec<_> = (from..4).take(limit).collect();
            assert_eq!(indices(&page), expected, "{from} {limit}");
            assert_eq!((page.first, page.end), (0, 4));
            assert_eq!(page.generation, generation.clone().flatten());
        }
    }
}

#[tokio::test]
async fn a_history_that_begins_and_ends_with_poison_can_be_read_and_appended_to() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::start().await.unwrap();
    let cache = cache(&server);
    let topic = Topic::from("t");
    push(&server, &topic, "poison").await;
    let first = cache.append(&topic, event(0)).await.unwrap();
    push(&server, &topic, "poison").await;
    let page = all(&*cache, &topic).await;
    assert_eq!(numbers(&page), [0]);
    assert_eq!(page.generation, first.generation);
    assert!(page.end > page.events[0].index.unwrap());
    assert!(page.first <= page.events[0].index.unwrap());
}

#[tokio::test]
async fn missing_and_doubled_records_hide_nothing() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::start().await.unwrap();
    let cache = cache(&server);
    let topic = Topic::from("t");
    for n in [0, 1, 2, 5, 6, 6, 7, 20, 21, 22] {
        let record = node_record("chunk", &format!("i{n}"));
        push(
            &server,
            &topic,
            &format!("{{\"index\":{n},{}", &record[1..]),
        )
        .await;
    }
    let kept = [0, 1, 2, 5, 6, 7, 20, 21, 22];
    for from in 0..25 {
        let page = cache.read(&topic, from, 4).await.unwrap();
        let expected: Vec<_> = kept.into_iter().filter(|n| *n >= from).take(4).collect();
        // A doubled record counts for the limit.
        let read = indices(&page);
        assert!(expected.starts_with(&read), "{from}: {read:?}");
        assert!(read.len() + 1 >= expected.len(), "{from}: {read:?}");
        assert_eq!(page.end, 23);
    }
}

#[tokio::test]
async fn a_lost_counter_goes_on_behind_the_list() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::start().await.unwrap();
    let cache = cache(&server);
    let topic = Topic::from("t");
    for n in 0..4 {
        cache.append(&topic, event(n)).await.unwrap();
    }
    cache.trim(&topic, 2).await.unwrap();
    server
        .command(&["DEL", &format!("{}:counter", list(&topic))])
        .await
        .unwrap();
    assert_eq!(cache.append(&topic, event(4)).await.unwrap().index, 4);
    assert_eq!(cache.append(&topic, event(5)).await.unwrap().index, 5);
    assert_eq!(indices(&all(&*cache, &topic).await), [2, 3, 4, 5]);
}

#[tokio::test]
async fn a_lost_list_begins_a_new_generation_at_the_next_index() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::start().await.unwrap();
    let cache = cache(&server);
    let topic = Topic::from("t");
    let old = cache.append(&topic, event(0)).await.unwrap();
    cache.append(&topic, event(1)).await.unwrap();
    server.command(&["DEL", &list(&topic)]).await.unwrap();
    let page = all(&*cache, &topic).await;
    assert_eq!((page.first, page.end, page.generation), (2, 2, None));
    let new = cache.append(&topic, event(2)).await.unwrap();
    assert_eq!(new.index, 2);
    assert_ne!(new.generation, old.generation);
    let page = all(&*cache, &topic).await;
    assert_eq!((page.first, page.end), (2, 3));
    assert_eq!(page.generation, new.generation);
}

#[tokio::test]
async fn a_cleared_history_begins_anew_under_another_name() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::start().await.unwrap();
    let cache = cache(&server);
    let topic = Topic::from("t");
    let mut names = Vec::new();
    for round in 0..3 {
        for n in 0..3 {
            let position = match round {
                1 => {
                    let record = node_record("chunk", &format!("node {n}"));
                    assert_eq!(node_append(&server, &topic, &record, 300).await, n);
                    all(&*cache, &topic).await.generation
                }
                _ => {
                    let position = cache.append(&topic, event(0)).await.unwrap();
                    assert_eq!(position.index, n as u64);
                    position.generation
                }
            };
            names.push(position);
        }
        cache.clear(&topic).await.unwrap();
        cache.clear(&topic).await.unwrap();
        let left = server.command(&["DBSIZE"]).await.unwrap();
        assert_eq!(left.int(), Some(0));
    }
    assert!(names.iter().all(Option::is_some));
    names.dedup();
    assert_eq!(names.len(), 3);
}

#[tokio::test]
async fn trimming_forgets_what_is_before_and_keeps_the_name() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::start().await.unwrap();
    let cache = cache(&server);
    let topic = Topic::from("t");
    cache.trim(&topic, 5).await.unwrap();
    assert_eq!(
        node_append(&server, &topic, &node_record("chunk", "node"), 300).await,
        0
    );
    for n in 1..10 {
        cache.append(&topic, event(n)).await.unwrap();
    }
    for (before, first) in [
        (0, 0),
        (3, 3),
        (2, 3),
        (3, 3),
        (9, 9),
        (10, 10),
        (50, 10),
        (u64::MAX, 10),
    ] {
        cache.trim(&topic, before).await.unwrap();
        let page = all(&*cache, &topic).await;
        assert_eq!((page.first, page.end), (first, 10), "{before}");
        assert_eq!(indices(&page), (first..10).collect::<Vec<_>>(), "{before}");
        assert_eq!(page.generation.as_deref(), Some("node"), "{before}");
        for event in &page.events {
            assert_eq!(event.generation.as_deref(), Some("node"));
            assert_eq!(event.extra, None);
        }
        for from in 0..12 {
            let page = cache.read(&topic, from, 2).await.unwrap();
            let expected: Vec<_> = (from.max(first)..10).take(2).collect();
            assert_eq!(indices(&page), expected, "{before} {from}");
        }
    }
    let position = cache.append(&topic, event(10)).await.unwrap();
    assert_eq!(
        (position.index, position.generation.as_deref()),
        (10, Some("node"))
    );
    let page = all(&*cache, &topic).await;
    assert_eq!((page.first, page.end, numbers(&page)), (10, 11, vec![10]));
    cache.trim(&topic, 11).await.unwrap();
    assert_eq!(all(&*cache, &topic).await.first, 11);
    assert_eq!(elements(&server, &topic).await.len(), 1);
}

#[tokio::test]
async fn a_limit_keeps_the_newest_events_and_the_name() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::start().await.unwrap();
    let cache = builder(&server).max_events(Some(3)).build().unwrap();
    let topic = Topic::from("t");
    let mut name = None;
    for n in 0..20_u64 {
        let position = cache.append(&topic, event(n)).await.unwrap();
        assert_eq!(position.index, n);
        assert_eq!(
            *name.get_or_insert(position.generation.clone()),
            position.generation
        );
        let page = cache.read(&topic, 0, 10).await.unwrap();
        assert_eq!(
            numbers(&page),
            (n.saturating_sub(2)..=n).collect::<Vec<_>>()
        );
        assert_eq!((page.first, page.end), (n.saturating_sub(2), n + 1));
        assert_eq!(page.generation, position.generation);
    }
    let page = cache.read(&topic, 19, 10).await.unwrap();
    assert_eq!(indices(&page), [19]);
}

#[tokio::test]
async fn appends_and_reads_agree_on_the_name_of_any_history() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::start().await.unwrap();
    let cache = cache(&server);
    let heads = [
        r#"{"index":0,"type":"x","runId":"r","data":{"id":"inner"},"id":"outer"}"#,
        r#"{"id":"first","type":"x","data":{"id":"inner"},"index":0}"#,
        r#"{"index":0,"id":"","data":{"id":"a\"b"}}"#,
        r#"{"logGeneration":"of a peer","index":0,"id":"i"}"#,
        r#"{"logGeneration":"","index":0,"id":"i"}"#,
        r#"{"index":0,"logGeneration":"not in front","id":"i"}"#,
        r#"{"index":0,"id":"\ud83d","x":"\"id\":\"y\""}"#,
        "{\"index\":0,\"id\":\"h\u{f6}her \u{0} \n\"}",
        r#""id":"id":"id""#,
        r#"{"index":0,"id":17}"#,
        "poison",
        "",
        "{",
    ];
    let mut named = 0;
    for (place, head) in heads.into_iter().enumerate() {
        let topic = Topic::from(format!("t{place}"));
        push(&server, &topic, head).await;
        let appended = cache.append(&topic, event(1)).await.unwrap();
        let read = all(&*cache, &topic).await;
        assert_eq!(appended.generation, read.generation, "{head}");
        named += usize::from(read.generation.is_some());
    }
    assert_eq!(named, 7);
}

#[tokio::test]
async fn a_negative_counter_is_refused() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::start().await.unwrap();
    let cache = cache(&server);
    let counter = format!("{}:counter", list("t"));
    server.command(&["SET", &counter, "-5"]).await.unwrap();
    let error = cache
        .append(&"t".into(), event(0))
        .await
        .expect_err("a negative counter");
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(elements(&server, "t").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_have_no_gaps_while_others_append_and_trim() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::start().await.unwrap();
    let cache = builder(&server).max_events(Some(300)).build().unwrap();
    let topic = Topic::from("t");
    let writer = tokio::spawn({
        let (cache, topic) = (cache.clone(), topic.clone());
        async move {
            for n in 0..3_000 {
                cache.append(&topic, event(n)).await.unwrap();
            }
        }
    });
    let mut next = 0;
    while next < 3_000 {
        let page = cache.read(&topic, next, 1_000).await.unwrap();
        let read = indices(&page);
        if let Some(first) = read.first() {
            assert!(
                *first == next || *first <= page.first,
                "{first} {next} {}",
                page.first
            );
            let end = first + read.len() as u64;
            assert_eq!(read, (*first..end).collect::<Vec<_>>());
            next = end;
        }
    }
    writer.await.unwrap();
}
