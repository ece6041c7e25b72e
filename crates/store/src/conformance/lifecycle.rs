//! Opening, closing, identity, statistics.

use super::{Outcome, RUNS, Stores, TIMERS, at, ensure, ensure_eq, made, make};
use crate::{
    BlobHash, Claim, Commit, Committed, ErrorKind, Expect, Filter, Index, Query, Store,
    StoreFuture, TableStats,
};

/// After `close` everything is refused with `Closed`; closing again is fine.
pub async fn a_closed_store_refuses(stores: &Stores) -> Outcome {
    let store = &stores.store;
    made(&**store, "a").await?;
    store.close().await?;
    store.close().await?;
    let claim = Claim::new(at(0), super::DEADLINE, 1);
    let errors = [
        made(&**store, "b").await.err(),
        store.get(RUNS, "a").await.err(),
        store.get_many(RUNS, &["a".into()]).await.err(),
        store.list(RUNS, &Query::default()).await.err(),
        store.count(RUNS, &Filter::new()).await.err(),
        store.due(RUNS, at(0), 1).await.err(),
        store.claim_due(RUNS, claim).await.err(),
        store.read_log(&RUNS.log("a"), 0, 1).await.err(),
        store.logs(RUNS, None, 1).await.err(),
        store.blob(BlobHash::of(b"")).await.err(),
        store.stats().await.err(),
    ];
    for (number, error) in errors.into_iter().enumerate() {
        let kind = error.map(|it| it.kind());
        ensure_eq!(
            kind,
            Some(ErrorKind::Closed),
            "the error of operation {number}"
        );
    }
    Ok(())
}

/// All handles on one store name the same data.
pub async fn handles_name_the_same_data(stores: &Stores) -> Outcome {
    ensure!(!stores.store.id().is_empty(), "the data has no name");
    ensure_eq!(stores.store.id(), stores.other.id(), "the names");
    Ok(())
}

/// Statistics follow what is made and deleted.
pub async fn stats_count_what_is_there(stores: &Stores) -> Outcome {
    ensure!(
        stores.store.stats().await?.tables.is_empty(),
        "an empty store has tables"
    );
    let made = make("a", Index::new(at(0)), "")
        .put(RUNS, "b", Expect::Absent, Index::new(at(0)), "")
        .append(TIMERS.log("l"), ["12", "345"])
        .append(RUNS.log("l"), ["1"]);
    let version = stores.store.commit(made).await?.version;
    let stats = stores.other.stats().await?;
    let runs = TableStats {
        table: "runs".into(),
        records: 2,
        logs: 1,
        entries: 1,
        entry_bytes: 1,
    };
    let timers = TableStats {
        table: "timers".into(),
        records: 0,
        logs: 1,
        entries: 2,
        entry_bytes: 5,
    };
    ensure_eq!(stats.tables, [runs, timers.clone()], "the tables");
    let undo = Commit::new()
        .delete(RUNS, "a", version)
        .delete(RUNS, "b", version)
        .drop_log(RUNS.log("l"));
    stores.store.commit(undo).await?;
    ensure_eq!(
        stores.other.stats().await?.tables,
        [timers],
        "the tables that are left"
    );
    Ok(())
}

/// Dropping the future of a commit cancels it or does not, never by half.
pub async fn an_abandoned_commit_happens_as_a_whole_or_not(stores: &Stores) -> Outcome {
    for round in 0..40 {
        let (left, right) = (format!("l{round}"), format!("r{round}"));
        let commit = make(&left, Index::new(at(0)), "").put(
            RUNS,
            right.clone(),
            Expect::Absent,
            Index::new(at(0)),
            "",
        );
        let running = stores.store.commit(commit);
        // Polled once, or not at all.
        if round % 2 == 0 {
            let mut running = running;
            tokio::select! {
                biased;
                done = &mut running => drop(done?),
                () = std::future::ready(()) => {}
            }
        }
    }
    // A commit that is waited for comes after all of them.
    made(&*stores.store, "last").await?;
    for round in 0..40 {
        let left = stores.store.get(RUNS, &format!("l{round}")).await?;
        let right = stores.store.get(RUNS, &format!("r{round}")).await?;
        ensure_eq!(
            left.is_some(),
            right.is_some(),
            "the halves of commit {round}"
        );
    }
    Ok(())
}

/// Reads and commits that were begun and that nobody polls any more keep nothing from others.
pub async fn a_caller_that_stands_still_blocks_nobody(stores: &Stores) -> Outcome {
    let store = &*stores.store;
    let mut reads = Vec::new();
    let mut commits = Vec::new();
    for i in 0..40 {
        let mut read = store.get(RUNS, "a");
        let mut commit = standing(store, i);
        tokio::select! {
            biased;
            _ = &mut read => {}
            _ = &mut commit => {}
            () = std::future::ready(()) => {}
        }
        reads.push(read);
        commits.push(commit);
    }
    let others = async {
        made(store, "a").await?;
        store.get(RUNS, "a").await
    };
    let found = tokio::time::timeout(super::DEADLINE, others).await;
    let found =
        found.map_err(|_| super::Violation::new("others wait for those that stand still"))??;
    ensure!(found.is_some(), "the record is not there");
    Ok(())
}

fn standing(store: &dyn Store, number: u32) -> StoreFuture<'_, Committed> {
    let key = format!("standing-{number}");
    store.commit(make(&key, Index::new(at(0)), ""))
}

/// A commit that says when it happens has that time.
pub async fn the_time_of_a_commit_is_its_own(stores: &Stores) -> Outcome {
    let commit = make("a", Index::new(at(0)), "").at(at(77));
    stores.store.commit(commit).await?;
    let record = stores.other.get(RUNS, "a").await?;
    ensure_eq!(record.map(|it| it.updated), Some(at(77)), "the time");
    Ok(())
}
