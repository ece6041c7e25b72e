//! A clock that tests set, a launcher whose runs are records, and naive lists of occurrences.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bowline_events::Timestamp;
use bowline_store::{Commit, Expect, Index, Order, Query, Store, Table};
use bowline_workflow::schedule::*;
use bowline_workflow::{Error, ErrorKind, Result};
use futures_util::future::BoxFuture;

/// Where the runs are.
pub(crate) const RUNS: Table = Table::new("runs");

/// 2026-01-01T00:00:00Z.
pub(crate) const NEW_YEAR: i64 = 1_767_225_600_000;
pub(crate) const SECOND: i64 = 1000;
pub(crate) const MINUTE: i64 = 60 * SECOND;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;

pub(crate) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// Stands where it was set.
#[derive(Debug)]
pub(crate) struct SetClock(AtomicI64);

impl SetClock {
    pub(crate) fn new(millis: i64) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(millis)))
    }

    pub(crate) fn set(&self, millis: i64) {
        self.0.store(millis, Ordering::SeqCst);
    }

    pub(crate) fn advance(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        at(self.0.load(Ordering::SeqCst))
    }
}

/// Goes with the time of Tokio, which a test pauses and thereby lets fly.
#[derive(Debug)]
pub(crate) struct TokioClock {
    begin: tokio::time::Instant,
    base: AtomicI64,
}

impl TokioClock {
    pub(crate) fn new(millis: i64) -> Arc<Self> {
        let begin = tokio::time::Instant::now();
        let base = AtomicI64::new(millis);
        Arc::new(Self { begin, base })
    }

    pub(crate) fn jump(&self, millis: i64) {
        self.base.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        let passed = i64::try_from(self.begin.elapsed().as_millis()).unwrap();
        at(self.base.load(Ordering::SeqCst) + passed)
    }
}

/// Starts a run by putting a record.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    /// The runs that have not ended.
    active: Mutex<HashSet<String>>,
    /// Whether a new run is active until it is ended.
    pub(crate) long: AtomicBool,
    /// The workflow that does not exist.
    pub(crate) unknown: Mutex<Option<String>>,
    /// How many calls fail from now on.
    pub(crate) failures: AtomicUsize,
    /// Whether the next call panics.
    pub(crate) panics: AtomicBool,
    /// Hints that came.
    pub(crate) launched: Mutex<Vec<String>>,
}

impl Runs {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    pub(crate) fn end(&self, run: &str) {
        self.active.lock().unwrap().remove(run);
    }

    fn fail(&self) -> Result<()> {
        assert!(
            !self.panics.swap(false, Ordering::SeqCst),
            "the launcher panics, as the test wants"
        );
        let left = self.failures.load(Ordering::SeqCst);
        if left == 0 {
            return Ok(());
        }
        self.failures.store(left - 1, Ordering::SeqCst);
        Err(Error::new(
            ErrorKind::Bus,
            "prepare",
            "the test wants a failure",
        ))
    }
}

impl Launcher for Runs {
    fn prepare<'a>(
        &'a self,
        occurrence: &'a Occurrence,
        commit: Commit,
    ) -> BoxFuture<'a, Result<Prepared>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            self.fail()?;
            if self.unknown.lock().unwrap().as_deref() == Some(occurrence.target.id()) {
                return Ok(Prepared::Refuse("there is no such workflow".into()));
            }
            let index = Index::new(occurrence.scheduled_at).group(occurrence.schedule_id.clone());
            let body = serde_json::to_vec(&occurrence.target).unwrap();
            let commit = commit.put(RUNS, occurrence.run_id.clone(), Expect::Absent, index, body);
            Ok(Prepared::Start(commit))
        })
    }

    fn is_active<'a>(&'a self, run_id: &'a str) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            Ok(self.active.lock().unwrap().contains(run_id))
        })
    }

    fn launched(&self, occurrence: &Occurrence) {
        let run = occurrence.run_id.to_string();
        if self.long.load(Ordering::SeqCst) {
            self.active.lock().unwrap().insert(run.clone());
        }
        self.launched.lock().unwrap().push(run);
    }
}

