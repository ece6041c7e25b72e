//! A workflow that is being run: the one of the run, or one nested in it.

use std::sync::{Arc, Mutex, PoisonError};

use bowline_events::{Text, Timestamp};

use super::{Spot, StepResult, Suspension};
use crate::data::Fields;
use crate::{Data, Workflow};

/// One workflow of a run.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) workflow: Workflow,
    pub(super) run_id: Text,
    /// The spot that waits for it; `None` for the run itself.
    pub(super) parent: Option<Spot>,
    pub(super) input: Data,
    pub(super) state: Fields,
    /// What its steps set of the state, for the workflow around it.
    pub(super) delta: Fields,
    /// What the present entry gets.
    pub(super) previous: Data,
    /// The present entry.
    pub(super) cursor: usize,
    pub(super) active: Active,
    /// By the number of the node.
    pub(super) results: Vec<Option<Box<StepResult>>>,
    pub(super) outputs: Arc<Outputs>,
}

/// What the present entry of a frame is doing.
#[derive(Debug)]
pub(super) enum Active {
    /// Nothing: before the first entry, and after the last.
    Idle,
    /// A step, a mapping, or a nested workflow.
    Single(Slot),
    /// The conditions of branches are being evaluated.
    Deciding,
    /// Branches; those not taken are skipped.
    Branches(Vec<Slot>),
    /// The width of an iteration is being computed.
    Measuring(Vec<Data>),
    Foreach(Iteration),
    Loop(Slot),
    /// The condition of a loop is being evaluated, on the output of the body.
    Testing(Data),
    /// The length of a sleep is being computed.
    Timing,
    Sleeping(Timestamp),
}

/// An array that is being worked through.
#[derive(Debug)]
pub(super) struct Iteration {
    pub(super) items: Vec<Data>,
    pub(super) outputs: Vec<Option<Data>>,
    pub(super) slots: Vec<Slot>,
    pub(super) width: usize,
    /// The first that has not begun.
    pub(super) next: usize,
    pub(super) running: usize,
    pub(super) done: usize,
    /// Whether iterations are being begun just now.
    pub(super) filling: bool,
}

/// A place for one execution of a node.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) phase: Phase,
    pub(super) attempt: u32,
    /// How often the process died meanwhile.
    pub(super) crashes: u32,
    /// What it was resumed with.
    pub(super) resume: Option<Data>,
    /// What it waits for, or waited for.
    pub(super) suspension: Option<Box<Suspension>>,
    /// What it set of the state.
    pub(super) delta: Option<Fields>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Phase {
    #[default]
    Pending,
    Running,
    /// Waits until this instant before the next attempt.
    Pausing(Timestamp),
    /// The nested workflow with this number runs.
    Nested(usize),
    Suspended,
    /// The nested workflow with this number is suspended.
    NestedSuspended(usize),
    Done,
    Skipped,
    Failed,
    /// The nested workflow with this number failed.
    NestedFailed(usize),
}

impl Phase {
    pub(super) fn is_suspended(self) -> bool {
        matches!(self, Self::Suspended | Self::NestedSuspended(_))
    }

    pub(super) fn is_failed(self) -> bool {
        matches!(self, Self::Failed | Self::NestedFailed(_))
    }

    pub(super) fn is_settled(self) -> bool {
        matches!(self, Self::Done | Self::Skipped) || self.is_suspended()
    }
}

impl Frame {
    pub(super) fn new(
        workflow: Workflow,
        run_id: Text,
        parent: Option<Spot>,
        input: Data,
        state: Fields,
    ) -> Self {
        let nodes = workflow.nodes();
        Self {
            workflow,
            run_id,
            parent,
            previous: input.clone(),
            input,
            state,
            delta: Fields::default(),
            cursor: 0,
            active: Active::Idle,
            results: std::iter::repeat_with(|| None).take(nodes).collect(),
            outputs: Arc::new(Outputs::default()),
        }
    }

    /// The slot of a spot of the present entry.
    pub(super) fn slot(&self, branch: Option<usize>) -> Option<&Slot> {
        match (&self.active, branch) {
            (Active::Single(slot) | Active::Loop(slot), None) => Some(slot),
            (Active::Branches(slots), Some(k)) => slots.get(k),
            (Active::Foreach(iteration), Some(k)) => iteration.slots.get(k),
            _ => None,
        }
    }

    pub(super) fn slot_mut(&mut self, branch: Option<usize>) -> Option<&mut Slot> {
        match (&mut self.active, branch) {
            (Active::Single(slot) | Active::Loop(slot), None) => Some(slot),
            (Active::Branches(slots), Some(k)) => slots.get_mut(k),
            (Active::Foreach(iteration), Some(k)) => iteration.slots.get_mut(k),
            _ => None,
        }
    }

    /// Every slot of the present entry with its branch.
    pub(super) fn slots(&self) -> Vec<(Option<usize>, &Slot)> {
        let many = |slots: &'_ [Slot]| -> Vec<usize> { (0..slots.len()).collect() };
        match &self.active {
            Active::Single(slot) | Active::Loop(slot) => vec![(None, slot)],
            Active::Branches(slots) => many(slots)
                .into_iter()
                .map(|k| (Some(k), &slots[k]))
                .collect(),
            Active::Foreach(iteration) => many(&iteration.slots)
                .into_iter()
                .map(|k| (Some(k), &iteration.slots[k]))
                .collect(),
            _ => Vec::new(),
        }
    }

    pub(super) fn result(&self, index: usize) -> Option<&StepResult> {
        self.results.get(index)?.as_deref()
    }

    pub(super) fn result_mut(&mut self, index: usize) -> Option<&mut StepResult> {
        self.results.get_mut(index)?.as_deref_mut()
    }

    pub(super) fn set_result(&mut self, index: usize, result: StepResult) {
        if let Some(place) = self.results.get_mut(index) {
            match place {
                Some(old) => **old = result,
                None => *place = Some(Box::new(result)),
            }
        }
    }

    pub(super) fn set_output(&mut self, index: usize, output: Option<Data>) {
        self.outputs.set(index, output);
    }
}

/// What the steps of a workflow have returned so far, by the number of the node; steps that run look into it.
#[derive(Debug, Default)]
pub(crate) struct Outputs(Mutex<Vec<Option<Data>>>);

impl Outputs {
    pub(crate) fn get(&self, index: usize) -> Option<Data> {
        let outputs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        outputs.get(index).cloned().flatten()
    }

    fn set(&self, index: usize, output: Option<Data>) {
        let mut outputs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if index >= outputs.len() {
            outputs.resize(index + 1, None);
        }
        outputs[index] = output;
    }
}
