//! A step together with what is set for it.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use bowline_events::Text;
use serde::Serialize;

use super::guard::Limited;
use super::{Any, Shape};
use crate::definition::{Check, Node, StepDefinition, StepFunction, StepKind, invalid};
use crate::schema::Schemas;
use crate::{Data, Result, RetryPolicy, Workflow};

/// What can be a step: async functions that take a [`StepContext`](crate::StepContext), an input, or both, and return a
/// `Result`; closures of that kind, which need an id by [`step`](crate::step); objects that implement
/// [`Step`](crate::Step); and workflows. The id of a function is its name.
///
/// `M` only tells these kinds apart; it is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a step",
    note = "a step is an async function `(StepContext, Input) -> Result<Output, StepError>`, `(Input) -> ..` or \
            `(StepContext) -> ..`, an object that implements `Step`, or a `Workflow`; input and output are serde types, and \
            its future is `Send`"
)]
pub trait IntoStep<M>: Sized {
    /// What it takes.
    type Input: Shape;
    /// What it returns.
    type Output: Shape;

    /// The step, to set something for it.
    fn into_step(self) -> TypedStep<Self::Input, Self::Output>;
}

/// Marks functions of a context and an input.
#[derive(Debug)]
pub struct WithContext<A>(PhantomData<fn(A)>);
/// Marks functions of an input.
#[derive(Debug)]
pub struct InputOnly<A>(PhantomData<fn(A)>);
/// Marks functions of a context.
#[derive(Debug)]
pub struct ContextOnly(());
/// Marks objects that implement `Step`.
#[derive(Debug)]
pub struct Implemented(());
/// Marks steps that are ones already.
#[derive(Debug)]
pub struct Ready(());
/// Marks workflows.
#[derive(Debug)]
pub struct Nested(());

/// A step that something was set for: what it takes has the shape `I`, what it returns `O`.
///
/// ```
/// use std::time::Duration;
/// use bowline_workflow::{IntoStep, RetryPolicy, StepError, Workflow};
///
/// async fn fetch(url: String) -> Result<String, StepError> {
///     Ok(format!("the page at {url}"))
/// }
///
/// let fetch = fetch
///     .into_step()
///     .retries(RetryPolicy::times(3).delay(Duration::from_secs(1)))
///     .timeout(Duration::from_secs(30));
/// Workflow::builder("fetching").input::<String>().step(fetch).build()?;
/// # Ok::<(), bowline_workflow::Error>(())
/// ```
pub struct TypedStep<I, O> {
    draft: Draft,
    shapes: PhantomData<fn(I) -> O>,
}

/// A step that is not checked yet.
#[derive(Clone)]
pub(crate) struct Draft {
    id: Option<Text>,
    description: Option<Text>,
    metadata: Option<Data>,
    can_suspend: bool,
    resumes: Option<Check>,
    retry: Option<RetryPolicy>,
    timeout: Option<Duration>,
    kind: StepKind,
    work: Work,
    schemas: Schemas,
    /// The first thing that is wrong with it.
    fault: Option<String>,
}

#[derive(Clone)]
enum Work {
    Function(Arc<dyn StepFunction>),
    Workflow(Workflow),
}

impl<I, O> TypedStep<I, O> {
    pub(crate) fn new(draft: Draft) -> Self {
        Self {
            draft,
            shapes: PhantomData,
        }
    }

    pub(crate) fn into_draft(self) -> Draft {
        self.draft
    }

    /// The id, by which its results are kept: 1 to 256 bytes without control characters.
    #[must_use]
    pub fn id(mut self, id: impl Into<Text>) -> Self {
        self.draft.id = Some(id.into());
        self
    }

    /// How often it is tried again, instead of what the workflow says.
    #[must_use]
    pub fn retries(mut self, policy: RetryPolicy) -> Self {
        self.draft.retry = Some(policy);
        self
    }

    /// What it does, for people.
    #[must_use]
    pub fn description(mut self, description: impl Into<Text>) -> Self {
        self.draft.description = Some(description.into());
        self
    }

    /// How long one attempt may take, more than nothing; then its future is dropped and the attempt has failed.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        if limit.is_zero() {
            self.draft.fault = Some("no attempt ends within 0s; give it more time".to_owned());
        }
        self.draft.timeout = Some(limit);
        self
    }

    /// Says that it suspends with an `S`.
    #[must_use]
    pub fn suspends<S: Serialize>(mut self) -> Self {
        self.draft.can_suspend = true;
        self
    }

    /// Says that it is resumed with an `R`: anything else is refused by whoever is to resume it, and the run waits on.
    #[must_use]
    pub fn resumes<R: serde::de::DeserializeOwned>(mut self) -> Self {
        self.draft.can_suspend = true;
        self.draft.resumes = Some(|data| data.parse::<R>().map(|_| ()));
        self
    }

    /// Anything about it, for whoever looks at the graph.
    #[must_use]
    pub fn metadata<T: Serialize + ?Sized>(mut self, metadata: &T) -> Self {
        match Data::of(metadata) {
            Ok(metadata) => self.draft.metadata = Some(metadata),
            Err(error) => self.draft.fault = Some(error.to_string()),
        }
        self
    }

    /// Shows it in the graph as a call of the agent `agent`.
    #[must_use]
    pub fn agent(mut self, agent: impl Into<Text>) -> Self {
        self.draft.kind = StepKind::agent(agent.into());
        self.draft.show_output();
        self
    }

    /// Shows it in the graph as a call of the tool `tool`.
    #[must_use]
    pub fn tool(mut self, tool: impl Into<Text>) -> Self {
        self.draft.kind = StepKind::tool(tool.into());
        self
    }

    /// Shows it in the graph as a call of the classifier `classifier`.
    #[must_use]
    pub fn classifier(mut self, classifier: impl Into<Text>) -> Self {
        self.draft.kind = StepKind::classifier(classifier.into());
        self
    }
}

