//! How what was begun ends.

use bowline_events::Timestamp;

use super::{
    Active, Applied, Command, Completion, Failure, Machine, Outcome, Phase, RunStatus, Slot, Spot,
    StepStatus, mismatch,
};
use crate::Data;
use crate::data::Fields;
use crate::outlet::Moment;

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
        if self.advance(frame) {
            return Ok(());
        }
        self.enter(frame, at)
    }

    /// Moves on to the next entry, or pauses before it: then `true`.
    pub(super) fn advance(&mut self, frame: usize) -> bool {
        let this = &mut self.frames[frame];
        this.active = Active::Idle;
        this.cursor += 1;
        let more = this.workflow.entry(this.cursor).is_some();
        let pause = self.per_step && frame == 0 && more;
        if pause {
            self.status = RunStatus::Paused;
            let output = self.frames[0].previous.clone();
            self.note_paused();
            self.note_finish(0, RunStatus::Paused.as_str(), Some(&output));
        }
        pause
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
                self.announce(Moment::Succeeded(&output));
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
        // Branches are not joined any more; what this one set is.
        if let Some(delta) = frame
            .slot_mut(spot.branch)
            .and_then(|slot| slot.delta.take())
        {
            frame.state.merge_fields(&delta);
            frame.delta.merge_fields(&delta);
        }
        self.abort(spot.frame);
        self.frames[spot.frame].active = Active::Idle;
        self.finish(spot.frame, at)
    }

    /// The body of a loop ended, and its condition was evaluated.
    pub(super) fn repeat(&mut self, spot: Spot, again: bool, at: Timestamp) -> Applied {
        let frame = self.whole_mut(spot)?;
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
}
