//! A run as a tree: what it has done, is doing, and has before it.

use std::collections::HashMap;

use bowline_events::{Text, Timestamp};

use super::{
    Active, Completion, Frame, Machine, Outcome, Phase, Slot, Spot, StepResult, StepStatus,
};
use crate::Data;
use crate::definition::{Entry, Node};

/// What a part of a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PartKind {
    /// A step.
    Step,
    /// A nested workflow; its entries are the parts of it.
    Workflow,
    /// A function that makes the next input.
    Map,
    /// Steps side by side, which are the parts of it.
    Parallel,
    /// Steps side by side, if their conditions hold, which are the parts of it.
    Branch,
    /// A step for every element of an array; the iterations are the parts of it.
    Foreach,
    /// A step again and again.
    Loop,
    /// A pause.
    Sleep,
}

/// A part of a run: an entry, a branch or an iteration, with the parts that it has itself.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RunPart {
    /// What it is.
    pub kind: PartKind,
    /// Its id; `None` for a group of steps, which has none.
    pub id: Option<Text>,
    /// Which iteration it is.
    pub index: Option<usize>,
    /// How it is; `None` before it begins. A group is as the worst of its parts.
    pub status: Option<StepStatus>,
    /// What the run knows of it; of an iteration without the beginning.
    pub result: Option<StepResult>,
    /// How often it was begun since it was last reached: more than once when it failed and was tried again.
    pub attempts: u32,
    /// When it goes on by itself: the end of a sleep, or of the pause before another attempt.
    pub due: Option<Timestamp>,
    /// Its parts, in the order of the definition.
    pub parts: Vec<RunPart>,
}

/// The end of the last attempt at a spot.
#[derive(Debug, Clone)]
pub(crate) struct LastEnd {
    pub(crate) at: Timestamp,
    pub(crate) attempt: u32,
    pub(crate) completion: Completion,
}

impl PartKind {
    /// A word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Workflow => "workflow",
            Self::Map => "map",
            Self::Parallel => "parallel",
            Self::Branch => "branch",
            Self::Foreach => "foreach",
            Self::Loop => "loop",
            Self::Sleep => "sleep",
        }
    }
}

impl RunPart {
    fn new(kind: PartKind, id: Option<Text>) -> Self {
        Self {
            kind,
            id,
            index: None,
            status: None,
            result: None,
            attempts: 0,
            due: None,
            parts: Vec::new(),
        }
    }
}

impl Machine {
    /// The entries of the run with all that is in them. `ends` has the last end at every spot, from the journal.
    pub(crate) fn tree(&self, ends: &HashMap<Spot, LastEnd>) -> Vec<RunPart> {
        self.parts_of(0, ends)
    }

    fn parts_of(&self, frame: usize, ends: &HashMap<Spot, LastEnd>) -> Vec<RunPart> {
        let definition = self.frames[frame].workflow.definition();
        let entries = definition.entries.iter().enumerate();
        entries
            .map(|(i, entry)| self.part_of(Spot::new(frame, i, None), entry, ends))
            .collect()
    }

    fn part_of(&self, spot: Spot, entry: &Entry, ends: &HashMap<Spot, LastEnd>) -> RunPart {
        let branches = |kind, nodes: Vec<&Node>| {
            let mut group = RunPart::new(kind, None);
            for (k, node) in nodes.into_iter().enumerate() {
                let spot = Spot::new(spot.frame, spot.entry, Some(k));
                group.parts.push(self.leaf(spot, kind_of(node), ends));
            }
            group.status = together(&group.parts);
            group
        };
        match entry {
            Entry::Step(node) => self.leaf(spot, kind_of(node), ends),
            Entry::Map(_) => self.leaf(spot, PartKind::Map, ends),
            Entry::Loop(_) => self.leaf(spot, PartKind::Loop, ends),
            Entry::Sleep(_) => self.leaf(spot, PartKind::Sleep, ends),
            Entry::Parallel(nodes) => branches(PartKind::Parallel, nodes.iter().collect()),
            Entry::Branch(all) => {
                let nodes = all.iter().map(|branch| &branch.node).collect();
                branches(PartKind::Branch, nodes)
            }
            Entry::Foreach(_) => {
                let mut part = self.leaf(spot, PartKind::Foreach, ends);
                part.parts = self.iterations(spot, &part, ends);
                part
            }
        }
    }

    /// What has a result of its own.
    fn leaf(&self, spot: Spot, kind: PartKind, ends: &HashMap<Spot, LastEnd>) -> RunPart {
        let frame = &self.frames[spot.frame];
        let index = frame.workflow.index(spot.entry, spot.branch);
        let mut part = RunPart::new(kind, Some(self.id_at(spot)));
        let Some(result) = frame.result(index) else {
            return part;
        };
        part.status = Some(result.status);
        if kind != PartKind::Foreach
            && let Some(child) = self.nested_of(result)
        {
            part.parts = self.parts_of(child, ends);
        }
        part.attempts = attempts(current(frame, spot), ends.get(&spot));
        part.due = due(frame, spot);
        part.result = Some(result.clone());
        part
    }

