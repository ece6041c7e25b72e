//! What is left of a thread that was deleted: nothing.

use bowline_agent::ErrorKind;
use bowline_agent::memory::{ThreadDetails, ThreadQuery};
use bowline_store::{Commit, Table};

use super::{numbered, numbers, open, stores, texts};

const THREADS: Table = Table::new("threads");

#[tokio::test]
async fn a_deleted_thread_leaves_nothing() {
    for two in stores().await {
        let before = two.left().await;
        let two = two.with_thread().await;
        open(&two.one, "t2", "u").await;
        two.one.append("t", &numbered(0..1100)).await.unwrap();
        two.one.append("t2", &numbered(0..2)).await.unwrap();
        assert!(two.other.delete("t").await.unwrap());
        assert!(!two.one.delete("t").await.unwrap());
        assert_eq!(two.one.thread("t").await.unwrap(), None);
        let error = two.one.recent("t", 1).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(
            texts(&two.one.recent("t2", 5).await.unwrap()),
            numbers(0..2),
            "the other one"
        );
        assert!(two.one.delete("t2").await.unwrap());
        assert_eq!(two.left().await, before, "{}", two.name);
    }
}

#[tokio::test]
async fn a_thread_of_an_old_name_begins_empty_and_takes_old_ids() {
    for two in stores().await {
        let two = two.with_thread().await;
        two.one.append("t", &numbered(0..3)).await.unwrap();
        two.one.delete("t").await.unwrap();
        open(&two.other, "t", "v").await;
        assert_eq!(two.other.recent("t", 5).await.unwrap(), []);
        assert_eq!(
            two.other.append("t", &numbered(1..2)).await.unwrap(),
            1,
            "{}",
            two.name
        );
        assert_eq!(
            texts(&two.other.recent("t", 5).await.unwrap()),
            numbers(1..2)
        );
    }
}

#[tokio::test]
async fn a_deletion_that_was_cut_off_is_finished_by_the_next_who_comes() {
    for two in stores().await {
        let before = two.left().await;
        for opens in [true, false] {
            open(&two.one, "t", "u").await;
            two.one.append("t", &numbered(0..3)).await.unwrap();
            // What the first commit of a deletion leaves.
            let record = two.store.get(THREADS, "t").await.unwrap().unwrap();
            let index = record.index.clone().status("deleting");
            let marked = Commit::new().replace(&record, index, record.body.clone());
            let marked = marked.drop_log(Table::new("messages").log("t"));
            two.store.commit(marked).await.unwrap();

            assert_eq!(two.other.thread("t").await.unwrap(), None, "{}", two.name);
            let listed = two.other.threads(&ThreadQuery::all()).await.unwrap();
            assert_eq!(listed.threads, []);
            let error = two.other.append("t", &numbered(0..1)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
            if opens {
                let thread = two.other.open("t", "v", ThreadDetails::default());
                assert_eq!(thread.await.unwrap().resource_id, "v");
                assert_eq!(two.other.append("t", &numbered(0..3)).await.unwrap(), 3);
            }
            assert_eq!(two.other.delete("t").await.unwrap(), opens);
            assert_eq!(two.left().await, before, "{}", two.name);
        }
    }
}

#[tokio::test]
async fn nothing_is_appended_behind_a_deletion() {
    for two in stores().await {
        let before = two.left().await;
        for _ in 0..5 {
            open(&two.one, "t", "u").await;
            let append = async {
                let mut n = 0;
                while two.one.append("t", &numbered([n])).await.is_ok() {
                    n += 1;
                }
            };
            let delete = async {
                tokio::task::yield_now().await;
                let (one, other) = tokio::join!(two.other.delete("t"), two.one.delete("t"));
                assert!(one.unwrap() || other.unwrap());
            };
            tokio::join!(append, delete);
            assert_eq!(two.left().await, before, "{}", two.name);
        }
    }
}