/// A store, a clock, a launcher, and a scheduler that fires when it is told.
pub(crate) struct Fixture {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<SetClock>,
    pub(crate) runs: Arc<Runs>,
    pub(crate) scheduler: Scheduler,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with(
            Arc::new(bowline_store::MemoryStore::new()),
            Retention::default(),
        )
    }

    pub(crate) fn with(store: Arc<dyn Store>, retention: Retention) -> Self {
        let (clock, runs) = (SetClock::new(NEW_YEAR), Runs::new());
        let builder = Scheduler::builder(store.clone(), runs.clone()).clock(clock.clone());
        let scheduler = builder.retention(retention).build().unwrap();
        Self {
            store,
            clock,
            runs,
            scheduler,
        }
    }

    pub(crate) fn schedules(&self) -> Schedules {
        self.scheduler.schedules()
    }

    /// Makes a schedule that starts the workflow `w`.
    pub(crate) async fn create(&self, id: &'static str, cron: &str) -> Schedule {
        self.schedules().create(new(id, cron)).await.unwrap()
    }

    /// Moves the clock, and fires what is due then.
    pub(crate) async fn after(&self, millis: i64) -> usize {
        self.clock.advance(millis);
        self.scheduler.fire_due().await.unwrap()
    }

    /// The history of `id`, oldest first, as kind, outcome and minutes since the new year.
    pub(crate) async fn history(&self, id: &str) -> Vec<(TriggerKind, Outcome, i64)> {
        let all = triggers(&self.schedules(), id).await;
        let brief = |entry: &Trigger| {
            let minutes = (entry.scheduled_fire_at.as_millis() - NEW_YEAR) / MINUTE;
            (entry.trigger_kind, entry.outcome, minutes)
        };
        all.iter().map(brief).collect()
    }
}

pub(crate) fn new(id: &'static str, cron: &str) -> NewSchedule {
    NewSchedule::new(Target::workflow("w"), cron_cadence(cron)).id(id)
}

pub(crate) fn cron_cadence(cron: &str) -> Cadence {
    Cadence::cron(cron, None).unwrap()
}

/// The whole history of `id`, oldest first.
pub(crate) async fn triggers(schedules: &Schedules, id: &str) -> Vec<Trigger> {
    let mut all = Vec::new();
    let mut query = TriggerQuery {
        limit: 1000,
        ..TriggerQuery::default()
    };
    loop {
        let page = schedules.triggers(id, &query).await.unwrap();
        all.extend(page.triggers);
        query.after = page.next;
        if query.after.is_none() {
            all.reverse();
            return all;
        }
    }
}

/// The instants of the runs in `store`, by schedule.
pub(crate) async fn runs_of(store: &dyn Store) -> BTreeMap<String, BTreeSet<i64>> {
    let mut runs: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
    let mut query = Query::default().order(Order::OldestFirst).limit(1000);
    loop {
        let page = store.list(RUNS, &query).await.unwrap();
        for record in page.records {
            let (id, instant) = parse_run_id(&record.key).unwrap();
            let id = id.to_owned();
            assert!(runs.entry(id).or_default().insert(instant.as_millis()));
        }
        query = query.after(page.next);
        if query.after.is_none() {
            return runs;
        }
    }
}

/// All occurrences of `cadence` after `from`, up to and with `until`.
pub(crate) fn occurrences(cadence: &Cadence, from: i64, until: i64) -> Vec<i64> {
    let mut all = Vec::new();
    let mut place = at(from);
    while let Some(next) = cadence
        .next_after(place)
        .filter(|next| next.as_millis() <= until)
    {
        all.push(next.as_millis());
        place = next;
    }
    all
}
