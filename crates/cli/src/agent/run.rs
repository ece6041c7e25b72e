//! `bowline agent run`.

use std::io::Read;

use bowline_agent::{DurableAgentBuilder, RunOptions};
use bowline_runtime::{AgentConfig, Settings};

use super::args::RunArgs;
use super::follow::{End, Follow};
use super::place::{Place, is_durable, settings};
use crate::bus::note;
use crate::outcome::{Failure, Outcome};

/// Bytes of a message.
const MESSAGE_LIMIT: u64 = 4 * 1024 * 1024;

pub(super) async fn run(args: RunArgs) -> Result<Outcome, Failure> {
    let settings = settings(&args.store)?;
    let agent = declared(&settings, &args.agent).await?;
    let message = message(&args.message)?;
    let durable = is_durable(&settings);
    if !durable {
        note(
            "no store is configured, so the run ends with this command; give --store sqlite:app.db to keep it",
        );
    }
    let place = Place::to_work(&settings, agent).await?;
    let end = follow(&place, &args, message, durable).await;
    let closed = place.close().await;
    let outcome = end?;
    closed?;
    Ok(outcome)
}

/// The agent called `id` in the configuration.
pub(super) async fn declared(
    settings: &Settings,
    id: &str,
) -> Result<DurableAgentBuilder, Failure> {
    Ok(declaration(settings, id)?.open(id).await?)
}

/// What the configuration says of the agent called `id`.
pub(super) fn declaration<'a>(
    settings: &'a Settings,
    id: &str,
) -> Result<&'a AgentConfig, Failure> {
    let agents = settings.agents();
    agents.get(id).ok_or_else(|| {
        let known: Vec<&str> = agents.keys().map(String::as_str).collect();
        Failure::usage(match known.is_empty() {
            true => format!(
                "the configuration declares no agents, so there is no {id:?}; write [agents.{id}] with a model into bowline.toml"
            ),
            false => format!(
                "the configuration declares no agent {id:?}; it has {}",
                known.join(", ")
            ),
        })
    })
}

async fn follow(
    place: &Place,
    args: &RunArgs,
    message: String,
    durable: bool,
) -> Result<Outcome, Failure> {
    let agent = place.app.agent(&args.agent)?;
    let run = agent.stream_with(message, options(args)).await?;
    let mut stream = run.into_stream();
    let run_id = stream.run_id().clone();
    note(format_args!("run {run_id}"));
    let follow = Follow {
        runs: place.runs(),
        stream: &mut stream,
        is_shared: place.is_shared,
        json: args.store.json,
        limit: None,
    };
    match follow.finish().await? {
        End::Ended(outcome) => Ok(outcome),
        End::Interrupted => Err(Failure::left(match durable {
            true => format!(
                "interrupted; the run is not: come back with bowline agent observe {run_id} --from {}",
                stream.next_offset()
            ),
            false => "interrupted, and the run with it, because it is in no store".to_owned(),
        })),
        End::Closed | End::TimedOut => Ok(Outcome::Done),
    }
}

fn options(args: &RunArgs) -> RunOptions {
    let mut options = RunOptions::new();
    if let Some(id) = &args.run_id {
        options = options.run_id(id.clone());
    }
    if let Some(thread) = &args.thread {
        options = options.thread(thread.clone());
    }
    if let Some(resource) = &args.resource {
        options = options.resource(resource.clone());
    }
    if let Some(steps) = args.max_steps {
        options = options.max_steps(steps);
    }
    options
}

/// What is to be said; `-` is standard input.
fn message(argument: &str) -> Result<String, Failure> {
    if argument != "-" {
        return Ok(argument.to_owned());
    }
    let mut text = String::new();
    let read = std::io::stdin()
        .lock()
        .take(MESSAGE_LIMIT + 1)
        .read_to_string(&mut text);
    read.map_err(|error| {
        Failure::usage(format!(
            "standard input: it cannot be read: {error}; give text in UTF-8"
        ))
    })?;
    if text.len() as u64 > MESSAGE_LIMIT {
        return Err(Failure::failed(format!(
            "the message is larger than the {MESSAGE_LIMIT} bytes that an agent is told at a time; say where it is to be found"
        )));
    }
    Ok(text)
}
