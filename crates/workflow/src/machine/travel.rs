//! Beginning again at a step of before.

use bowline_events::Timestamp;

use super::{
    Active, Applied, Frame, Machine, Phase, RunStatus, Slot, Spot, StepResult, StepStatus, Travel,
    mismatch,
};
use crate::Data;
use crate::data::Fields;
use crate::definition::{Entry, Node};

impl Machine {
    pub(super) fn travel(&mut self, travel: &Travel, at: Timestamp) -> Applied {
        if let Some(problem) = self.travel_problem(travel) {
            return Err(mismatch(problem));
        }
        self.status = RunStatus::Running;
        self.begun = true;
        self.per_step = travel.per_step;
        self.result = None;
        self.error = None;
        self.tripwire = None;
        if let Some(state) = &travel.state {
            self.frames[0].state = Fields::of(state);
        }
        self.note_start(0);
        self.arrive(0, &travel.step, travel, at)
    }

    /// Begins at the first of `step` in `frame`, and at the rest in the workflows nested there.
    fn arrive(&mut self, frame: usize, step: &[String], travel: &Travel, at: Timestamp) -> Applied {
        let Some((id, inner)) = step.split_first() else {
            return Err(mismatch("no step is named"));
        };
        let place = self.frames[frame].workflow.place(id);
        let (entry, branch) = place.ok_or_else(|| mismatch(format!("there is no step {id:?}")))?;
        for (id, output) in &travel.outputs {
            self.give_output(frame, id, output, at);
        }
        let spot = Spot::new(frame, entry, branch);
        let recorded = self
            .result_at(spot)
            .and_then(|result| result.payload.clone());
        let given = travel.input.clone().filter(|_| inner.is_empty());
        let before = self.output_before(frame, entry);
        let this = &mut self.frames[frame];
        this.cursor = entry;
        this.active = Active::Idle;
        this.previous = given.or(before).or(recorded).unwrap_or_default();
        let kept: Vec<Option<Box<StepResult>>> = this.results.clone();
        let first = this.workflow.index(entry, Some(0));
        for index in first..this.results.len() {
            this.results[index] = None;
            this.set_output(index, None);
        }
        self.begin_at(spot, inner, &kept, travel, at)
    }

    fn begin_at(
        &mut self,
        spot: Spot,
        inner: &[String],
        kept: &[Option<Box<StepResult>>],
        travel: &Travel,
        at: Timestamp,
    ) -> Applied {
        let slot = || Slot {
            resume: travel.resume.clone().filter(|_| inner.is_empty()),
            ..Slot::default()
        };
        let workflow = self.frames[spot.frame].workflow.clone();
        let whole = Spot::new(spot.frame, spot.entry, None);
        match (workflow.entry(spot.entry), spot.branch) {
            (Some(Entry::Parallel(_) | Entry::Branch(_)), Some(target)) => {
                let count = workflow
                    .entry(spot.entry)
                    .map_or(0, |entry| entry.ids().len());
                let slots = (0..count).map(|_| Slot::default()).collect();
                self.frames[spot.frame].active = Active::Branches(slots);
                for k in (0..count).filter(|k| *k != target) {
                    self.keep_branch(Spot::new(spot.frame, spot.entry, Some(k)), kept);
                }
                *self.slot_mut(spot)? = slot();
                let begun = |slot: &Slot| slot.phase == Phase::Pending;
                let pending: Vec<usize> = self.frames[spot.frame]
                    .slots()
                    .into_iter()
                    .filter_map(|(k, slot)| k.filter(|k| begun(slot) && *k != target))
                    .collect();
                self.begin_one(spot, inner, kept, travel, at)?;
                self.start_branches(whole, pending.into_iter(), at)
            }
            (Some(Entry::Step(_) | Entry::Map(_)), _) => {
                self.frames[spot.frame].active = Active::Single(slot());
                self.begin_one(spot, inner, kept, travel, at)
            }
            (Some(Entry::Loop(_)), _) => {
                self.frames[spot.frame].active = Active::Loop(slot());
                self.begin_one(spot, inner, kept, travel, at)
            }
            _ => self.enter(spot.frame, at),
        }
    }

