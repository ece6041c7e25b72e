//! What somebody outside wants of a run, and what time does to it.

use bowline_events::Timestamp;

use crate::outlet::Moment;

use super::{Active, Applied, Failure, Machine, Phase, RunStatus, Spot, StepStatus, mismatch};

impl Machine {
    /// A pause is over.
    pub(super) fn wake(&mut self, spot: Spot, at: Timestamp) -> Applied {
        if let Active::Sleeping(_) = self.frame(spot)?.active {
            let frame = self.whole_mut(spot)?;
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
        match self.whole_mut(spot)?.active {
            Active::Timing => self.fall_asleep(spot, until, at),
            _ => Err(mismatch("no length of a sleep was asked for")),
        }
    }

    /// The width of an iteration was computed.
    pub(super) fn measure(&mut self, spot: Spot, width: usize, at: Timestamp) -> Applied {
        let Active::Measuring(items) = &mut self.whole_mut(spot)?.active else {
            return Err(mismatch("no width was asked for"));
        };
        let items = std::mem::take(items);
        self.iterate(spot, items, width, at)
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
            let failed = |spot| self.slot(spot).is_ok_and(|slot| slot.phase.is_failed());
            if spot.is_some_and(|spot| !failed(spot)) {
                self.note_finish(frame, RunStatus::Canceled.as_str(), None);
            }
        }
        self.note_finish(0, RunStatus::Canceled.as_str(), None);
        self.announce(Moment::Canceled);
        self.abort(0);
        self.status = RunStatus::Canceled;
        self.error = None;
        self.tripwire = None;
        Ok(())
    }
}
