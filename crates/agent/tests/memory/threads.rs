//! Threads: making, finding, changing.

use bowline_agent::Data;
use bowline_agent::ErrorKind;
use bowline_agent::memory::{MAX_ID, MemoryOptions, ThreadDetails, ThreadQuery};

use super::{open, stores};

#[tokio::test]
async fn a_thread_is_made_once_and_is_there_for_everybody() {
    for two in stores().await {
        assert_eq!(two.other.thread("t").await.unwrap(), None);
        let made = two.one.open("t", "u", ThreadDetails::titled("Orders"));
        let made = made.await.unwrap();
        let again = two.other.open("t", "u", ThreadDetails::titled("Other"));
        assert_eq!(again.await.unwrap(), made, "{}", two.name);
        assert_eq!(two.other.thread("t").await.unwrap(), Some(made.clone()));
        assert_eq!((made.id.as_str(), made.resource_id.as_str()), ("t", "u"));
        assert_eq!(made.details.title.as_deref(), Some("Orders"));
    }
}

#[tokio::test]
async fn a_thread_is_not_given_to_another_resource() {
    for two in stores().await {
        open(&two.one, "t", "u").await;
        let error = two.other.open("t", "v", ThreadDetails::default()).await;
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{}", two.name);
        assert_eq!(error.subject(), Some("t"));
        assert!(!error.to_string().contains("\"u\""), "it names no owner");
    }
}

#[tokio::test]
async fn of_two_who_make_a_thread_at_the_same_time_both_get_it() {
    for two in stores().await {
        let (one, other) = tokio::join!(
            two.one.open("t", "u", ThreadDetails::titled("1")),
            two.other.open("t", "u", ThreadDetails::titled("2")),
        );
        assert_eq!(one.unwrap(), other.unwrap(), "{}", two.name);
    }
}

#[tokio::test]
async fn changes_of_two_both_happen() {
    for two in stores().await {
        open(&two.one, "t", "u").await;
        let count = |details: &mut ThreadDetails| {
            let before = details
                .metadata
                .as_ref()
                .map_or(0, |it| it.parse::<u32>().unwrap());
            details.metadata = Some(Data::of(&(before + 1)).unwrap());
        };
        let one = async {
            for _ in 0..10 {
                two.one.update("t", count).await.unwrap();
            }
        };
        let other = async {
            for _ in 0..10 {
                two.other.update("t", count).await.unwrap();
            }
        };
        tokio::join!(one, other);
        let thread = two.one.thread("t").await.unwrap().unwrap();
        assert_eq!(
            thread.details.metadata,
            Some(Data::of(&20).unwrap()),
            "{}",
            two.name
        );
        assert!(thread.updated_at >= thread.created_at);
    }
}

#[tokio::test]
async fn threads_are_listed_by_resource_in_pages() {
    for two in stores().await {
        for id in ["a", "b", "c", "d", "e"] {
            open(&two.one, id, if id == "c" { "v" } else { "u" }).await;
        }
        assert!(two.one.delete("d").await.unwrap());
        let mut found = Vec::new();
        let mut query = ThreadQuery::of("u").limit(2);
        loop {
            let page = two.other.threads(&query).await.unwrap();
            assert!(page.threads.len() <= 2);
            found.extend(page.threads.into_iter().map(|thread| thread.id));
            match page.next {
                Some(next) => query = query.after(next),
                None => break,
            }
        }
        found.sort_by(|a, b| a.as_str().cmp(b));
        assert_eq!(found, ["a", "b", "e"], "{}", two.name);
        let all = two.one.threads(&ThreadQuery::all()).await.unwrap();
        assert_eq!(all.threads.len(), 4);
    }
}

#[tokio::test]
async fn what_is_no_thread_is_named() {
    for two in stores().await {
        let update = two.one.update("nobody's", |_| {}).await.unwrap_err();
        let read = two.one.recent("nobody's", 1).await.unwrap_err();
        let append = two.one.append("nobody's", &[]).await.unwrap_err();
        for error in [update, read, append] {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{}", two.name);
            assert_eq!(error.subject(), Some("nobody's"));
        }
        assert!(!two.one.delete("nobody's").await.unwrap());
        for id in ["", "a\0b", &"x".repeat(MAX_ID + 1)] {
            let thread = two.one.thread(id).await.unwrap_err();
            let opened = two
                .one
                .open("t", id.to_owned(), ThreadDetails::default())
                .await;
            for error in [thread, opened.unwrap_err()] {
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{}", two.name);
            }
        }
        let longest = "x".repeat(MAX_ID);
        let opened = two
            .one
            .open(longest.clone(), longest.clone(), ThreadDetails::default());
        assert_eq!(opened.await.unwrap().id, longest.as_str());
    }
}

#[test]
fn an_agent_remembers_ten_messages_unless_told_otherwise() {
    let options = MemoryOptions::default();
    assert_eq!((options.last_messages, options.read_only), (10, false));
}