    fn begin_one(
        &mut self,
        spot: Spot,
        inner: &[String],
        kept: &[Option<Box<StepResult>>],
        travel: &Travel,
        at: Timestamp,
    ) -> Applied {
        if inner.is_empty() {
            return self.start(spot, at);
        }
        let workflow = self.frames[spot.frame].workflow.clone();
        let Some(Node::Workflow {
            id,
            workflow: nested,
        }) = workflow.node(spot)
        else {
            return Err(mismatch("the step is no nested workflow"));
        };
        let child = self.frames.len();
        let run_id: bowline_events::Text = format!("{}.{id}.{child}", self.run_id()).into();
        let input = self.payload(spot)?;
        let state = self.state_at(spot);
        let mut frame = Frame::new(
            nested.clone(),
            run_id.clone(),
            Some(spot),
            input.clone(),
            state,
        );
        let old = kept
            .get(workflow.index(spot.entry, spot.branch))
            .cloned()
            .flatten();
        if let Some(before) = old.and_then(|old| self.nested_of(&old)) {
            let before = &self.frames[before];
            frame.results.clone_from(&before.results);
            frame.input = before.input.clone();
            for (index, result) in before.results.iter().enumerate() {
                let output = result.as_ref().and_then(|result| result.output.clone());
                frame.set_output(index, output);
            }
        }
        self.frames.push(frame);
        self.slot_mut(spot)?.phase = Phase::Nested(child);
        let mut result = StepResult::running(input, at);
        result.nested_run = Some(run_id);
        let index = workflow.index(spot.entry, spot.branch);
        self.frames[spot.frame].set_result(index, result);
        self.note_start(child);
        self.arrive(child, inner, travel, at)
    }

    /// A branch beside the one that is begun again stays as it was, if it was done.
    fn keep_branch(&mut self, spot: Spot, kept: &[Option<Box<StepResult>>]) {
        let frame = &mut self.frames[spot.frame];
        let index = frame.workflow.index(spot.entry, spot.branch);
        let Some(result) = kept.get(index).cloned().flatten() else {
            // Nobody has decided that a branch without a record is taken.
            if let Some(Entry::Branch(_)) = frame.workflow.entry(spot.entry) {
                self.skip(spot);
            }
            return;
        };
        let phase = match result.status {
            StepStatus::Success => Phase::Done,
            StepStatus::Skipped => Phase::Skipped,
            _ => return,
        };
        frame.set_output(index, result.output.clone());
        frame.set_result(index, *result);
        if let Some(slot) = frame.slot_mut(spot.branch) {
            slot.phase = phase;
        }
    }

    fn give_output(&mut self, frame: usize, id: &str, output: &Data, at: Timestamp) {
        let frame = &mut self.frames[frame];
        let Some(index) = frame.workflow.index_of(id) else {
            return;
        };
        let mut result = match frame.result(index) {
            Some(result) => result.clone(),
            None => StepResult::running(Data::null(), at),
        };
        result.status = StepStatus::Success;
        result.output = Some(output.clone());
        result.ended_at = result.ended_at.or(Some(at));
        frame.set_result(index, result);
        frame.set_output(index, Some(output.clone()));
    }

    /// What the entries before `entry` returned in the end.
    fn output_before(&self, frame: usize, entry: usize) -> Option<Data> {
        let this = &self.frames[frame];
        for i in (0..entry).rev() {
            match this.workflow.entry(i)? {
                Entry::Sleep(_) => {}
                Entry::Parallel(_) | Entry::Branch(_) => return Some(self.joined(frame, i)),
                _ => return this.result(this.workflow.index(i, None))?.output.clone(),
            }
        }
        Some(this.input.clone())
    }
}
