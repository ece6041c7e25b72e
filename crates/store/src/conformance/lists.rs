//! Lists, filters and pages.

use super::{Outcome, RUNS, Stores, at, ensure, ensure_eq, made, make};
use crate::limits::MAX_PAGE;
use crate::{Commit, Filter, Index, Order, Query, Result, Store};

/// The keys of all pages of `query`.
async fn keys(store: &dyn Store, mut query: Query) -> Result<Vec<String>> {
    let mut keys = Vec::new();
    loop {
        let page = store.list(RUNS, &query).await?;
        keys.extend(page.records.iter().map(|record| record.key.to_string()));
        match page.next {
            // Cursors travel as text.
            Some(next) => query.after = Some(next.to_string().parse()?),
            None => return Ok(keys),
        }
    }
}

async fn make_at(store: &dyn Store, key: &str, index: Index) -> Result<()> {
    store.commit(make(key, index, key)).await.map(drop)
}

/// Lists are ordered by time of creation, then by key, in both directions.
pub async fn lists_follow_the_time_of_creation(stores: &Stores) -> Outcome {
    for (key, created) in [("b", 2), ("d", 1), ("a", 2), ("c", -3)] {
        make_at(&*stores.store, key, Index::new(at(created))).await?;
    }
    let query = Query::default();
    let oldest = keys(&*stores.other, query.clone().order(Order::OldestFirst)).await?;
    ensure_eq!(oldest, ["c", "d", "a", "b"], "oldest first");
    ensure_eq!(
        keys(&*stores.other, query).await?,
        ["b", "a", "d", "c"],
        "newest first"
    );
    Ok(())
}

/// Each member of a filter selects on its own.
pub async fn every_filter_selects(stores: &Stores) -> Outcome {
    let store = &*stores.store;
    make_at(
        store,
        "a1",
        Index::new(at(1)).status("running").group("g").owner("o"),
    )
    .await?;
    make_at(store, "a2", Index::new(at(2)).status("failed").group("h")).await?;
    make_at(store, "b3", Index::new(at(3)).status("running").owner("p")).await?;
    make_at(store, "b4", Index::new(at(4))).await?;
    let all = Filter::new;
    let table = [
        (all(), vec!["a1", "a2", "b3", "b4"]),
        (all().status("running"), vec!["a1", "b3"]),
        (
            all().status("running").status("failed"),
            vec!["a1", "a2", "b3"],
        ),
        (all().status("none"), vec![]),
        (all().status(""), vec![]),
        (all().group("g"), vec!["a1"]),
        (all().owner("p"), vec!["b3"]),
        (all().key_prefix("b"), vec!["b3", "b4"]),
        (all().key_prefix(""), vec!["a1", "a2", "b3", "b4"]),
        (all().created_from(at(3)), vec!["b3", "b4"]),
        (all().created_before(at(3)), vec!["a1", "a2"]),
        (
            all().created_from(at(2)).created_before(at(4)),
            vec!["a2", "b3"],
        ),
        (all().created_from(at(4)).created_before(at(2)), vec![]),
    ];
    for (filter, expected) in table {
        for (order, expected) in [
            (Order::OldestFirst, expected.clone()),
            (Order::NewestFirst, expected.iter().rev().copied().collect()),
        ] {
            for limit in [1, 100] {
                let query = Query::new(filter.clone()).order(order).limit(limit);
                let found = keys(&*stores.other, query).await?;
                ensure_eq!(found, expected, "{order:?}, {limit} per page, {filter:?}");
            }
        }
        let count = stores.other.count(RUNS, &filter).await?;
        ensure_eq!(count, expected.len() as u64, "the count of {filter:?}");
    }
    Ok(())
}

/// Everything that a filter says has to hold.
pub async fn filters_join(stores: &Stores) -> Outcome {
    for (i, status) in ["x", "y"].into_iter().enumerate() {
        for group in ["x", "y"] {
            for owner in ["x", "y"] {
                let key = format!("{status}{group}{owner}");
                let index = Index::new(at(i as i64))
                    .status(status)
                    .group(group)
                    .owner(owner);
                make_at(&*stores.store, &key, index).await?;
            }
        }
    }
    let table = [
        (Filter::new().status("x").group("y"), vec!["xyx", "xyy"]),
        (Filter::new().group("x").owner("y"), vec!["xxy", "yxy"]),
        (Filter::new().status("x").owner("x"), vec!["xxx", "xyx"]),
        (
            Filter::new().owner("y").key_prefix("y").group("y"),
            vec!["yyy"],
        ),
        (
            Filter::new()
                .group("x")
                .status("x")
                .status("y")
                .created_from(at(1)),
            vec!["yxx", "yxy"],
        ),
    ];
    for (filter, expected) in table {
        let query = Query::new(filter.clone()).order(Order::OldestFirst);
        ensure_eq!(keys(&*stores.other, query).await?, expected, "{filter:?}");
    }
    Ok(())
}

