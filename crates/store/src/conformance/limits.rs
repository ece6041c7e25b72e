//! Limits and hostile arguments.

use bytes::Bytes;

use super::{Outcome, RUNS, Stores, at, ensure, ensure_eq, made, make, refused};
use crate::limits::{
    MAX_BLOB, MAX_BODY, MAX_ENTRY, MAX_INDEX_TEXT, MAX_KEY, MAX_OPERATIONS, MAX_PAGE,
};
use crate::{Blob, Claim, Commit, Cursor, ErrorKind, Expect, Filter, Index, Keep, Order, Query};

/// The largest key, index texts, body and entry come back whole.
pub async fn sizes_up_to_the_limit_are_taken(stores: &Stores) -> Outcome {
    let key = "k".repeat(MAX_KEY);
    let text = "t".repeat(MAX_INDEX_TEXT);
    let index = Index::new(at(0))
        .status(text.clone())
        .group(text.clone())
        .owner(text.clone())
        .due(at(0));
    let body = Bytes::from(vec![b'b'; MAX_BODY]);
    let entry = Bytes::from(vec![b'e'; MAX_ENTRY]);
    let commit = Commit::new()
        .put(RUNS, key.clone(), Expect::Absent, index, body.clone())
        .append(RUNS.log(key.clone()), [entry.clone(), entry.clone()]);
    stores.store.commit(commit).await?;
    let record = stores.other.get(RUNS, &key).await?;
    ensure!(
        record.is_some_and(|it| it.body == body),
        "the body has changed"
    );
    let query = Query::new(
        Filter::new()
            .group(text.clone())
            .owner(text)
            .key_prefix(key.clone()),
    );
    ensure_eq!(
        stores.other.list(RUNS, &query).await?.records.len(),
        1,
        "the list"
    );
    let page = stores.other.read_log(&RUNS.log(key.clone()), 0, 10).await?;
    ensure!(
        page.entries.len() == 1 && page.entries[0].body == entry,
        "a page has more than its bytes"
    );
    let page = stores.other.read_log(&RUNS.log(key), 1, 10).await?;
    ensure!(
        page.entries.len() == 1 && page.entries[0].body == entry,
        "the second page"
    );
    Ok(())
}

/// One more is `TooLarge`, and nothing was written.
pub async fn larger_ones_are_refused(stores: &Stores) -> Outcome {
    made(&*stores.store, "a").await?;
    let zeros = |bytes| Bytes::from(vec![0; bytes]);
    let table = [
        (
            "a body",
            make("b", Index::new(at(0)), &"b".repeat(MAX_BODY + 1)),
        ),
        (
            "an entry",
            Commit::new().append(RUNS.log("a"), [zeros(MAX_ENTRY + 1)]),
        ),
        (
            "a blob",
            Commit::new().put_blob(RUNS, "a", Blob::new(zeros(MAX_BLOB + 1))),
        ),
        (
            "entries",
            Commit::new().append(RUNS.log("a"), (0..MAX_OPERATIONS).map(|_| "x")),
        ),
        (
            "a commit",
            Commit::new().append(RUNS.log("a"), (0..6).map(|_| zeros(MAX_ENTRY))),
        ),
    ];
    for (what, commit) in table {
        let error = refused(stores.store.commit(commit).await, what)?;
        ensure_eq!(error.kind(), ErrorKind::TooLarge, "the error for {what}");
    }
    let keys = vec!["a".into(); MAX_PAGE + 1];
    let error = refused(stores.store.get_many(RUNS, &keys).await, "too many keys")?;
    ensure_eq!(
        error.kind(),
        ErrorKind::TooLarge,
        "the error for too many keys"
    );
    ensure_eq!(
        stores.other.count(RUNS, &Filter::new()).await?,
        1,
        "the number of records"
    );
    ensure_eq!(
        stores.other.log_info(&RUNS.log("a")).await?,
        None,
        "the log"
    );
    Ok(())
}

