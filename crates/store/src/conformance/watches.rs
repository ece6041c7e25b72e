//! Wake-ups.

use super::{
    DEADLINE, Outcome, RUNS, Stores, TIMERS, Violation, at, ensure, ensure_eq, made, refused,
};
use crate::{Claim, Commit, ErrorKind, Expect, Index, Watch};

async fn wakes(watch: &mut Watch, what: &str) -> Outcome {
    match tokio::time::timeout(DEADLINE, watch.changed()).await {
        Ok(woken) => Ok(woken?),
        Err(_) => Err(Violation::new(format!("{what} wakes nobody"))),
    }
}

/// Commits through a handle wake its watches, once they are done; what happened before does not.
pub async fn a_commit_wakes_the_watchers_of_its_tables(stores: &Stores) -> Outcome {
    made(&*stores.store, "before").await?;
    let mut runs = stores.store.watch(RUNS);
    let mut timers = stores.store.watch(TIMERS);
    let waiting = tokio::spawn(async move {
        wakes(&mut runs, "a commit").await?;
        Ok::<_, Violation>(runs)
    });
    made(&*stores.store, "a").await?;
    let mut runs = super::commits::join(waiting).await??;
    let both = Commit::new()
        .append(RUNS.log("l"), ["x"])
        .append(TIMERS.log("l"), ["x"]);
    stores.store.commit(both).await?;
    wakes(&mut runs, "an append").await?;
    wakes(&mut timers, "an append beside another one").await?;
    Ok(())
}

/// A claim moves due times, which is a change.
pub async fn a_claim_wakes(stores: &Stores) -> Outcome {
    let index = Index::new(at(0)).due(at(0));
    let commit = Commit::new().put(TIMERS, "a", Expect::Absent, index, "");
    stores.store.commit(commit).await?;
    let mut watch = stores.store.watch(TIMERS);
    let claim = Claim::new(at(0), DEADLINE, 1);
    let claimed = stores.store.claim_due(TIMERS, claim).await?;
    ensure!(claimed.len() == 1, "nothing was claimed");
    wakes(&mut watch, "a claim").await
}

/// Who waits when the store is closed is told.
pub async fn closing_wakes(stores: &Stores) -> Outcome {
    let mut watch = stores.store.watch(RUNS);
    let waiting = tokio::spawn(async move { watch.changed().await });
    tokio::task::yield_now().await;
    stores.store.close().await?;
    let waited = tokio::time::timeout(DEADLINE, waiting).await;
    let waited = waited.map_err(|_| Violation::new("the watch goes on"))?;
    let error = refused(
        waited.map_err(|error| Violation::new(error.to_string()))?,
        "waiting",
    )?;
    ensure_eq!(error.kind(), ErrorKind::Closed, "the kind of error");
    let error = refused(
        stores.store.watch(RUNS).changed().await,
        "a watch of a closed store",
    )?;
    ensure_eq!(error.kind(), ErrorKind::Closed, "the kind of error");
    Ok(())
}
