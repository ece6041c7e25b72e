//! What a run waits for.

use super::{Active, Command, Machine, Phase, Spot};
use crate::definition::Entry;

impl Machine {
    /// Everything that was asked for and not answered: after a replay, what is to be done now.
    pub(crate) fn outstanding(&self) -> Vec<Command> {
        if !self.status.is_active() {
            return Vec::new();
        }
        let mut commands = Vec::new();
        for (frame, _) in self.open_frames() {
            commands.extend(self.asked(frame));
            let entry = self.frames[frame].cursor;
            for (branch, slot) in self.frames[frame].slots() {
                let spot = Spot::new(frame, entry, branch);
                match slot.phase {
                    Phase::Running => commands.push(Command::Execute {
                        spot,
                        attempt: slot.attempt,
                    }),
                    Phase::Pausing(at) => commands.push(Command::Wake { spot, at }),
                    _ => {}
                }
            }
        }
        commands
    }

    /// Whether a step is among what was asked for and not answered. What maps is none.
    pub(crate) fn is_at_step(&self) -> bool {
        let is_step = |spot: &Spot| {
            let entry = self.frames[spot.frame].workflow.entry(spot.entry);
            !matches!(entry, Some(Entry::Map(_)))
        };
        self.running().iter().any(is_step)
    }

    /// Asks once more for everything that was not answered.
    pub(crate) fn ask_again(&mut self) {
        self.commands = self.outstanding();
    }

    /// What the present entry of a frame asks for that is not the work of a slot.
    pub(super) fn asked(&self, frame: usize) -> Option<Command> {
        let spot = Spot::new(frame, self.frames[frame].cursor, None);
        match &self.frames[frame].active {
            Active::Deciding => Some(Command::Decide { spot }),
            Active::Testing(_) => Some(Command::Test { spot }),
            Active::Measuring(_) => Some(Command::Measure { spot }),
            Active::Timing => Some(Command::Time { spot }),
            Active::Sleeping(at) => Some(Command::Wake { spot, at: *at }),
            _ => None,
        }
    }

    /// Where steps run.
    pub(super) fn running(&self) -> Vec<Spot> {
        let executed = |command| match command {
            Command::Execute { spot, .. } => Some(spot),
            _ => None,
        };
        self.outstanding()
            .into_iter()
            .filter_map(executed)
            .collect()
    }

    /// The frames that are not done, inner ones before those around them, with the spot that waits for them.
    pub(super) fn open_frames(&self) -> Vec<(usize, Option<Spot>)> {
        self.open_in(0)
    }

    /// Those of a frame and of what is nested in it.
    pub(super) fn open_in(&self, frame: usize) -> Vec<(usize, Option<Spot>)> {
        let mut open = Vec::new();
        self.collect_open(frame, &mut open);
        open
    }

    fn collect_open(&self, frame: usize, open: &mut Vec<(usize, Option<Spot>)>) {
        for (_, slot) in self.frames[frame].slots() {
            if let Phase::Nested(child)
            | Phase::NestedSuspended(child)
            | Phase::NestedFailed(child) = slot.phase
            {
                self.collect_open(child, open);
            }
        }
        open.push((frame, self.frames[frame].parent));
    }
}
