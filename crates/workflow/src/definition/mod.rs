//! What a workflow consists of.

mod dispatch;
mod entry;
mod function;
mod likeness;
mod retry;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use bowline_events::Text;

pub use dispatch::Dispatch;
pub(crate) use entry::{
    Branch, Entry, Foreach, Loop, LoopKind, Mapping, Node, Reference, Sleep, StepDefinition,
    StepKind, Until, Width,
};
pub(crate) use function::{
    BoxFuture, COMPILED, Condition, ConditionFunction, InstantFunction, StepFunction, WidthFunction,
};
pub use retry::RetryPolicy;

use crate::machine::{MAX_CRASHES, Spot};
use crate::outlet::Outlet;
use crate::schema::Schemas;
use crate::{Data, Error, ErrorKind, Result};

/// A workflow that was built: cheap to clone.
#[derive(Clone)]
pub struct Workflow(Arc<Definition>);

pub(crate) struct Definition {
    pub(crate) id: Text,
    pub(crate) entries: Vec<Entry>,
    pub(crate) retry: RetryPolicy,
    pub(crate) options: Options,
    /// The index of the first node of every entry, and at the end their number.
    first: Vec<usize>,
    /// Where a node is.
    places: HashMap<Text, (usize, Option<usize>)>,
    /// Its JSON, once somebody has asked for it.
    pub(crate) graph: OnceLock<Data>,
    /// The hash of the graph, made when it is first asked for.
    pub(crate) hash: OnceLock<String>,
}

/// What can be set for a workflow as a whole.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) description: Option<Text>,
    /// How often the process may die while one step runs before the step counts as failed.
    pub(crate) max_crashes: u32,
    /// Whether a value can be its input.
    pub(crate) input: Option<Check>,
    /// Whether a value can be its state.
    pub(crate) state: Option<Check>,
    /// What else its runs tell.
    pub(crate) outlet: Option<Arc<dyn Outlet>>,
    /// Whether its runs tell their watchers nothing.
    pub(crate) quiet: bool,
    pub(crate) dispatch: Dispatch,
    pub(crate) schemas: Schemas,
}

/// Whether a value has a type.
pub(crate) type Check = fn(&Data) -> Result<()>;

impl Default for Options {
    fn default() -> Self {
        Self {
            description: None,
            max_crashes: MAX_CRASHES,
            input: None,
            state: None,
            outlet: None,
            quiet: false,
            dispatch: Dispatch::default(),
            schemas: Schemas::default(),
        }
    }
}

impl Workflow {
    /// The workflow `id` of `entries`.
    ///
    /// # Errors
    /// `InvalidDefinition` for an id that two of its nodes have, and for a group of branches without one.
    pub(crate) fn new(
        id: Text,
        entries: Vec<Entry>,
        retry: RetryPolicy,
        options: Options,
    ) -> Result<Self> {
        check_id(&id, &id)?;
        let mut first = Vec::with_capacity(entries.len() + 1);
        let mut places = HashMap::new();
        let mut nodes = 0;
        for (i, entry) in entries.iter().enumerate() {
            first.push(nodes);
            let ids = entry.ids();
            if ids.is_empty() {
                let message = format!("entry {i} has no branches; give it at least one");
                return Err(invalid(&id, message));
            }
            nodes += ids.len();
            let many = entry.has_branches();
            for (k, node) in ids.into_iter().enumerate() {
                check_id(&id, &node)?;
                if places
                    .insert(node.clone(), (i, many.then_some(k)))
                    .is_some()
                {
                    let message =
                        format!("the id {node:?} is used twice; give one of the steps another id");
                    return Err(invalid(&id, message));
                }
            }
        }
        first.push(nodes);
        Ok(Self(Arc::new(Definition {
            id,
            entries,
            retry,
            options,
            first,
            places,
            graph: OnceLock::new(),
            hash: OnceLock::new(),
        })))
    }

    /// The id of the workflow.
    pub fn id(&self) -> &Text {
        &self.0.id
    }

    /// Whether `input` can be its input, as far as that was declared.
    ///
    /// # Errors
    /// `InvalidInput` when it cannot; the message says what is wrong.
    pub fn check_input(&self, input: &Data) -> Result<()> {
        let options = &self.0.options;
        let checked = options.input.map_or(Ok(()), |check| check(input));
        self.checked(
            "input",
            checked.and_then(|()| options.schemas.check_input(input)),
        )
    }

    /// Whether `state` can be its state at the start, as far as that was declared.
    ///
    /// # Errors
    /// `InvalidInput` when it cannot; the message says what is wrong.
    pub fn check_state(&self, state: &Data) -> Result<()> {
        let options = &self.0.options;
        let checked = options.state.map_or(Ok(()), |check| check(state));
        self.checked(
            "state",
            checked.and_then(|()| options.schemas.check_state(state)),
        )
    }

    fn checked(&self, what: &str, checked: Result<()>) -> Result<()> {
        checked.map_err(|error| {
            let message = format!("this is no {what} of the workflow: {}", error.message());
            Error::new(ErrorKind::InvalidInput, "start", message)
                .with_subject(self.0.id.clone())
                .with_source(error)
        })
    }

    pub(crate) fn definition(&self) -> &Definition {
        &self.0
    }

    /// How many nodes it has, those of nested workflows not counted.
    pub(crate) fn nodes(&self) -> usize {
        self.0.first.last().copied().unwrap_or(0)
    }

    pub(crate) fn entry(&self, entry: usize) -> Option<&Entry> {
        self.0.entries.get(entry)
    }

    /// The number of the node at a spot, in the order of the definition. Iterations of an entry are the same node.
    pub(crate) fn index(&self, entry: usize, branch: Option<usize>) -> usize {
        let first = self.0.first.get(entry).copied().unwrap_or(0);
        match self.entry(entry) {
            Some(entry) if entry.has_branches() => first + branch.unwrap_or(0),
            _ => first,
        }
    }

    /// The number of the node called `id`.
    pub(crate) fn index_of(&self, id: &str) -> Option<usize> {
        let (entry, branch) = self.place(id)?;
        Some(self.index(entry, branch))
    }

    /// The entry, and the branch of it, called `id`.
    pub(crate) fn place(&self, id: &str) -> Option<(usize, Option<usize>)> {
        self.0.places.get(id).copied()
    }

    /// The id of the node at a spot.
    pub(crate) fn node_id(&self, spot: Spot) -> Option<Text> {
        let entry = self.entry(spot.entry)?;
        Some(match entry.node(spot.branch) {
            Some(node) => node.id().clone(),
            None => entry.ids().into_iter().next()?,
        })
    }

    pub(crate) fn node(&self, spot: Spot) -> Option<&Node> {
        self.entry(spot.entry)?.node(spot.branch)
    }
}

impl fmt::Debug for Workflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workflow")
            .field("id", &self.0.id)
            .field("entries", &self.0.entries.len())
            .finish_non_exhaustive()
    }
}

fn check_id(workflow: &Text, id: &str) -> Result<()> {
    const MAX: usize = 256;
    let reserved = matches!(id, "input" | "__state");
    if id.is_empty() || id.len() > MAX || reserved || id.chars().any(char::is_control) {
        let message = format!(
            "{id:?} is no id of a workflow or step: 1 to {MAX} bytes, no control characters, neither \"input\" nor \"__state\""
        );
        return Err(invalid(workflow, message));
    }
    Ok(())
}

pub(crate) fn invalid(workflow: &Text, message: impl Into<Text>) -> Error {
    Error::new(ErrorKind::InvalidDefinition, "build", message).with_subject(workflow.clone())
}
