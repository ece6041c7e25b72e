//! Runs of workers that are gone.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bowline_events::Text;
use bowline_store::{Commit, Cursor, Filter, Order, Query};
use tokio::time::Instant;

use super::commit::store_error;
use super::lease::WORKERS;
use super::record::{RUNS, RunRecord};
use super::shared::Shared;
use crate::Result;
use crate::machine::RunStatus;

/// Records that are looked at together.
const PAGE: usize = 500;
/// After how many leases all runs are looked through although nobody died: what somebody had sent before he was given up may
/// have reached the store afterwards. Twice as long after every time that nothing was found, up to the second of them.
const SOON: u32 = 3;
const LATE: u32 = 30;

/// When to look for runs of workers that are gone, however they went.
#[derive(Debug)]
pub(super) struct Orphans {
    lease: Duration,
    looked: Option<Instant>,
    pause: Duration,
    /// Workers that are gone and have left nothing but runs of workflows that nobody here knows.
    for_others: HashSet<Text>,
}

/// What there was to find.
#[derive(Debug, Default)]
struct Found {
    any: bool,
    /// Workers that have runs still, which this engine can take, or cannot.
    waiting: HashSet<Text>,
    foreign: HashSet<Text>,
    /// There was no room for more, so not all were looked at.
    partly: bool,
}

impl Orphans {
    pub(super) fn new(lease: Duration) -> Self {
        Self {
            lease,
            looked: None,
            pause: lease * SOON,
            for_others: HashSet::new(),
        }
    }

    /// Takes the runs of workers that are gone, if there may be some.
    ///
    /// # Errors
    /// What the store says; then it is tried again with the next call.
    pub(super) async fn look(&mut self, shared: &Arc<Shared>) -> Result<()> {
        if !shared.has_room() {
            return Ok(());
        }
        let dead = shared.peers.dead(&shared.worker());
        let died = dead.iter().any(|id| !self.for_others.contains(id));
        let long_ago = self
            .looked
            .is_none_or(|looked| looked.elapsed() >= self.pause);
        let behind = shared.take_left_behind();
        if !died && !long_ago && !behind {
            return Ok(());
        }
        let first = self.looked.replace(Instant::now()).is_none();
        let found = match take_orphans(shared).await {
            Ok(found) => found,
            Err(error) => {
                shared.look_again();
                return Err(error);
            }
        };
        self.pause = match first || died || found.any {
            true => self.lease * SOON,
            false => (self.pause * 2).min(self.lease * LATE),
        };
        self.for_others = match found.partly {
            true => HashSet::new(),
            false => found.foreign,
        };
        self.for_others.retain(|id| !found.waiting.contains(id));
        Ok(())
    }
}

/// Who is there, and who is not, as far as it is known.
struct Roll {
    alive: HashSet<Text>,
    dead: Vec<(Text, u64)>,
    gone: HashSet<Text>,
}

impl Roll {
    async fn call(shared: &Shared) -> Result<Self> {
        let own = shared.worker();
        let (mut alive, mut dead) = (HashSet::new(), Vec::new());
        for peer in shared.peers.look(&*shared.store).await? {
            // Late with its own lease, but not dead.
            match peer.is_dead && peer.id != own {
                true => dead.push((peer.id, peer.version)),
                false => drop(alive.insert(peer.id)),
            }
        }
        let gone = dead.iter().map(|(id, _)| id.clone()).collect();
        Ok(Self { alive, dead, gone })
    }

    /// Whether nobody works on the runs of `worker`. One that is not known may have come after the others were looked at.
    async fn is_gone(&mut self, shared: &Shared, worker: &str) -> Result<bool> {
        if self.alive.contains(worker) {
            return Ok(false);
        }
        if self.gone.contains(worker) {
            return Ok(true);
        }
        let found = shared.store.get(WORKERS, worker).await;
        let found = found.map_err(store_error("recover"))?.is_some();
        let known = if found {
            &mut self.alive
        } else {
            &mut self.gone
        };
        known.insert(worker.to_owned().into());
        Ok(!found)
    }
}

/// Takes the runs of workers that do not exist any more.
async fn take_orphans(shared: &Arc<Shared>) -> Result<Found> {
    let mut roll = Roll::call(shared).await?;
    let mut found = Found::default();
    let mut cursor: Option<Cursor> = None;
    loop {
        let filter = Filter::new().status(RunStatus::Running.as_str());
        let query = Query::new(filter)
            .order(Order::OldestFirst)
            .limit(PAGE)
            .after(cursor.take());
        let page = shared.store.list(RUNS, &query).await;
        let page = page.map_err(store_error("recover"))?;
        for record in &page.records {
            if let Ok(run) = RunRecord::read(record) {
                take_orphan(shared, run, &mut roll, &mut found).await?;
            }
        }
        match page.next {
            Some(_) if !shared.has_room() => {
                found.partly = true;
                return Ok(found);
            }
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    for (worker, version) in roll.dead {
        if !found.waiting.contains(&worker) && !found.foreign.contains(&worker) {
            shared.peers.forget(&worker);
            let commit = Commit::new().delete(WORKERS, worker, version);
            // Whoever was faster has done it.
            let _ = shared.commit(commit).await;
        }
    }
    Ok(found)
}

/// Takes a run if nobody works on it.
async fn take_orphan(
    shared: &Arc<Shared>,
    run: RunRecord,
    roll: &mut Roll,
    found: &mut Found,
) -> Result<()> {
    let Some(worker) = run.body.worker.clone() else {
        return Ok(());
    };
    let own = worker == shared.worker().as_str();
    let left_behind = own && shared.active(&run.id).is_none();
    if !left_behind && !roll.is_gone(shared, &worker).await? {
        return Ok(());
    }
    let worker = Text::from(worker);
    if shared.workflow(&run.workflow).is_none() {
        found.foreign.insert(worker);
        return Ok(());
    }
    found.any = true;
    if !shared.has_room() {
        found.waiting.insert(worker);
        return Ok(());
    }
    tracing::info!(run = %run.id, %worker, "taking over a run from a worker that is gone");
    if let Err(error) = shared.take(run, true).await {
        tracing::warn!(%error, "a run was not taken over");
        shared.look_again();
        found.waiting.insert(worker);
    }
    Ok(())
}
