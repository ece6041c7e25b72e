//! The lease of an engine: as long as it renews it, its runs are its own.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::{Text, Timestamp};
use bowline_store::{Commit, Expect, Index, Store, Table};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::options::Options;
use super::peers::LOOKS;
use super::shared::{Shared, lock};
use crate::{Error, Result};

/// One record a worker, by a name that no other has had. Its version is the sign of life that the others watch; no time in it
/// means anything to them.
pub(super) const WORKERS: Table = Table::new("workers");

/// The body of the record of a worker.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct WorkerBody {
    pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_millis: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    left: bool,
}

impl WorkerBody {
    /// That of a worker of this process.
    pub(super) fn new(lease: Duration) -> Self {
        Self {
            pid: std::process::id(),
            lease_millis: u64::try_from(lease.as_millis()).ok(),
            left: false,
        }
    }

    /// Reads a body. One that is not ours says nothing.
    pub(super) fn read(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }

    /// How long the worker may be silent, if it says so.
    pub(super) fn lease(&self) -> Option<Duration> {
        self.lease_millis.map(Duration::from_millis)
    }

    /// The worker has gone, and others are to look for its runs at once.
    pub(super) fn leave(mut self) -> Self {
        self.left = true;
        self
    }

    /// Whether the worker has gone and left runs behind.
    pub(super) fn has_left(&self) -> bool {
        self.left
    }

    pub(super) fn json(&self) -> Bytes {
        // Numbers and a flag always have JSON.
        serde_json::to_vec(self).unwrap_or_default().into()
    }
}

/// Enters a worker of a new name.
pub(super) async fn sign_on(store: &dyn Store, options: &Options) -> Result<(Text, u64)> {
    let id: Text = uuid::Uuid::new_v4().to_string().into();
    let now = options.clock.now();
    let body = WorkerBody::new(options.lease).json();
    let commit = Commit::new()
        .put(WORKERS, id.clone(), Expect::Absent, Index::new(now), body)
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
    let created = shared.now();
    while !shared.is_abandoning() {
        sleep(lease / LOOKS).await;
        let worker = shared.worker();
        let sent = Instant::now();
        match shared
            .commit(renewal(&worker, version, created, lease))
            .await
        {
            Ok(committed) => {
                version = committed.version;
                if !shared.hold.prolong(sent) {
                    tracing::warn!(
                        "this engine was late with its lease; others may have taken its runs"
                    );
                }
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
                        shared.hold.end();
                    }
                    Err(_) => continue,
                }
            }
            Err(error) if !shared.hold.is_over() => {
                tracing::warn!(%error, "the lease of this engine was not renewed; trying again");
                continue;
            }
            Err(error) => {
                tracing::warn!(%error, "this engine may have lost its lease; others may take its runs");
                shared.doubt_all();
                continue;
            }
        }
        let sent = Instant::now();
        if let Ok((worker, new)) = sign_on(&*shared.store, &shared.options).await {
            *lock(&shared.worker) = worker;
            version = new;
            shared.hold.prolong(sent);
        }
        shared.doubt_all();
    }
}

fn renewal(worker: &Text, version: u64, created: Timestamp, lease: Duration) -> Commit {
    let (expect, index) = (Expect::Version(version), Index::new(created));
    let body = WorkerBody::new(lease).json();
    Commit::new().put(WORKERS, worker.clone(), expect, index, body)
}

impl Shared {
    /// Lets `commit`, which takes a run from `worker`, happen only if that is still as it was when it was given up. So whoever has
    /// renewed a lease that was over, and finds that a run is its own, knows that it stays so.
    pub(super) fn unless_renewed(&self, commit: Commit, worker: Option<&str>) -> Commit {
        let Some(worker) = worker.filter(|worker| *worker != self.worker().as_str()) else {
            return commit;
        };
        let dead = self.peers.dead_version(worker);
        let expect = dead.map_or(Expect::Absent, Expect::Version);
        commit.check(WORKERS, worker.to_owned(), expect)
    }
}

/// Watches the leases of the others until the engine is closed.
pub(super) async fn watch_others(shared: Arc<Shared>) {
    while !shared.is_closing() {
        match shared.peers.look(&*shared.store).await {
            Ok(_) if !shared.peers.dead(&shared.worker()).is_empty() => shared.due.notify_one(),
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "the leases of the others were not looked at; trying again");
            }
        }
        sleep(shared.peers.pace()).await;
    }
}

/// Leaves at once, so that nobody waits for the end of the lease. When runs were left behind, the others are told to look for
/// them.
pub(super) async fn sign_off(shared: &Shared) {
    let worker = shared.worker();
    if let Ok(Some(record)) = shared.store.get(WORKERS, &worker).await {
        let clean = shared.all_active().is_empty() && !shared.has_left_behind();
        let commit = match clean {
            true => Commit::new().delete(WORKERS, worker, record.version),
            false => {
                let left = WorkerBody::read(&record.body).leave().json();
                Commit::new().replace(&record, record.index.clone(), left)
            }
        };
        if let Err(error) = shared.commit(commit).await {
            tracing::debug!(%error, "the lease of this engine ends by itself");
        }
    }
}
