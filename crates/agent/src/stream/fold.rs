//! From the events of a topic to what a reader sees.

use std::collections::VecDeque;

use bowline_events::{Dialect, Event};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::output::Gathering;
use super::seam::Seam;
use super::step::{Step, Told};
use super::{RunOutput, StreamEvent, StreamItem};
use crate::chunk::event::{Aborted, Failed, Finish, IterationComplete, SuspendKind, Suspended};
use crate::chunk::{Chunk, Decoder, Failure};
use crate::{Data, Error, ErrorKind, Result};

/// Turns the events of `agent.stream.<runId>` into the items that a reader sees, and into the output of the run.
///
/// - An event whose position was seen is dropped, so a reader that lost its connection goes on with the same fold.
/// - What a driver repeats after a crash is dropped: the begin of the run, the outcome of a tool call, the end of a step. A repeated
///   call of the model is a [`StepDiscarded`](StreamEvent::StepDiscarded), and then a new step.
/// - Nothing comes after the end of the run.
///
/// It holds what the run has said in order to give it out as a [`RunOutput`], unless [`discard_output`](Self::discard_output) is
/// called, and besides that a few bytes for each tool call of the step under way.
///
/// ```
/// use std::collections::VecDeque;
/// use bowline_agent::chunk::Encoder;
/// use bowline_agent::model::ModelPart;
/// use bowline_agent::stream::Fold;
///
/// let mut encoder = Encoder::new("run-1");
/// let part = ModelPart::TextDelta { id: "t1".into(), text: "Ahoy".into(), metadata: None };
/// let event = encoder.event(encoder.clone().part(&part).expect("a chunk")).stamp();
///
/// let mut fold = Fold::new();
/// let mut items = VecDeque::new();
/// fold.push(Some(0), &event, &mut items)?;
/// fold.push(Some(0), &event, &mut items)?;
/// assert_eq!(items.len(), 1);
/// assert_eq!(fold.text(), "Ahoy");
/// # Ok::<(), bowline_agent::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Fold {
    decoder: Decoder,
    seam: Seam,
    step: Step,
    output: Gathering,
    started: bool,
    /// The last iteration of which the end was told.
    completed: Option<u32>,
    ended: bool,
}

impl Fold {
    /// A fold that has seen nothing.
    pub fn new() -> Self {
        Self {
            decoder: Decoder::new(),
            seam: Seam::default(),
            step: Step::default(),
            output: Gathering::new(),
            started: false,
            completed: None,
            ended: false,
        }
    }

    /// Keeps nothing of what the run says; the output has only what the last event of the run tells.
    #[must_use]
    pub fn discard_output(mut self) -> Self {
        self.output.discard();
        self
    }

    /// Takes `event`, which is at `position` of its topic; what a reader is to see of it is appended to `into`.
    ///
    /// # Errors
    /// `Corrupt` when the event is not what its type says. It is skipped; the fold goes on.
    pub fn push(
        &mut self,
        position: Option<u64>,
        event: &Event,
        into: &mut VecDeque<StreamItem>,
    ) -> Result<()> {
        if self.ended || !self.seam.admits(position, event) {
            return Ok(());
        }
        self.output.name(&event.run_id);
        let json = event.data.to_json_in(Dialect::Plain).map_err(|error| {
            let message = format!("the event at offset {} has no JSON", self.offset());
            Error::new(ErrorKind::Corrupt, "read stream", message)
                .with_subject(event.run_id.clone())
                .with_source(error)
        })?;
        match event.event_type.as_str() {
            "chunk" | "step-start" => return self.chunk(json, into),
            "iteration-complete" => return self.iteration(&json, event, into),
            "suspended" => self.suspended(read(&json).unwrap_or_default(), into),
            "finish" => {
                let finish = read(&json).unwrap_or_else(|| lenient_finish(&json));
                self.output.finish(&finish);
                self.end(StreamEvent::Finished(Box::new(finish)), into);
            }
            "error" => {
                let failed: Option<Failed> = read(&json);
                let text = || String::from_utf8_lossy(&json).into_owned();
                let error = failed.map(|failed| failed.error);
                self.fail(error.unwrap_or_else(|| Failure::new("Error", text())), into);
            }
            "abort" => {
                let aborted: Aborted = read(&json).unwrap_or_default();
                self.output.abort(&aborted);
                self.end(StreamEvent::Aborted(Box::new(aborted)), into);
            }
            // `step-finish` is for callbacks of the reference; its chunk says the same.
            _ => {}
        }
        Ok(())
    }

