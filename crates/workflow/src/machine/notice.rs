//! What watchers are told, in the form of the wire.

use super::{Machine, Notice, RunStatus, Spot, StepResult};
use crate::Data;
use crate::definition::Entry;
use crate::json::Writer;
use crate::outlet::{Moment, Scene};

impl Machine {
    fn note(&mut self, frame: usize, kind: &str, fill: impl FnOnce(&mut Writer)) {
        if !self.is_quiet() {
            self.push(frame, told(kind, fill));
        }
    }

    fn push(&mut self, frame: usize, json: String) {
        let run_id = self.frames[frame].run_id.clone();
        self.notices.push(Notice {
            run_id,
            json,
            elsewhere: None,
        });
        self.noted += 1;
    }

    /// Tells that a run has ended of which nothing else is known.
    pub(crate) fn say_last_words(&mut self, status: RunStatus, error: Option<&Data>) {
        self.note_finish(0, status.as_str(), None);
        let nothing = Data::null();
        match status {
            RunStatus::Success => self.announce(Moment::Succeeded(&nothing)),
            RunStatus::Canceled => self.announce(Moment::Canceled),
            _ => self.announce(Moment::Failed {
                error: error.unwrap_or(&nothing),
                tripwire: None,
            }),
        }
    }

    fn is_quiet(&self) -> bool {
        self.workflow().definition().options.quiet
    }

    /// Tells the outlet of the workflow, if it has one, what has happened.
    pub(super) fn announce(&mut self, moment: Moment<'_>) {
        let Some(outlet) = self.workflow().definition().options.outlet.clone() else {
            return;
        };
        let scene = Scene {
            run_id: self.run_id(),
            input: self.input(),
            state: self.state_under_way(),
            moment,
        };
        let announcements = outlet.tell(&scene);
        self.noted += announcements.len() as u64;
        let run_id = self.run_id().clone();
        self.notices
            .extend(announcements.into_iter().map(|it| Notice {
                run_id: run_id.clone(),
                json: it.data.as_str().to_owned(),
                elsewhere: Some(Box::new((it.topic, it.event_type))),
            }));
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
        if self.is_quiet() {
            return;
        }
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
