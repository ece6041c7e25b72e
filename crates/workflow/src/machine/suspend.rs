//! How a run waits for somebody.

use bowline_events::{Text, Timestamp};

use super::{Active, Applied, Machine, Phase, RunStatus, Spot, StepStatus, Suspension};
use crate::Data;
use crate::json::{Writer, push_text};
use crate::outlet::Moment;

/// What a spot waits with: that of its step, or of the first suspended one in the workflow nested there.
struct Waiting {
    payload: Data,
    run_id: Text,
    /// The ids of the step, from the nested workflow inwards; empty for a step of its own.
    path: Vec<String>,
    /// Every label by which a step of it can be resumed, with the iteration that it means.
    labels: Vec<(String, Option<usize>)>,
}

impl Machine {
    /// A step waits for somebody.
    pub(super) fn suspend(
        &mut self,
        spot: Spot,
        suspension: &Suspension,
        at: Timestamp,
    ) -> Applied {
        let slot = self.slot_mut(spot)?;
        slot.phase = Phase::Suspended;
        slot.resume = None;
        slot.suspension = Some(Box::new(suspension.clone()));
        let step = self.id_at(spot);
        let payload = &suspension.payload;
        self.announce(Moment::Suspended {
            step: &step,
            payload,
        });
        self.wait_at(spot, at)
    }

    /// Everything in a frame that is not done waits for somebody.
    pub(super) fn halt(&mut self, frame: usize, at: Timestamp) -> Applied {
        let Some(parent) = self.frames[frame].parent else {
            self.status = RunStatus::Suspended;
            return Ok(());
        };
        self.slot_mut(parent)?.phase = Phase::NestedSuspended(frame);
        self.wait_at(parent, at)
    }

    fn wait_at(&mut self, spot: Spot, at: Timestamp) -> Applied {
        if let Active::Foreach(iteration) = &mut self.frames[spot.frame].active {
            iteration.running = iteration.running.saturating_sub(1);
            let (done, total) = (iteration.done, iteration.items.len());
            self.note_progress(spot, done, total, "suspended", None);
            let whole = Spot::new(spot.frame, spot.entry, None);
            return self.fill(whole, at);
        }
        if let Some(waiting) = self.waiting(spot) {
            self.mark_suspended(spot, &waiting, at);
        }
        if self.is_told(spot) {
            self.note_suspended(spot);
        }
        if matches!(self.frames[spot.frame].active, Active::Branches(_)) {
            return self.join(spot, at);
        }
        self.halt(spot.frame, at)
    }

    /// The one record of an array whose iterations wait: that of the first of them, with the labels of all.
    pub(super) fn mark_iterations(&mut self, spot: Spot, at: Timestamp) {
        let Active::Foreach(iteration) = &self.frames[spot.frame].active else {
            return;
        };
        let each = (0..iteration.slots.len()).map(|k| Spot::new(spot.frame, spot.entry, Some(k)));
        let mut all = each.filter_map(|spot| self.waiting(spot));
        let Some(mut waiting) = all.next() else {
            return;
        };
        waiting.labels.extend(all.flat_map(|more| more.labels));
        self.mark_suspended(spot, &waiting, at);
    }

    fn waiting(&self, spot: Spot) -> Option<Waiting> {
        let slot = self.slot(spot).ok()?;
        let index = self.iteration_of(spot);
        let labelled = |labels: Vec<String>| labels.into_iter().map(|l| (l, index)).collect();
        match (slot.phase, &slot.suspension) {
            (Phase::Suspended, Some(suspension)) => Some(Waiting {
                payload: suspension.payload.clone(),
                run_id: self.frames[spot.frame].run_id.clone(),
                path: Vec::new(),
                labels: labelled(suspension.labels.clone()),
            }),
            (Phase::NestedSuspended(child), _) => {
                let first = self.first_suspended(child)?;
                Some(Waiting {
                    payload: first.payload,
                    run_id: self.frames[child].run_id.clone(),
                    path: first.path,
                    labels: labelled(self.labels_in(child)),
                })
            }
            _ => None,
        }
    }

    fn mark_suspended(&mut self, spot: Spot, waiting: &Waiting, at: Timestamp) {
        let id = self.id_at(spot);
        let index = self.iteration_of(spot);
        let payload = splice(&waiting.payload, &meta(&id, index, waiting));
        if let Some(result) = self.result_at(spot) {
            result.status = StepStatus::Suspended;
            result.suspended_at = Some(at);
            result.suspend_payload = Some(payload);
            result.output = None;
            result.ended_at = None;
        }
    }
}

/// The object that says how to resume the step `id`.
fn meta(id: &str, index: Option<usize>, waiting: &Waiting) -> String {
    let number = |index: usize| i64::try_from(index).unwrap_or(i64::MAX);
    let mut json = Writer::object();
    json.nested("__workflow_meta", |json| {
        json.text("runId", &waiting.run_id);
        if waiting.path.is_empty() {
            json.texts("path", std::iter::once(id));
        } else {
            json.texts("path", waiting.path.iter().map(String::as_str));
        }
        if let Some(index) = index {
            json.number("foreachIndex", number(index));
        }
        if waiting.labels.is_empty() {
            return;
        }
        json.nested("resumeLabels", |json| {
            for (label, index) in &waiting.labels {
                json.nested(label, |json| {
                    json.text("stepId", id);
                    if let Some(index) = index {
                        json.number("foreachIndex", number(*index));
                    }
                });
            }
        });
    });
    json.end()
}

/// The members of `payload`, if it has some, before those of the object `meta`. A payload that is no object is the member
/// `value`.
fn splice(payload: &Data, meta: &str) -> Data {
    if payload.is_null() {
        return Data::made(meta.to_owned());
    }
    let mut text = String::with_capacity(payload.as_str().len() + meta.len());
    if payload.is_object() {
        let members = payload.as_str().strip_suffix('}').unwrap_or("{").trim_end();
        text.push_str(members);
        if members != "{" {
            text.push(',');
        }
    } else {
        text.push('{');
        push_text(&mut text, "value");
        text.push(':');
        text.push_str(payload.as_str());
        text.push(',');
    }
    text.push_str(&meta[1..]);
    Data::made(text)
}
