//! What users do with schedules.

use std::sync::Arc;
use std::time::Duration;

use bowline_store::MemoryStore;
use bowline_workflow::ErrorKind;
use bowline_workflow::schedule::*;

use crate::faulty::Faulty;
use crate::support::{
    DAY, Fixture, HOUR, MINUTE, NEW_YEAR, RUNS, SECOND, at, cron_cadence, new, runs_of,
};

use Outcome::{Failed, Published};
use TriggerKind::{Manual, ScheduleFire};

fn workflow(id: &'static str) -> NewSchedule {
    NewSchedule::new(Target::workflow(id), cron_cadence("@hourly"))
}

#[tokio::test]
async fn a_schedule_is_what_it_was_made_as() {
    let fixture = Fixture::new();
    let schedules = fixture.schedules();
    let target = Target::workflow("w").with_input(Json::parse(r#"{"n":1}"#).unwrap());
    let cadence = Cadence::cron("0 9 * * MON", Some("Europe/Paris")).unwrap();
    let new = NewSchedule::new(target.clone(), cadence.clone());
    let new = new
        .id("s")
        .owner("me")
        .overlap(Overlap::Queue)
        .catch_up(CatchUp::All { at_most: 3 });
    let created = schedules
        .create(new.metadata(Json::parse("[1]").unwrap()))
        .await
        .unwrap();
    assert_eq!(
        created.next_fire_at,
        Some(at(NEW_YEAR + 4 * DAY + 8 * HOUR))
    );
    assert_eq!((&created.target, &created.cadence), (&target, &cadence));
    assert_eq!(
        (created.created_at, created.updated_at),
        (at(NEW_YEAR), at(NEW_YEAR))
    );
    assert_eq!(schedules.get("s").await.unwrap(), created);
}

#[tokio::test]
async fn ids_are_given_or_made() {
    let fixture = Fixture::new();
    let schedules = fixture.schedules();
    let named = schedules
        .create(workflow("w").name("Every Day"))
        .await
        .unwrap();
    assert_eq!(named.id, "schedule_every-day");
    let random = [(); 2].map(|()| schedules.create(workflow("w")));
    let [first, second] = random.map(|create| async { create.await.unwrap().id });
    let (first, second) = (first.await, second.await);
    assert!(first.starts_with("schedule_") && second.starts_with("schedule_") && first != second);
    let error = schedules
        .create(workflow("w").id("schedule_every-day"))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.subject()),
        (ErrorKind::AlreadyExists, Some("schedule_every-day"))
    );
}

#[tokio::test]
async fn what_cannot_be_a_schedule_is_refused() {
    let schedules = Fixture::new().schedules();
    let long = "x".repeat(MAX_ID + 1);
    let json = |length| Json::parse(format!("\"{}\"", "x".repeat(length))).unwrap();
    for (new, kind, named) in [
        (workflow("w").id(""), ErrorKind::InvalidInput, "empty"),
        (
            workflow("w").id(long.clone()),
            ErrorKind::InvalidInput,
            "the limit is 256",
        ),
        (
            workflow("w").id("a\nb"),
            ErrorKind::InvalidInput,
            "control character",
        ),
        (workflow(""), ErrorKind::InvalidInput, "target"),
        (workflow("w").owner(long), ErrorKind::InvalidInput, "owner"),
        (
            workflow("w").catch_up(CatchUp::All { at_most: 0 }),
            ErrorKind::InvalidInput,
            "from 1 to 100",
        ),
        (
            workflow("w").catch_up(CatchUp::All { at_most: 101 }),
            ErrorKind::InvalidInput,
            "from 1 to 100",
        ),
        (
            workflow("w").metadata(json(MAX_DETAILS)),
            ErrorKind::TooLarge,
            "metadata",
        ),
        (
            NewSchedule::new(
                Target::workflow("w").with_input(json(MAX_DETAILS)),
                cron_cadence("@hourly"),
            ),
            ErrorKind::TooLarge,
            "target",
        ),
        (
            NewSchedule::new(Target::workflow("w"), cron_cadence("2025-01-01T00:00:00")),
            ErrorKind::InvalidInput,
            "no occurrence in the future",
        ),
        (
            NewSchedule::new(Target::workflow("w"), cron_cadence("0 0 31 2 *")),
            ErrorKind::InvalidInput,
            "no occurrence in the future",
        ),
    ] {
        let error = schedules.create(new).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(
            error.to_string().contains(named),
            "{error} does not name {named}"
        );
    }
}

