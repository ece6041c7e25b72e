//! What the readers of a thread see of an event of a run.

use bowline_events::{Event, Text};
use serde::Deserialize;

use crate::Data;
use crate::chunk::{Failure, RawChunk};
use crate::message::Extra;
use crate::model::FinishReason;

/// What an event of the stream of a run means for its thread.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Told {
    /// A piece to show.
    Part(RawChunk),
    /// It waits for somebody.
    Suspended,
    /// It is over; what to show last, if anything.
    Ended(Option<RawChunk>, Ending),
    /// Nothing.
    Nothing,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    Completed,
    Aborted,
    Failed(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Reason {
    step_result: Inner,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Inner {
    reason: FinishReason,
}

/// What `event` means; what is no event of a run means nothing.
pub(super) fn told(event: &Event) -> Told {
    let Ok(json) = event.data.to_json() else {
        return Told::Nothing;
    };
    match event.event_type.as_str() {
        "chunk" | "step-start" => match RawChunk::read(json) {
            Ok(chunk) => Told::Part(sanitised(chunk)),
            Err(_) => Told::Nothing,
        },
        "suspended" => Told::Suspended,
        "finish" => {
            let reason: Reason = serde_json::from_slice(&json).unwrap_or_default();
            let ending = match reason.step_result.reason {
                FinishReason::Abort => Ending::Aborted,
                FinishReason::Error => Ending::Failed("the model failed".into()),
                _ => Ending::Completed,
            };
            let text = String::from_utf8_lossy(&json);
            let chunk = format!("{{\"type\":\"finish\",\"payload\":{text}}}");
            Told::Ended(RawChunk::read(chunk).ok().map(sanitised), ending)
        }
        "error" => {
            #[derive(Deserialize)]
            struct Failed {
                error: Failure,
            }
            let failed: Result<Failed, _> = serde_json::from_slice(&json);
            let error = failed.map_or_else(|_| "the run failed".into(), |it| it.error.message);
            Told::Ended(None, Ending::Failed(error))
        }
        "abort" => Told::Ended(None, Ending::Aborted),
        _ => Told::Nothing,
    }
}

/// `chunk` without what only whoever started the run may see: what the provider was asked, and what was said before.
pub(super) fn sanitised(chunk: RawChunk) -> RawChunk {
    // How deep agents that are tools of agents are looked into.
    const DEPTH: usize = 16;
    if !matches!(
        chunk.kind().as_str(),
        "step-start" | "step-finish" | "finish" | "tool-output"
    ) {
        return chunk;
    }
    let Ok(data) = Data::from_json(chunk.as_str().to_owned()) else {
        return chunk;
    };
    match clean(&data, DEPTH) {
        Some(clean) => RawChunk::read(clean.as_str().as_bytes().to_vec()).unwrap_or(chunk),
        None => chunk,
    }
}

/// The chunk without it; `None` when it is clean.
fn clean(chunk: &Data, depth: usize) -> Option<Data> {
    let members = Extra::of(chunk)?;
    let kind: Text = members.get("type")?.parse().ok()?;
    let mut payload = Extra::of(members.get("payload")?)?;
    let changed = match kind.as_str() {
        "step-start" => without(&mut payload, &["request", "inputMessages"]),
        "step-finish" | "finish" => {
            let messages = without(&mut payload, &["messages"]);
            let metadata = inside(&mut payload, "metadata", "request");
            let output = inside(&mut payload, "output", "steps");
            messages | metadata | output
        }
        "tool-output" if depth > 0 => match payload.get("output").and_then(|output| {
            let from: Text = Extra::of(output)?.get("from")?.parse().ok()?;
            (from == "AGENT")
                .then(|| clean(output, depth - 1))
                .flatten()
        }) {
            Some(output) => {
                payload = set(&payload, "output", &output);
                true
            }
            None => false,
        },
        _ => false,
    };
    changed.then(|| set(&members, "payload", &payload.to_data()).to_data())
}

fn without(members: &mut Extra, names: &[&str]) -> bool {
    let mut changed = false;
    for name in names {
        while members.remove(name).is_some() {
            changed = true;
        }
    }
    changed
}

fn inside(members: &mut Extra, outer: &str, name: &str) -> bool {
    let Some(mut inner) = members.get(outer).and_then(Extra::of) else {
        return false;
    };
    if !without(&mut inner, &[name]) {
        return false;
    }
    *members = set(members, outer, &inner.to_data());
    true
}

/// The same members in the same order, one of them with another value.
fn set(members: &Extra, name: &str, value: &Data) -> Extra {
    let mut changed = Extra::default();
    for (own, old) in members.iter() {
        let new = if own == name { value } else { old };
        changed.insert(own.clone(), new.clone());
    }
    changed
}
