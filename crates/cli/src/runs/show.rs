//! `bowline runs show`.

use bowline_events::Timestamp;
use bowline_workflow::{Data, RunHistory, RunPart};
use serde::Serialize;

use super::args::ShowArgs;
use super::info::{Line, between, took, waits_for};
use super::shorten;
use super::tree::{Tree, colour_of, message};
use crate::bus::note;
use crate::colour::{Colour, Painter, visible};
use crate::json;
use crate::outcome::{Failure, Outcome};
use crate::output::Output;
use crate::store::{Need, Workplace};
use crate::time::{iso, relative};

pub(crate) async fn run(args: ShowArgs) -> Result<Outcome, Failure> {
    let place = Workplace::open(&args.store, Need::Store).await?;
    let history = place.engine.run(&args.run).await?.history().await?;
    let parts = history.parts();
    let mut text = Vec::new();
    if args.store.json {
        let whole = Whole {
            run: Line::from(history.info()),
            input: history.input(),
            state: history.state(),
            parts: parts.iter().map(Part::from).collect(),
            problem: history.problem().map(ToString::to_string),
        };
        json::line(&whole, &mut text)?;
    } else {
        text = draw(&history, &parts, args.full).into_bytes();
    }
    Output::stdout()?.write(&mut text).await?;
    if let Some(problem) = history.problem() {
        note(format_args!(
            "the steps of the run are not all known: {problem}"
        ));
    }
    place.close().await?;
    Ok(Outcome::Done)
}

fn draw(history: &RunHistory, parts: &[RunPart], full: bool) -> String {
    let (run, now) = (history.info(), Timestamp::now());
    let painter = Painter::for_stream(&std::io::stdout());
    let mut text = painter.paint(Colour::Bold, &run.id);
    text.push_str("  ");
    painter.put(&mut text, Colour::Cyan, &run.workflow);
    text.push_str("  ");
    painter.put(&mut text, colour_of(run.status), run.status.as_str());
    let started = format!("{} ({})", iso(run.created), relative(run.created, now));
    let mut facts = vec![("started", started), ("duration", took(run, now))];
    let mut add = |name, value: Option<String>| facts.extend(value.map(|value| (name, value)));
    add("resource", run.resource.as_ref().map(ToString::to_string));
    add("worker", run.worker.clone());
    let waits = waits_for(run, now);
    add("waits for", (!waits.is_empty()).then_some(waits));
    add("input", Some(shorten(history.input().as_str(), full)));
    let state = history.state();
    add(
        "state",
        (state.as_str() != "{}").then(|| shorten(state.as_str(), full)),
    );
    add(
        "result",
        run.result
            .as_ref()
            .map(|result| shorten(result.as_str(), full)),
    );
    add(
        "error",
        run.error
            .as_ref()
            .map(|error| shorten(&message(error), full)),
    );
    text.push('\n');
    for (name, value) in facts {
        painter.put(&mut text, Colour::Dim, &format!("{name:<10}"));
        visible(&mut text, &value);
        text.push('\n');
    }
    let tree = Tree {
        run,
        now,
        full,
        painter,
    };
    if !parts.is_empty() {
        text.push('\n');
        text.push_str(&tree.draw(parts));
    }
    text
}

#[derive(Serialize)]
struct Whole<'a> {
    run: Line<'a>,
    input: &'a Data,
    state: Data,
    parts: Vec<Part<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// A part of a run in JSON.
#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    /// `null` before it begins.
    status: Option<&'static str>,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    iterations: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    due_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<&'a Data>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a Data>,
    #[serde(skip_serializing_if = "Option::is_none")]
    suspend_payload: Option<&'a Data>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resume_payload: Option<&'a Data>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nested_run_id: Option<&'a str>,
    parts: Vec<Part<'a>>,
}

impl<'a> From<&'a RunPart> for Part<'a> {
    fn from(part: &'a RunPart) -> Self {
        let base = Self {
            kind: part.kind.as_str(),
            id: part.id.as_deref(),
            index: part.index,
            status: part.status.map(bowline_workflow::StepStatus::as_str),
            attempts: part.attempts,
            due_at: part.due.map(iso),
            parts: part.parts.iter().map(Self::from).collect(),
            ..Self::default()
        };
        let Some(result) = &part.result else {
            return base;
        };
        let times = result.started_at.zip(result.ended_at);
        Self {
            iterations: (result.iterations > 0).then_some(result.iterations + 1),
            started_at: result.started_at.map(iso),
            ended_at: result.ended_at.map(iso),
            duration_ms: times.map(|(from, to)| between(from, to)),
            output: result.output.as_ref(),
            error: result.error.as_ref(),
            suspend_payload: result.suspend_payload.as_ref(),
            resume_payload: result.resume_payload.as_ref(),
            nested_run_id: result.nested_run.as_deref(),
            ..base
        }
    }
}
