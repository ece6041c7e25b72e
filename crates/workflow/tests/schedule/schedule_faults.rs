//! Schedulers that are killed between anything, on stores that fail and lose answers: every occurrence fires once.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use bowline_store::{Commit, Expect, Index, MemoryStore, Store};
use bowline_workflow::ErrorKind;
use bowline_workflow::schedule::*;
use proptest::prelude::*;

use crate::faulty::{Dice, Faulty};
use crate::support::{
    Fixture, HOUR, MINUTE, NEW_YEAR, Runs, SetClock, TokioClock, at, cron_cadence, new,
    occurrences, runs_of, triggers,
};

/// Polls `future` at most `polls` times, then drops it: a process that dies there.
async fn killed_after<F: Future>(future: F, polls: u64) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

/// Two schedulers on one store, killed and failing, while hours pass. Returns the store and when it ended.
async fn hardship(store: &Arc<dyn Store>, runs: &Arc<Runs>, seed: u64) -> i64 {
    let clock = SetClock::new(NEW_YEAR);
    let mut dice = Dice::new(seed.rotate_left(17));
    let stores = [
        Faulty::new(store.clone(), seed),
        Faulty::new(store.clone(), !seed),
    ];
    let schedulers = stores.each_ref().map(|store| {
        let builder = Scheduler::builder(store.clone(), runs.clone()).clock(clock.clone());
        builder.build().unwrap()
    });
    for _ in 0..40 {
        clock.advance(i64::try_from(dice.roll(4 * HOUR as u64)).unwrap());
        let first = killed_after(schedulers[0].fire_due(), dice.roll(120));
        let second = killed_after(schedulers[1].fire_due(), dice.roll(120));
        let _ = tokio::join!(first, second);
        // What failed waits for half a minute at most.
        tokio::time::advance(Duration::from_secs(31)).await;
    }
    stores.iter().for_each(|store| store.heal());
    for scheduler in &schedulers {
        tokio::time::advance(Duration::from_secs(31)).await;
        scheduler.fire_due().await.unwrap();
    }
    clock.now().as_millis()
}

