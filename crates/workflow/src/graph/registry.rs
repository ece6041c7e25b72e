//! The steps that a graph can call.

use std::collections::HashMap;
use std::fmt;

use bowline_events::Text;

use crate::Workflow;
use crate::step::{Draft, IntoStep};

/// The steps, agents, tools and workflows that a graph from somewhere else can call, by their ids.
///
/// ```
/// use bowline_workflow::{Data, StepError, StepRegistry, Workflow};
///
/// async fn double(n: u32) -> Result<u32, StepError> { Ok(n * 2) }
/// async fn search(query: String) -> Result<Vec<String>, StepError> { Ok(vec![query]) }
///
/// let steps = StepRegistry::new().step(double).tool("web-search", search);
/// let graph = Data::from_json(r#"[
///     {"type":"step","step":{"id":"double","canSuspend":false}},
///     {"type":"tool","id":"look","toolId":"web-search"}
/// ]"#)?;
/// let workflow = Workflow::from_graph("loaded", &graph, &steps)?;
/// assert_eq!(Workflow::from_graph("loaded", &workflow.to_graph(), &steps)?.hash(), workflow.hash());
/// # Ok::<(), bowline_workflow::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct StepRegistry {
    steps: HashMap<(Kind, Text), Draft>,
    workflows: HashMap<Text, Workflow>,
}

/// What a graph refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Step,
    Agent,
    Tool,
    Classifier,
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Agent => "agent",
            Self::Tool => "tool",
            Self::Classifier => "classifier",
        }
    }
}

impl StepRegistry {
    /// One without anything.
    pub fn new() -> Self {
        Self::default()
    }

    /// A step, by its own id. A closure has none, and is not found; give it one with [`step`](fn@crate::step).
    #[must_use]
    pub fn step<M, S: IntoStep<M>>(self, step: S) -> Self {
        let draft = step.into_step().into_draft();
        let id = draft.known_id().unwrap_or_default();
        self.with(Kind::Step, id, draft)
    }

    /// What is called for the agent `id`.
    #[must_use]
    pub fn agent<M, S: IntoStep<M>>(self, id: impl Into<Text>, step: S) -> Self {
        self.with(Kind::Agent, id.into(), step.into_step().into_draft())
    }

    /// What is called for the tool `id`.
    #[must_use]
    pub fn tool<M, S: IntoStep<M>>(self, id: impl Into<Text>, step: S) -> Self {
        self.with(Kind::Tool, id.into(), step.into_step().into_draft())
    }

    /// What is called for the classifier `id`.
    #[must_use]
    pub fn classifier<M, S: IntoStep<M>>(self, id: impl Into<Text>, step: S) -> Self {
        self.with(Kind::Classifier, id.into(), step.into_step().into_draft())
    }

    /// A workflow, which is then used for a nested one of its id, whatever the graph says about what is in that.
    #[must_use]
    pub fn workflow(mut self, workflow: &Workflow) -> Self {
        self.workflows
            .insert(workflow.id().clone(), workflow.clone());
        self
    }

    fn with(mut self, kind: Kind, id: Text, draft: Draft) -> Self {
        self.steps.insert((kind, id), draft);
        self
    }

    pub(super) fn find(&self, kind: Kind, id: &Text) -> Option<Draft> {
        self.steps.get(&(kind, id.clone())).cloned()
    }

    pub(super) fn find_workflow(&self, id: &Text) -> Option<Workflow> {
        self.workflows.get(id).cloned()
    }
}

impl fmt::Debug for StepRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepRegistry")
            .field("steps", &self.steps.len())
            .field("workflows", &self.workflows.len())
            .finish()
    }
}
