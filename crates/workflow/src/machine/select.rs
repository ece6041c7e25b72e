//! Which suspended step is meant.

use serde::{Deserialize, Serialize};

use super::{Active, Machine, Phase, RunStatus, Spot};
use crate::definition::{Entry, Width};
use crate::{Data, Error, ErrorKind, Result};

/// Which suspended step to resume, and with what.
///
/// Without a step or a label the only suspended step is meant.
///
/// ```
/// use bowline_workflow::Resume;
///
/// let resume = Resume::with(&serde_json::json!({ "approved": true }))?.step("approve");
/// # Ok::<(), bowline_workflow::Error>(())
/// ```
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Resume {
    pub(crate) step: Vec<String>,
    pub(crate) label: Option<String>,
    pub(crate) index: Option<usize>,
    pub(crate) data: Data,
    pub(crate) context: Option<Data>,
    pub(crate) per_step: bool,
}

impl Resume {
    /// With `data`.
    ///
    /// # Errors
    /// `InvalidInput` when it cannot be written as JSON.
    pub fn with<T: Serialize + ?Sized>(data: &T) -> Result<Self> {
        Ok(Self::with_data(Data::of(data)?))
    }

    /// With `data`.
    pub fn with_data(data: Data) -> Self {
        Self {
            data,
            ..Self::default()
        }
    }

    /// Means the step with this id. That of a nested workflow is `outer.inner`, or [`path`](Self::path).
    #[must_use]
    pub fn step(self, step: impl Into<String>) -> Self {
        self.path([step.into()])
    }

    /// Means the step with this id in the nested workflow of the id before.
    #[must_use]
    pub fn path<I: Into<String>>(mut self, ids: impl IntoIterator<Item = I>) -> Self {
        self.step = ids.into_iter().map(Into::into).collect();
        self
    }

    /// Means the step that was suspended with this label, which wins over a step.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Means this iteration of an array; otherwise as many suspended ones as may run at once get the same data.
    #[must_use]
    pub fn index(mut self, index: usize) -> Self {
        self.index = Some(index);
        self
    }

    /// Lays the members of this object over the request context of the run.
    #[must_use]
    pub fn context(mut self, context: Data) -> Self {
        self.context = Some(context);
        self
    }

    /// Stops after the entry that is resumed.
    #[must_use]
    pub fn per_step(mut self, per_step: bool) -> Self {
        self.per_step = per_step;
        self
    }
}

/// A step that waits for somebody.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SuspendedStep {
    /// The ids from the outermost workflow inwards.
    pub path: Vec<String>,
    /// The iteration of an array.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<usize>,
    /// What it can be resumed by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// What it suspended with.
    #[serde(default)]
    pub payload: Data,
    pub(crate) spot: Spot,
}

impl SuspendedStep {
    /// The id of the step, with those of the workflows around it: `outer.inner`.
    pub fn id(&self) -> String {
        self.path.join(".")
    }
}

impl Machine {
    /// Whether the steps at `spots` can be resumed with `data`, as far as they say.
    ///
    /// # Errors
    /// `InvalidInput` when one cannot.
    pub(crate) fn check_resume(&self, spots: &[Spot], data: &Data) -> Result<()> {
        for spot in spots {
            let frame = self.frames.get(spot.frame);
            let entry = frame.and_then(|frame| frame.workflow.entry(spot.entry));
            let Some(step) = entry.and_then(|entry| entry.step(spot.branch)) else {
                continue;
            };
            step.check_resume(data).map_err(|error| {
                let message = format!("the step does not take the data: {}", error.message());
                Error::new(ErrorKind::InvalidInput, "resume", message)
                    .with_subject(step.id.clone())
                    .with_source(error)
            })?;
        }
        Ok(())
    }

    /// Every step that waits for somebody, in the order of the definition.
    pub(crate) fn suspended(&self) -> Vec<SuspendedStep> {
        let mut all = Vec::new();
        self.collect_suspended(0, &mut Vec::new(), &mut all);
        all
    }

    pub(super) fn first_suspended(&self, frame: usize) -> Option<SuspendedStep> {
        let mut all = Vec::new();
        self.collect_suspended(frame, &mut Vec::new(), &mut all);
        all.into_iter().next()
    }

    pub(super) fn labels_in(&self, frame: usize) -> Vec<String> {
        let mut all = Vec::new();
        self.collect_suspended(frame, &mut Vec::new(), &mut all);
        all.into_iter().flat_map(|step| step.labels).collect()
    }

