//! How what runs side by side comes together again, and goes on.

use bowline_events::Timestamp;

use super::enter::slots;
use super::{Active, Applied, Machine, Phase, Spot, StepResult, StepStatus, mismatch};
use crate::Data;
use crate::definition::Entry;
use crate::json::Writer;

impl Machine {
    /// The conditions of branches were evaluated.
    pub(super) fn decide(&mut self, spot: Spot, taken: &[bool], at: Timestamp) -> Applied {
        let frame = self.whole_mut(spot)?;
        let branches = match frame.workflow.entry(spot.entry) {
            Some(Entry::Branch(branches)) => branches.len(),
            _ => 0,
        };
        if !matches!(frame.active, Active::Deciding) || branches != taken.len() {
            return Err(mismatch("no conditions were asked for"));
        }
        frame.active = Active::Branches(slots(branches));
        let which = |wanted| move |(k, taken): (usize, &bool)| (*taken == wanted).then_some(k);
        self.start_branches(spot, taken.iter().enumerate().filter_map(which(true)), at)?;
        // Only now, so that branches that end while they are begun do not end the entry before this.
        for k in taken.iter().enumerate().filter_map(which(false)) {
            self.skip(Spot::new(spot.frame, spot.entry, Some(k)));
        }
        self.join(spot, at)
    }

    pub(super) fn skip(&mut self, spot: Spot) {
        let frame = &mut self.frames[spot.frame];
        let index = frame.workflow.index(spot.entry, spot.branch);
        frame.set_result(index, StepResult::new(StepStatus::Skipped));
        if let Some(slot) = frame.slot_mut(spot.branch) {
            slot.phase = Phase::Skipped;
        }
        if !self.status.is_final() {
            self.note_step_result(spot);
        }
    }

    /// Goes on behind an entry if all of it is done, and waits if all that is left does.
    pub(super) fn join(&mut self, spot: Spot, at: Timestamp) -> Applied {
        if !self.is_open(spot) {
            return Ok(());
        }
        let frame = &self.frames[spot.frame];
        let suspended = match &frame.active {
            Active::Branches(slots) if slots.iter().all(|slot| slot.phase.is_settled()) => {
                slots.iter().any(|slot| slot.phase.is_suspended())
            }
            Active::Foreach(iteration)
                if iteration.running == 0 && iteration.next >= iteration.items.len() =>
            {
                iteration.done < iteration.items.len()
            }
            _ => return Ok(()),
        };
        if suspended {
            self.mark_iterations(spot, at);
            return self.halt(spot.frame, at);
        }
        self.close(spot, at)
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

    /// The index of an iteration; `None` for what is none.
    pub(super) fn iteration_of(&self, spot: Spot) -> Option<usize> {
        match self.frames[spot.frame].active {
            Active::Foreach(_) => spot.branch,
            _ => None,
        }
    }
}
