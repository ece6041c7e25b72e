//! `bowline agent signal`.

use bowline_agent::threads::{Accepted, IfActive, IfIdle, QueueOptions, SendOptions, Signal};
use serde::Serialize;

use super::args::{self, SignalArgs};
use super::place::{Place, settings};
use super::run::declaration;
use crate::colour::shown;
use crate::json;
use crate::outcome::{Failure, Outcome};
use crate::output;

/// What became of a signal, in JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    accepted: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_id: Option<&'a str>,
}

pub(super) async fn run(args: SignalArgs) -> Result<Outcome, Failure> {
    let settings = settings(&args.store)?;
    let mut config = declaration(&settings, &args.agent)?.clone();
    // Its tools are the matter of whoever works on the run.
    config.mcp.clear();
    let agent = config.open(&args.agent).await?;
    let place = Place::to_talk(&settings, agent).await?;
    let accepted = send(&place, &args).await;
    let closed = place.close().await;
    let accepted = accepted?;
    closed?;
    print(&args, &accepted)?;
    Ok(match accepted {
        Accepted::Blocked { .. } => Outcome::FoundProblems,
        _ => Outcome::Done,
    })
}

async fn send(place: &Place, args: &SignalArgs) -> Result<Accepted, Failure> {
    let thread = args.thread.id();
    let threads = place.app.threads()?;
    let signal = Signal::user(args.message.as_str());
    let sent = match args.queue {
        true => {
            threads
                .queue_message(&args.agent, &thread, signal, QueueOptions::new())
                .await
        }
        false => {
            threads
                .send_signal(&args.agent, &thread, signal, options(args))
                .await
        }
    };
    Ok(sent?)
}

fn options(args: &SignalArgs) -> SendOptions {
    let if_active = match args.if_active {
        args::IfActive::Deliver => IfActive::Deliver,
        args::IfActive::Persist => IfActive::Persist,
        args::IfActive::Discard => IfActive::Discard,
    };
    let if_idle = match args.if_idle {
        args::IfIdle::Wake => IfIdle::Wake,
        args::IfIdle::Persist => IfIdle::Persist,
        args::IfIdle::Discard => IfIdle::Discard,
    };
    let options = SendOptions::new().if_active(if_active).if_idle(if_idle);
    match args.require_owner {
        true => options.require_claimed_owner(),
        false => options,
    }
}

/// What became of a signal, in a word, and the run that it is about.
pub(super) fn told(accepted: &Accepted) -> (&'static str, Option<&str>) {
    match accepted {
        Accepted::Wake { run_id } => ("wake", Some(run_id)),
        Accepted::Deliver { run_id } => ("deliver", Some(run_id)),
        Accepted::Blocked { run_id } => ("blocked", Some(run_id)),
        Accepted::Queued => ("queued", None),
        Accepted::Before => ("before", None),
        Accepted::Persist => ("persist", None),
        _ => ("discard", None),
    }
}

fn print(args: &SignalArgs, accepted: &Accepted) -> Result<(), Failure> {
    let (word, run) = told(accepted);
    if args.store.json {
        return json::print(&Line {
            accepted: word,
            run_id: run,
        });
    }
    let run = run.map(|run| format!(" {}", shown(run)));
    output::print(&format!("{word}{}\n", run.unwrap_or_default()))
}
