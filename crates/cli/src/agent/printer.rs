//! What happens in a run, as text for people or as lines of JSON.

use std::fmt::Display;

use bowline_agent::chunk::event::{Finish, SuspendKind, Suspended};
use bowline_agent::chunk::{Chunk, Failure as RunFailure};
use bowline_agent::model::FinishReason;
use bowline_agent::{Data, StreamEvent, StreamItem};
use bowline_events::Text;
use serde::Serialize;

use crate::bus::note;
use crate::colour::visible;
use crate::json;
use crate::outcome::Failure;
use crate::output::{Output, Written};
use crate::runs::shorten;

/// An event in JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    run_id: &'a str,
    offset: u64,
    #[serde(rename = "type")]
    kind: &'a str,
    data: Data,
}

/// Writes what a run says to standard output, and what else happens in it to standard error.
pub(super) struct Printer<'a> {
    json: bool,
    run_id: Text,
    output: &'a Output,
    buffer: Vec<u8>,
    /// Whether the last line of text has no end yet.
    in_line: bool,
    /// The last failure of the model that was told.
    failure: Option<RunFailure>,
}

impl<'a> Printer<'a> {
    pub(super) fn new(json: bool, run_id: Text, output: &'a Output) -> Self {
        Self {
            json,
            run_id,
            output,
            buffer: Vec::new(),
            in_line: false,
            failure: None,
        }
    }

    pub(super) async fn print(&mut self, item: &StreamItem) -> Result<Written, Failure> {
        if self.json {
            self.put_json(item)?;
            return self.output.write(&mut self.buffer).await;
        }
        self.put(&item.event).await
    }

    /// Ends the line that is under way.
    pub(super) async fn end_line(&mut self) -> Result<(), Failure> {
        if std::mem::take(&mut self.in_line) {
            self.buffer.push(b'\n');
            self.output.write(&mut self.buffer).await?;
        }
        Ok(())
    }

    fn put_json(&mut self, item: &StreamItem) -> Result<(), Failure> {
        let written = |json: &[u8]| Data::from_json(String::from_utf8_lossy(json).into_owned());
        let (kind, data) = match &item.event {
            StreamEvent::Chunk { raw, .. } => ("chunk", Data::from_json(raw.as_str().to_owned())?),
            StreamEvent::StepDiscarded {
                message_id,
                iteration,
            } => {
                let data = serde_json::json!({ "messageId": message_id, "iteration": iteration });
                ("step-discarded", data.into())
            }
            StreamEvent::Suspended(event) => ("suspended", written(&event.to_json())?),
            StreamEvent::IterationComplete(event) => {
                ("iteration-complete", written(&event.to_json())?)
            }
            StreamEvent::Finished(event) => ("finish", written(&event.to_json())?),
            StreamEvent::Failed(error) => {
                let data = serde_json::json!({ "error": { "name": error.name, "message": error.message } });
                ("error", data.into())
            }
            StreamEvent::Aborted(event) => ("abort", written(&event.to_json())?),
            // A kind of event that this command does not know has no name.
            _ => return Ok(()),
        };
        let line = Line {
            run_id: &self.run_id,
            offset: item.offset,
            kind,
            data,
        };
        json::line(&line, &mut self.buffer)
    }

    async fn put(&mut self, event: &StreamEvent) -> Result<Written, Failure> {
        match event {
            StreamEvent::Chunk { chunk, .. } => return self.put_chunk(chunk).await,
            StreamEvent::StepDiscarded { .. } => {
                let void = match self.in_line {
                    true => "; the last paragraph is void",
                    false => "",
                };
                self.say(format_args!("the model is asked again{void}"))
                    .await?;
            }
            StreamEvent::Suspended(event) => {
                let waits = waits(&self.run_id, event);
                self.say(waits).await?;
            }
            StreamEvent::Finished(finish) => self.finish(finish).await?,
            StreamEvent::Failed(error) => {
                let line = format!("the run failed: {}", error.message);
                self.say(shorten(&line, false)).await?;
            }
            StreamEvent::Aborted(_) => self.say("the run was aborted").await?,
            _ => {}
        }
        Ok(Written::All)
    }

