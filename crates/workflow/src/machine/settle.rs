//! How what was begun ends.

use bowline_events::Timestamp;

use super::enter::after;
use super::{
    Active, Applied, Command, Completion, Failure, Machine, Outcome, Phase, RunStatus, Slot, Spot,
    StepStatus, mismatch,
};
use crate::data::Fields;
use crate::definition::Entry;
use crate::json::Writer;
use crate::{Data, RetryPolicy};

impl Machine {
    /// An attempt ended.
    pub(super) fn end(
        &mut self,
        spot: Spot,
        attempt: u32,
        completion: &Completion,
        at: Timestamp,
    ) -> Applied {
        let slot = self.slot(spot)?;
        if slot.phase != Phase::Running || slot.attempt != attempt {
            let message = format!("attempt {attempt} at {:?} does not run", spot.path());
            return Err(mismatch(message));
        }
        self.settle(spot, completion, at)
    }

    /// What is at a spot ended: a step, or a nested workflow.
    pub(super) fn settle(&mut self, spot: Spot, completion: &Completion, at: Timestamp) -> Applied {
        if !matches!(completion.outcome, Outcome::Failed(_) | Outcome::Canceled) {
            self.change_state(spot, completion.state.as_ref())?;
        }
        match &completion.outcome {
            Outcome::Success(output) => self.succeed(spot, output, at),
            Outcome::Failed(failure) => self.fail(spot, failure, at),
            Outcome::Suspended(suspension) => self.suspend(spot, suspension, at),
            Outcome::Bailed(output) => self.bail(spot, output, at),
            Outcome::Canceled => {
                let failure = Failure::new(
                    "AbortError",
                    "the step gave up, as if the run were cancelled",
                );
                self.fail(spot, &failure.last(), at)
            }
        }
    }

    fn change_state(&mut self, spot: Spot, delta: Option<&Data>) -> Applied {
        let Some(delta) = delta else { return Ok(()) };
        let frame = self.frame_mut(spot)?;
        if let (Active::Branches(slots), Some(k)) = (&mut frame.active, spot.branch) {
            // Side by side they do not see each other's changes; those are joined in the order of the branches.
            let slot = slots.get_mut(k).ok_or_else(|| mismatch("no such branch"))?;
            slot.delta.get_or_insert_default().merge(delta);
        } else {
            frame.state.merge(delta);
            frame.delta.merge(delta);
        }
        Ok(())
    }

    /// The state that a step at this spot sees.
    pub(super) fn state_at(&self, spot: Spot) -> Fields {
        let frame = &self.frames[spot.frame];
        let mut state = frame.state.clone();
        if let Some(delta) = frame.slot(spot.branch).and_then(|slot| slot.delta.as_ref()) {
            state.merge_fields(delta);
        }
        state
    }

    fn succeed(&mut self, spot: Spot, output: &Data, at: Timestamp) -> Applied {
        let frame = self.frame_mut(spot)?;
        if let Active::Foreach(_) = frame.active {
            return self.complete_iteration(spot, output, at);
        }
        let index = frame.workflow.index(spot.entry, spot.branch);
        if let Some(result) = frame.result_mut(index) {
            result.status = StepStatus::Success;
            result.output = Some(output.clone());
            result.error = None;
            result.ended_at = Some(at);
        }
        frame.set_output(index, Some(output.clone()));
        match &mut frame.active {
            Active::Loop(_) => {
                frame.active = Active::Testing(output.clone());
                let spot = Spot::new(spot.frame, spot.entry, None);
                self.commands.push(Command::Test { spot });
                Ok(())
            }
            Active::Branches(_) => {
                self.slot_mut(spot)?.phase = Phase::Done;
                self.note_step_result(spot);
                self.note_step_finish(spot);
                self.join(spot, at)
            }
            _ => {
                frame.previous = output.clone();
                self.note_step_result(spot);
                self.note_step_finish(spot);
                self.next(spot.frame, at)
            }
        }
    }

    /// The entry is done; `previous` is what it returned.
    pub(super) fn next(&mut self, frame: usize, at: Timestamp) -> Applied {
        let this = &mut self.frames[frame];
        this.active = Active::Idle;
        this.cursor += 1;
        let more = this.workflow.entry(this.cursor).is_some();
        if self.per_step && frame == 0 && more {
            self.status = RunStatus::Paused;
            let output = self.frames[0].previous.clone();
            self.note_paused();
            self.note_finish(0, RunStatus::Paused.as_str(), Some(&output));
            return Ok(());
        }
        self.enter(frame, at)
    }