/// A record is found by its present index only.
pub async fn a_changed_record_moves_in_the_lists(stores: &Stores) -> Outcome {
    let index = Index::new(at(1)).status("running").group("g");
    make_at(&*stores.store, "a", index.clone()).await?;
    make_at(&*stores.store, "b", index).await?;
    let record = stores.store.get(RUNS, "a").await?;
    let Some(record) = record else {
        return Err(super::Violation::new("the record is not there"));
    };
    let changed = Index::new(at(9)).status("done").owner("o");
    stores
        .store
        .commit(Commit::new().replace(&record, changed, ""))
        .await?;
    for (filter, expected) in [
        (Filter::new().status("running"), vec!["b"]),
        (Filter::new().status("done"), vec!["a"]),
        (Filter::new().group("g"), vec!["b"]),
        (Filter::new().owner("o"), vec!["a"]),
        (Filter::new(), vec!["a", "b"]),
    ] {
        let found = keys(&*stores.other, Query::new(filter.clone())).await?;
        ensure_eq!(found, expected, "{filter:?}");
    }
    Ok(())
}

/// Pages of every size add up to the list.
pub async fn pages_join_without_seam(stores: &Stores) -> Outcome {
    let mut commit = Commit::new();
    for i in 0..23 {
        // Several with the same time of creation, so that the key decides at page ends.
        let index = Index::new(at(i / 5)).group("g");
        commit = commit.put(RUNS, format!("r{i:02}"), crate::Expect::Absent, index, "");
    }
    stores.store.commit(commit).await?;
    for filter in [Filter::new(), Filter::new().group("g")] {
        for order in [Order::OldestFirst, Order::NewestFirst] {
            let query = Query::new(filter.clone()).order(order);
            let whole = keys(&*stores.other, query.clone()).await?;
            ensure_eq!(whole.len(), 23, "the length of the list");
            for limit in [1, 4, 5, 22, 23, 24] {
                let pages = keys(&*stores.other, query.clone().limit(limit)).await?;
                ensure_eq!(pages, whole, "pages of {limit}, {order:?}");
            }
        }
    }
    Ok(())
}

/// Records that are there all the time come once, whatever is made and deleted between two pages.
pub async fn pages_are_stable_under_writes(stores: &Stores) -> Outcome {
    for i in 0..6 {
        make_at(&*stores.store, &format!("r{i}"), Index::new(at(i * 10))).await?;
    }
    let query = Query::default().order(Order::OldestFirst).limit(3);
    let first = stores.store.list(RUNS, &query).await?;
    ensure_eq!(first.records.len(), 3, "the first page");
    let last_version = first.records[2].version;
    stores
        .store
        .commit(Commit::new().delete(RUNS, "r2", last_version))
        .await?;
    make_at(&*stores.store, "early", Index::new(at(5))).await?;
    make_at(&*stores.store, "late", Index::new(at(35))).await?;
    let rest = keys(&*stores.other, query.after(first.next)).await?;
    ensure_eq!(rest, ["r3", "late", "r4", "r5"], "the rest of the list");
    Ok(())
}

/// `%`, `_` and other characters that databases interpret mean themselves in a prefix.
pub async fn prefixes_are_taken_literally(stores: &Stores) -> Outcome {
    for key in [
        "a%b",
        "a%",
        "a_b",
        "axb",
        "A%b",
        "a\\b",
        "a*b",
        "aüb",
        "\u{10ffff}z",
        "'",
    ] {
        make_at(&*stores.store, key, Index::new(at(0))).await?;
    }
    for (prefix, expected) in [
        ("a%", vec!["a%", "a%b"]),
        ("a_", vec!["a_b"]),
        ("a\\", vec!["a\\b"]),
        ("a*", vec!["a*b"]),
        ("aü", vec!["aüb"]),
        ("\u{10ffff}", vec!["\u{10ffff}z"]),
        ("'", vec!["'"]),
        ("A", vec!["A%b"]),
    ] {
        let query = Query::new(Filter::new().key_prefix(prefix)).order(Order::OldestFirst);
        ensure_eq!(
            keys(&*stores.other, query).await?,
            expected,
            "prefix {prefix:?}"
        );
    }
    Ok(())
}

/// The order of keys is that of their bytes, in every locale.
pub async fn keys_are_ordered_by_their_bytes(stores: &Stores) -> Outcome {
    let sorted = [
        "A",
        "B",
        "Z",
        "a",
        "a-b",
        "a.b",
        "ab",
        "b",
        "z",
        "ä",
        "ö",
        "\u{1f600}",
    ];
    for key in sorted.iter().rev() {
        made(&*stores.store, key).await?;
    }
    let query = Query::default().order(Order::OldestFirst).limit(5);
    ensure_eq!(keys(&*stores.other, query).await?, sorted, "the order");
    Ok(())
}

/// A page has at most `MAX_PAGE` items however many are asked for, and says how to go on.
pub async fn a_page_is_bounded_in_items(stores: &Stores) -> Outcome {
    let count = MAX_PAGE + 5;
    for chunk in [0..count / 2, count / 2..count] {
        let commit = chunk.fold(Commit::new(), |commit, i| {
            let index = Index::new(at(0)).due(at(0));
            commit.put(RUNS, format!("{i:05}"), crate::Expect::Absent, index, "")
        });
        stores.store.commit(commit).await?;
    }
    let page = stores
        .other
        .list(RUNS, &Query::default().limit(usize::MAX))
        .await?;
    ensure_eq!(page.records.len(), MAX_PAGE, "the length of the page");
    ensure!(page.next.is_some(), "the page says that the list ends");
    let all = keys(&*stores.other, Query::default().limit(usize::MAX)).await?;
    ensure_eq!(all.len(), count, "the length of the list");
    let due = stores.other.due(RUNS, at(0), usize::MAX).await?;
    ensure_eq!(due.len(), MAX_PAGE, "the number of due records");
    Ok(())
}
