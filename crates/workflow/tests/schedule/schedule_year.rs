//! Two schedulers on one store, through a simulated year.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bowline_store::{MemoryStore, SqliteStore, Store};
use bowline_workflow::schedule::*;

use crate::support::{
    DAY, HOUR, MINUTE, NEW_YEAR, Runs, SetClock, TokioClock, at, occurrences, runs_of, triggers,
};

const YEAR: i64 = 365 * DAY;

fn year() -> Vec<(&'static str, Cadence)> {
    let cron = |cron, zone| Cadence::cron(cron, Some(zone)).unwrap();
    let every =
        |millis| Cadence::every(Duration::from_millis(millis as u64), at(NEW_YEAR)).unwrap();
    vec![
        ("gap", cron("30 2 * * *", "America/New_York")),
        ("fold", cron("30 1 * * *", "America/New_York")),
        ("interval", cron("0 */6 * * *", "Europe/London")),
        ("month", cron("0 0 L * *", "UTC")),
        ("last", cron("59 59 23 31 12 * 2026", "UTC")),
        ("once", cron("2026-05-01T09:00:00", "Asia/Tokyo")),
        ("every", every(37 * HOUR + 123)),
    ]
}

fn expected() -> BTreeMap<String, BTreeSet<i64>> {
    let all = year().into_iter();
    all.map(|(id, cadence)| {
        (
            id.to_owned(),
            occurrences(&cadence, NEW_YEAR, NEW_YEAR + YEAR)
                .into_iter()
                .collect(),
        )
    })
    .collect()
}

async fn create(schedules: &Schedules) {
    for (id, cadence) in year() {
        schedules
            .create(NewSchedule::new(Target::workflow("w"), cadence).id(id))
            .await
            .unwrap();
    }
}

/// The runs are the occurrences, and the histories say the same.
async fn check(store: &dyn Store, schedules: &Schedules) {
    let expected = expected();
    assert_eq!(runs_of(store).await, expected);
    for (id, instants) in &expected {
        let entries = triggers(schedules, id).await;
        let scheduled = entries
            .iter()
            .map(|entry| entry.scheduled_fire_at.as_millis());
        assert_eq!(scheduled.collect::<BTreeSet<_>>(), *instants, "{id}");
        assert!(
            entries
                .iter()
                .all(|entry| entry.outcome == Outcome::Published && entry.run_id.is_some())
        );
        assert_eq!(entries.len(), instants.len(), "{id}");
    }
    for finished in ["once", "last"] {
        let schedule = schedules.get(finished).await.unwrap();
        assert_eq!(
            (schedule.status, schedule.next_fire_at),
            (Status::Active, None)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn two_schedulers_fire_each_occurrence_of_a_year_once() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let (clock, runs) = (TokioClock::new(NEW_YEAR), Runs::new());
    let retention = Retention {
        entries: 10_000,
        age: Duration::from_millis(2 * YEAR as u64),
    };
    let start = || {
        let builder = Scheduler::builder(store.clone(), runs.clone()).clock(clock.clone());
        builder
            .retention(retention)
            .poll(Duration::from_secs(86_400))
            .start()
            .unwrap()
    };
    let first = start();
    create(&first.schedules()).await;
    for _ in 0..12 {
        // One of two goes and another one comes, as when versions are rolled out.
        let second = start();
        tokio::time::sleep(Duration::from_millis((YEAR / 12) as u64)).await;
        second.close().await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    check(&*store, &first.schedules()).await;
    let all: usize = expected().values().map(BTreeSet::len).sum();
    assert_eq!(
        runs.launched.lock().unwrap().len(),
        all,
        "every start is told once"
    );
    first.close().await;
    let closed = first.fire_due().await.unwrap_err();
    assert_eq!(closed.kind(), bowline_workflow::ErrorKind::Closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_schedulers_fire_each_occurrence_of_a_year_once_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let clock = SetClock::new(NEW_YEAR);
    let retention = Retention {
        entries: 10_000,
        age: Duration::from_millis(2 * YEAR as u64),
    };
    let mut schedulers = Vec::new();
    let mut stores = Vec::new();
    for _ in 0..2 {
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&path).await.unwrap());
        let builder = Scheduler::builder(store.clone(), Runs::new()).clock(clock.clone());
        schedulers.push(builder.retention(retention).build().unwrap());
        stores.push(store);
    }
    create(&schedulers[0].schedules()).await;
    let mut instants: Vec<i64> = expected().into_values().flatten().collect();
    instants.sort_unstable();
    instants.dedup();
    for instant in instants {
        clock.set(instant - 1);
        assert_eq!(
            schedulers[0].fire_due().await.unwrap(),
            0,
            "nothing fires early"
        );
        clock.set(instant);
        let both = tokio::join!(schedulers[0].fire_due(), schedulers[1].fire_due());
        assert!(both.0.unwrap() + both.1.unwrap() > 0);
    }
    check(&*stores[1], &schedulers[1].schedules()).await;
    for store in stores {
        store.close().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_running_scheduler_notices_what_is_new_and_what_the_clock_does() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let (clock, runs) = (TokioClock::new(NEW_YEAR), Runs::new());
    let builder = Scheduler::builder(store.clone(), runs.clone()).clock(clock.clone());
    let scheduler = builder.poll(Duration::from_secs(86_400)).start().unwrap();
    let schedules = scheduler.schedules();
    tokio::time::sleep(Duration::from_secs(60)).await;
    // It sleeps for a day, but hears of the new schedule.
    let minutely = NewSchedule::new(
        Target::workflow("w"),
        Cadence::cron("* * * * *", None).unwrap(),
    )
    .id("s");
    schedules.create(minutely).await.unwrap();
    tokio::time::sleep(Duration::from_secs(150)).await;
    let fired = |store: Arc<dyn Store>| async move {
        runs_of(&*store)
            .await
            .remove("s")
            .unwrap_or_default()
            .into_iter()
            .map(|at| (at - NEW_YEAR) / MINUTE)
            .collect::<Vec<_>>()
    };
    assert_eq!(fired(store.clone()).await, [2, 3]);
    // An hour forward: the latest fires for all that were missed.
    clock.jump(HOUR);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(fired(store.clone()).await, [2, 3, 64]);
    // Back again: nothing fires twice until the clock has caught up.
    clock.jump(-HOUR);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(fired(store.clone()).await, [2, 3, 64]);
    // Whoever does not want to wait aims anew; what fired already does not fire again.
    clock.jump(-2 * MINUTE);
    let cadence = Some(Cadence::cron("* * * * *", None).unwrap());
    schedules
        .update(
            "s",
            Patch {
                cadence,
                ..Patch::default()
            },
        )
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(240)).await;
    assert_eq!(fired(store.clone()).await, [2, 3, 63, 64, 65, 66]);
    scheduler.close().await;
}
