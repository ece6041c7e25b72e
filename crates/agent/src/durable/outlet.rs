//! What is told of a run after it was committed: that it waits, and that it has ended.

use std::collections::HashMap;

use bowline_events::{Text, Topic};
use bowline_store::Table;
use bowline_workflow::Data;
use bowline_workflow::outlet::{Announcement, Moment, Outlet, Scene};
use bytes::Bytes;

use super::mailbox::MAIL;
use super::mapping::{END, End};
use super::stop::STOPS;
use super::tool_call::{WaitKind, Waiting};
use super::transcript::Transcript;
use crate::chunk::event::{Failed, Finish, SuspendKind, Suspended};
use crate::chunk::{APPROVAL_SCHEMA, ApprovalRequest, Chunk, Encoder, Failure, SuspensionRequest};

/// Bytes of the last event of a run: less than any bus takes.
const MAX_EVENT: usize = 4 * 1024 * 1024;

/// What the runs of an agent tell.
#[derive(Debug)]
pub(crate) struct Told;

impl Outlet for Told {
    fn topics(&self, run_id: &str) -> Vec<Topic> {
        vec![Topic::agent_stream(run_id), Topic::agent_control(run_id)]
    }

    fn records(&self, run_id: &str) -> Vec<(Table, Text)> {
        [STOPS, MAIL]
            .map(|table| (table, run_id.to_owned().into()))
            .into()
    }

    fn tell(&self, scene: &Scene<'_>) -> Vec<Announcement> {
        let topic = Topic::agent_stream(scene.run_id());
        let one = |kind: &'static str, json: Bytes| {
            vec![Announcement::new(topic.clone(), kind, data(&json))]
        };
        match scene.moment() {
            Moment::Suspended { payload, .. } => match payload.parse::<Waiting>() {
                Ok(waiting) => suspended(scene.run_id(), &topic, waiting),
                Err(_) => Vec::new(),
            },
            Moment::Succeeded(_) => {
                finished(scene, None).map_or_else(Vec::new, |json| one("finish", json))
            }
            Moment::Canceled => match finished(scene, Some(true)) {
                Some(json) => one("finish", json),
                None => one("error", failed(&Data::null())),
            },
            Moment::Failed { error, .. } => one("error", failed(error)),
            _ => Vec::new(),
        }
    }
}

fn finished(scene: &Scene<'_>, aborted: Option<bool>) -> Option<Bytes> {
    let mut state: HashMap<String, Data> = scene.state().parse().ok()?;
    let end: End = state
        .remove(END)
        .and_then(|end| end.parse().ok())
        .unwrap_or_default();
    let transcript = Transcript::of_state(state).ok()?;
    let end = End {
        aborted: aborted.unwrap_or(end.aborted),
        ..end
    };
    Some(bounded(transcript.finish(&end)))
}

/// The last event, without what is too much for a bus: first what tools returned, which readers were told before, then the rounds.
fn bounded(mut finish: Finish) -> Bytes {
    let json = finish.to_json();
    if json.len() <= MAX_EVENT {
        return json;
    }
    for step in &mut finish.output.steps {
        for record in &mut step.tool_results {
            record.result = None;
        }
    }
    let json = finish.to_json();
    if json.len() <= MAX_EVENT {
        return json;
    }
    finish.output.steps.clear();
    finish.to_json()
}

fn suspended(run_id: &str, topic: &Topic, waiting: Waiting) -> Vec<Announcement> {
    let schema = match waiting.kind {
        WaitKind::Approval => Some(APPROVAL_SCHEMA.into()),
        WaitKind::Suspension => waiting
            .resume_schema
            .map(|schema| schema.as_str().to_owned().into()),
    };
    let payload = waiting.tool_call_suspended;
    let chunk = match waiting.kind {
        WaitKind::Approval => Chunk::ToolCallApproval(Box::new(ApprovalRequest {
            id: waiting.tool_call_id.clone(),
            name: waiting.tool_name.clone(),
            args: waiting.args.clone(),
            resume_schema: schema.clone(),
        })),
        WaitKind::Suspension => Chunk::ToolCallSuspended(Box::new(SuspensionRequest {
            id: waiting.tool_call_id.clone(),
            name: waiting.tool_name.clone(),
            suspend_payload: payload.clone().unwrap_or_default(),
            args: waiting.args.clone(),
            resume_schema: schema.clone(),
        })),
    };
    let event = Suspended {
        tool_call_id: Some(waiting.tool_call_id),
        tool_name: Some(waiting.tool_name),
        args: Some(waiting.args),
        suspend_payload: payload,
        kind: match waiting.kind {
            WaitKind::Approval => SuspendKind::Approval,
            WaitKind::Suspension => SuspendKind::Suspension,
        },
        resume_schema: schema,
    };
    let chunk = Encoder::new(run_id.to_owned()).chunk(&chunk);
    vec![
        Announcement::new(topic.clone(), "chunk", data(&chunk)),
        Announcement::new(topic.clone(), "suspended", data(&event.to_json())),
    ]
}

fn failed(error: &Data) -> Bytes {
    let error = error
        .parse::<Failure>()
        .unwrap_or_else(|_| Failure::new("Error", "the run ended without saying why"));
    Failed { error }.to_json()
}

/// What the encoders of this crate have written.
fn data(json: &Bytes) -> Data {
    let text = String::from_utf8_lossy(json).into_owned();
    Data::from_json(text).unwrap_or_default()
}
