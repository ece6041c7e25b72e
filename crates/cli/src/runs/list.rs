//! `bowline runs list`.

use bowline_events::Timestamp;
use bowline_workflow::{RunInfo, RunPage};
use serde::Serialize;

use super::args::{FilterArgs, ListArgs};
use super::info::{Line, took, waits_for};
use crate::bus::note;
use crate::colour::shown;
use crate::json;
use crate::outcome::{Failure, Outcome};
use crate::output::Output;
use crate::store::{Need, Workplace};
use crate::table;
use crate::time::relative;

/// The last line, where there is more.
#[derive(Serialize)]
struct Next {
    next: String,
}

pub(super) async fn run(args: ListArgs) -> Result<Outcome, Failure> {
    let now = Timestamp::now();
    let place = Workplace::open(&args.filter.store, Need::Store).await?;
    let mut query = args.filter.query(now);
    if let Some(workflow) = &args.workflow {
        query = query.workflow(workflow.clone());
    }
    let page = place.engine.runs(&query).await?;
    print(&page, &args.filter, now).await?;
    place.close().await?;
    Ok(Outcome::Done)
}

/// Prints what `filter` has found.
pub(crate) async fn print(
    page: &RunPage,
    filter: &FilterArgs,
    now: Timestamp,
) -> Result<(), Failure> {
    let mut text = Vec::new();
    if filter.store.json {
        for run in &page.runs {
            json::line(&Line::from(run), &mut text)?;
        }
        if let Some(next) = &page.next {
            let next = next.to_string();
            json::line(&Next { next }, &mut text)?;
        }
    } else if !page.runs.is_empty() {
        text = rows(&page.runs, now).into_bytes();
    }
    Output::stdout()?.write(&mut text).await?;
    match &page.next {
        Some(next) if !filter.store.json => {
            note(format_args!("there are more: --cursor {next}"));
        }
        None if page.runs.is_empty() => {
            note("no runs: none has this, or their retention is over");
        }
        _ => {}
    }
    Ok(())
}

fn rows(runs: &[RunInfo], now: Timestamp) -> String {
    const HEAD: [&str; 7] = [
        "ID",
        "WORKFLOW",
        "STATUS",
        "STARTED",
        "DURATION",
        "RESOURCE",
        "WAITS FOR",
    ];
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(runs.iter().map(|run| {
        [
            shown(&run.id),
            shown(&run.workflow),
            run.status.to_string(),
            relative(run.created, now),
            took(run, now),
            run.resource
                .as_deref()
                .map_or_else(|| "-".to_owned(), shown),
            shown(&waits_for(run, now)),
        ]
    }));
    table::align(&rows)
}
