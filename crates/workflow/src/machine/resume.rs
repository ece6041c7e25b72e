//! How a suspended run goes on.

use bowline_events::Timestamp;

use super::{Active, Applied, Machine, Phase, RunStatus, Slot, Spot, StepStatus, mismatch};
use crate::Data;

impl Machine {
    /// Suspended steps got what they waited for.
    pub(super) fn resume(
        &mut self,
        spots: &[Spot],
        data: &Data,
        context: Option<&Data>,
        at: Timestamp,
    ) -> Applied {
        if self.status != RunStatus::Suspended {
            return Err(mismatch("the run is not suspended"));
        }
        if spots.is_empty() {
            return Err(mismatch("no suspended step is meant"));
        }
        if let Some(context) = context {
            self.request_context.merge(context);
        }
        self.status = RunStatus::Running;
        self.note_start(0);
        for &spot in spots {
            self.reopen(spot.frame, data, at)?;
            let slot = self.slot_mut(spot)?;
            if slot.phase != Phase::Suspended {
                return Err(mismatch(format!("{:?} is not suspended", spot.path())));
            }
            *slot = Slot {
                resume: Some(data.clone()),
                suspension: slot.suspension.take(),
                delta: slot.delta.take(),
                ..Slot::default()
            };
            self.count(spot);
            self.mark_resumed(spot, data, at);
            self.start(spot, at)?;
        }
        Ok(())
    }

    /// The workflows around a resumed step run again.
    fn reopen(&mut self, frame: usize, data: &Data, at: Timestamp) -> Applied {
        let Some(this) = self.frames.get(frame) else {
            return Err(mismatch(format!("there is no nested workflow {frame}")));
        };
        let Some(parent) = this.parent else {
            return Ok(());
        };
        self.reopen(parent.frame, data, at)?;
        let slot = self.slot_mut(parent)?;
        match slot.phase {
            Phase::NestedSuspended(child) if child == frame => {
                slot.phase = Phase::Nested(frame);
                self.count(parent);
                self.mark_resumed(parent, data, at);
                self.note_start(frame);
                Ok(())
            }
            Phase::Nested(child) if child == frame => Ok(()),
            _ => Err(mismatch(format!(
                "nested workflow {frame} is not suspended"
            ))),
        }
    }

    /// One more iteration runs, if the spot is one.
    pub(super) fn count(&mut self, spot: Spot) {
        if let Active::Foreach(iteration) = &mut self.frames[spot.frame].active {
            iteration.running += 1;
        }
    }

    fn mark_resumed(&mut self, spot: Spot, data: &Data, at: Timestamp) {
        if let Some(result) = self.result_at(spot) {
            result.status = StepStatus::Running;
            result.suspended_at = None;
            result.suspend_payload = None;
            result.resume_payload = Some(data.clone());
            result.resumed_at = Some(at);
            result.started_at = Some(at);
        }
    }
}
