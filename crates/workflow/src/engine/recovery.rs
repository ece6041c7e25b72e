//! Noticing what is due: runs that begin, wake up, were left behind, or are over.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bowline_events::{Text, Timestamp, Topic};
use bowline_store::{Commit, Expect, Filter, Order, Query, Record, Table};
use tokio::time::{Instant, sleep};

use super::commit::{later, store_error};
use super::orphans::Orphans;
use super::record::{JOURNAL, RUNS, RunRecord};
use super::shared::Shared;
use crate::machine::RunStatus;
use crate::outlet::Outlet;
use crate::{Error, Result};

/// Records that are looked at together.
const PAGE: usize = 500;
/// How much later a run is looked at again that nobody here can work on.
const POSTPONED: Duration = Duration::from_secs(5);
/// How long engines that know the workflow of a run have time to remove it.
const LEFT_BEHIND: Duration = Duration::from_secs(60);
/// How much later a record is looked at again that cannot be read.
const SET_ASIDE: Duration = Duration::from_secs(60);

/// Does what is due until the engine is closed.
pub(super) async fn keep_watch(shared: Arc<Shared>) {
    let mut orphans = Orphans::new(shared.options.lease);
    let mut pending = None;
    while !shared.is_closing() {
        let looked = shared.now();
        shared.kept.forget(shared.options.lease);
        if let Err(error) = look(&shared, &mut orphans, &mut pending, looked).await {
            tracing::warn!(%error, "the store was not asked what is due; trying again");
        }
        let wait = next_due(&shared, looked).await.min(shared.options.poll);
        tokio::select! {
            () = sleep(wait) => {}
            () = shared.due.notified() => {}
        }
    }
}

/// How long nothing is due that was not when it was `looked` at: what was due then and still is, is for others.
async fn next_due(shared: &Shared, looked: Timestamp) -> Duration {
    if !shared.has_room() {
        return shared.options.poll;
    }
    let end = Timestamp::from_millis(i64::MAX);
    // Mostly there is nothing that is for others.
    for limit in [1, PAGE] {
        let records = shared.store.due(RUNS, end, limit).await.unwrap_or_default();
        let mut due = records.iter().filter_map(|record| record.index.due);
        match due.find(|due| *due > looked) {
            Some(next) => return shared.until(next),
            None if records.len() < limit => break,
            None => {}
        }
    }
    shared.options.poll
}

/// `pending`: when all runs that wait for somebody were looked at.
async fn look(
    shared: &Arc<Shared>,
    orphans: &mut Orphans,
    pending: &mut Option<Instant>,
    now: Timestamp,
) -> Result<()> {
    shared.sweep_outbox().await;
    take_due(shared, now).await?;
    shared.tell_for_others(now).await?;
    if pending.is_none_or(|looked| looked.elapsed() >= shared.options.lease) {
        *pending = Some(Instant::now());
        take_pending(shared, now).await?;
    }
    orphans.look(shared).await
}

/// Begins, wakes up, clears and deletes what is due.
async fn take_due(shared: &Arc<Shared>, now: Timestamp) -> Result<()> {
    loop {
        let due = shared
            .store
            .due(RUNS, now, PAGE)
            .await
            .map_err(store_error("recover"))?;
        let count = due.len();
        let mut ended = Vec::new();
        let mut foreign = Vec::new();
        for record in due {
            let record = match RunRecord::read(&record) {
                Ok(record) => record,
                Err(error) => {
                    set_aside(shared, &record, &error, now).await;
                    continue;
                }
            };
            let known = shared.workflow(&record.workflow).is_some();
            if record.status.is_final() {
                match known || is_left_behind(shared, &record, now) {
                    true => ended.push(record),
                    false => foreign.push(record),
                }
            } else if known {
                if !shared.has_room() {
                    continue;
                }
                if let Err(error) = shared.take(record, false).await {
                    tracing::warn!(%error, "a run that is due was not taken");
                }
            } else {
                foreign.push(record);
            }
        }
        let over = !ended.is_empty();
        retire(shared, ended).await;
        // Runs that nobody here knows must not hide those behind them.
        let hidden = count >= PAGE && foreign.len() >= PAGE / 2;
        if hidden {
            postpone(shared, foreign, now).await;
        }
        if count < PAGE || !(over || hidden) {
            return Ok(());
        }
    }
}

/// Whether a run that has ended is removed by engines that do not know its workflow, and hence not all of its topics: only when those
/// that do have not done it for a while.
fn is_left_behind(shared: &Shared, run: &RunRecord, now: Timestamp) -> bool {
    let options = &shared.options;
    let kept = match run.body.cleared {
        true => options.run_retention.max(options.watch_retention),
        false => options.watch_retention,
    };
    let ended = run.body.ended.map_or(run.updated, Timestamp::from_millis);
    later(ended, kept.saturating_add(LEFT_BEHIND)) <= now
}

/// Begins with runs that are to begin at once and are not due, because they were entered by a clock that is ahead of this one.
async fn take_pending(shared: &Arc<Shared>, now: Timestamp) -> Result<()> {
    if !shared.has_room() {
        return Ok(());
    }
    let filter = Filter::new().status(RunStatus::Pending.as_str());
    let query = Query::new(filter).order(Order::OldestFirst).limit(PAGE);
    let page = shared.store.list(RUNS, &query).await;
    for record in page.map_err(store_error("recover"))?.records {
        let Ok(record) = RunRecord::read(&record) else {
            continue;
        };
        // What is due was looked at already.
        if record.due.is_some_and(|due| due > now)
            && let Err(error) = shared.take(record, false).await
        {
            tracing::warn!(%error, "a run that is to begin was not taken");
        }
    }
    Ok(())
}