impl Draft {
    pub(crate) fn new(id: Option<Text>, function: Arc<dyn StepFunction>) -> Self {
        Self::of(id, Work::Function(function))
    }

    fn of(id: Option<Text>, work: Work) -> Self {
        Self {
            id,
            description: None,
            metadata: None,
            can_suspend: false,
            resumes: None,
            retry: None,
            timeout: None,
            kind: StepKind::Step,
            work,
            schemas: Schemas::default(),
            fault: None,
        }
    }

    /// The node of `workflow` at its entry `place`.
    pub(crate) fn into_node(self, workflow: &Text, place: usize) -> Result<Node> {
        let Some(id) = self.id.clone() else {
            let message =
                format!("the closure at entry {place} has no name; write step(\"an id\", closure)");
            return Err(invalid(workflow, message));
        };
        if let Some(fault) = &self.fault {
            return Err(invalid(workflow, format!("the step {id:?}: {fault}")));
        }
        match self.work.clone() {
            Work::Function(function) => Ok(Node::Step(self.into_definition(id, function))),
            Work::Workflow(nested) => {
                let set = [
                    ("retries", self.retry.is_some()),
                    ("a time-out", self.timeout.is_some()),
                    ("metadata", self.metadata.is_some()),
                    ("a description", self.description.is_some()),
                    ("suspension", self.can_suspend),
                    ("schemas", !self.schemas.is_empty()),
                    ("an agent, tool or classifier", self.kind != StepKind::Step),
                ];
                if let Some((what, _)) = set.into_iter().find(|(_, set)| *set) {
                    let message = format!(
                        "the nested workflow {id:?} cannot have {what}; set it for its steps"
                    );
                    return Err(invalid(workflow, message));
                }
                Ok(Node::Workflow {
                    id,
                    workflow: nested,
                })
            }
        }
    }

    /// The step called `id`, whatever it was called before. A nested workflow has none.
    pub(crate) fn into_mapping(self, workflow: &Text, id: Text) -> Result<Arc<StepDefinition>> {
        match self.work.clone() {
            Work::Function(function) => Ok(self.into_definition(id, function)),
            Work::Workflow(nested) => {
                let message = format!(
                    "the workflow {:?} is not a mapping; use it as a step",
                    nested.id()
                );
                Err(invalid(workflow, message))
            }
        }
    }

    /// Declares what a part of its values is.
    #[cfg(feature = "schema")]
    pub(crate) fn declare<T: Serialize + ?Sized>(
        &mut self,
        part: crate::schema::Part,
        schema: &T,
    ) -> Result<()> {
        let whose = match &self.id {
            Some(id) => format!("the step {id:?}"),
            None => "a step without an id".to_owned(),
        };
        self.schemas.declare(part, schema, &whose)?;
        self.can_suspend |= part.suspends();
        self.show_output();
        Ok(())
    }

    /// An agent has in the graph what it returns.
    fn show_output(&mut self) {
        if let StepKind::Agent(agent) = &mut self.kind {
            agent.output_schema = self.schemas.output_text();
        }
    }

    pub(crate) fn known_id(&self) -> Option<Text> {
        self.id.clone()
    }

    /// With this policy, if there is one.
    pub(crate) fn retried(mut self, policy: Option<RetryPolicy>) -> Self {
        self.retry = policy.or(self.retry);
        self
    }

    /// As a graph shows it.
    pub(crate) fn shown(
        mut self,
        id: Text,
        description: Option<Text>,
        metadata: Option<Data>,
        can_suspend: bool,
        kind: StepKind,
    ) -> Self {
        self.id = Some(id);
        self.description = description;
        self.metadata = metadata;
        self.can_suspend = can_suspend;
        self.kind = kind;
        self
    }

    fn into_definition(self, id: Text, function: Arc<dyn StepFunction>) -> Arc<StepDefinition> {
        let function = match self.timeout {
            None => function,
            Some(limit) => Arc::new(Limited { function, limit }),
        };
        let function = self.schemas.guard(function);
        Arc::new(StepDefinition {
            id,
            description: self.description,
            can_suspend: self.can_suspend,
            resumes: self.resumes,
            retry: self.retry,
            function,
            metadata: self.metadata,
            kind: self.kind,
        })
    }
}

impl<I: Shape, O: Shape> IntoStep<Ready> for TypedStep<I, O> {
    type Input = I;
    type Output = O;

    fn into_step(self) -> Self {
        self
    }
}

impl IntoStep<Nested> for Workflow {
    type Input = Any;
    type Output = Any;

    fn into_step(self) -> TypedStep<Any, Any> {
        TypedStep::nested(self)
    }
}

impl<I, O> TypedStep<I, O> {
    pub(crate) fn nested(workflow: Workflow) -> Self {
        let id = workflow.id().clone();
        Self::new(Draft::of(Some(id), Work::Workflow(workflow)))
    }
}

impl<I, O> Clone for TypedStep<I, O> {
    fn clone(&self) -> Self {
        Self::new(self.draft.clone())
    }
}

impl<I, O> fmt::Debug for TypedStep<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedStep")
            .field("id", &self.draft.id)
            .finish_non_exhaustive()
    }
}
