//! Schedules that programs declare.

use bowline_workflow::ErrorKind;
use bowline_workflow::schedule::*;

use crate::support::{Fixture, HOUR, MINUTE, NEW_YEAR, at, cron_cadence, new};

fn declared(id: &'static str, cron: &str) -> Declared {
    Declared::new(id, Target::workflow("w"), cron_cadence(cron))
}

#[tokio::test]
async fn what_is_declared_is_made_changed_and_deleted() {
    let fixture = Fixture::new();
    let schedules = fixture.schedules();
    let first = [
        declared("a", "@hourly"),
        declared("b", "@hourly"),
        declared("c", "@hourly"),
    ];
    let report = schedules.sync("app", &first).await.unwrap();
    assert_eq!(report.created, ["a", "b", "c"]);
    fixture.after(HOUR).await;
    let mut changed = declared("b", "*/5 * * * *");
    changed.metadata = Some(Json::parse("{}").unwrap());
    let second = [declared("a", "@hourly"), changed, declared("d", "@daily")];
    let report = schedules.sync("app", &second).await.unwrap();
    let expected = SyncReport {
        created: vec!["d".into()],
        updated: vec!["b".into()],
        deleted: vec!["c".into()],
        unchanged: vec!["a".into()],
    };
    assert_eq!(report, expected);
    assert_eq!(fixture.history("c").await, []);
    let b = schedules.get("b").await.unwrap();
    assert_eq!(b.next_fire_at, Some(at(NEW_YEAR + HOUR + 5 * MINUTE)));
    assert_eq!(
        b.last_run_id,
        Some(run_id("b", at(NEW_YEAR + HOUR))),
        "what it did is not forgotten"
    );
    let report = schedules.sync("app", &second).await.unwrap();
    assert_eq!(report.unchanged, ["a", "b", "d"], "nothing to do");
    assert_eq!(
        (
            report.created.len(),
            report.updated.len(),
            report.deleted.len()
        ),
        (0, 0, 0)
    );
}

#[tokio::test]
async fn a_declaration_never_changes_the_status_or_what_is_due() {
    let fixture = Fixture::new();
    let schedules = fixture.schedules();
    schedules
        .sync("app", &[declared("a", "@hourly"), declared("b", "@hourly")])
        .await
        .unwrap();
    schedules.pause("a").await.unwrap();
    fixture.clock.advance(2 * HOUR);
    let mut words = declared("b", "@hourly");
    words.target = serde_json::from_str(r#"{"workflowId": "w", "type": "workflow"}"#).unwrap();
    let report = schedules
        .sync("app", &[declared("a", "*/5 * * * *"), words])
        .await
        .unwrap();
    assert_eq!(
        (report.updated, report.unchanged),
        (vec!["a".into()], vec!["b".into()])
    );
    assert_eq!(schedules.get("a").await.unwrap().status, Status::Paused);
    assert_eq!(
        fixture.after(0).await,
        1,
        "an occurrence that was due at the restart fires"
    );
}

#[tokio::test]
async fn schedules_of_others_are_not_touched() {
    let fixture = Fixture::new();
    let schedules = fixture.schedules();
    schedules
        .sync("other", &[declared("theirs", "@hourly")])
        .await
        .unwrap();
    schedules
        .create(new("by-hand", "@hourly").owner("app"))
        .await
        .unwrap();
    schedules.create(new("nobodys", "@hourly")).await.unwrap();
    schedules
        .sync("app", &[declared("a", "@hourly")])
        .await
        .unwrap();
    assert_eq!(schedules.sync("app", &[]).await.unwrap().deleted, ["a"]);
    for id in ["theirs", "by-hand", "nobodys"] {
        schedules.get(id).await.unwrap();
        let taken = [declared("new", "@hourly"), declared(id, "@daily")];
        let error = schedules.sync("app", &taken).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.subject()),
            (ErrorKind::AlreadyExists, Some(id))
        );
        assert_eq!(
            schedules.get("new").await.unwrap_err().kind(),
            ErrorKind::NotFound,
            "nothing was changed"
        );
    }
    let twice = [declared("new", "@hourly"), declared("new", "@daily")];
    let error = schedules.sync("app", &twice).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.subject()),
        (ErrorKind::InvalidInput, Some("new"))
    );
}

#[tokio::test]
async fn several_processes_can_declare_the_same_at_once() {
    let slow =
        crate::faulty::Faulty::new(std::sync::Arc::new(bowline_store::MemoryStore::new()), 11);
    slow.heal();
    let fixture = Fixture::with(slow, Retention::default());
    let schedules = fixture.schedules();
    schedules
        .sync(
            "app",
            &[declared("old", "@hourly"), declared("a", "@hourly")],
        )
        .await
        .unwrap();
    let all = [
        declared("a", "@daily"),
        declared("b", "@hourly"),
        declared("c", "@hourly"),
    ];
    let (first, second) = tokio::join!(schedules.sync("app", &all), schedules.sync("app", &all));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(
        first.created.len() + second.created.len(),
        2,
        "each is made once"
    );
    assert_eq!(
        first.deleted.len() + second.deleted.len(),
        1,
        "each is deleted once"
    );
    let page = schedules
        .list(&ScheduleFilter::default(), None, 10)
        .await
        .unwrap();
    let mut ids: Vec<_> = page
        .schedules
        .iter()
        .map(|schedule| schedule.id.to_string())
        .collect();
    ids.sort();
    assert_eq!(ids, ["a", "b", "c"]);
}
