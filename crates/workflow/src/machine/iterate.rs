//! How an array is worked through.

use bowline_events::Timestamp;

use super::enter::slots;
use super::{Active, Applied, Iteration, Machine, Phase, Spot, StepResult, StepStatus, mismatch};
use crate::Data;

impl Machine {
    pub(super) fn iterate(
        &mut self,
        spot: Spot,
        items: Vec<Data>,
        width: usize,
        at: Timestamp,
    ) -> Applied {
        let count = items.len();
        let width = width.max(1);
        self.frames[spot.frame].active = Active::Foreach(Iteration {
            outputs: vec![None; count],
            slots: slots(count),
            items,
            width,
            next: 0,
            running: 0,
            done: 0,
            filling: false,
        });
        let frame = &mut self.frames[spot.frame];
        let index = frame.workflow.index(spot.entry, None);
        let payload = frame.previous.clone();
        frame.set_result(index, StepResult::running(payload, at));
        self.fill(spot, at)
    }

    /// Begins iterations until enough of them run, and goes on behind the array when all are done.
    ///
    /// An iteration that ends while it is begun calls this again, which must not nest: there may be many of them.
    pub(super) fn fill(&mut self, spot: Spot, at: Timestamp) -> Applied {
        match self.iteration_mut(spot) {
            Some(iteration) if !iteration.filling => iteration.filling = true,
            _ => return Ok(()),
        }
        while let Some(k) = self.next_iteration(spot) {
            self.start(Spot::new(spot.frame, spot.entry, Some(k)), at)?;
        }
        if let Some(iteration) = self.iteration_mut(spot) {
            iteration.filling = false;
        }
        self.join(spot, at)
    }

    fn next_iteration(&mut self, spot: Spot) -> Option<usize> {
        if !self.is_open(spot) {
            return None;
        }
        let iteration = self.iteration_mut(spot)?;
        let k = iteration.next;
        if iteration.running >= iteration.width || k >= iteration.items.len() {
            return None;
        }
        iteration.next += 1;
        iteration.running += 1;
        Some(k)
    }

    fn iteration_mut(&mut self, spot: Spot) -> Option<&mut Iteration> {
        match &mut self.frame_mut(spot).ok()?.active {
            Active::Foreach(iteration) => Some(iteration),
            _ => None,
        }
    }

    pub(super) fn complete_iteration(
        &mut self,
        spot: Spot,
        output: &Data,
        at: Timestamp,
    ) -> Applied {
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
        self.fill(whole, at)
    }

    pub(super) fn complete_empty(&mut self, spot: Spot, at: Timestamp) {
        let frame = &mut self.frames[spot.frame];
        let index = frame.workflow.index(spot.entry, None);
        let empty = Data::array(std::iter::empty());
        let mut result = StepResult::running(frame.previous.clone(), at);
        result.status = StepStatus::Success;
        result.output = Some(empty.clone());
        result.ended_at = Some(at);
        frame.set_result(index, result);
        frame.set_output(index, Some(empty.clone()));
        frame.previous = empty;
    }
}
