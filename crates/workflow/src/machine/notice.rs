//! What watchers are told, in the form of the wire.

use super::{Machine, Notice, Spot, StepResult};
use crate::Data;
use crate::definition::Entry;
use crate::json::Writer;

impl Machine {
    fn note(&mut self, frame: usize, kind: &str, fill: impl FnOnce(&mut Writer)) {
        self.push(frame, told(kind, fill));
    }

    fn push(&mut self, frame: usize, json: String) {
        let run_id = self.frames[frame].run_id.clone();
        self.notices.push(Notice { run_id, json });
        self.noted += 1;
    }

    pub(super) fn note_start(&mut self, frame: usize) {
        let run = self.frames[frame].run_id.clone();
        self.note(frame, "workflow-start", |json| {
            json.text("runId", &run);
        });
    }

    pub(super) fn note_finish(&mut self, frame: usize, status: &str, result: Option<&Data>) {
        let run = self.frames[frame].run_id.clone();
        self.note(frame, "workflow-finish", |json| {
            json.text("runId", &run)
                .text("workflowStatus", status)
                .optional("finalWorkflowResult", result);
        });
    }

    pub(super) fn note_paused(&mut self) {
        self.note(0, "workflow-paused", |_| {});
    }

    /// Whether the beginning and the end of what happens at `spot` are told one by one.
    pub(super) fn is_told(&self, spot: Spot) -> bool {
        let entry = self.frames[spot.frame].workflow.entry(spot.entry);
        !matches!(entry, Some(Entry::Foreach(_) | Entry::Loop(_)))
    }

    pub(super) fn note_step_start(&mut self, spot: Spot) {
        let id = self.id_at(spot);
        let Some(result) = self.result_at(spot) else {
            return;
        };
        let (started, payload) = (result.started_at, result.payload.clone());
        self.note(spot.frame, "workflow-step-start", |json| {
            json.text("id", &id)
                .time("startedAt", started)
                .optional("payload", payload.as_ref())
                .text("status", "running");
        });
    }

    pub(super) fn note_step_result(&mut self, spot: Spot) {
        self.note_record(spot, "workflow-step-result");
    }

    pub(super) fn note_suspended(&mut self, spot: Spot) {
        self.note_record(spot, "workflow-step-suspended");
    }

    pub(super) fn note_waiting(&mut self, spot: Spot) {
        let id = self.id_at(spot);
        let Some(result) = self.result_at(spot) else {
            return;
        };
        let (started, payload) = (result.started_at, result.payload.clone());
        self.note(spot.frame, "workflow-step-waiting", |json| {
            json.text("id", &id)
                .text("status", "waiting")
                .optional("payload", payload.as_ref())
                .time("startedAt", started);
        });
    }

    fn note_record(&mut self, spot: Spot, kind: &str) {
        let id = self.id_at(spot);
        let Some(result) = self.result_at(spot) else {
            return;
        };
        let json = told(kind, |json| {
            json.text("id", &id);
            StepResult::write(result, json);
        });
        self.push(spot.frame, json);
    }

    pub(super) fn note_step_finish(&mut self, spot: Spot) {
        let id = self.id_at(spot);
        self.note(spot.frame, "workflow-step-finish", |json| {
            json.text("id", &id).nested("metadata", |_| {});
        });
    }

    /// That an iteration has come to an end, or to a halt.
    pub(super) fn note_progress(
        &mut self,
        spot: Spot,
        completed: usize,
        total: usize,
        status: &str,
        output: Option<&Data>,
    ) {
        let id = self.id_at(spot);
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.note(spot.frame, "workflow-step-progress", |json| {
            json.text("id", &id)
                .number("completedCount", number(completed))
                .number("totalCount", number(total))
                .number("currentIndex", number(spot.branch.unwrap_or(0)))
                .text("iterationStatus", status)
                .optional("iterationOutput", output);
        });
    }
}

fn told(kind: &str, fill: impl FnOnce(&mut Writer)) -> String {
    let mut json = Writer::object();
    json.text("type", kind).nested("payload", fill);
    json.end()
}
