//! `bowline agent approve`, `decline`, `resume` and `abort`.

use bowline_agent::{AgentRuns, Data};
use serde::Serialize;
use serde_json::json;

use super::args::{AbortArgs, ApproveArgs, DeclineArgs, ResumeArgs};
use super::place::{Place, settings};
use crate::args::StoreArgs;
use crate::colour::shown;
use crate::json;
use crate::outcome::{Failure, Outcome};
use crate::output;
use crate::runs::data;

pub(super) async fn approve(args: ApproveArgs) -> Result<Outcome, Failure> {
    let answer = json!({ "approved": true }).into();
    answer_call(&args.store, &args.run, args.call, answer).await
}

pub(super) async fn decline(args: DeclineArgs) -> Result<Outcome, Failure> {
    let answer = match &args.reason {
        Some(reason) => json!({ "approved": false, "reason": reason }),
        None => json!({ "approved": false }),
    };
    answer_call(&args.store, &args.run, args.call, answer.into()).await
}

pub(super) async fn resume(args: ResumeArgs) -> Result<Outcome, Failure> {
    let answer = data("JSON", &args.data)?;
    answer_call(&args.store, &args.run, args.call, answer).await
}

pub(super) async fn abort(args: AbortArgs) -> Result<Outcome, Failure> {
    let place = Place::to_look(&settings(&args.store)?).await?;
    place.runs().abort(&args.run).await?;
    finish(&place, &args.store, &args.run).await
}

async fn answer_call(
    store: &StoreArgs,
    run: &str,
    call: Option<String>,
    answer: Data,
) -> Result<Outcome, Failure> {
    let place = Place::to_look(&settings(store)?).await?;
    let runs = place.runs();
    let call = match call {
        Some(call) => call,
        None => the_only_call(&runs, run).await?,
    };
    runs.resume(run, Some(&call), &answer).await?;
    finish(&place, store, run).await
}

async fn the_only_call(runs: &AgentRuns, run: &str) -> Result<String, Failure> {
    let calls = runs.suspended(run).await?;
    match calls.as_slice() {
        [call] => Ok(call.tool_call_id.to_string()),
        [] => {
            let status = runs.status(run).await?;
            Err(Failure::failed(format!(
                "{run} is {status} and waits for nobody; look at it with bowline runs show {run}"
            )))
        }
        calls => {
            let names = calls
                .iter()
                .map(|call| format!("{} ({})", call.tool_call_id, call.tool_name));
            let names: Vec<String> = names.collect();
            Err(Failure::usage(format!(
                "{} calls of {run} wait: {}; name one of them",
                calls.len(),
                names.join(", ")
            )))
        }
    }
}

/// A run and how it is.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    run_id: &'a str,
    status: &'static str,
}

/// Prints how the run is.
async fn finish(place: &Place, args: &StoreArgs, run: &str) -> Result<Outcome, Failure> {
    let status = place.runs().status(run).await?;
    let mut text = Vec::new();
    if args.json {
        let status = status.as_str();
        json::line(
            &Line {
                run_id: run,
                status,
            },
            &mut text,
        )?;
    } else {
        text = format!("{} {status}\n", shown(run)).into_bytes();
    }
    output::print(&String::from_utf8_lossy(&text))?;
    place.close().await?;
    Ok(Outcome::Done)
}