/// Empty keys, too long ones, and bytes of value 0 are `InvalidInput`.
pub async fn impossible_keys_are_refused(stores: &Stores) -> Outcome {
    for key in [String::new(), "k".repeat(MAX_KEY + 1), "a\0b".into()] {
        let results = [
            stores
                .store
                .commit(make(&key, Index::new(at(0)), ""))
                .await
                .err(),
            stores
                .store
                .commit(Commit::new().append(RUNS.log(key.clone()), ["x"]))
                .await
                .err(),
            stores.store.get(RUNS, &key).await.err(),
            stores
                .store
                .read_log(&RUNS.log(key.clone()), 0, 1)
                .await
                .err(),
        ];
        for (number, error) in results.into_iter().enumerate() {
            let kind = error.map(|it| it.kind());
            ensure_eq!(
                kind,
                Some(ErrorKind::InvalidInput),
                "operation {number} with {key:?}"
            );
        }
    }
    for text in ["t".repeat(MAX_INDEX_TEXT + 1), "a\0b".into()] {
        let commit = make("a", Index::new(at(0)).status(text), "");
        let error = refused(stores.store.commit(commit).await, "an impossible status")?;
        ensure_eq!(error.kind(), ErrorKind::InvalidInput, "the kind of error");
    }
    Ok(())
}

/// The ends of every range, and empty commits, leave the store usable.
pub async fn extreme_arguments_harm_nobody(stores: &Stores) -> Outcome {
    let store = &*stores.store;
    store.commit(Commit::new()).await?;
    let log = RUNS.log("a");
    store
        .commit(Commit::new().append(log.clone(), Vec::<Bytes>::new()))
        .await?;
    store
        .commit(Commit::new().append(log.clone(), ["x"]).at(at(i64::MAX)))
        .await?;
    store
        .commit(Commit::new().append(log.clone(), ["y"]).at(at(i64::MIN)))
        .await?;
    for time in [i64::MIN, i64::MAX] {
        let commit = make(&format!("r{time}"), Index::new(at(time)).due(at(time)), "");
        store.commit(commit).await?;
    }
    for number in [0, u64::MAX, i64::MAX as u64, i64::MAX as u64 + 1] {
        let check = Commit::new().check(RUNS, "none", Expect::Version(number));
        refused(store.commit(check).await, "a version that is not there")?;
        let append = Commit::new().append_at(log.clone(), number, ["z"]);
        refused(store.commit(append).await, "an end that is not there")?;
        let keep = Keep::default().bytes(number.max(2)).entries(number.max(2));
        store
            .commit(Commit::new().trim(log.clone(), keep).at(at(0)))
            .await?;
        let page = store.read_log(&log, number, usize::MAX).await?;
        ensure_eq!(
            page.entries.len(),
            if number == 0 { 2 } else { 0 },
            "entries from {number} on"
        );
    }
    for order in [Order::NewestFirst, Order::OldestFirst] {
        for created in [i64::MIN, i64::MAX] {
            let cursor = Cursor {
                created: at(created),
                key: "\u{10ffff}".into(),
            };
            let filter = Filter::new()
                .created_from(at(i64::MIN))
                .created_before(at(i64::MAX));
            let query = Query::new(filter)
                .order(order)
                .limit(usize::MAX)
                .after(cursor);
            store.list(RUNS, &query).await?;
        }
        let none = store
            .list(RUNS, &Query::default().order(order).limit(0))
            .await?;
        ensure!(none.records.is_empty(), "a page of no records has some");
    }
    ensure!(
        store.due(RUNS, at(i64::MAX), 0).await?.is_empty(),
        "a limit of 0 has records"
    );
    let claim = Claim::new(at(i64::MAX), std::time::Duration::MAX, usize::MAX);
    ensure_eq!(
        store.claim_due(RUNS, claim).await?.len(),
        2,
        "everything is due at the end of time"
    );
    made(store, "usable").await?;
    Ok(())
}

/// Bodies and entries are bytes: any of them come back.
pub async fn bodies_are_opaque(stores: &Stores) -> Outcome {
    let all: Vec<u8> = (0..=255).collect();
    for (key, body) in [("empty", Vec::new()), ("all", all), ("zeros", vec![0; 9])] {
        let commit = Commit::new()
            .put(RUNS, key, Expect::Absent, Index::new(at(0)), body.clone())
            .append(RUNS.log(key), [body.clone()]);
        stores.store.commit(commit).await?;
        let record = stores.other.get(RUNS, key).await?;
        ensure_eq!(
            record.map(|it| it.body),
            Some(body.clone().into()),
            "the body {key}"
        );
        let page = stores.other.read_log(&RUNS.log(key), 0, 1).await?;
        ensure_eq!(&page.entries[0].body[..], &body[..], "the entry {key}");
    }
    Ok(())
}