/// A record that cannot be read is left as it is, and does not hide those behind it.
async fn set_aside(shared: &Shared, record: &Record, error: &Error, now: Timestamp) {
    tracing::error!(run = %record.key, %error, "the record of a run cannot be read");
    let index = record.index.clone().due(later(now, SET_ASIDE));
    // Whoever was faster has done it.
    let _ = shared
        .commit(Commit::new().replace(record, index, record.body.clone()))
        .await;
}

async fn postpone(shared: &Shared, runs: Vec<RunRecord>, now: Timestamp) {
    for mut run in runs {
        run.due = Some(later(now, POSTPONED));
        if let Ok(json) = run.json() {
            let expect = Expect::Version(run.version);
            let commit = Commit::new().put(RUNS, run.id.clone(), expect, run.index(), json);
            // Whoever was faster has taken it.
            let _ = shared.commit(commit).await;
        }
    }
}

/// The topics of runs that have ended are cleared first, the runs themselves are deleted later.
async fn retire(shared: &Shared, runs: Vec<RunRecord>) {
    let mut clear = Vec::new();
    let mut delete = Vec::new();
    for run in runs {
        let kept = shared.options.run_retention > shared.options.watch_retention;
        if kept && !run.body.cleared {
            clear.push(run);
        } else {
            delete.push(run);
        }
    }
    let clear = without_topics(shared, clear).await;
    let delete = without_topics(shared, delete).await;
    let kept = shared
        .options
        .run_retention
        .saturating_sub(shared.options.watch_retention);
    let put = |mut run: RunRecord| {
        run.body.cleared = true;
        let ended = run.due.unwrap_or(run.updated);
        run.due = Some(later(ended, kept));
        let expect = Expect::Version(run.version);
        let json = run.json().unwrap_or_default();
        Commit::new().put(RUNS, run.id.clone(), expect, run.index(), json)
    };
    commit_all(shared, clear.into_iter().map(put).collect()).await;
    match removals(shared, delete).await {
        Ok(gone) => commit_all(shared, gone).await,
        Err(error) => {
            tracing::debug!(%error, "runs that are over were not removed; trying again");
        }
    }
}

/// What removes runs, with all that their workflows keep beside them.
async fn removals(shared: &Shared, runs: Vec<RunRecord>) -> Result<Vec<Commit>> {
    let mut beside: HashMap<Table, Vec<(usize, Text)>> = HashMap::new();
    for (n, run) in runs.iter().enumerate() {
        for (table, key) in outlet(shared, run).map_or_else(Vec::new, |it| it.records(&run.id)) {
            beside.entry(table).or_default().push((n, key));
        }
    }
    let gone = |run: RunRecord| {
        let log = JOURNAL.log(run.id.clone());
        Commit::new()
            .delete(RUNS, run.id, run.version)
            .drop_log(log)
    };
    let mut gone: Vec<Commit> = runs.into_iter().map(gone).collect();
    for (table, kept) in beside {
        for some in kept.chunks(PAGE) {
            let keys: Vec<Text> = some.iter().map(|(_, key)| key.clone()).collect();
            let records = shared.store.get_many(table, &keys).await;
            let records = records.map_err(store_error("recover"))?;
            for ((n, key), record) in some.iter().zip(records) {
                let mut commit = std::mem::take(&mut gone[*n]).drop_log(table.log(key.clone()));
                if let Some(record) = record {
                    commit = commit.delete(table, key.clone(), record.version);
                }
                gone[*n] = commit;
            }
        }
    }
    Ok(gone)
}

fn outlet<'a>(shared: &'a Shared, run: &RunRecord) -> Option<&'a Arc<dyn Outlet>> {
    let workflow = shared.workflow(&run.workflow)?;
    workflow.definition().options.outlet.as_ref()
}

/// Commits them together, and one by one if one of them has changed meanwhile.
async fn commit_all(shared: &Shared, commits: Vec<Commit>) {
    if commits.is_empty() {
        return;
    }
    let together = commits
        .iter()
        .flat_map(|commit| commit.operations().iter().cloned());
    let together = together.fold(Commit::new(), Commit::with);
    if shared.commit(together).await.is_ok() {
        return;
    }
    for commit in commits {
        // Whoever was faster has done it.
        let _ = shared.commit(commit).await;
    }
}

/// Clears the topics of runs. Those whose topics could not be cleared are not returned: they stay due.
async fn without_topics(shared: &Shared, runs: Vec<RunRecord>) -> Vec<RunRecord> {
    let mut done = Vec::with_capacity(runs.len());
    for run in runs {
        if run.body.cleared || clear_topics(shared, &run).await {
            done.push(run);
        }
    }
    done
}

async fn clear_topics(shared: &Shared, run: &RunRecord) -> bool {
    let nested = run.body.nested.iter().map(String::as_str);
    let watched = std::iter::once(run.id.as_str()).chain(nested);
    let mut topics: Vec<Topic> = watched.map(Topic::workflow_events).collect();
    if let Some(outlet) = outlet(shared, run) {
        topics.extend(outlet.topics(&run.id));
    }
    for topic in topics {
        if let Err(error) = shared.bus.clear_topic(&topic).await {
            tracing::debug!(%topic, %error, "the events of a run that is over were not cleared; trying again");
            return false;
        }
    }
    true
}