/// Whether `instants` are `expected` in any order; a failure names only what differs.
#[track_caller]
fn same(mut instants: Vec<i64>, expected: &[i64]) {
    instants.sort_unstable();
    let missing = expected
        .iter()
        .filter(|at| !instants.contains(at))
        .collect::<Vec<_>>();
    let wrong = instants
        .iter()
        .filter(|at| !expected.contains(at))
        .collect::<Vec<_>>();
    assert!(
        missing.is_empty() && wrong.is_empty(),
        "missing: {missing:?}, wrong: {wrong:?}"
    );
    assert_eq!(instants.len(), expected.len(), "some are there twice");
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_death_and_no_lost_answer_doubles_or_loses_a_fire(seed in any::<u64>()) {
        runtime().block_on(async {
            let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
            let (clock, runs) = (SetClock::new(NEW_YEAR), Runs::new());
            let schedules = Schedules::new(store.clone(), runs.clone()).with_clock(clock);
            let crons = [("a", "@hourly"), ("b", "*/40 * * * *"), ("c", "30 */5 * * *")];
            for (id, cron) in crons {
                let all = CatchUp::All { at_most: MAX_CATCH_UP };
                schedules.create(new(id, cron).catch_up(all)).await.unwrap();
            }
            let end = hardship(&store, &runs, seed).await;
            let all = runs_of(&*store).await;
            for (id, cron) in crons {
                let expected = occurrences(&cron_cadence(cron), NEW_YEAR, end);
                same(all[id].iter().copied().collect(), &expected);
                let entries = triggers(&schedules, id).await;
                same(entries.iter().map(|entry| entry.scheduled_fire_at.as_millis()).collect(), &expected);
            }
            let told = runs.launched.lock().unwrap();
            assert!(told.len() <= all.values().map(|runs| runs.len()).sum());
        });
    }

    #[test]
    fn with_other_policies_each_occurrence_is_a_run_or_skipped(seed in any::<u64>(), latest in any::<bool>()) {
        runtime().block_on(async {
            let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
            let (clock, runs) = (SetClock::new(NEW_YEAR), Runs::new());
            let schedules = Schedules::new(store.clone(), runs.clone()).with_clock(clock);
            let catch_up = match latest {
                true => CatchUp::Latest,
                false => CatchUp::None { tolerance: Duration::from_secs(300) },
            };
            schedules.create(new("s", "*/20 * * * *").catch_up(catch_up)).await.unwrap();
            let end = hardship(&store, &runs, seed).await;
            let mut handled = Vec::new();
            let runs = runs_of(&*store).await.remove("s").unwrap_or_default();
            for entry in triggers(&schedules, "s").await {
                let first = entry.scheduled_fire_at.as_millis();
                let last = entry.skipped_until.unwrap_or(entry.scheduled_fire_at).as_millis();
                let range = occurrences(&cron_cadence("*/20 * * * *"), first - 1, last);
                assert_eq!(entry.skipped_count.unwrap_or(1) as usize, range.len());
                assert_eq!(entry.outcome == Outcome::Published, runs.contains(&first));
                handled.extend(range);
            }
            same(handled, &occurrences(&cron_cadence("*/20 * * * *"), NEW_YEAR, end));
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_running_scheduler_gets_over_a_store_that_fails() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let (clock, runs) = (TokioClock::new(NEW_YEAR), Runs::new());
    let all = CatchUp::All {
        at_most: MAX_CATCH_UP,
    };
    let create = Schedules::new(store.clone(), runs.clone()).with_clock(clock.clone());
    create
        .create(new("s", "*/2 * * * *").catch_up(all))
        .await
        .unwrap();
    let faulty = Faulty::new(store.clone(), 42);
    let builder = Scheduler::builder(faulty.clone(), runs.clone()).clock(clock.clone());
    let scheduler = builder.start().unwrap();
    tokio::time::sleep(Duration::from_secs(86_400)).await;
    faulty.heal();
    tokio::time::sleep(Duration::from_secs(61)).await;
    let end = clock.now().as_millis();
    scheduler.close().await;
    let fired = runs_of(&*store).await["s"].iter().copied().collect();
    same(
        fired,
        &occurrences(&cron_cadence("*/2 * * * *"), NEW_YEAR, end),
    );
}

#[tokio::test]
async fn closing_finishes_what_has_begun_and_leaves_the_rest_due() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let (clock, runs) = (SetClock::new(NEW_YEAR), Runs::new());
    let schedules = Schedules::new(store.clone(), runs.clone()).with_clock(clock.clone());
    for i in 0..40 {
        let all = CatchUp::All {
            at_most: MAX_CATCH_UP,
        };
        let id = format!("s{i}");
        let new = NewSchedule::new(Target::workflow("w"), cron_cadence("@hourly"))
            .id(id)
            .catch_up(all);
        schedules.create(new).await.unwrap();
    }
    clock.advance(50 * HOUR);
    let builder = Scheduler::builder(store.clone(), runs.clone()).clock(clock.clone());
    let scheduler = builder.clone().start().unwrap();
    while runs.launched.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    scheduler.close().await;
    scheduler.close().await;
    let begun = runs_of(&*store)
        .await
        .values()
        .map(|runs| runs.len())
        .sum::<usize>();
    assert!(
        begun < 40 && begun == runs.launched.lock().unwrap().len(),
        "{begun} runs"
    );
    // Nothing goes on behind the back of who has closed.
    tokio::task::yield_now().await;
    assert_eq!(runs.launched.lock().unwrap().len(), begun);
    let next = builder.build().unwrap();
    assert_eq!(next.fire_due().await.unwrap(), 40 * 50 - begun);
}

#[tokio::test(start_paused = true)]
async fn a_launcher_that_fails_is_asked_again() {
    let fixture = Fixture::new();
    fixture.create("s", "@hourly").await;
    fixture.create("other", "@hourly").await;
    fixture.runs.failures.store(2, Ordering::SeqCst);
    // Both are tried, both fail, and wait.
    assert_eq!(fixture.after(HOUR).await, 0);
    assert_eq!(fixture.after(0).await, 0);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(fixture.after(0).await, 2);
    assert_eq!(
        fixture.history("s").await,
        [(TriggerKind::ScheduleFire, Outcome::Published, 60)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_launcher_that_panics_is_asked_again() {
    let fixture = Fixture::new();
    fixture.create("s", "@hourly").await;
    fixture.runs.panics.store(true, Ordering::SeqCst);
    assert_eq!(fixture.after(HOUR).await, 0);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(fixture.after(0).await, 1);
}

#[tokio::test]
async fn an_unknown_target_fails_visibly_and_the_schedule_stays() {
    let fixture = Fixture::new();
    fixture.create("s", "@hourly").await;
    *fixture.runs.unknown.lock().unwrap() = Some("w".to_owned());
    for _ in 0..5 {
        assert_eq!(fixture.after(HOUR).await, 0);
    }
    let entries = triggers(&fixture.schedules(), "s").await;
    assert_eq!(entries.len(), 5);
    for entry in entries {
        assert_eq!((entry.outcome, entry.run_id), (Outcome::Failed, None));
        assert_eq!(entry.error.as_deref(), Some("there is no such workflow"));
    }
    let schedule = fixture.schedules().get("s").await.unwrap();
    assert_eq!(
        (schedule.status, schedule.last_run_id),
        (Status::Active, None)
    );
    // The workflow is deployed again.
    *fixture.runs.unknown.lock().unwrap() = None;
    assert_eq!(fixture.after(HOUR).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_schedule_is_kept_and_keeps_nobody_from_firing() {
    let fixture = Fixture::new();
    let due = Index::new(at(0)).status("active").due(at(0));
    let damaged = [("broken", "{"), ("newer", r#"{"form":2}"#), ("odd", "")];
    for (id, body) in damaged {
        let commit = Commit::new().put(SCHEDULES, id, Expect::Absent, due.clone(), body);
        fixture.store.commit(commit).await.unwrap();
    }
    fixture.create("s", "@hourly").await;
    for _ in 0..3 {
        assert_eq!(fixture.after(HOUR).await, 1);
        tokio::time::advance(Duration::from_secs(31)).await;
    }
    let page = fixture
        .schedules()
        .list(&ScheduleFilter::default(), None, 10)
        .await
        .unwrap();
    assert_eq!((page.schedules.len(), page.damaged.len()), (1, 3));
    for (id, _) in damaged {
        let error = fixture.schedules().get(id).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.subject()),
            (ErrorKind::Corrupt, Some(id))
        );
        fixture.schedules().delete(id).await.unwrap();
    }
}

#[tokio::test]
async fn a_run_that_exists_already_is_not_started_again() {
    let fixture = Fixture::new();
    fixture.create("s", "@hourly").await;
    let run = run_id("s", at(NEW_YEAR + HOUR));
    let exists = Commit::new().put(
        crate::support::RUNS,
        run,
        Expect::Absent,
        Index::new(at(0)),
        "",
    );
    fixture.store.commit(exists).await.unwrap();
    assert_eq!(fixture.after(HOUR).await, 0);
    let entries = triggers(&fixture.schedules(), "s").await;
    assert_eq!(entries[0].outcome, Outcome::Failed);
    assert!(
        entries[0]
            .error
            .as_deref()
            .unwrap()
            .contains("exists already"),
        "{:?}",
        entries[0].error
    );
    assert_eq!(fixture.after(HOUR).await, 1, "the schedule goes on");
}

#[tokio::test]
async fn a_clock_that_was_far_ahead_does_not_double_what_fired() {
    let fixture = Fixture::new();
    fixture.create("s", "@hourly").await;
    assert_eq!(fixture.after(5 * HOUR).await, 1);
    fixture.clock.advance(-5 * HOUR);
    fixture.schedules().pause("s").await.unwrap();
    fixture.schedules().resume("s").await.unwrap();
    // Aimed anew at the first hour, whose entry says that it was skipped; the fifth has fired.
    let mut started = 0;
    for _ in 0..6 * 60 {
        started += fixture.after(MINUTE).await;
    }
    let runs = runs_of(&*fixture.store).await;
    let hours: Vec<i64> = runs["s"]
        .iter()
        .map(|run| (run - NEW_YEAR) / HOUR)
        .collect();
    assert_eq!(hours, [2, 3, 4, 5, 6]);
    assert_eq!(started, 4);
}
