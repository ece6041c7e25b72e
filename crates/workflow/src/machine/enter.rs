//! How entries begin.

use bowline_events::{Text, Timestamp};

use super::{
    Active, Applied, Command, Failure, Frame, Machine, Phase, Slot, Spot, StepResult, StepStatus,
    mismatch,
};
use crate::Data;
use crate::definition::{Entry, Node, Until, Width};

impl Machine {
    /// Begins the present entry of a frame, or ends the frame when there is none.
    pub(super) fn enter(&mut self, frame: usize, at: Timestamp) -> Applied {
        loop {
            let workflow = self.frames[frame].workflow.clone();
            let spot = Spot::new(frame, self.frames[frame].cursor, None);
            let Some(entry) = workflow.entry(spot.entry) else {
                return self.finish(frame, at);
            };
            match entry {
                Entry::Step(_) | Entry::Map(_) => {
                    self.frames[frame].active = Active::Single(Slot::default());
                    return self.start(spot, at);
                }
                Entry::Loop(_) => {
                    self.frames[frame].active = Active::Loop(Slot::default());
                    return self.start(spot, at);
                }
                Entry::Parallel(nodes) => {
                    self.frames[frame].active = Active::Branches(slots(nodes.len()));
                    return self.start_branches(spot, 0..nodes.len(), at);
                }
                Entry::Branch(_) => {
                    self.frames[frame].active = Active::Deciding;
                    self.commands.push(Command::Decide { spot });
                    return Ok(());
                }
                Entry::Foreach(foreach) => {
                    let Some(items) = self.frames[frame].previous.elements() else {
                        let message =
                            "foreach needs an array, and the step before returned something else";
                        self.set_running(spot, at);
                        return self.give_up(spot, &Failure::new("Error", message).last(), at);
                    };
                    if items.is_empty() {
                        self.complete_empty(spot, at);
                        if self.advance(frame) {
                            return Ok(());
                        }
                        continue;
                    }
                    return match &foreach.width {
                        Width::Fixed(width) => self.iterate(spot, items, *width, at),
                        Width::Function(_) => {
                            self.frames[frame].active = Active::Measuring(items);
                            self.commands.push(Command::Measure { spot });
                            Ok(())
                        }
                    };
                }
                Entry::Sleep(sleep) => {
                    let until = match &sleep.until {
                        Until::Duration(duration) => after(at, *duration),
                        Until::Instant(instant) => *instant,
                        Until::Function(_) => {
                            self.frames[frame].active = Active::Timing;
                            self.commands.push(Command::Time { spot });
                            return Ok(());
                        }
                    };
                    return self.fall_asleep(spot, until, at);
                }
            }
        }
    }

    pub(super) fn start_branches(
        &mut self,
        spot: Spot,
        branches: impl Iterator<Item = usize>,
        at: Timestamp,
    ) -> Applied {
        for k in branches {
            // A branch that failed at once has ended the frame.
            if !self.is_open(spot) {
                break;
            }
            let spot = Spot::new(spot.frame, spot.entry, Some(k));
            self.start(spot, at)?;
        }
        Ok(())
    }

    /// Whether the frame still works on the entry at `spot`.
    pub(super) fn is_open(&self, spot: Spot) -> bool {
        !self.status.is_final()
            && self.frames[spot.frame].cursor == spot.entry
            && !matches!(self.frames[spot.frame].active, Active::Idle)
    }

    /// Begins what is at a spot, with the slot as it is.
    pub(super) fn start(&mut self, spot: Spot, at: Timestamp) -> Applied {
        let workflow = self.frame(spot)?.workflow.clone();
        self.set_running(spot, at);
        if let Some(Node::Workflow { id, workflow }) = workflow.node(spot) {
            return self.start_nested(spot, id, workflow.clone(), at);
        }
        let slot = self.slot_mut(spot)?;
        slot.phase = Phase::Running;
        let attempt = slot.attempt;
        if self.is_told(spot) {
            self.note_step_start(spot);
        }
        self.commands.push(Command::Execute { spot, attempt });
        Ok(())
    }

    fn start_nested(
        &mut self,
        spot: Spot,
        id: &Text,
        workflow: crate::Workflow,
        at: Timestamp,
    ) -> Applied {
        let child = self.frames.len();
        let run_id: Text = format!("{}.{id}.{child}", self.run_id()).into();
        let input = self.payload(spot)?;
        let state = self.state_at(spot);
        self.frames.push(Frame::new(
            workflow,
            run_id.clone(),
            Some(spot),
            input,
            state,
        ));
        self.slot_mut(spot)?.phase = Phase::Nested(child);
        if let Some(result) = self.result_at(spot) {
            result.nested_run = Some(run_id);
        }
        self.note_start(child);
        self.enter(child, at)
    }

    /// What the node at a spot gets.
    pub(super) fn payload(&self, spot: Spot) -> Applied<Data> {
        let frame = self.frame(spot)?;
        match (&frame.active, spot.branch) {
            (Active::Foreach(iteration), Some(k)) => {
                let item = iteration.items.get(k).cloned();
                item.ok_or_else(|| mismatch(format!("there is no element {k}")))
            }
            _ => Ok(frame.previous.clone()),
        }
    }

    /// Marks the node at a spot as running. The iterations of an array share one result, and a loop keeps its count.
    fn set_running(&mut self, spot: Spot, at: Timestamp) {
        let frame = &mut self.frames[spot.frame];
        let index = frame.workflow.index(spot.entry, spot.branch);
        let (iterates, resumed) = match (&frame.active, frame.slot(spot.branch)) {
            (Active::Foreach(_), _) => (true, false),
            (_, slot) => (false, slot.is_some_and(|slot| slot.resume.is_some())),
        };
        let payload = frame.previous.clone();
        match frame.result_mut(index) {
            Some(result) if iterates || resumed => {
                result.status = StepStatus::Running;
                result.error = None;
                result.tripwire = None;
                result.ended_at = None;
                if resumed {
                    result.started_at = Some(at);
                }
            }
            old => {
                let iterations = old.map_or(0, |old| old.iterations);
                let mut result = StepResult::running(payload, at);
                if matches!(frame.active, Active::Loop(_)) {
                    result.iterations = iterations;
                }
                frame.set_result(index, result);
            }
        }
    }

    pub(super) fn fall_asleep(&mut self, spot: Spot, until: Timestamp, at: Timestamp) -> Applied {
        let frame = self.frame_mut(spot)?;
        frame.active = Active::Sleeping(until);
        let index = frame.workflow.index(spot.entry, None);
        let mut result = StepResult::running(frame.previous.clone(), at);
        result.status = StepStatus::Waiting;
        frame.set_result(index, result);
        self.note_waiting(spot);
        self.commands.push(Command::Wake { spot, at: until });
        Ok(())
    }
}

pub(super) fn slots(count: usize) -> Vec<Slot> {
    std::iter::repeat_with(Slot::default).take(count).collect()
}

pub(super) fn after(at: Timestamp, duration: std::time::Duration) -> Timestamp {
    let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(at.as_millis().saturating_add(millis))
}