#[tokio::test]
async fn schedules_are_listed_by_status_target_and_owner() {
    let fixture = Fixture::new();
    let schedules = fixture.schedules();
    let agent = NewSchedule::new(
        Target::agent("w", Members::default()),
        cron_cadence("@hourly"),
    );
    for new in [
        workflow("w").id("a").owner("me"),
        workflow("w").id("b").paused(),
        workflow("v").id("c").owner("you"),
        agent.id("d").owner("me"),
    ] {
        schedules.create(new).await.unwrap();
        fixture.clock.advance(1);
    }
    let owner = |owner: &'static str| ScheduleFilter {
        owner: Some(owner.into()),
        ..ScheduleFilter::default()
    };
    let target = |target| ScheduleFilter {
        target: Some(target),
        ..ScheduleFilter::default()
    };
    let status = |status| ScheduleFilter {
        status: Some(status),
        ..ScheduleFilter::default()
    };
    for (filter, ids) in [
        (ScheduleFilter::default(), "dcba"),
        (owner("me"), "da"),
        (owner("nobody"), ""),
        (target(Target::workflow("w")), "ba"),
        (target(Target::agent("w", Members::default())), "d"),
        (status(Status::Paused), "b"),
        (status(Status::Active), "dca"),
    ] {
        let mut found = String::new();
        let mut after = None;
        loop {
            let page = schedules.list(&filter, after, 2).await.unwrap();
            assert!(page.schedules.len() <= 2 && page.damaged.is_empty());
            found.extend(page.schedules.iter().map(|schedule| schedule.id.as_str()));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, ids, "{filter:?}");
    }
}

#[tokio::test]
async fn a_paused_schedule_does_not_fire_and_goes_on_from_now() {
    let fixture = Fixture::new();
    fixture.create("s", "@hourly").await;
    assert_eq!(fixture.after(HOUR).await, 1);
    let paused = fixture.schedules().pause("s").await.unwrap();
    assert_eq!((paused.status, paused.next_fire_at), (Status::Paused, None));
    assert_eq!(fixture.after(10 * HOUR).await, 0);
    let again = fixture.schedules().pause("s").await.unwrap();
    assert_eq!(again, paused, "pausing again changes nothing");
    fixture.clock.advance(MINUTE);
    let resumed = fixture.schedules().resume("s").await.unwrap();
    assert_eq!(
        (resumed.status, resumed.next_fire_at),
        (Status::Active, Some(at(NEW_YEAR + 12 * HOUR)))
    );
    assert_eq!(fixture.schedules().resume("s").await.unwrap(), resumed);
    assert_eq!(fixture.after(HOUR).await, 1);
    assert_eq!(
        fixture.history("s").await,
        [
            (ScheduleFire, Published, 60),
            (ScheduleFire, Published, 720)
        ]
    );
}

#[tokio::test]
async fn what_has_no_future_is_not_resumed() {
    let fixture = Fixture::new();
    fixture.create("s", "2026-01-01T05:00:00").await;
    fixture.schedules().pause("s").await.unwrap();
    fixture.clock.advance(DAY);
    let error = fixture.schedules().resume("s").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let update = Patch {
        cadence: Some(cron_cadence("2026-01-05T05:00:00")),
        ..Patch::default()
    };
    assert_eq!(
        fixture
            .schedules()
            .update("s", update)
            .await
            .unwrap()
            .status,
        Status::Paused
    );
    let resumed = fixture.schedules().resume("s").await.unwrap();
    assert_eq!(
        resumed.next_fire_at,
        Some(at(NEW_YEAR + 4 * DAY + 5 * HOUR))
    );
}

