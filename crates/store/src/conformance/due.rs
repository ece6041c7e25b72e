//! Records that are due, and claiming them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::commits::join;
use super::{Outcome, Stores, TIMERS, at, ensure, ensure_eq, refused};
use crate::{Claim, Commit, ErrorKind, Expect, Index, Record, Result, Store};

const LEASE: Duration = Duration::from_millis(100);

async fn timer(store: &dyn Store, key: &str, due: i64) -> Result<()> {
    let index = Index::new(at(0)).status("waiting").due(at(due));
    let commit = Commit::new().put(
        TIMERS,
        key.to_owned(),
        Expect::Absent,
        index,
        key.to_owned(),
    );
    store.commit(commit).await.map(drop)
}

fn keys(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| record.key.as_str()).collect()
}

/// Due records come by time, then by key, and none before its time.
pub async fn due_records_come_in_order(stores: &Stores) -> Outcome {
    for (key, due) in [("c", 10), ("a", 10), ("z", 5), ("b", 11), ("past", -1)] {
        timer(&*stores.store, key, due).await?;
    }
    let due = stores.other.due(TIMERS, at(10), 10).await?;
    ensure_eq!(keys(&due), ["past", "z", "a", "c"], "what is due at 10");
    let next = stores.other.due(TIMERS, at(i64::MAX), 1).await?;
    ensure_eq!(keys(&next), ["past"], "what is due next");
    ensure!(
        stores.other.due(super::RUNS, at(10), 10).await?.is_empty(),
        "another table has timers"
    );
    Ok(())
}

/// A claimed record is due again at the end of the lease, in a new version that its claimer knows.
pub async fn a_claim_takes_and_fences(stores: &Stores) -> Outcome {
    timer(&*stores.store, "a", 10).await?;
    timer(&*stores.store, "b", 20).await?;
    let before = stores.store.due(TIMERS, at(10), 10).await?;
    let claimed = stores
        .store
        .claim_due(TIMERS, Claim::new(at(15), LEASE, 10))
        .await?;
    ensure_eq!(keys(&claimed), ["a"], "what was claimed");
    let record = &claimed[0];
    ensure!(
        record.version > before[0].version,
        "the version has not changed"
    );
    ensure_eq!(record.index.due, Some(at(115)), "the end of the lease");
    ensure_eq!(
        record.index.status,
        before[0].index.status,
        "the rest of the index"
    );
    ensure_eq!(record.body, before[0].body, "the body");
    let read = stores.other.get(TIMERS, "a").await?;
    ensure_eq!(read.as_ref(), Some(record), "the record");
    ensure!(
        stores.other.due(TIMERS, at(16), 10).await?.is_empty(),
        "the claimed record is due"
    );
    let late = Commit::new().delete(TIMERS, "a", before[0].version);
    let error = refused(
        stores.other.commit(late).await,
        "a commit without the claim",
    )?;
    ensure_eq!(error.kind(), ErrorKind::Conflict, "the kind of error");
    stores
        .store
        .commit(Commit::new().delete(TIMERS, "a", record.version))
        .await?;
    Ok(())
}

/// However many claim, each record goes to one of them.
pub async fn two_claimers_never_share(stores: &Stores) -> Outcome {
    const TIMERS_DUE: usize = 60;
    let commit = (0..TIMERS_DUE).fold(Commit::new(), |commit, i| {
        let index = Index::new(at(0)).due(at(1));
        commit.put(TIMERS, format!("t{i}"), Expect::Absent, index, "")
    });
    stores.store.commit(commit).await?;
    let mut claimers = Vec::new();
    for claimer in 0..4 {
        let store = Arc::clone(if claimer % 2 == 0 {
            &stores.store
        } else {
            &stores.other
        });
        claimers.push(tokio::spawn(async move {
            let mut claimed = Vec::new();
            loop {
                let some = store.claim_due(TIMERS, Claim::new(at(1), LEASE, 7)).await?;
                if some.is_empty() && store.due(TIMERS, at(1), 1).await?.is_empty() {
                    return Ok::<_, crate::Error>(claimed);
                }
                claimed.extend(some.into_iter().map(|record| record.key));
            }
        }));
    }
    let mut seen = HashSet::new();
    for claimer in claimers {
        for key in join(claimer).await?? {
            ensure!(seen.insert(key.clone()), "{key} was claimed twice");
        }
    }
    ensure_eq!(seen.len(), TIMERS_DUE, "the number of claimed records");
    Ok(())
}

/// Who is late finds his record claimed by the next.
pub async fn a_lease_that_ended_is_claimed_again(stores: &Stores) -> Outcome {
    timer(&*stores.store, "a", 0).await?;
    let first = stores
        .store
        .claim_due(TIMERS, Claim::new(at(0), LEASE, 1))
        .await?;
    let early = stores
        .other
        .claim_due(TIMERS, Claim::new(at(99), LEASE, 1))
        .await?;
    ensure!(early.is_empty(), "the record was claimed during the lease");
    let second = stores
        .other
        .claim_due(TIMERS, Claim::new(at(100), LEASE, 1))
        .await?;
    ensure_eq!(keys(&second), ["a"], "what was claimed after the lease");
    let late = Commit::new().delete(TIMERS, "a", first[0].version);
    refused(
        stores.store.commit(late).await,
        "the commit of the late claimer",
    )?;
    stores
        .other
        .commit(Commit::new().delete(TIMERS, "a", second[0].version))
        .await?;
    Ok(())
}

/// A record that has lost its due time is not due any more.
pub async fn a_record_without_due_is_never_due(stores: &Stores) -> Outcome {
    timer(&*stores.store, "a", 0).await?;
    let due = stores.store.due(TIMERS, at(0), 1).await?;
    let done = Commit::new().replace(&due[0], due[0].index.clone().due(None), "");
    stores.store.commit(done).await?;
    ensure!(
        stores.other.due(TIMERS, at(i64::MAX), 9).await?.is_empty(),
        "it is due"
    );
    let claimed = stores
        .other
        .claim_due(TIMERS, Claim::new(at(i64::MAX), LEASE, 9))
        .await?;
    ensure!(claimed.is_empty(), "it was claimed");
    Ok(())
}