    /// The iterations of an array that have begun.
    fn iterations(
        &self,
        spot: Spot,
        whole: &RunPart,
        ends: &HashMap<Spot, LastEnd>,
    ) -> Vec<RunPart> {
        let frame = &self.frames[spot.frame];
        let kind = frame
            .workflow
            .entry(spot.entry)
            .and_then(|entry| entry.node(Some(0)));
        let kind = kind.map_or(PartKind::Step, kind_of);
        let begun = match (&frame.active, whole.result.as_ref()) {
            (Active::Foreach(iteration), _) if frame.cursor == spot.entry => iteration.next,
            (_, Some(result)) if result.status == StepStatus::Success => result
                .output
                .as_ref()
                .and_then(Data::elements)
                .map_or(0, |all| all.len()),
            _ => 0,
        };
        let spots = (0..begun).map(|k| Spot::new(spot.frame, spot.entry, Some(k)));
        let mut parts: Vec<RunPart> = spots
            .map(|spot| self.iteration(spot, kind, whole, ends))
            .collect();
        for (k, part) in parts.iter_mut().enumerate() {
            part.index = Some(k);
        }
        parts
    }

    fn iteration(
        &self,
        spot: Spot,
        kind: PartKind,
        whole: &RunPart,
        ends: &HashMap<Spot, LastEnd>,
    ) -> RunPart {
        let frame = &self.frames[spot.frame];
        let (slot, end) = (current(frame, spot), ends.get(&spot));
        let status = match slot.map(|slot| slot.phase) {
            Some(phase) => status_of(phase, whole.status),
            None => StepStatus::Success,
        };
        let mut part = RunPart::new(kind, whole.id.clone());
        part.status = Some(status);
        part.attempts = attempts(slot, end);
        part.due = due(frame, spot);
        let nested = || {
            self.frames
                .iter()
                .rposition(|frame| frame.parent == Some(spot))
        };
        if kind == PartKind::Workflow
            && let Some(child) = nested()
        {
            part.parts = self.parts_of(child, ends);
        }
        let ended = end.filter(|_| !matches!(status, StepStatus::Running | StepStatus::Canceled));
        part.result = ended.map(|end| result_of(status, end));
        part
    }
}

fn kind_of(node: &Node) -> PartKind {
    match node {
        Node::Step(_) => PartKind::Step,
        Node::Workflow { .. } => PartKind::Workflow,
    }
}

/// The slot of a spot, if the workflow is at its entry.
fn current(frame: &Frame, spot: Spot) -> Option<&Slot> {
    (frame.cursor == spot.entry)
        .then(|| frame.slot(spot.branch))
        .flatten()
}

fn attempts(slot: Option<&Slot>, end: Option<&LastEnd>) -> u32 {
    match (slot, end) {
        (Some(slot), _) => match slot.phase {
            Phase::Pending | Phase::Skipped => 0,
            // It counts the attempt that follows already.
            Phase::Pausing(_) => slot.attempt,
            _ => slot.attempt.saturating_add(1),
        },
        (None, Some(end)) => end.attempt.saturating_add(1),
        (None, None) => 0,
    }
}

fn due(frame: &Frame, spot: Spot) -> Option<Timestamp> {
    if frame.cursor != spot.entry {
        return None;
    }
    match (&frame.active, current(frame, spot)) {
        (Active::Sleeping(until), _) => Some(*until),
        (_, Some(slot)) => match slot.phase {
            Phase::Pausing(until) => Some(until),
            _ => None,
        },
        _ => None,
    }
}

fn status_of(phase: Phase, whole: Option<StepStatus>) -> StepStatus {
    match phase {
        Phase::Done => StepStatus::Success,
        Phase::Skipped => StepStatus::Skipped,
        Phase::Failed | Phase::NestedFailed(_) => StepStatus::Failed,
        _ if whole == Some(StepStatus::Canceled) => StepStatus::Canceled,
        Phase::Suspended | Phase::NestedSuspended(_) => StepStatus::Suspended,
        _ => StepStatus::Running,
    }
}

fn result_of(status: StepStatus, end: &LastEnd) -> StepResult {
    let mut result = StepResult::new(status);
    result.ended_at = Some(end.at);
    match &end.completion.outcome {
        Outcome::Success(output) | Outcome::Bailed(output) => result.output = Some(output.clone()),
        Outcome::Failed(failure) => result.error = Some(failure.error.clone()),
        Outcome::Suspended(suspension) => {
            result.ended_at = None;
            result.suspended_at = Some(end.at);
            result.suspend_payload = Some(suspension.payload.clone());
        }
        Outcome::Canceled => {}
    }
    result
}

/// How a group is whose parts are like this.
fn together(parts: &[RunPart]) -> Option<StepStatus> {
    const WORST_FIRST: [StepStatus; 6] = [
        StepStatus::Failed,
        StepStatus::Canceled,
        StepStatus::Running,
        StepStatus::Waiting,
        StepStatus::Suspended,
        StepStatus::Success,
    ];
    let has = |status: &StepStatus| parts.iter().any(|part| part.status == Some(*status));
    let worst = WORST_FIRST.into_iter().find(has);
    worst.or_else(|| parts.first()?.status)
}