    fn collect_suspended(
        &self,
        frame: usize,
        path: &mut Vec<String>,
        all: &mut Vec<SuspendedStep>,
    ) {
        let entry = self.frames[frame].cursor;
        for (branch, slot) in self.frames[frame].slots() {
            let spot = Spot::new(frame, entry, branch);
            path.push(self.id_at(spot).to_string());
            match (slot.phase, &slot.suspension) {
                (Phase::Suspended, Some(suspension)) => all.push(SuspendedStep {
                    path: path.clone(),
                    index: self.iteration_of(spot),
                    labels: suspension.labels.clone(),
                    payload: suspension.payload.clone(),
                    spot,
                }),
                (Phase::NestedSuspended(child) | Phase::Nested(child), _) => {
                    self.collect_suspended(child, path, all);
                }
                _ => {}
            }
            path.pop();
        }
    }

    /// The spots that `resume` means.
    ///
    /// # Errors
    /// `WrongState` or `NotFound`, with the words of the reference.
    pub(crate) fn select(&self, resume: &Resume) -> Result<Vec<Spot>> {
        let refuse = |kind, message: String| {
            Err(Error::new(kind, "resume", message).with_subject(self.run_id().clone()))
        };
        if self.status != RunStatus::Suspended {
            let message = format!("This workflow run was not suspended; it is {}", self.status);
            return refuse(ErrorKind::WrongState, message);
        }
        let all = self.suspended();
        if let Some(label) = &resume.label {
            let labelled: Vec<Spot> = matching(&all, |step| step.labels.contains(label));
            if labelled.is_empty() {
                let labels: Vec<&String> = all.iter().flat_map(|step| &step.labels).collect();
                let labels = list(labels.into_iter());
                let message =
                    format!("Resume label {label:?} not found. Available labels: [{labels}]");
                return refuse(ErrorKind::NotFound, message);
            }
            return Ok(labelled.into_iter().take(1).collect());
        }
        let mut ids: Vec<String> = all.iter().map(SuspendedStep::id).collect();
        // The iterations of an array are next to each other.
        ids.dedup();
        let available = list(ids.iter());
        let wanted = wanted(&resume.step);
        let mut chosen: Vec<&SuspendedStep> = all
            .iter()
            .filter(|step| step.path.starts_with(&wanted))
            .filter(|step| resume.index.is_none_or(|index| step.index == Some(index)))
            .collect();
        let Some(first) = chosen.first().map(|step| step.path.clone()) else {
            let step = wanted.join(".");
            let message = match resume.index {
                Some(index) => format!(
                    "Iteration {index} of {step:?} was not suspended. Available suspended steps: [{available}]"
                ),
                None => format!(
                    "This workflow step {step:?} was not suspended. Available suspended steps: [{available}]"
                ),
            };
            return refuse(ErrorKind::NotFound, message);
        };
        if chosen.iter().any(|step| step.path != first) {
            if wanted.is_empty() {
                let available = list(ids.iter().map(|id| format!("[{id}]")));
                let message = format!(
                    "Multiple suspended steps found: {available}. Please specify which step to resume"
                );
                return refuse(ErrorKind::InvalidInput, message);
            }
            // A nested workflow as a whole means its first suspended step.
            chosen.retain(|step| step.path == first);
        }
        let width = self.width_at(chosen[0].spot);
        Ok(chosen
            .into_iter()
            .take(width)
            .map(|step| step.spot)
            .collect())
    }

    /// How many iterations of the array at `spot` run at once; 1 for what is none.
    fn width_at(&self, spot: Spot) -> usize {
        match (
            &self.frames[spot.frame].active,
            self.frames[spot.frame].workflow.entry(spot.entry),
        ) {
            (Active::Foreach(iteration), _) => iteration.width,
            (_, Some(Entry::Foreach(foreach))) => match foreach.width {
                Width::Fixed(width) => width.max(1),
                Width::Function(_) => 1,
            },
            _ => 1,
        }
    }
}

fn matching(all: &[SuspendedStep], matches: impl Fn(&SuspendedStep) -> bool) -> Vec<Spot> {
    let chosen = all.iter().filter(|step| matches(step));
    chosen.map(|step| step.spot).collect()
}

/// The ids that were meant by `a.b`, by `[a, b]`, or by the `[a, a]` that the reference gives for a step of its own.
fn wanted(step: &[String]) -> Vec<String> {
    match step {
        [one] => one.split('.').map(str::to_owned).collect(),
        [first, second] if first == second => vec![first.clone()],
        more => more.to_vec(),
    }
}

fn list(names: impl Iterator<Item = impl std::fmt::Display>) -> String {
    let names: Vec<String> = names.map(|name| name.to_string()).collect();
    names.join(", ")
}