    /// Ends the run for this reader, with an error that does not come from the bus.
    pub fn fail(&mut self, error: Failure, into: &mut VecDeque<StreamItem>) {
        if !self.ended {
            self.output.fail(&error);
            self.end(StreamEvent::Failed(error), into);
        }
    }

    /// Events were lost: what comes next may belong to another step.
    pub fn lose(&mut self) {
        self.step.complete();
        self.output.lose();
    }

    /// Only what is at `offset` or later is wanted.
    pub fn skip_to(&mut self, offset: u64) {
        self.seam.skip_to(offset);
    }

    /// Where to come back: the position after the last event that was seen.
    pub fn next_offset(&self) -> u64 {
        self.seam.next()
    }

    /// Whether the end of the run was seen.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// What the model has said so far in the last iteration; empty after [`discard_output`](Self::discard_output) until the end.
    pub fn text(&self) -> &str {
        self.output.text()
    }

    /// What the run made, as far as it was seen.
    pub fn into_output(self) -> RunOutput {
        self.output.into_output()
    }

    fn offset(&self) -> u64 {
        self.seam.next().saturating_sub(1)
    }

    fn show(&self, event: StreamEvent, into: &mut VecDeque<StreamItem>) {
        into.push_back(StreamItem {
            offset: self.offset(),
            event,
        });
    }

    fn end(&mut self, event: StreamEvent, into: &mut VecDeque<StreamItem>) {
        self.ended = true;
        self.show(event, into);
    }

    fn chunk(&mut self, json: Bytes, into: &mut VecDeque<StreamItem>) -> Result<()> {
        let (chunk, raw) = self.decoder.decode(json)?;
        match &chunk {
            Chunk::StepStart(start) => {
                let void = self.step.begin(start);
                self.output.begin(void.is_some());
                if let Some(void) = void {
                    let event = StreamEvent::StepDiscarded {
                        message_id: void.into_message_id(),
                        iteration: start.iteration,
                    };
                    self.show(event, into);
                }
            }
            Chunk::Start(_) if std::mem::replace(&mut self.started, true) => return Ok(()),
            chunk if !self.step.admits(chunk) => return Ok(()),
            chunk => self.output.chunk(chunk),
        }
        self.show(StreamEvent::Chunk { chunk, raw }, into);
        Ok(())
    }

    fn iteration(
        &mut self,
        json: &[u8],
        event: &Event,
        into: &mut VecDeque<StreamItem>,
    ) -> Result<()> {
        self.step.complete();
        let complete: IterationComplete = serde_json::from_slice(json).map_err(|error| {
            let message = "the end of an iteration is not what it has to be; it is skipped";
            Error::new(ErrorKind::Corrupt, "read stream", message)
                .with_subject(event.run_id.clone())
                .with_source(error)
        })?;
        if self.completed < Some(complete.iteration) {
            self.completed = Some(complete.iteration);
            self.show(StreamEvent::IterationComplete(Box::new(complete)), into);
        }
        Ok(())
    }

    fn suspended(&mut self, suspended: Suspended, into: &mut VecDeque<StreamItem>) {
        // A tool may wait several times, but it is asked once whether a call is approved.
        let known = match &suspended.tool_call_id {
            Some(id) if suspended.kind == SuspendKind::Approval => {
                !self.step.tell(Told::Waiting, id)
            }
            _ => false,
        };
        if !known {
            self.output.suspend(&suspended);
            self.show(StreamEvent::Suspended(Box::new(suspended)), into);
        }
    }
}

impl Default for Fold {
    fn default() -> Self {
        Self::new()
    }
}

fn read<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    serde_json::from_slice(json).ok()
}

/// What can be understood of the end of a run: it ends in any case.
fn lenient_finish(json: &[u8]) -> Finish {
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Loose {
        output: Data,
        step_result: Data,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Essence {
        text: Data,
        reason: Data,
    }
    let loose: Loose = read(json).unwrap_or_default();
    let output: Essence = loose.output.parse().unwrap_or_default();
    let result: Essence = loose.step_result.parse().unwrap_or_default();
    let mut finish = Finish {
        output: loose.output.parse().unwrap_or_default(),
        step_result: loose.step_result.parse().unwrap_or_default(),
    };
    if finish.output.text.is_none() {
        finish.output.text = output.text.parse().ok();
    }
    if let Ok(reason) = result.reason.parse() {
        finish.step_result.reason = reason;
    }
    finish
}
