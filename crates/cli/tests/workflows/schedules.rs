//! Listing, showing and steering schedules.

use std::time::Duration;

use bowline_events::Timestamp;
use bowline_workflow::RunStatus;
use bowline_workflow::schedule::{Cadence, Json, NewSchedule, Target};
use serde_json::json;

use crate::house::House;

/// A program with a schedule by the clock, and one in equal intervals, neither of which fires meanwhile.
fn house() -> House {
    let house = House::new();
    let nightly = Cadence::cron("0 3 1 1 *", Some("Europe/Stockholm")).unwrap();
    let hourly = Cadence::every(Duration::from_secs(3600), Timestamp::now()).unwrap();
    let target = Target::workflow("order").with_input(Json::parse("1").unwrap());
    let schedules = house.engine.schedules();
    for new in [
        NewSchedule::new(target, nightly).id("yearly"),
        NewSchedule::new(Target::workflow("nobody"), hourly)
            .id("hourly")
            .owner("ann"),
    ] {
        house.wait(schedules.create(new)).unwrap();
    }
    house
}

#[test]
fn schedules_are_listed_with_their_next_time() {
    let house = house();
    let table = house.run(&["schedules", "list"]).out;
    let line = |id: &str| table.lines().find(|line| line.starts_with(id)).unwrap();
    assert!(line("ID").contains("NEXT"));
    assert!(
        line("yearly").contains("workflow order ") && line("yearly").contains(" 0 3 1 1 * "),
        "{table}"
    );
    assert!(
        line("yearly").contains("-01-01 03:00:00 CET (in "),
        "{table}"
    );
    assert!(line("hourly").contains("every 1h00m"), "{table}");
    let all = house.json(&["schedules", "list"]);
    assert_eq!(all.len(), 2);
    let some = house.json(&["schedules", "list", "--owner", "ann"]);
    assert_eq!(some[0]["schedule"]["everyMs"], 3_600_000);
    let some = house.json(&["schedules", "list", "--workflow", "order", "--limit", "1"]);
    assert_eq!(some.len(), 1);
    assert_eq!(some[0]["schedule"]["timezone"], "Europe/Stockholm");
    let page = house.json(&["schedules", "list", "--limit", "1"]);
    let rest = house.json(&[
        "schedules",
        "list",
        "--cursor",
        page[1]["next"].as_str().unwrap(),
    ]);
    assert_eq!(rest.len(), 1);
    assert_ne!(rest[0]["schedule"]["id"], page[0]["schedule"]["id"]);
}

#[test]
fn a_run_by_hand_is_in_the_history() {
    let house = house();
    let trigger = &house.json(&["schedules", "run", "yearly"])[0];
    let run = trigger["runId"].as_str().unwrap();
    let result = house.wait(async { house.engine.run(run).await.unwrap().result().await.unwrap() });
    assert_eq!(result.status(), RunStatus::Suspended);
    let shown = house.run(&["runs", "show", run]);
    assert!(shown.out.contains("review.approve"), "{shown:?}");
    let shown = house.run(&["schedules", "show", "yearly"]);
    assert!(
        shown.out.contains("zone      Europe/Stockholm"),
        "{shown:?}"
    );
    let last = shown.out.lines().last().unwrap();
    assert!(
        last.contains("published") && last.contains("by hand") && last.contains(run),
        "{last}"
    );
    let whole = &house.json(&["schedules", "show", "yearly"])[0];
    assert_eq!(whole["triggers"][0]["runId"], run);
    assert_eq!(whole["schedule"]["lastRunId"], json!(null));
    let listed = house.run(&["schedules", "list", "--workflow", "order"]);
    assert!(
        listed.out.lines().last().unwrap().ends_with(" ago"),
        "{listed:?}"
    );

    let refused = house.run(&["schedules", "run", "hourly"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.out.starts_with("hourly failed: ") && refused.out.contains("nobody"),
        "{refused:?}"
    );
}

#[test]
fn a_schedule_is_paused_resumed_and_deleted() {
    let house = house();
    let paused = house.run(&["schedules", "pause", "yearly"]);
    assert_eq!(
        (paused.code, &*paused.out),
        (Some(0), "yearly paused\n"),
        "{paused:?}"
    );
    assert_eq!(house.json(&["schedules", "list", "--paused"]).len(), 1);
    let table = house.run(&["schedules", "list", "--paused"]).out;
    assert!(table.contains("paused"), "{table}");
    let resumed = &house.json(&["schedules", "resume", "yearly"])[0];
    assert_eq!(resumed["schedule"]["status"], "active");
    assert!(resumed["schedule"]["nextFireAt"].is_i64());
    let deleted = house.run(&["schedules", "delete", "yearly", "--yes"]);
    assert_eq!(
        (deleted.code, &*deleted.out),
        (Some(0), "yearly deleted\n"),
        "{deleted:?}"
    );
    assert_eq!(house.json(&["schedules", "list"]).len(), 1);
}
