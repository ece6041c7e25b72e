//! Trying a failed run again.

use bowline_events::Timestamp;

use super::{Active, Applied, Machine, Phase, RunStatus, Slot, Spot, StepStatus, mismatch};

impl Machine {
    /// A failed run tries again what failed, and what was given up because of that.
    pub(super) fn retry(&mut self, at: Timestamp) -> Applied {
        if !matches!(self.status, RunStatus::Failed | RunStatus::Tripwire) {
            return Err(mismatch("the run did not fail"));
        }
        if !self.begun {
            return Err(mismatch("the run has never begun"));
        }
        self.status = RunStatus::Running;
        self.error = None;
        self.tripwire = None;
        self.note_start(0);
        self.retry_frame(0, at)?;
        // A run that was broken off while it waited for somebody waits again.
        if self.status == RunStatus::Running && self.outstanding().is_empty() {
            self.status = RunStatus::Suspended;
        }
        Ok(())
    }

    fn retry_frame(&mut self, frame: usize, at: Timestamp) -> Applied {
        let entry = Spot::new(frame, self.frames[frame].cursor, None);
        if matches!(self.frames[frame].active, Active::Idle) {
            return self.enter(frame, at);
        }
        if let Some(asked) = self.asked(frame) {
            self.commands.push(asked);
            return Ok(());
        }
        let slots = self.frames[frame].slots();
        let slots: Vec<(Option<usize>, Phase)> =
            slots.iter().map(|(k, slot)| (*k, slot.phase)).collect();
        for (k, phase) in slots {
            // What is tried again may fail again at once.
            if !self.is_open(entry) {
                return Ok(());
            }
            self.retry_slot(Spot::new(frame, entry.entry, k), phase, at)?;
        }
        self.fill(entry, at)
    }

    fn retry_slot(&mut self, spot: Spot, phase: Phase, at: Timestamp) -> Applied {
        match phase {
            Phase::Failed => {
                self.count(spot);
                self.begin_again(spot, at)
            }
            Phase::Running | Phase::Pausing(_) => self.begin_again(spot, at),
            Phase::Pending if !self.iterates(spot) => self.start(spot, at),
            Phase::NestedFailed(child) => {
                self.count(spot);
                self.slot_mut(spot)?.phase = Phase::Nested(child);
                if let Some(result) = self.result_at(spot) {
                    result.status = StepStatus::Running;
                    result.error = None;
                    result.tripwire = None;
                    result.ended_at = None;
                }
                self.note_start(child);
                self.retry_frame(child, at)
            }
            Phase::Nested(child) => self.retry_frame(child, at),
            _ => Ok(()),
        }
    }

    fn begin_again(&mut self, spot: Spot, at: Timestamp) -> Applied {
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

    fn iterates(&self, spot: Spot) -> bool {
        self.iteration_of(spot).is_some()
    }
}