    /// A frame has no further entry.
    pub(super) fn finish(&mut self, frame: usize, at: Timestamp) -> Applied {
        let output = self.frames[frame].previous.clone();
        self.frames[frame].active = Active::Idle;
        self.note_finish(frame, "success", Some(&output));
        let this = &self.frames[frame];
        match this.parent {
            Some(parent) => {
                let state = (!this.delta.is_empty()).then(|| this.delta.to_data());
                let outcome = Outcome::Success(output);
                self.settle(parent, &Completion { outcome, state }, at)
            }
            None => {
                self.status = RunStatus::Success;
                self.result = Some(output);
                Ok(())
            }
        }
    }

    fn bail(&mut self, spot: Spot, output: &Data, at: Timestamp) -> Applied {
        let frame = self.frame_mut(spot)?;
        let index = frame.workflow.index(spot.entry, spot.branch);
        if let Some(result) = frame.result_mut(index) {
            result.status = StepStatus::Success;
            result.output = Some(output.clone());
            result.ended_at = Some(at);
        }
        frame.previous = output.clone();
        frame.cursor = frame.workflow.definition().entries.len();
        self.abort(spot.frame);
        self.finish(spot.frame, at)
    }

    /// Gives up what runs in a frame and in those nested in it.
    pub(super) fn abort(&mut self, frame: usize) {
        self.commands.push(Command::Abort { frame });
        let nested: Vec<usize> = self.frames[frame]
            .slots()
            .into_iter()
            .filter_map(|(_, slot)| match slot.phase {
                Phase::Nested(child) => Some(child),
                _ => None,
            })
            .collect();
        for child in nested {
            self.abort(child);
        }
        self.frames[frame].active = Active::Idle;
    }

    fn retry_policy(&self, spot: Spot) -> RetryPolicy {
        let workflow = &self.frames[spot.frame].workflow;
        let step = workflow
            .entry(spot.entry)
            .and_then(|entry| entry.step(spot.branch));
        match step {
            Some(step) => step.retry.unwrap_or(workflow.definition().retry),
            None => RetryPolicy::NEVER,
        }
    }

    fn fail(&mut self, spot: Spot, failure: &Failure, at: Timestamp) -> Applied {
        let attempt = self.slot(spot)?.attempt;
        let pause = self.retry_policy(spot).pause(attempt.saturating_add(1));
        match pause.filter(|_| !failure.last) {
            Some(pause) => {
                let slot = self.slot_mut(spot)?;
                slot.attempt += 1;
                if pause.is_zero() {
                    return self.try_again(spot, at);
                }
                let until = after(at, pause);
                slot.phase = Phase::Pausing(until);
                self.commands.push(Command::Wake { spot, at: until });
                Ok(())
            }
            None => self.give_up(spot, failure, at),
        }
    }

    /// Another attempt of the step at a spot.
    pub(super) fn try_again(&mut self, spot: Spot, at: Timestamp) -> Applied {
        let slot = self.slot_mut(spot)?;
        slot.phase = Phase::Running;
        let attempt = slot.attempt;
        if let Some(result) = self.result_at(spot) {
            result.status = StepStatus::Running;
            result.started_at = Some(at);
        }
        if self.is_told(spot) {
            self.note_step_start(spot);
        }
        self.commands.push(Command::Execute { spot, attempt });
        Ok(())
    }

    /// What is at a spot failed for good, and with it the run.
    pub(super) fn give_up(&mut self, spot: Spot, failure: &Failure, at: Timestamp) -> Applied {
        let frame = &mut self.frames[spot.frame];
        let mut progress = None;
        if let Active::Foreach(iteration) = &mut frame.active {
            iteration.running = iteration.running.saturating_sub(1);
            progress = Some((iteration.done, iteration.items.len()));
        }
        if let Some(slot) = frame.slot_mut(spot.branch) {
            slot.phase = match slot.phase {
                Phase::Nested(child) => Phase::NestedFailed(child),
                _ => Phase::Failed,
            };
        }
        let index = frame.workflow.index(spot.entry, spot.branch);
        if let Some(result) = frame.result_mut(index) {
            result.status = StepStatus::Failed;
            result.error = Some(failure.error.clone());
            result.tripwire.clone_from(&failure.tripwire);
            result.ended_at = Some(at);
        }
        if let Some((done, total)) = progress {
            self.note_progress(spot, done, total, "failed", None);
        }
        self.note_step_result(spot);
        self.fail_frame(spot.frame, failure, at)
    }

