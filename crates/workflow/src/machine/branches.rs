//! How what runs side by side comes together again, and goes on.

use bowline_events::Timestamp;

use super::{Active, Applied, Machine, Spot, StepResult, StepStatus};
use crate::Data;

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
            (true, true) => {
                self.mark_iterations(spot, at);
                self.halt(spot.frame, at)
            }
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

    /// The index of an iteration; `None` for what is none.
    pub(super) fn iteration_of(&self, spot: Spot) -> Option<usize> {
        match self.frames[spot.frame].active {
            Active::Foreach(_) => spot.branch,
            _ => None,
        }
    }
}
