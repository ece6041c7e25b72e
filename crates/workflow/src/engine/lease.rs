//! The lease of an engine: as long as it renews it, its runs are its own.

use std::sync::Arc;

use bowline_events::Text;
use bowline_store::{Commit, Expect, Index, Store, Table};
use tokio::time::{Instant, sleep};

use super::commit::later;
use super::options::Options;
use super::shared::{Shared, lock};
use crate::{Error, Result};

/// One record a worker; `due` is the end of its lease.
pub(super) const WORKERS: Table = Table::new("workers");

/// Enters a worker of a new name.
pub(super) async fn sign_on(store: &dyn Store, options: &Options) -> Result<(Text, u64)> {
    let id: Text = uuid::Uuid::new_v4().to_string().into();
    let now = options.clock.now();
    let body = format!(r#"{{"pid":{}}}"#, std::process::id());
    let index = Index::new(now).due(later(now, options.lease));
    let commit = Commit::new()
        .put(WORKERS, id.clone(), Expect::Absent, index, body)
        .at(now);
    let committed = store
        .commit(commit)
        .await
        .map_err(|error| Error::store("start", error))?;
    Ok((id, committed.version))
}

/// Renews the lease until the engine is closed. When it was lost, every run is looked at again, and a new one is taken.
pub(super) async fn renew(shared: Arc<Shared>, mut version: u64) {
    let lease = shared.options.lease;
    let mut renewed = Instant::now();
    let created = shared.now();
    while !shared.is_abandoning() {
        sleep(lease / 4).await;
        let worker = shared.worker();
        let index = Index::new(created).due(later(shared.now(), lease));
        let body = format!(r#"{{"pid":{}}}"#, std::process::id());
        let commit = Commit::new().put(
            WORKERS,
            worker.clone(),
            Expect::Version(version),
            index,
            body,
        );
        match shared.commit(commit).await {
            Ok(committed) => {
                version = committed.version;
                renewed = Instant::now();
                // Hints get lost: a run that was cancelled elsewhere is noticed now at the latest.
                shared.doubt_all();
                continue;
            }
            // Nobody else writes it: an answer was lost. Others only remove it.
            Err(error) if error.conflict().is_some() => {
                match shared.store.get(WORKERS, &worker).await {
                    Ok(Some(record)) => {
                        version = record.version;
                        continue;
                    }
                    Ok(None) => {
                        tracing::warn!("this engine has lost its lease; others may take its runs");
                    }
                    Err(_) => continue,
                }
            }
            Err(error) if renewed.elapsed() < lease => {
                tracing::warn!(%error, "the lease of this engine was not renewed; trying again");
                continue;
            }
            Err(error) => {
                tracing::warn!(%error, "this engine may have lost its lease; others may take its runs");
                shared.doubt_all();
                continue;
            }
        }
        if let Ok((worker, new)) = sign_on(&*shared.store, &shared.options).await {
            *lock(&shared.worker) = worker;
            version = new;
            renewed = Instant::now();
        }
        shared.doubt_all();
    }
}

/// Leaves at once, so that nobody waits for the end of the lease. When runs were left behind, the others see that the lease
/// is over and look for them.
pub(super) async fn sign_off(shared: &Shared) {
    let worker = shared.worker();
    if let Ok(Some(record)) = shared.store.get(WORKERS, &worker).await {
        let clean = shared.all_active().is_empty() && !shared.has_left_behind();
        let commit = match clean {
            true => Commit::new().delete(WORKERS, worker, record.version),
            false => {
                let over = record.index.clone().due(shared.now());
                Commit::new().replace(&record, over, record.body.clone())
            }
        };
        if let Err(error) = shared.commit(commit).await {
            tracing::debug!(%error, "the lease of this engine ends by itself");
        }
    }
}
