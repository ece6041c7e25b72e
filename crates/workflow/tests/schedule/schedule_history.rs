//! Overlap, histories, and how runs ended.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bowline_store::MemoryStore;
use bowline_workflow::schedule::*;

use crate::support::{DAY, Fixture, HOUR, MINUTE, NEW_YEAR, SECOND, at, new, triggers};

use Outcome::{Failed, Published, Skipped, Succeeded};
use TriggerKind::{Manual, QueueDrain, ScheduleFire};

/// Ends the last run of `s`, and says so to the scheduler.
async fn end_last(fixture: &Fixture, outcome: Outcome) {
    let run = fixture
        .schedules()
        .get("s")
        .await
        .unwrap()
        .last_run_id
        .unwrap();
    fixture.runs.end(&run);
    assert!(
        fixture
            .scheduler
            .record_outcome(&run, outcome, None)
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn overlapping_occurrences_are_skipped() {
    let fixture = Fixture::new();
    fixture.runs.long.store(true, Ordering::SeqCst);
    fixture
        .schedules()
        .create(new("s", "@hourly").overlap(Overlap::Skip))
        .await
        .unwrap();
    for (millis, started) in [(HOUR, 1), (HOUR, 0), (HOUR, 0)] {
        assert_eq!(fixture.after(millis).await, started);
    }
    end_last(&fixture, Succeeded).await;
    assert_eq!(fixture.after(HOUR).await, 1);
    let expected = [
        (Succeeded, 60),
        (Skipped, 120),
        (Skipped, 180),
        (Published, 240),
    ];
    assert_eq!(
        fixture.history("s").await,
        expected.map(|(outcome, minute)| (ScheduleFire, outcome, minute))
    );
    let entry = &triggers(&fixture.schedules(), "s").await[1];
    assert!(
        entry.error.as_deref().unwrap().starts_with("overlap"),
        "{entry:?}"
    );
}

#[tokio::test]
async fn one_occurrence_waits_for_the_run_before_it() {
    let fixture = Fixture::new();
    fixture.runs.long.store(true, Ordering::SeqCst);
    fixture
        .schedules()
        .create(new("s", "@hourly").overlap(Overlap::Queue))
        .await
        .unwrap();
    for (millis, started) in [(HOUR, 1), (HOUR, 0), (HOUR, 0)] {
        assert_eq!(fixture.after(millis).await, started);
    }
    assert_eq!(
        fixture.schedules().get("s").await.unwrap().queued_at,
        Some(at(NEW_YEAR + 2 * HOUR))
    );
    // The end of the run makes it due at once.
    end_last(&fixture, Failed).await;
    assert_eq!(fixture.after(0).await, 1);
    let expected = [
        (ScheduleFire, Failed, 60),
        (QueueDrain, Published, 120),
        (ScheduleFire, Skipped, 180),
    ];
    let mut history = fixture.history("s").await;
    history.sort_by_key(|entry| entry.2);
    assert_eq!(history, expected);
    // Without word of the end, it looks again after five seconds.
    assert_eq!(fixture.after(HOUR).await, 0);
    let run = fixture
        .schedules()
        .get("s")
        .await
        .unwrap()
        .last_run_id
        .unwrap();
    fixture.runs.end(&run);
    assert_eq!(fixture.after(4 * SECOND).await, 0);
    assert_eq!(fixture.after(SECOND).await, 1);
}

#[tokio::test]
async fn pausing_skips_what_waits() {
    let fixture = Fixture::new();
    fixture.runs.long.store(true, Ordering::SeqCst);
    fixture
        .schedules()
        .create(new("s", "@hourly").overlap(Overlap::Queue))
        .await
        .unwrap();
    fixture.after(HOUR).await;
    fixture.after(HOUR).await;
    let paused = fixture.schedules().pause("s").await.unwrap();
    assert_eq!(
        (paused.status, paused.queued_at, paused.next_fire_at),
        (Status::Paused, None, None)
    );
    end_last(&fixture, Succeeded).await;
    assert_eq!(fixture.after(HOUR).await, 0);
    assert_eq!(
        fixture.history("s").await,
        [(ScheduleFire, Succeeded, 60), (ScheduleFire, Skipped, 120)]
    );
}

#[tokio::test]
async fn runs_by_hand_do_not_count_as_the_run_before() {
    let fixture = Fixture::new();
    fixture.runs.long.store(true, Ordering::SeqCst);
    fixture
        .schedules()
        .create(new("s", "@hourly").overlap(Overlap::Skip))
        .await
        .unwrap();
    fixture.clock.advance(MINUTE);
    fixture.schedules().run_now("s").await.unwrap();
    assert_eq!(fixture.after(HOUR).await, 1);
    assert_eq!(
        fixture.history("s").await,
        [(Manual, Published, 1), (ScheduleFire, Published, 60)]
    );
}

#[tokio::test]
async fn an_outcome_is_written_once() {
    let fixture = Fixture::new();
    fixture.create("s", "@hourly").await;
    fixture.after(HOUR).await;
    fixture.clock.advance(MINUTE);
    let run = run_id("s", at(NEW_YEAR + HOUR));
    let schedules = fixture.schedules();
    let report = |run: bowline_events::Text, outcome, error: Option<&'static str>| {
        let schedules = schedules.clone();
        async move {
            schedules
                .record_outcome(&run, outcome, error)
                .await
                .unwrap()
        }
    };
    assert!(report(run.clone(), Failed, Some("no money")).await);
    assert!(!report(run, Succeeded, None).await, "the first word counts");
    for unknown in ["run-1", "sched_s_12", "sched_other_1"] {
        assert!(!report(unknown.into(), Succeeded, None).await, "{unknown}");
    }
    let entry = &triggers(&schedules, "s").await[0];
    assert_eq!(
        (entry.outcome, entry.error.as_deref()),
        (Failed, Some("no money"))
    );
    assert_eq!(entry.completed_at, Some(at(NEW_YEAR + HOUR + MINUTE)));
}

#[tokio::test]
async fn a_history_is_listed_newest_first_in_pages() {
    let fixture = Fixture::new();
    fixture.create("s", "@hourly").await;
    fixture.create("s2", "@hourly").await;
    for _ in 0..7 {
        fixture.after(HOUR).await;
    }
    let hour = |entry: &Trigger| (entry.actual_fire_at.as_millis() - NEW_YEAR) / HOUR;
    let mut query = TriggerQuery {
        limit: 3,
        ..TriggerQuery::default()
    };
    let mut pages = Vec::new();
    loop {
        let page = fixture.schedules().triggers("s", &query).await.unwrap();
        pages.push(page.triggers.iter().map(hour).collect::<Vec<_>>());
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    assert_eq!(pages, [vec![7, 6, 5], vec![4, 3, 2], vec![1]]);
    let bounds = TriggerQuery {
        from: Some(at(NEW_YEAR + 2 * HOUR)),
        until: Some(at(NEW_YEAR + 4 * HOUR)),
        ..TriggerQuery::default()
    };
    let page = fixture.schedules().triggers("s", &bounds).await.unwrap();
    assert_eq!(page.triggers.iter().map(hour).collect::<Vec<_>>(), [3, 2]);
}

#[tokio::test]
async fn a_history_keeps_its_newest_entries() {
    let retention = Retention {
        entries: 16,
        ..Retention::default()
    };
    let fixture = Fixture::with(Arc::new(MemoryStore::new()), retention);
    fixture.create("s", "@hourly").await;
    fixture.create("other", "0 12 1 1 *").await;
    fixture.after(12 * HOUR).await;
    for hour in 13..100 {
        fixture.after(HOUR).await;
        let history = fixture.history("s").await;
        assert!(history.len() <= 18, "{} entries", history.len());
        assert_eq!(history.last().unwrap().2, hour * 60);
    }
    let history = fixture.history("s").await;
    assert!(history.len() >= 16);
    assert!(
        history.windows(2).all(|pair| pair[1].2 - pair[0].2 == 60),
        "no gaps"
    );
    assert_eq!(
        fixture.history("other").await.len(),
        1,
        "another history is not touched"
    );
}

#[tokio::test]
async fn a_history_of_failures_and_skips_is_bounded_too() {
    let retention = Retention {
        entries: 16,
        ..Retention::default()
    };
    let fixture = Fixture::with(Arc::new(MemoryStore::new()), retention);
    fixture.create("s", "@hourly").await;
    fixture.runs.long.store(true, Ordering::SeqCst);
    fixture
        .schedules()
        .create(new("busy", "@hourly").overlap(Overlap::Skip))
        .await
        .unwrap();
    fixture.after(HOUR).await;
    *fixture.runs.unknown.lock().unwrap() = Some("w".to_owned());
    for _ in 0..40 {
        assert_eq!(fixture.after(HOUR).await, 0);
    }
    for (id, outcome) in [("s", Failed), ("busy", Skipped)] {
        let history = fixture.history(id).await;
        assert!(
            (16..=18).contains(&history.len()),
            "{} entries",
            history.len()
        );
        assert_eq!(history.last(), Some(&(ScheduleFire, outcome, 41 * 60)));
    }
    for _ in 0..40 {
        fixture.clock.advance(1);
        fixture.schedules().run_now("s").await.unwrap();
    }
    assert!((16..=18).contains(&fixture.history("s").await.len()));
}

#[tokio::test]
async fn a_history_forgets_what_is_old() {
    let retention = Retention {
        age: Duration::from_millis(3 * DAY as u64),
        ..Retention::default()
    };
    let fixture = Fixture::with(Arc::new(MemoryStore::new()), retention);
    fixture.create("s", "@daily").await;
    for _ in 0..10 {
        fixture.after(DAY).await;
    }
    let days: Vec<i64> = fixture
        .history("s")
        .await
        .iter()
        .map(|entry| entry.2 * MINUTE / DAY)
        .collect();
    assert_eq!(days, [7, 8, 9, 10]);
}

#[tokio::test]
async fn missed_occurrences_are_one_entry() {
    let fixture = Fixture::new();
    fixture.create("s", "*/10 * * * *").await;
    assert_eq!(fixture.after(65 * MINUTE).await, 1);
    let entries = triggers(&fixture.schedules(), "s").await;
    assert_eq!(
        fixture.history("s").await,
        [(ScheduleFire, Skipped, 10), (ScheduleFire, Published, 60)]
    );
    assert_eq!(entries[0].skipped_until, Some(at(NEW_YEAR + 50 * MINUTE)));
    assert_eq!(entries[0].skipped_count, Some(5));
}

#[test]
fn retention_has_limits() {
    for entries in [0, MAX_HISTORY + 1] {
        let retention = Retention {
            entries,
            ..Retention::default()
        };
        let builder = Scheduler::builder(Arc::new(MemoryStore::new()), crate::support::Runs::new());
        let error = builder.retention(retention).build().unwrap_err();
        assert!(error.to_string().contains("1 to 10000"), "{error}");
    }
    for poll in [Duration::ZERO, Duration::from_secs(86_401)] {
        let builder = Scheduler::builder(Arc::new(MemoryStore::new()), crate::support::Runs::new());
        let error = builder.poll(poll).build().unwrap_err();
        assert!(error.to_string().contains("from 10ms"), "{error}");
    }
}
