//! Looking at a run.

use bowline_events::Text;
use std::sync::Arc;

use super::{Machine, Outputs, Spot, StepResult};
use crate::{Data, Workflow};

/// What a step that is begun sees of the run.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) workflow: Workflow,
    /// Of the workflow that the step belongs to, which may be a nested one.
    pub(crate) run_id: Text,
    pub(crate) step: Text,
    pub(crate) input: Data,
    pub(crate) initial: Data,
    pub(crate) state: Data,
    pub(crate) request_context: Data,
    pub(crate) outputs: Arc<Outputs>,
    pub(crate) resume: Option<Data>,
    pub(crate) suspended_with: Option<Data>,
    pub(crate) iterations: u32,
    pub(crate) attempt: u32,
    pub(crate) crashes: u32,
    pub(crate) index: Option<usize>,
}

impl Machine {
    /// What the step, condition or function at `spot` sees.
    pub(crate) fn view(&self, spot: Spot) -> View {
        let frame = &self.frames[spot.frame];
        let slot = frame.slot(spot.branch);
        let state = self.state_at(spot);
        let result = frame.result(frame.workflow.index(spot.entry, spot.branch));
        let input = match &frame.active {
            super::Active::Testing(output) => output.clone(),
            _ => self.payload(spot).unwrap_or_default(),
        };
        View {
            workflow: frame.workflow.clone(),
            run_id: frame.run_id.clone(),
            step: self.id_at(spot),
            input,
            initial: frame.input.clone(),
            state: if state.is_empty() {
                Data::object()
            } else {
                state.to_data()
            },
            request_context: if self.request_context.is_empty() {
                Data::object()
            } else {
                self.request_context.to_data()
            },
            outputs: Arc::clone(&frame.outputs),
            resume: slot.and_then(|slot| slot.resume.clone()),
            suspended_with: slot
                .and_then(|slot| slot.suspension.as_ref())
                .map(|suspension| suspension.payload.clone()),
            iterations: result.map_or(0, |result| result.iterations),
            attempt: slot.map_or(0, |slot| slot.attempt),
            crashes: slot.map_or(0, |slot| slot.crashes),
            index: self.iteration_of(spot),
        }
    }

    /// The present entry of the run's own workflow.
    pub(crate) fn entry(&self) -> usize {
        self.frames[0].cursor
    }

    /// The state of the run's own workflow.
    pub(crate) fn state(&self) -> Data {
        self.frames[0].state.to_data()
    }

    /// The state of the run's own workflow, with what the steps of nested workflows have set that are under way.
    pub(crate) fn state_under_way(&self) -> Data {
        let mut state = self.frames[0].state.clone();
        for (frame, parent) in self.open_frames().into_iter().rev() {
            if parent.is_some() {
                state.merge_fields(&self.frames[frame].delta);
            }
        }
        state.to_data()
    }

    /// What the run got.
    pub(crate) fn input(&self) -> &Data {
        &self.frames[0].input
    }

    /// The runs of the workflows nested in it.
    pub(crate) fn nested_runs(&self) -> impl Iterator<Item = String> {
        self.frames[1..]
            .iter()
            .map(|frame| frame.run_id.to_string())
    }

    /// The results of the steps in the order of the definition, those of nested workflows as `outer.inner` behind their own.
    pub(crate) fn steps(&self) -> Vec<(String, StepResult)> {
        let mut steps = Vec::new();
        self.collect_steps(0, "", &mut steps);
        steps
    }

    fn collect_steps(&self, frame: usize, prefix: &str, steps: &mut Vec<(String, StepResult)>) {
        let this = &self.frames[frame];
        for (i, entry) in this.workflow.definition().entries.iter().enumerate() {
            for (k, id) in entry.ids().iter().enumerate() {
                let Some(result) = this.result(this.workflow.index(i, Some(k))) else {
                    continue;
                };
                let name = format!("{prefix}{id}");
                steps.push((name.clone(), result.clone()));
                if let Some(child) = self.nested_of(result) {
                    self.collect_steps(child, &format!("{name}."), steps);
                }
            }
        }
    }
}
