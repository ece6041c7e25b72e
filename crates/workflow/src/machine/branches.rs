//! How what runs side by side comes together again, and how it waits.

use bowline_events::Timestamp;

use super::{Active, Applied, Machine, Phase, RunStatus, Spot, StepResult, StepStatus, Suspension};
use crate::Data;
use crate::json::{Writer, push_text};

impl Machine {
    pub(super) fn skip(&mut self, spot: Spot) {
        let frame = &mut self.frames[spot.frame];
        let index = frame.workflow.index(spot.entry, spot.branch);
        frame.set_result(index, StepResult::new(StepStatus::Skipped));
        self.note_step_result(spot);
    }

    /// Goes on behind an entry if all of it is done, and waits if all that is left does.
    pub(super) fn join(&mut self, spot: Spot, at: Timestamp) -> Applied {
        if !self.is_open(spot) {
            return Ok(());
        }
        let frame = &self.frames[spot.frame];
        let (settled, suspended) = match &frame.active {
            Active::Branches(slots) => (
                slots.iter().all(|slot| slot.phase.is_settled()),
                slots.iter().any(|slot| slot.phase.is_suspended()),
            ),
            Active::Foreach(iteration) => (
                iteration.running == 0 && iteration.next >= iteration.items.len(),
                iteration.done < iteration.items.len(),
            ),
            _ => return Ok(()),
        };
        match (settled, suspended) {
            (false, _) => Ok(()),
            (true, true) => self.halt(spot.frame, at),
            (true, false) => self.close(spot, at),
        }
    }

    fn close(&mut self, spot: Spot, at: Timestamp) -> Applied {
        let joined = self.joined(spot.frame, spot.entry);
        let frame = &mut self.frames[spot.frame];
        match std::mem::replace(&mut frame.active, Active::Idle) {
            Active::Branches(slots) => {
                for delta in slots.into_iter().filter_map(|slot| slot.delta) {
                    frame.state.merge_fields(&delta);
                    frame.delta.merge_fields(&delta);
                }
                frame.previous = joined;
            }
            Active::Foreach(iteration) => {
                let output = Data::array(iteration.outputs.iter().flatten());
                let index = frame.workflow.index(spot.entry, None);
                if let Some(result) = frame.result_mut(index) {
                    result.status = StepStatus::Success;
                    result.output = Some(output.clone());
                    result.suspend_payload = None;
                    result.ended_at = Some(at);
                }
                frame.set_output(index, Some(output.clone()));
                frame.previous = output;
            }
            _ => {}
        }
        self.next(spot.frame, at)
    }

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
        let run_id = self.frames[spot.frame].run_id.clone();
        let payload =
            self.suspend_payload(spot, &suspension.payload, &run_id, &[], &suspension.labels);
        self.mark_suspended(spot, payload, at);
        self.wait_at(spot, at)
    }

    /// Everything in a frame that is not done waits for somebody.
    fn halt(&mut self, frame: usize, at: Timestamp) -> Applied {
        let Some(parent) = self.frames[frame].parent else {
            self.status = RunStatus::Suspended;
            return Ok(());
        };
        self.slot_mut(parent)?.phase = Phase::NestedSuspended(frame);
        let Some(first) = self.first_suspended(frame) else {
            return Ok(());
        };
        let payload = first.payload.clone();
        let labels: Vec<String> = self.labels_in(frame);
        let run_id = self.frames[frame].run_id.clone();
        let inner = &first.path[..];
        let payload = self.suspend_payload(parent, &payload, &run_id, inner, &labels);
        self.mark_suspended(parent, payload, at);
        self.wait_at(parent, at)
    }

    fn mark_suspended(&mut self, spot: Spot, payload: Data, at: Timestamp) {
        if let Some(result) = self.result_at(spot) {
            result.status = StepStatus::Suspended;
            result.suspended_at = Some(at);
            result.suspend_payload = Some(payload);
            result.output = None;
            result.ended_at = None;
        }
    }

    fn wait_at(&mut self, spot: Spot, at: Timestamp) -> Applied {
        if let Active::Foreach(iteration) = &mut self.frames[spot.frame].active {
            iteration.running = iteration.running.saturating_sub(1);
            let (done, total) = (iteration.done, iteration.items.len());
            self.note_progress(spot, done, total, "suspended", None);
            let whole = Spot::new(spot.frame, spot.entry, None);
            self.fill(whole, at)?;
            return self.join(whole, at);
        }
        if self.is_told(spot) {
            self.note_suspended(spot);
        }
        if matches!(self.frames[spot.frame].active, Active::Branches(_)) {
            return self.join(spot, at);
        }
        self.halt(spot.frame, at)
    }

    /// What a step suspends with, and the object in it that says how to resume.
    fn suspend_payload(
        &self,
        spot: Spot,
        payload: &Data,
        run_id: &str,
        inner: &[String],
        labels: &[String],
    ) -> Data {
        let id = self.id_at(spot);
        let index = self.iteration_of(spot);
        let mut json = Writer::object();
        json.nested("__workflow_meta", |json| {
            json.text("runId", run_id);
            if inner.is_empty() {
                json.texts("path", std::iter::once(id.as_str()));
            } else {
                json.texts("path", inner.iter().map(String::as_str));
            }
            if let Some(index) = index {
                json.number("foreachIndex", i64::try_from(index).unwrap_or(i64::MAX));
            }
            if !labels.is_empty() {
                json.nested("resumeLabels", |json| {
                    for label in labels {
                        json.nested(label, |json| {
                            json.text("stepId", &id);
                            if let Some(index) = index {
                                let index = i64::try_from(index).unwrap_or(i64::MAX);
                                json.number("foreachIndex", index);
                            }
                        });
                    }
                });
            }
        });
        let meta = json.end();
        splice(payload, &meta)
    }

    /// The index of an iteration; `None` for what is none.
    pub(super) fn iteration_of(&self, spot: Spot) -> Option<usize> {
        match self.frames[spot.frame].active {
            Active::Foreach(_) => spot.branch,
            _ => None,
        }
    }
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
