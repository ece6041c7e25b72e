//! Whether a run can begin again at a step of before.

use super::{Machine, RunStatus, Spot, StepResult, StepStatus, Travel};
use crate::Workflow;
use crate::definition::{Entry, Node};

impl Machine {
    /// Why the run cannot begin again at the step of `travel`; `None` if it can.
    pub(crate) fn travel_problem(&self, travel: &Travel) -> Option<String> {
        let shown = travel.step.join(".");
        let problem = self.problem_on_the_way(travel)?;
        Some(format!("Cannot time travel to step '{shown}': {problem}"))
    }

    fn problem_on_the_way(&self, travel: &Travel) -> Option<String> {
        if matches!(self.status, RunStatus::Running | RunStatus::Waiting) {
            return Some("the run is running; cancel it first".into());
        }
        let Some((target, outer)) = travel.step.split_last() else {
            return Some("no step is named".into());
        };
        let mut workflow = self.workflow().clone();
        // The one with the records of before, if there is one.
        let mut frame = Some(0);
        for id in outer {
            let spot = match self.reach(&workflow, frame, id, travel) {
                Ok(spot) => spot,
                Err(problem) => return Some(problem),
            };
            if let Some(Entry::Foreach(_)) = workflow.entry(spot.entry) {
                return Some(format!(
                    "'{id}' runs for every element of an array; begin again at '{id}' as a whole"
                ));
            }
            let Some(Node::Workflow {
                workflow: inner, ..
            }) = workflow.node(spot).cloned()
            else {
                return Some(format!("step '{id}' is no nested workflow"));
            };
            let record = frame.and_then(|frame| {
                let index = workflow.index(spot.entry, spot.branch);
                self.frames[frame].result(index)
            });
            frame = record.and_then(|record| self.nested_of(record));
            workflow = inner;
        }
        self.reach(&workflow, frame, target, travel).err()
    }

    /// Where `id` is in a workflow, if everything before it has a result.
    fn reach(
        &self,
        workflow: &Workflow,
        frame: Option<usize>,
        id: &str,
        travel: &Travel,
    ) -> Result<Spot, String> {
        let Some((entry, branch)) = workflow.place(id) else {
            return Err(format!(
                "workflow '{}' has no step '{id}'",
                workflow.id().as_str()
            ));
        };
        match self.missing_before(workflow, frame, entry, travel) {
            Some(missing) => Err(format!(
                "step '{missing}' before it has no result; give one in the context"
            )),
            None => Ok(Spot::new(0, entry, branch)),
        }
    }

    /// The first node before `entry` that has no result.
    fn missing_before(
        &self,
        workflow: &Workflow,
        frame: Option<usize>,
        entry: usize,
        travel: &Travel,
    ) -> Option<String> {
        let done = |index| {
            let record = frame.and_then(|frame| self.frames[frame].result(index));
            record.is_some_and(|record| {
                matches!(record.status, StepStatus::Success | StepStatus::Skipped)
            })
        };
        for i in 0..entry {
            let entry = workflow.entry(i)?;
            if let Entry::Sleep(_) = entry {
                continue;
            }
            for (k, id) in entry.ids().into_iter().enumerate() {
                let given = || travel.outputs.iter().any(|(given, _)| *given == *id);
                if !done(workflow.index(i, Some(k))) && !given() {
                    return Some(id.to_string());
                }
            }
        }
        None
    }

    /// The frame of the nested workflow that a record is about.
    pub(super) fn nested_of(&self, record: &StepResult) -> Option<usize> {
        let run = record.nested_run.as_ref()?;
        self.frames.iter().position(|frame| frame.run_id == *run)
    }
}
