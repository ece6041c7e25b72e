//! Which step of a run is under way, and what of it was told.

use std::collections::HashSet;

use bowline_events::Text;

use crate::chunk::{Chunk, StepStart};

/// What is told once for each tool call of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Told {
    /// It returned, failed or was refused.
    Outcome,
    /// The chunk that asks whether it is approved.
    Question,
    /// The event that says that the run waits for that.
    Waiting,
}

/// The step that is under way.
///
/// What a driver did since its last checkpoint it does again after a crash. What was told before is not told a second time, except
/// that the model is called again: it will say something else.
#[derive(Debug, Clone, Default)]
pub(super) struct Step {
    iteration: Option<u32>,
    message_id: Option<Text>,
    /// Something was seen that a repeated call would void.
    open: bool,
    finished: bool,
    told: HashSet<(Told, Text)>,
}

impl Step {
    /// Goes to the step that begins with `start`; gives back the one before if it is void.
    pub(super) fn begin(&mut self, start: &StepStart) -> Option<Self> {
        let again = match (self.iteration, start.iteration) {
            (Some(before), Some(now)) => now <= before,
            // Producers that do not count: nothing said that the last step is over.
            _ => self.open,
        };
        let next = Self {
            iteration: start.iteration,
            message_id: Some(start.message_id.clone()),
            open: true,
            ..Self::default()
        };
        let before = std::mem::replace(self, next);
        again.then_some(before)
    }

    /// Whether `chunk` is told for the first time.
    pub(super) fn admits(&mut self, chunk: &Chunk) -> bool {
        match chunk {
            Chunk::ToolResult(result) => {
                // What the provider executes is part of the answer, and may come in several pieces.
                result.call.provider_executed || self.tell(Told::Outcome, &result.call.id)
            }
            Chunk::ToolError(error) => {
                error.call.provider_executed || self.tell(Told::Outcome, &error.call.id)
            }
            Chunk::ToolOutputDenied(denial) => self.tell(Told::Outcome, &denial.id),
            Chunk::ToolCallApproval(request) => self.tell(Told::Question, &request.id),
            Chunk::StepFinish(finish) => {
                let first = !std::mem::replace(&mut self.finished, true);
                // Some producers say no more than this of the end of an iteration.
                self.open &= !finish.is_continued;
                first
            }
            Chunk::Start(_) | Chunk::Data(_) | Chunk::Other(_) => true,
            _ => {
                self.open |= !self.finished;
                true
            }
        }
    }

    /// Whether this is the first time that `what` is told of the call `id`.
    pub(super) fn tell(&mut self, what: Told, id: &Text) -> bool {
        self.told.insert((what, id.clone()))
    }

    /// The iteration is complete.
    pub(super) fn complete(&mut self) {
        self.open = false;
    }

    pub(super) fn into_message_id(self) -> Option<Text> {
        self.message_id
    }
}
