//! How what was begun fails, is tried again, and is given up.

use bowline_events::Timestamp;

use crate::outlet::Moment;

use super::enter::after;
use super::{
    Active, Applied, Command, Failure, Machine, Phase, RunStatus, Spot, StepStatus, mismatch,
};
use crate::{Data, RetryPolicy};

impl Machine {
    fn retry_policy(&self, spot: Spot) -> RetryPolicy {
        let workflow = &self.frames[spot.frame].workflow;
        let step = workflow
            .entry(spot.entry)
            .and_then(|entry| entry.step(spot.branch));
        match step {
            Some(step) => step.retry.unwrap_or_else(|| workflow.definition().retry),
            None => RetryPolicy::NEVER,
        }
    }

    pub(super) fn fail(&mut self, spot: Spot, failure: &Failure, at: Timestamp) -> Applied {
        let attempt = self.slot(spot)?.attempt;
        let pause = self.retry_policy(spot).pause(attempt.saturating_add(1));
        match pause.filter(|_| !failure.last) {
            Some(pause) => {
                let slot = self.slot_mut(spot)?;
                slot.attempt = attempt.saturating_add(1);
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
        self.announce(Moment::Failed {
            error: &failure.error,
            tripwire: failure.tripwire.as_ref(),
        });
        self.status = status;
        self.error = Some(failure.error.clone());
        self.tripwire.clone_from(&failure.tripwire);
        self.abort(0);
        Ok(())
    }

    /// Gives up what was asked for in a frame and in those nested in it.
    pub(super) fn abort(&mut self, frame: usize) {
        for (open, _) in self.open_in(frame) {
            self.commands.push(Command::Abort { frame: open });
        }
    }

    /// The run cannot go on.
    pub(super) fn break_off(&mut self, error: &Data, at: Timestamp) -> Applied {
        if self.status.is_final() {
            return Err(mismatch("the run has ended"));
        }
        let failure = Failure {
            error: error.clone(),
            last: true,
            tripwire: None,
        };
        self.fail_frame(0, &failure, at)
    }
}
