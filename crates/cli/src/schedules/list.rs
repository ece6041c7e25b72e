//! `bowline schedules list`.

use bowline_events::Timestamp;
use bowline_workflow::schedule::{Schedule, ScheduleFilter, Status, Target, Trigger};
use serde::Serialize;

use super::args::ListArgs;
use super::row::{self, Line};
use crate::bus::note;
use crate::colour::shown;
use crate::json;
use crate::outcome::{Failure, Outcome};
use crate::output::Output;
use crate::store::{Need, Workplace};
use crate::table;

/// The last line, where there is more.
#[derive(Serialize)]
struct Next {
    next: String,
}

pub(crate) async fn run(args: ListArgs) -> Result<Outcome, Failure> {
    let place = Workplace::open(&args.store, Need::Store).await?;
    let schedules = place.engine.schedules();
    let filter = ScheduleFilter {
        status: args.paused.then_some(Status::Paused),
        target: args.workflow.clone().map(Target::workflow),
        owner: args.owner.clone().map(Into::into),
    };
    let page = schedules
        .list(&filter, args.cursor.clone(), args.limit.into())
        .await?;
    let mut rows = Vec::with_capacity(page.schedules.len());
    for schedule in page.schedules {
        let last = row::history(&schedules, &schedule.id, 1).await?.pop();
        rows.push((schedule, last));
    }
    let next = page.next.map(|next| next.to_string());
    let mut text = Vec::new();
    if args.store.json {
        for (schedule, last) in &rows {
            let last = last.as_ref();
            json::line(&Line { schedule, last }, &mut text)?;
        }
        if let Some(next) = next.clone() {
            json::line(&Next { next }, &mut text)?;
        }
    } else if !rows.is_empty() {
        text = draw(&rows, Timestamp::now()).into_bytes();
    }
    Output::stdout()?.write(&mut text).await?;
    for id in &page.damaged {
        note(format_args!(
            "the schedule {id:?} cannot be read, and does not fire; bowline schedules delete removes it"
        ));
    }
    match next {
        Some(next) if !args.store.json => note(format_args!("there are more: --cursor {next}")),
        None if rows.is_empty() => note("no schedules"),
        _ => {}
    }
    place.close().await?;
    Ok(Outcome::Done)
}

fn draw(schedules: &[(Schedule, Option<Trigger>)], now: Timestamp) -> String {
    let mut rows = vec![["ID", "STARTS", "WHEN", "NEXT", "LAST"].map(str::to_owned)];
    rows.extend(schedules.iter().map(|(schedule, last)| {
        let last = last.as_ref().map(|last| row::last(last, now));
        [
            shown(&schedule.id),
            shown(&format!(
                "{} {}",
                schedule.target.kind(),
                schedule.target.id()
            )),
            shown(&row::cadence(schedule)),
            row::next(schedule, now),
            last.unwrap_or_else(|| "-".to_owned()),
        ]
    }));
    table::align(&rows)
}
