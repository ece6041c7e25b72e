//! The events of a run as lines.

use bowline_workflow::{Data, RunEvent};
use serde::{Deserialize, Serialize};

use super::args::WatchArgs;
use super::merge::{ENGINE, Item};
use super::{shorten, tree};
use crate::colour::{Colour, Painter, visible};
use crate::json;
use crate::outcome::Failure;
use crate::output::{Output, Written};
use crate::time::iso;

/// An event in JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
    run_id: &'a str,
    event: &'a Data,
}

/// Writes events to standard output.
pub(super) struct Printer<'a> {
    args: &'a WatchArgs,
    output: &'a Output,
    painter: Painter,
    buffer: Vec<u8>,
}

impl<'a> Printer<'a> {
    /// For what `args` asks for.
    pub(super) fn new(args: &'a WatchArgs, output: &'a Output) -> Self {
        Self {
            args,
            output,
            painter: Painter::for_stream(&std::io::stdout()),
            buffer: Vec::new(),
        }
    }

    /// Writes `items`, except events before the one to begin with.
    pub(super) async fn print(&mut self, items: &[Item<RunEvent>]) -> Result<Written, Failure> {
        for item in items {
            match item {
                Item::Event(event) => self.put_event(event)?,
                Item::Chunk(chunk) => {
                    let line = Line {
                        at: iso(chunk.at),
                        index: None,
                        run_id: &self.args.run,
                        event: &chunk.data,
                    };
                    self.put(&line, &chunk.kind, chunk.step.as_deref())?;
                }
            }
        }
        self.output.write(&mut self.buffer).await
    }

    fn put_event(&mut self, event: &RunEvent) -> Result<(), Failure> {
        let index = event.event.index;
        if index.is_some_and(|index| index < self.args.from) {
            return Ok(());
        }
        let line = Line {
            at: iso(event.at),
            index,
            run_id: &event.run_id,
            event: &event.event.data,
        };
        self.put(&line, &event.event.kind, event.event.step.as_deref())
    }

    fn put(&mut self, line: &Line<'_>, kind: &str, step: Option<&str>) -> Result<(), Failure> {
        if self.args.store.json {
            return json::line(line, &mut self.buffer);
        }
        let painter = self.painter;
        let mut text = painter.paint(Colour::Dim, &line.at);
        if let Some(index) = line.index {
            text.push(' ');
            painter.put(&mut text, Colour::Dim, &format!("#{index}"));
        }
        if line.run_id != self.args.run {
            text.push(' ');
            painter.put(&mut text, Colour::Dim, line.run_id);
        }
        text.push(' ');
        painter.put(&mut text, Colour::Cyan, kind);
        if let Some(step) = step {
            text.push(' ');
            painter.put(&mut text, Colour::Green, step);
        }
        let told = told(line.event, kind);
        if !told.is_empty() {
            text.push(' ');
            visible(&mut text, &shorten(&told, self.args.full));
        }
        text.push('\n');
        self.buffer.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// What is worth telling of an event beside its type and its step: how it ended, with what. All of it for an event of a step.
fn told(event: &Data, kind: &str) -> String {
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Payload {
        status: Option<String>,
        workflow_status: Option<String>,
        iteration_status: Option<String>,
        completed_count: Option<u64>,
        total_count: Option<u64>,
        output: Option<Data>,
        error: Option<Data>,
        suspend_payload: Option<Data>,
        final_workflow_result: Option<Data>,
    }
    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        payload: Payload,
    }
    if !kind.starts_with(ENGINE) {
        return event.to_string();
    }
    let Ok(Body { payload }) = event.parse::<Body>() else {
        return event.to_string();
    };
    let count = payload.completed_count.zip(payload.total_count);
    let words = [
        count.map(|(done, all)| format!("{done} of {all}")),
        payload.iteration_status,
        // That it runs is what its start says.
        payload.status.filter(|status| status != "running"),
        payload.workflow_status,
        payload.error.as_ref().map(tree::message),
        payload.suspend_payload.as_ref().map(suspended_with),
        payload
            .output
            .or(payload.final_workflow_result)
            .map(|data| data.to_string()),
    ];
    let words: Vec<String> = words.into_iter().flatten().collect();
    words.join(" ")
}

/// What a step suspended with, without what the engine added for those who resume it.
fn suspended_with(payload: &Data) -> String {
    const META: &str = "__workflow_meta";
    // What is no object was made the one member of one.
    const BARE: &str = "value";
    let Ok(mut members) = payload.parse::<serde_json::Map<String, serde_json::Value>>() else {
        return payload.to_string();
    };
    // Unlike removing, this leaves the others in their order.
    members.retain(|name, _| name != META);
    match members.get(BARE) {
        Some(value) if members.len() == 1 => value.to_string(),
        _ => serde_json::Value::Object(members).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspend_payload_is_told_without_its_meta() {
        for (payload, told) in [
            (r#"{"n":1,"__workflow_meta":{}}"#, r#"{"n":1}"#),
            (r#"{"value":"a?","__workflow_meta":{}}"#, r#""a?""#),
            (r#"{"value":1,"z":2}"#, r#"{"value":1,"z":2}"#),
            (r#"{"__workflow_meta":{}}"#, "{}"),
            ("[1]", "[1]"),
        ] {
            assert_eq!(suspended_with(&Data::from_json(payload).unwrap()), told);
        }
    }

    #[test]
    fn an_event_is_told_in_a_few_words() {
        for (event, words) in [
            (r#"{"type":"workflow-start","payload":{"runId":"r"}}"#, ""),
            (r#"{"type":"workflow-paused","payload":{}}"#, ""),
            (
                r#"{"type":"workflow-step-result","payload":{"id":"s","status":"success","output":[1]}}"#,
                "success [1]",
            ),
            (
                r#"{"type":"workflow-step-progress","payload":{"id":"s","completedCount":1,"totalCount":2,"iterationStatus":"failed"}}"#,
                "1 of 2 failed",
            ),
            (
                r#"{"type":"workflow-step-output","payload":{"output":"hi"}}"#,
                r#""hi""#,
            ),
            (
                r#"{"type":"data-progress","data":1}"#,
                r#"{"type":"data-progress","data":1}"#,
            ),
            (
                r#"{"type":"workflow-finish","payload":7}"#,
                r#"{"type":"workflow-finish","payload":7}"#,
            ),
        ] {
            let data = Data::from_json(event).unwrap();
            let head: serde_json::Value = data.parse().unwrap();
            assert_eq!(
                told(&data, head["type"].as_str().unwrap()),
                words,
                "{event}"
            );
        }
    }
}
