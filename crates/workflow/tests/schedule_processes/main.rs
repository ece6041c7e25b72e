//! Schedulers in processes of their own on one file, killed with `kill -9` again and again: each occurrence fires once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod child;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, ExitCode};
use std::sync::Arc;

use bowline_events::Timestamp;
use bowline_store::{Query, SqliteStore, Store};
use bowline_workflow::schedule::*;
use libmimic::{Arguments, Trial};

use child::{FastClock, RUNS, Starter, builder, command};

const CRONS: [(&str, &str, CatchUp); 3] = [
    ("all", "*/10 * * * * *", CatchUp::All { at_most: 100 }),
    ("latest", "*/7 * * * * *", CatchUp::Latest),
    ("minute", "* * * * *", CatchUp::All { at_most: 100 }),
];

fn main() -> ExitCode {
    if let Some(database) = child::role() {
        return child::play(&database);
    }
    let test = || {
        killed_schedulers();
        Ok(())
    };
    let trials = vec![Trial::test("schedules_survive_kill_9", test)];
    libmimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A process that fires, and names the runs that it has started.
struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(database: &Path, clock: &FastClock) -> Self {
        let mut child = command(database, clock).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Waits for `count` runs, kills the process, and notes all that it has named. The last line may be cut off.
    fn kill_after(mut self, count: usize, named: &mut Vec<String>) {
        named.extend(self.lines.by_ref().take(count).map(Result::unwrap));
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        named.extend(self.lines.map(Result::unwrap));
    }
}

fn killed_schedulers() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("store.db");
    let clock = FastClock::new();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let store: Arc<dyn Store> = Arc::new(runtime.block_on(SqliteStore::open(&database)).unwrap());
    let scheduler = builder(store.clone(), Arc::new(Starter), clock)
        .build()
        .unwrap();
    let schedules = scheduler.schedules();
    runtime.block_on(async {
        for (id, cron, catch_up) in CRONS {
            let cadence = Cadence::cron(cron, None).unwrap();
            let new = NewSchedule::new(Target::workflow("w"), cadence)
                .id(id)
                .catch_up(catch_up);
            schedules.create(new).await.unwrap();
        }
    });
    let mut named = Vec::new();
    let mut other = Process::start(&database, &clock);
    for round in 0..16 {
        let process = std::mem::replace(&mut other, Process::start(&database, &clock));
        process.kill_after(round * 3 % 10, &mut named);
    }
    other.kill_after(5, &mut named);
    runtime.block_on(async {
        scheduler.fire_due().await.unwrap();
        check(&*store, &schedules, &named).await;
        store.close().await.unwrap();
    });
}

/// Every occurrence since the beginning is a run or skipped, no occurrence is twice, and what was named is a run.
async fn check(store: &dyn Store, schedules: &Schedules, named: &[String]) {
    let runs = runs(store).await;
    for (id, cron, _) in CRONS {
        let cadence = Cadence::cron(cron, None).unwrap();
        let schedule = schedules.get(id).await.unwrap();
        let (mut fired, mut handled) = (BTreeSet::new(), BTreeSet::new());
        for entry in triggers(schedules, id).await {
            let mut at = Some(entry.scheduled_fire_at);
            let last = entry.skipped_until.unwrap_or(entry.scheduled_fire_at);
            if entry.outcome == Outcome::Published {
                fired.insert(entry.scheduled_fire_at);
            }
            while let Some(one) = at.filter(|at| *at <= last) {
                assert!(handled.insert(one), "{id}: {one:?} was handled twice");
                at = cadence.next_after(one);
            }
        }
        let mut at = cadence.next_after(schedule.created_at);
        for one in &handled {
            assert_eq!(at, Some(*one), "{id}: an occurrence got lost");
            at = cadence.next_after(*one);
        }
        assert_eq!(schedule.next_fire_at, at, "{id}");
        assert_eq!(
            runs.get(id),
            Some(&fired),
            "{id}: the runs are not those of the history"
        );
    }
    let whole = named
        .iter()
        .filter_map(|run| parse_run_id(run.strip_suffix('.')?));
    let mut seen = HashSet::new();
    for (id, at) in whole {
        assert!(
            runs.get(id).is_some_and(|runs| runs.contains(&at)),
            "{id} {at:?} is no run"
        );
        assert!(seen.insert((id, at)), "{id} {at:?} was started twice");
    }
    assert!(seen.len() > 60, "only {} runs were named", seen.len());
}

async fn triggers(schedules: &Schedules, id: &str) -> Vec<Trigger> {
    let mut query = TriggerQuery {
        limit: 1000,
        ..TriggerQuery::default()
    };
    let mut all = Vec::new();
    loop {
        let page = schedules.triggers(id, &query).await.unwrap();
        all.extend(page.triggers);
        query.after = page.next;
        if query.after.is_none() {
            return all;
        }
    }
}

async fn runs(store: &dyn Store) -> BTreeMap<String, BTreeSet<Timestamp>> {
    let mut runs: BTreeMap<String, BTreeSet<Timestamp>> = BTreeMap::new();
    let mut query = Query::default().limit(1000);
    loop {
        let page = store.list(RUNS, &query).await.unwrap();
        for record in page.records {
            let (id, at) = parse_run_id(&record.key).unwrap();
            runs.entry(id.to_owned()).or_default().insert(at);
        }
        query = query.after(page.next);
        if query.after.is_none() {
            return runs;
        }
    }
}
