//! What somebody outside wants of a run, and what time does to it.

use bowline_events::Timestamp;

use super::{
    Active, Applied, Failure, Machine, Phase, RunStatus, Slot, Spot, StepStatus, mismatch,
};

impl Machine {
    /// A pause is over.
    pub(super) fn wake(&mut self, spot: Spot, at: Timestamp) -> Applied {
        let frame = self.frame_mut(spot)?;
        if let Active::Sleeping(_) = frame.active {
            let index = frame.workflow.index(spot.entry, None);
            let output = frame.previous.clone();
            if let Some(result) = frame.result_mut(index) {
                result.status = StepStatus::Success;
                result.output = Some(output);
                result.ended_at = Some(at);
            }
            self.note_step_result(spot);
            self.note_step_finish(spot);
            return self.next(spot.frame, at);
        }
        match self.slot(spot)?.phase {
            Phase::Pausing(_) => self.try_again(spot, at),
            _ => Err(mismatch(format!("nothing sleeps at {:?}", spot.path()))),
        }
    }

    /// The end of a sleep was computed.
    pub(super) fn sleep(&mut self, spot: Spot, until: Timestamp, at: Timestamp) -> Applied {
        match self.frame(spot)?.active {
            Active::Timing => self.fall_asleep(spot, until, at),
            _ => Err(mismatch("no length of a sleep was asked for")),
        }
    }

    /// The width of an iteration was computed.
    pub(super) fn measure(&mut self, spot: Spot, width: usize, at: Timestamp) -> Applied {
        let frame = self.frame_mut(spot)?;
        match std::mem::replace(&mut frame.active, Active::Idle) {
            Active::Measuring(items) => self.iterate(spot, items, width, at),
            _ => Err(mismatch("no width was asked for")),
        }
    }

    /// The process that ran the steps is gone: what ran is run again, unless it has killed too many.
    pub(super) fn recover(&mut self, at: Timestamp) -> Applied {
        for spot in self.running() {
            let limit = self.frames[spot.frame]
                .workflow
                .definition()
                .options
                .max_crashes;
            let Ok(slot) = self.slot_mut(spot) else {
                continue;
            };
            slot.crashes += 1;
            if slot.crashes <= limit {
                continue;
            }
            let crashes = slot.crashes;
            let message = format!(
                "the process died {crashes} times while this step ran; the limit is {limit} (max_crashes)"
            );
            self.give_up(spot, &Failure::new("CrashLoopError", &message).last(), at)?;
            if self.status.is_final() {
                break;
            }
        }
        Ok(())
    }

    /// A paused run goes on.
    pub(super) fn go_on(&mut self, per_step: bool, at: Timestamp) -> Applied {
        if self.status != RunStatus::Paused {
            return Err(mismatch("the run is not paused"));
        }
        self.per_step = per_step;
        self.status = RunStatus::Running;
        self.note_start(0);
        self.enter(0, at)
    }

    /// A failed run tries again what failed, and what was given up because of that.
    pub(super) fn retry(&mut self, at: Timestamp) -> Applied {
        if !matches!(self.status, RunStatus::Failed | RunStatus::Tripwire) {
            return Err(mismatch("the run did not fail"));
        }
        self.status = RunStatus::Running;
        self.error = None;
        self.tripwire = None;
        self.note_start(0);
        self.retry_frame(0, at)
    }

    fn retry_frame(&mut self, frame: usize, at: Timestamp) -> Applied {
        if matches!(self.frames[frame].active, Active::Idle) {
            return self.enter(frame, at);
        }
        let entry = self.frames[frame].cursor;
        let slots = self.frames[frame].slots();
        let slots: Vec<(Option<usize>, Phase)> =
            slots.iter().map(|(k, slot)| (*k, slot.phase)).collect();
        for (k, phase) in slots {
            let spot = Spot::new(frame, entry, k);
            match phase {
                Phase::Failed | Phase::Running | Phase::Pausing(_) => {
                    self.begin_again(spot, phase == Phase::Failed, at)?;
                }
                Phase::NestedFailed(child) => {
                    self.count_running(spot);
                    self.slot_mut(spot)?.phase = Phase::Nested(child);
                    if let Some(result) = self.result_at(spot) {
                        result.status = StepStatus::Running;
                        result.error = None;
                        result.ended_at = None;
                    }
                    self.note_start(child);
                    self.retry_frame(child, at)?;
                }
                Phase::Nested(child) => self.retry_frame(child, at)?,
                _ => {}
            }
        }
        self.commands.extend(self.asked(frame));
        Ok(())
    }

    fn begin_again(&mut self, spot: Spot, failed: bool, at: Timestamp) -> Applied {
        if failed {
            self.count_running(spot);
        }
        let slot = self.slot_mut(spot)?;
        let again = Slot {
            resume: slot.resume.take(),
            suspension: slot.suspension.take(),
            delta: slot.delta.take(),
            ..Slot::default()
        };
        *slot = again;
        self.start(spot, at)
    }

    fn count_running(&mut self, spot: Spot) {
        if let Active::Foreach(iteration) = &mut self.frames[spot.frame].active {
            iteration.running += 1;
        }
    }

    /// The run ends at once.
    pub(super) fn cancel(&mut self, at: Timestamp) -> Applied {
        if matches!(self.status, RunStatus::Success | RunStatus::Canceled) {
            return Err(mismatch("the run has ended"));
        }
        for (frame, spot) in self.open_frames() {
            let index = self.frames[frame].workflow.nodes();
            for i in 0..index {
                let Some(result) = self.frames[frame].result_mut(i) else {
                    continue;
                };
                if matches!(
                    result.status,
                    StepStatus::Running | StepStatus::Waiting | StepStatus::Suspended
                ) {
                    result.status = StepStatus::Canceled;
                    result.ended_at = Some(at);
                }
            }
            if spot.is_some() {
                self.note_finish(frame, RunStatus::Canceled.as_str(), None);
            }
        }
        self.note_finish(0, RunStatus::Canceled.as_str(), None);
        self.commands.push(super::Command::Abort { frame: 0 });
        self.status = RunStatus::Canceled;
        Ok(())
    }
}
