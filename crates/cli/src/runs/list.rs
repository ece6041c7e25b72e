//! `bowline runs list`.

use bowline_events::Timestamp;
use bowline_workflow::{RunInfo, RunPage, RunQuery};
use serde::Serialize;

use super::args::ListArgs;
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

pub(crate) async fn run(args: ListArgs) -> Result<Outcome, Failure> {
    let now = Timestamp::now();
    let place = Workplace::open(&args.store, Need::Store).await?;
    let page = place.engine.runs(&query(&args, now)).await?;
    let mut text = Vec::new();
    if args.store.json {
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
    tell(&args, &page);
    place.close().await?;
    Ok(Outcome::Done)
}

fn query(args: &ListArgs, now: Timestamp) -> RunQuery {
    let mut query = RunQuery::new()
        .limit(args.limit.into())
        .after(args.cursor.clone());
    if let Some(workflow) = &args.workflow {
        query = query.workflow(workflow.clone());
    }
    if let Some(resource) = &args.resource {
        query = query.resource(resource.clone());
    }
    if let Some(since) = args.since {
        query = query.created_from(since.from(now));
    }
    if let Some(before) = args.before {
        query = query.created_before(before.from(now));
    }
    args.status
        .iter()
        .fold(query, |query, status| query.status(*status))
}

fn tell(args: &ListArgs, page: &RunPage) {
    match &page.next {
        Some(next) if !args.store.json => note(format_args!("there are more: --cursor {next}")),
        None if page.runs.is_empty() => {
            note("no runs: none has this, or their retention is over");
        }
        _ => {}
    }
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