    pub(super) fn fail_frame(&mut self, frame: usize, failure: &Failure, at: Timestamp) -> Applied {
        let status = match failure.tripwire {
            Some(_) => RunStatus::Tripwire,
            None => RunStatus::Failed,
        };
        self.note_finish(frame, status.as_str(), None);
        if let Some(parent) = self.frames[frame].parent {
            return self.give_up(parent, failure, at);
        }
        self.status = status;
        self.error = Some(failure.error.clone());
        self.tripwire.clone_from(&failure.tripwire);
        self.commands.push(Command::Abort { frame: 0 });
        Ok(())
    }

    /// The body of a loop ended, and its condition was evaluated.
    pub(super) fn repeat(&mut self, spot: Spot, again: bool, at: Timestamp) -> Applied {
        let frame = self.frame_mut(spot)?;
        let Active::Testing(output) = &frame.active else {
            return Err(mismatch("no condition of a loop was asked for"));
        };
        frame.previous = output.clone();
        if !again {
            return self.next(spot.frame, at);
        }
        frame.active = Active::Loop(Slot::default());
        let index = frame.workflow.index(spot.entry, None);
        if let Some(result) = frame.result_mut(index) {
            result.iterations += 1;
        }
        self.start(spot, at)
    }

    fn complete_iteration(&mut self, spot: Spot, output: &Data, at: Timestamp) -> Applied {
        self.slot_mut(spot)?.phase = Phase::Done;
        let Active::Foreach(iteration) = &mut self.frames[spot.frame].active else {
            return Err(mismatch("no array is worked through"));
        };
        let k = spot.branch.unwrap_or(0);
        if let Some(place) = iteration.outputs.get_mut(k) {
            *place = Some(output.clone());
        }
        iteration.running = iteration.running.saturating_sub(1);
        iteration.done += 1;
        let (done, total) = (iteration.done, iteration.items.len());
        self.note_progress(spot, done, total, "success", Some(output));
        let whole = Spot::new(spot.frame, spot.entry, None);
        self.fill(whole, at)?;
        self.join(whole, at)
    }

    /// The conditions of branches were evaluated.
    pub(super) fn decide(&mut self, spot: Spot, taken: &[bool], at: Timestamp) -> Applied {
        let frame = self.frame_mut(spot)?;
        let branches = match frame.workflow.entry(spot.entry) {
            Some(Entry::Branch(branches)) => branches.len(),
            _ => 0,
        };
        if !matches!(frame.active, Active::Deciding) || branches != taken.len() {
            return Err(mismatch("no conditions were asked for"));
        }
        let slot = |taken: &bool| Slot {
            phase: if *taken {
                Phase::Pending
            } else {
                Phase::Skipped
            },
            ..Slot::default()
        };
        frame.active = Active::Branches(taken.iter().map(slot).collect());
        let chosen = |wanted| move |(k, taken): (usize, &bool)| (*taken == wanted).then_some(k);
        self.start_branches(spot, taken.iter().enumerate().filter_map(chosen(true)), at)?;
        if !self.is_open(spot) {
            return Ok(());
        }
        for k in taken.iter().enumerate().filter_map(chosen(false)) {
            self.skip(Spot::new(spot.frame, spot.entry, Some(k)));
        }
        self.join(spot, at)
    }

    /// The run cannot go on.
    pub(super) fn break_off(&mut self, error: &Data, at: Timestamp) -> Applied {
        let failure = Failure {
            error: error.clone(),
            last: true,
            tripwire: None,
        };
        self.fail_frame(0, &failure, at)
    }

    /// `{"id": output}` of all that succeeded.
    pub(super) fn joined(&self, frame: usize, entry: usize) -> Data {
        let frame = &self.frames[frame];
        let ids = frame
            .workflow
            .entry(entry)
            .map(Entry::ids)
            .unwrap_or_default();
        let mut json = Writer::object();
        for (k, id) in ids.iter().enumerate() {
            let result = frame.result(frame.workflow.index(entry, Some(k)));
            if let Some(result) = result.filter(|result| result.status == StepStatus::Success) {
                json.optional(id, result.output.as_ref());
            }
        }
        Data::made(json.end())
    }
}