    async fn put_chunk(&mut self, chunk: &Chunk) -> Result<Written, Failure> {
        match chunk {
            Chunk::TextDelta(delta) if !delta.text.is_empty() => {
                self.buffer.extend_from_slice(shown(&delta.text).as_bytes());
                self.in_line = !delta.text.ends_with('\n');
                return self.output.write(&mut self.buffer).await;
            }
            Chunk::TextEnd(_) => self.end_line().await?,
            Chunk::ToolCall(call) => {
                let line = format!("calls {} {}", call.call.name, call.args);
                self.say(shorten(&line, false)).await?;
            }
            Chunk::ToolResult(result) => {
                let returned = result.result.as_ref().map(ToString::to_string);
                let returned = returned.unwrap_or_default();
                let line = format!("{} returned {returned}", result.call.name);
                self.say(shorten(&line, false)).await?;
            }
            Chunk::ToolError(failure) => {
                let line = format!("{} failed: {}", failure.call.name, failure.error.message);
                self.say(shorten(&line, false)).await?;
            }
            Chunk::ToolOutputDenied(denial) => {
                let line = format!("{} was declined", denial.name);
                self.say(line).await?;
            }
            Chunk::Error(error) => self.failure = Some((**error).clone()),
            _ => {}
        }
        Ok(Written::All)
    }

    async fn finish(&mut self, finish: &Finish) -> Result<(), Failure> {
        let line = match finish.step_result.reason {
            FinishReason::Error => match self.failure.take() {
                Some(error) => format!("the run failed: {}", error.message),
                None => "the run failed".to_owned(),
            },
            FinishReason::Abort => "the run was aborted".to_owned(),
            FinishReason::Tripwire => "a processor stopped the run".to_owned(),
            _ if finish.step_result.is_continued => {
                "the run ended at its limit of steps".to_owned()
            }
            _ => return Ok(()),
        };
        self.say(line).await
    }

    /// Says something on standard error, on a line of its own.
    async fn say(&mut self, what: impl Display) -> Result<(), Failure> {
        self.end_line().await?;
        let mut line = String::new();
        visible(&mut line, &what.to_string());
        note(line);
        Ok(())
    }
}

/// What a run waits for, and how it goes on.
fn waits(run_id: &str, event: &Suspended) -> String {
    let tool = event.tool_name.as_deref().unwrap_or("a tool");
    let call = event.tool_call_id.as_deref().unwrap_or_default();
    match event.kind {
        SuspendKind::Approval => {
            let args = event.args.as_ref().map(ToString::to_string);
            let args = shorten(&args.unwrap_or_default(), false);
            format!(
                "waits for approval of {tool} {args}: bowline agent approve {run_id} {call}, or decline"
            )
        }
        _ => {
            let payload = event.suspend_payload.as_ref().map(ToString::to_string);
            let payload = shorten(&payload.unwrap_or_default(), false);
            format!(
                "{tool} waits for an answer to {payload}: bowline agent resume {run_id} --call {call} JSON"
            )
        }
    }
}

/// Text of a model, which must not steer the terminal.
fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (n, line) in text.split('\n').enumerate() {
        if n > 0 {
            out.push('\n');
        }
        for (n, cell) in line.split('\t').enumerate() {
            if n > 0 {
                out.push('\t');
            }
            visible(&mut out, cell);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_model_keeps_its_lines_and_steers_nothing() {
        for (text, expected) in [
            ("a\n\n\tb\n", "a\n\n\tb\n"),
            ("a\x1b[2Jb", "a\\u001b[2Jb"),
            ("\r\n", "\\u000d\n"),
            ("", ""),
        ] {
            assert_eq!(shown(text), expected);
        }
    }

    #[test]
    fn what_waits_is_told_with_the_command_that_answers_it() {
        let approval = Suspended {
            tool_call_id: Some("call-1".into()),
            tool_name: Some("pay".into()),
            kind: SuspendKind::Approval,
            ..Suspended::default()
        };
        let told = waits("run-1", &approval);
        assert!(
            told.contains("bowline agent approve run-1 call-1"),
            "{told}"
        );
        let suspension = Suspended {
            kind: SuspendKind::Suspension,
            ..approval
        };
        let told = waits("run-1", &suspension);
        assert!(
            told.contains("bowline agent resume run-1 --call call-1"),
            "{told}"
        );
    }
}
