//! Messages: appending once, in order, and reading in pages.

use bowline_agent::ErrorKind;
use bowline_agent::memory::{MAX_ID, MessageRange};
use bowline_agent::message::Message;

use super::{numbered, numbers, open, stores, texts};

#[tokio::test]
async fn messages_come_back_in_their_order_with_the_names_of_their_thread() {
    for two in stores().await {
        let two = two.with_thread().await;
        let messages = numbered(0..3);
        assert_eq!(two.one.append("t", &messages).await.unwrap(), 3);
        let expected: Vec<Message> = messages
            .into_iter()
            .map(|it| it.with_thread("t", "u"))
            .collect();
        assert_eq!(
            two.other.recent("t", 10).await.unwrap(),
            expected,
            "{}",
            two.name
        );
    }
}

#[tokio::test]
async fn a_message_is_appended_once() {
    for two in stores().await {
        let two = two.with_thread().await;
        for (appended, new) in [(0..2, 2), (0..2, 0), (1..4, 2), (0..5, 1)] {
            let count = two.one.append("t", &numbered(appended)).await.unwrap();
            assert_eq!(count, new, "{}", two.name);
        }
        assert_eq!(two.one.append("t", &numbered([7, 7, 7])).await.unwrap(), 1);
        let found = two.other.recent("t", 10).await.unwrap();
        assert_eq!(texts(&found), numbers([0, 1, 2, 3, 4, 7]), "{}", two.name);
        open(&two.one, "t:1", "u").await;
        assert_eq!(
            two.one.append("t:1", &numbered(0..2)).await.unwrap(),
            2,
            "another thread"
        );
    }
}

#[tokio::test]
async fn appends_of_two_all_happen_and_each_one_in_its_order() {
    for two in stores().await {
        let two = two.with_thread().await;
        let one = async {
            for n in 0..20 {
                two.one.append("t", &numbered([n, 1000])).await.unwrap();
            }
        };
        let other = async {
            for n in 100..120 {
                two.other.append("t", &numbered([1000, n])).await.unwrap();
                two.other.update("t", |_| {}).await.unwrap();
            }
        };
        tokio::join!(one, other);
        let found = texts(&two.one.recent("t", 100).await.unwrap());
        assert_eq!(found.len(), 41, "{}", two.name);
        let of = |range: std::ops::Range<usize>| {
            let known = numbers(range);
            found
                .iter()
                .filter(|it| known.contains(it))
                .cloned()
                .collect::<Vec<_>>()
        };
        assert_eq!(
            (of(0..20), of(100..120)),
            (numbers(0..20), numbers(100..120))
        );
        assert_eq!(of(1000..1001).len(), 1);
    }
}

#[tokio::test]
async fn pages_in_both_directions_have_everything_once() {
    const COUNT: usize = 1203;
    for two in stores().await {
        let two = two.with_thread().await;
        assert_eq!(
            two.one.append("t", &numbered(0..COUNT)).await.unwrap(),
            COUNT
        );
        for limit in [1000, 101, 5000] {
            let mut found = Vec::new();
            let mut range = MessageRange::From(0);
            loop {
                let page = two.other.messages("t", range, limit).await.unwrap();
                assert!(page.messages.len() <= 1000 && page.total == COUNT as u64);
                found.extend(texts(&page.messages));
                if page.end == page.total {
                    break;
                }
                range = MessageRange::From(page.end);
            }
            assert_eq!(found, numbers(0..COUNT), "{} forwards by {limit}", two.name);

            let mut found = Vec::new();
            let mut range = MessageRange::Last;
            loop {
                let page = two.other.messages("t", range, limit).await.unwrap();
                let messages = texts(&page.messages);
                assert_eq!(messages[0], page.first.to_string());
                found.splice(0..0, messages);
                if page.first == 0 {
                    break;
                }
                range = MessageRange::Before(page.first);
            }
            assert_eq!(
                found,
                numbers(0..COUNT),
                "{} backwards by {limit}",
                two.name
            );
        }
    }
}

#[tokio::test]
async fn a_range_outside_of_the_thread_is_empty() {
    for two in stores().await {
        let two = two.with_thread().await;
        for (range, limit) in [(MessageRange::Last, 5), (MessageRange::From(3), 5)] {
            let page = two.one.messages("t", range, limit).await.unwrap();
            assert_eq!(
                (page.messages.len(), page.first, page.end, page.total),
                (0, 0, 0, 0)
            );
        }
        two.one.append("t", &numbered(0..3)).await.unwrap();
        for (range, limit, at) in [
            (MessageRange::Last, 0, 3),
            (MessageRange::From(u64::MAX), 5, 3),
            (MessageRange::Before(0), 5, 0),
        ] {
            let page = two.one.messages("t", range, limit).await.unwrap();
            assert_eq!(
                (page.messages.len(), page.first, page.end),
                (0, at, at),
                "{range:?}"
            );
        }
        let page = two
            .one
            .messages("t", MessageRange::Before(u64::MAX), 2)
            .await
            .unwrap();
        assert_eq!(texts(&page.messages), numbers([1, 2]));
    }
}

#[tokio::test]
async fn a_page_of_large_messages_ends_at_its_bytes_next_to_where_it_was_asked_for() {
    // What a page of a store holds, all of them fulfil alike.
    let two = stores().await.remove(0).with_thread().await;
    let large = |n: usize| Message::user("x".repeat(5 << 20)).with_id(n.to_string());
    let messages: Vec<Message> = (0..5).map(large).collect();
    two.one.append("t", &messages).await.unwrap();
    let page = two.one.messages("t", MessageRange::Last, 5).await.unwrap();
    assert!((1..5).contains(&page.messages.len()));
    assert_eq!(page.end, 5);
    let page = two
        .one
        .messages("t", MessageRange::From(0), 5)
        .await
        .unwrap();
    assert!((1..5).contains(&page.messages.len()));
    assert_eq!(page.first, 0);
}

#[tokio::test]
async fn what_cannot_be_appended_is_named_and_nothing_is() {
    for two in stores().await {
        let two = two.with_thread().await;
        let long = "x".repeat(MAX_ID + 1);
        for (message, kind) in [
            (Message::user("a").with_id(""), ErrorKind::InvalidInput),
            (Message::user("a").with_id(long), ErrorKind::InvalidInput),
            (
                Message::user("a").with_thread("other", "u"),
                ErrorKind::InvalidInput,
            ),
            (Message::user("x".repeat(16 << 20)), ErrorKind::TooLarge),
        ] {
            let both = [Message::user("good"), message];
            let error = two.one.append("t", &both).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{}: {error}", two.name);
        }
        assert_eq!(two.one.recent("t", 9).await.unwrap(), []);
    }
}