#[tokio::test]
async fn an_update_aims_anew_only_with_a_new_cadence() {
    let fixture = Fixture::new();
    let before = fixture.create("s", "@hourly").await;
    fixture.clock.advance(90 * MINUTE);
    let patch = Patch {
        target: Some(Target::workflow("v")),
        metadata: Some(Some(Json::parse("1").unwrap())),
        overlap: Some(Overlap::Skip),
        catch_up: Some(CatchUp::All { at_most: 2 }),
        ..Patch::default()
    };
    let after = fixture.schedules().update("s", patch).await.unwrap();
    assert_eq!(
        after.next_fire_at, before.next_fire_at,
        "the occurrence that is due stays so"
    );
    assert_eq!(
        (after.target.id().as_str(), after.overlap),
        ("v", Overlap::Skip)
    );
    assert_eq!(
        (after.catch_up, after.updated_at),
        (CatchUp::All { at_most: 2 }, at(NEW_YEAR + 90 * MINUTE))
    );
    let daily = Patch {
        cadence: Some(Cadence::cron("0 0 * * *", Some("Asia/Tokyo")).unwrap()),
        metadata: Some(None),
        ..Patch::default()
    };
    let daily = fixture.schedules().update("s", daily).await.unwrap();
    assert_eq!(
        (daily.next_fire_at, daily.metadata),
        (Some(at(NEW_YEAR + 15 * HOUR)), None)
    );
    assert_eq!(fixture.after(2 * HOUR).await, 0);
    let error = fixture
        .schedules()
        .update(
            "s",
            Patch {
                target: Some(Target::workflow("")),
                ..Patch::default()
            },
        )
        .await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_run_by_hand_does_not_move_the_schedule() {
    let fixture = Fixture::new();
    let before = fixture.create("s", "@hourly").await;
    fixture.clock.advance(90 * SECOND + 7);
    let trigger = fixture.schedules().run_now("s").await.unwrap();
    let run = format!("sched_s_{}", NEW_YEAR + 90 * SECOND + 7);
    assert_eq!(trigger.run_id.as_deref(), Some(run.as_str()));
    assert_eq!((trigger.trigger_kind, trigger.outcome), (Manual, Published));
    assert!(fixture.store.get(RUNS, &run).await.unwrap().is_some());
    assert_eq!(*fixture.runs.launched.lock().unwrap(), [run]);
    assert_eq!(fixture.schedules().get("s").await.unwrap(), before);
    assert_eq!(fixture.after(HOUR).await, 1);
    assert_eq!(
        fixture.history("s").await,
        [(Manual, Published, 1), (ScheduleFire, Published, 60)]
    );
}

#[tokio::test]
async fn runs_by_hand_take_the_place_of_nothing() {
    let fixture = Fixture::new();
    fixture.create("s", "@hourly").await;
    // At the very instant of an occurrence that has not fired yet, and several in one millisecond.
    fixture.clock.advance(HOUR);
    for _ in 0..3 {
        fixture.schedules().run_now("s").await.unwrap();
    }
    assert_eq!(fixture.after(0).await, 1);
    let runs = runs_of(&*fixture.store).await;
    let after: Vec<i64> = runs["s"].iter().map(|run| run - NEW_YEAR - HOUR).collect();
    assert_eq!(after, [0, 1, 2, 3]);
}

#[tokio::test]
async fn a_run_by_hand_works_while_paused_and_says_when_it_is_refused() {
    let fixture = Fixture::new();
    fixture.create("s", "@hourly").await;
    fixture.schedules().pause("s").await.unwrap();
    assert!(
        fixture
            .schedules()
            .run_now("s")
            .await
            .unwrap()
            .run_id
            .is_some()
    );
    *fixture.runs.unknown.lock().unwrap() = Some("w".to_owned());
    fixture.clock.advance(MINUTE);
    let refused = fixture.schedules().run_now("s").await.unwrap();
    assert_eq!((refused.outcome, refused.run_id), (Failed, None));
    assert_eq!(
        fixture.history("s").await,
        [(Manual, Published, 0), (Manual, Failed, 1)]
    );
}

#[tokio::test]
async fn a_schedule_goes_with_its_whole_history() {
    let retention = Retention {
        entries: MAX_HISTORY,
        ..Retention::default()
    };
    let fixture = Fixture::with(Arc::new(MemoryStore::new()), retention);
    let all = CatchUp::All { at_most: 100 };
    fixture
        .schedules()
        .create(new("s", "* * * * *").catch_up(all))
        .await
        .unwrap();
    fixture.create("s2", "@hourly").await;
    for _ in 0..22 {
        fixture.after(100 * MINUTE).await;
    }
    assert_eq!(fixture.history("s").await.len(), 2200);
    fixture.schedules().delete("s").await.unwrap();
    assert_eq!(fixture.history("s").await, []);
    assert!(!fixture.history("s2").await.is_empty());
    assert_eq!(
        fixture.schedules().get("s").await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert!(fixture.after(DAY).await == 1, "only the other one fires");
    // One of the same id begins without a past.
    fixture.create("s", "@hourly").await;
    assert_eq!(fixture.history("s").await, []);
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let schedules = Fixture::new().schedules();
    let error = |error: bowline_workflow::Error| {
        assert_eq!(
            (error.kind(), error.subject()),
            (ErrorKind::NotFound, Some("s"))
        );
    };
    error(schedules.get("s").await.unwrap_err());
    error(schedules.update("s", Patch::default()).await.unwrap_err());
    error(schedules.pause("s").await.unwrap_err());
    error(schedules.resume("s").await.unwrap_err());
    error(schedules.run_now("s").await.unwrap_err());
    error(schedules.delete("s").await.unwrap_err());
}

#[tokio::test]
async fn everybodys_changes_are_kept() {
    let store = Arc::new(MemoryStore::new());
    // It fails nothing, but lets others in between reading and writing.
    let slow = Faulty::new(store, 7);
    slow.heal();
    let fixture = Fixture::with(slow, Retention::default());
    let all = CatchUp::All { at_most: 100 };
    fixture
        .schedules()
        .create(new("s", "* * * * *").catch_up(all))
        .await
        .unwrap();
    fixture.clock.advance(8 * MINUTE);
    let schedules = fixture.schedules();
    let patch = |patch| schedules.update("s", patch);
    let results = tokio::join!(
        fixture.scheduler.fire_due(),
        patch(Patch {
            overlap: Some(Overlap::Skip),
            ..Patch::default()
        }),
        patch(Patch {
            target: Some(Target::workflow("v")),
            ..Patch::default()
        }),
        patch(Patch {
            metadata: Some(Some(Json::parse("1").unwrap())),
            ..Patch::default()
        }),
        schedules.run_now("s"),
        schedules.run_now("s"),
    );
    assert_eq!(results.0.unwrap(), 8);
    results.1.unwrap();
    results.2.unwrap();
    results.3.unwrap();
    assert_ne!(results.4.unwrap().run_id, results.5.unwrap().run_id);
    let schedule = schedules.get("s").await.unwrap();
    assert_eq!(
        (schedule.overlap, schedule.target.id().as_str()),
        (Overlap::Skip, "v")
    );
    assert_eq!(
        (schedule.metadata.unwrap().as_str(), schedule.next_fire_at),
        ("1", Some(at(NEW_YEAR + 9 * MINUTE)))
    );
    assert_eq!(fixture.history("s").await.len(), 10);
}

#[tokio::test]
async fn a_schedule_can_be_deleted_while_it_fires() {
    for seed in 0..20 {
        let slow = Faulty::new(Arc::new(MemoryStore::new()), seed * 7919);
        slow.heal();
        let fixture = Fixture::with(slow, Retention::default());
        let all = CatchUp::All { at_most: 100 };
        fixture
            .schedules()
            .create(new("s", "* * * * *").catch_up(all))
            .await
            .unwrap();
        fixture.clock.advance(3 * MINUTE);
        let schedules = fixture.schedules();
        let (fired, deleted) = tokio::join!(fixture.scheduler.fire_due(), schedules.delete("s"));
        deleted.unwrap();
        let runs = runs_of(&*fixture.store).await;
        assert_eq!(runs.get("s").map_or(0, |runs| runs.len()), fired.unwrap());
        assert_eq!(
            fixture.history("s").await,
            [],
            "an entry without a schedule"
        );
    }
}

#[tokio::test]
async fn intervals_fire_in_equal_steps() {
    let fixture = Fixture::new();
    let cadence = Cadence::every(Duration::from_secs(90 * 60), at(NEW_YEAR)).unwrap();
    fixture
        .schedules()
        .create(NewSchedule::new(Target::workflow("w"), cadence).id("s"))
        .await
        .unwrap();
    for (minutes, started) in [(89, 0), (1, 1), (90, 1), (95, 1), (85, 1)] {
        assert_eq!(fixture.after(minutes * MINUTE).await, started);
    }
    let minutes = fixture.history("s").await.into_iter().map(|entry| entry.2);
    assert_eq!(minutes.collect::<Vec<_>>(), [90, 180, 270, 360]);
}
