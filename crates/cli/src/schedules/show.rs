//! `bowline schedules show`.

use bowline_events::Timestamp;
use bowline_workflow::schedule::{Schedule, Trigger, TriggerKind};
use serde::Serialize;

use super::args::ShowArgs;
use super::row;
use crate::colour::{Colour, Painter, shown, visible};
use crate::json;
use crate::outcome::{Failure, Outcome};
use crate::output::Output;
use crate::store::{Need, Workplace};
use crate::table;
use crate::time::{in_zone, relative};

/// A schedule and its history in JSON.
#[derive(Serialize)]
struct Whole<'a> {
    schedule: &'a Schedule,
    triggers: &'a [Trigger],
}

pub(crate) async fn run(args: ShowArgs) -> Result<Outcome, Failure> {
    let place = Workplace::open(&args.store, Need::Store).await?;
    let schedules = place.engine.schedules();
    let schedule = schedules.get(&args.id).await?;
    let triggers = row::history(&schedules, &args.id, args.limit.into()).await?;
    let mut text = Vec::new();
    if args.store.json {
        let whole = Whole {
            schedule: &schedule,
            triggers: &triggers,
        };
        json::line(&whole, &mut text)?;
    } else {
        text = draw(&schedule, &triggers, Timestamp::now()).into_bytes();
    }
    Output::stdout()?.write(&mut text).await?;
    place.close().await?;
    Ok(Outcome::Done)
}

fn draw(schedule: &Schedule, triggers: &[Trigger], now: Timestamp) -> String {
    let painter = Painter::for_stream(&std::io::stdout());
    let mut text = painter.paint(Colour::Bold, &schedule.id);
    text.push_str("  ");
    painter.put(&mut text, Colour::Cyan, schedule.status.as_str());
    text.push('\n');
    // A name of a variant, or an object with one.
    let policy = |value: serde_json::Result<String>| value.unwrap_or_default().replace('"', "");
    let mut facts = vec![
        (
            "starts",
            format!("{} {}", schedule.target.kind(), schedule.target.id()),
        ),
        ("when", row::cadence(schedule)),
        ("next", row::next(schedule, now)),
        ("overlap", policy(serde_json::to_string(&schedule.overlap))),
        (
            "catch up",
            policy(serde_json::to_string(&schedule.catch_up)),
        ),
        ("made", relative(schedule.created_at, now)),
    ];
    let mut add = |name, value: Option<String>| facts.extend(value.map(|value| (name, value)));
    add("zone", row::zone(schedule).map(str::to_owned));
    add("owner", schedule.owner.as_ref().map(ToString::to_string));
    add(
        "declared",
        schedule
            .declared
            .then(|| "by the program of the owner".to_owned()),
    );
    add(
        "metadata",
        schedule
            .metadata
            .as_ref()
            .map(|json| json.as_str().to_owned()),
    );
    for (name, value) in facts {
        painter.put(&mut text, Colour::Dim, &format!("{name:<10}"));
        visible(&mut text, &value);
        text.push('\n');
    }
    if !triggers.is_empty() {
        text.push('\n');
        text.push_str(&history(schedule, triggers));
    }
    text
}

fn history(schedule: &Schedule, triggers: &[Trigger]) -> String {
    let mut rows = vec![["AT", "OUTCOME", "BECAUSE", "RUN", "ERROR"].map(str::to_owned)];
    rows.extend(triggers.iter().map(|trigger| {
        let many = trigger.skipped_count.filter(|count| *count > 1);
        let many = many
            .map(|count| format!(" ({count} times)"))
            .unwrap_or_default();
        [
            in_zone(trigger.actual_fire_at, row::zone(schedule)),
            format!("{}{many}", trigger.outcome.as_str()),
            because(trigger.trigger_kind).to_owned(),
            trigger
                .run_id
                .as_deref()
                .map_or_else(|| "-".to_owned(), shown),
            trigger.error.as_deref().map(shown).unwrap_or_default(),
        ]
    }));
    table::align(&rows)
}

fn because(kind: TriggerKind) -> &'static str {
    match kind {
        TriggerKind::ScheduleFire => "time",
        TriggerKind::QueueDrain => "queue",
        TriggerKind::Manual => "by hand",
    }
}
