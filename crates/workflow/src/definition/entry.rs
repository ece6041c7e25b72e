//! The entries of a workflow, done one after the other.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bowline_events::{Text, Timestamp};

use crate::{Data, Result};

use super::{
    Check, Condition, InstantFunction, RetryPolicy, StepFunction, WidthFunction, Workflow,
};

/// One entry. What the entry before returned is what it gets.
#[derive(Debug)]
pub(crate) enum Entry {
    /// One node.
    Step(Node),
    /// A function of the whole run so far that makes the next input.
    Map(Mapping),
    /// All nodes at once; the output is an object with theirs.
    Parallel(Vec<Node>),
    /// At once every node whose condition holds; the output is an object with theirs.
    Branch(Vec<Branch>),
    /// A node for every element of an array; the output is an array.
    Foreach(Foreach),
    /// A node again and again, at least once.
    Loop(Loop),
    /// Nothing, for a time.
    Sleep(Sleep),
}

/// What does the work.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    /// A function.
    Step(Arc<StepDefinition>),
    /// Another workflow, in the same run.
    Workflow { id: Text, workflow: Workflow },
}

/// A step.
pub(crate) struct StepDefinition {
    pub(crate) id: Text,
    pub(crate) description: Option<Text>,
    /// Whether it declares what it suspends with or is resumed with.
    pub(crate) can_suspend: bool,
    /// Whether a value has the type that it is resumed with.
    pub(crate) resumes: Option<Check>,
    /// `None`: as the workflow says.
    pub(crate) retry: Option<RetryPolicy>,
    pub(crate) function: Arc<dyn StepFunction>,
    /// Anything about it, for whoever looks at the graph.
    pub(crate) metadata: Option<Data>,
    pub(crate) kind: StepKind,
}

impl StepDefinition {
    /// Whether it can be resumed with `data`, as far as that was declared.
    ///
    /// # Errors
    /// `InvalidInput` when it cannot; the message says what is wrong.
    pub(crate) fn check_resume(&self, data: &Data) -> Result<()> {
        if let Some(check) = self.resumes {
            check(data)?;
        }
        self.function.check_resume(data)
    }
}

/// What a step is in the graph. All of them are functions here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StepKind {
    Step,
    Agent(Reference),
    Tool(Reference),
    Classifier(Reference),
}

/// What a step of the graph calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) id: Text,
    pub(crate) output_schema: Option<Data>,
    pub(crate) options: Option<Data>,
}

#[derive(Debug)]
pub(crate) struct Mapping {
    pub(crate) step: Arc<StepDefinition>,
}

#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) condition: Condition,
    pub(crate) node: Node,
}

#[derive(Debug)]
pub(crate) struct Foreach {
    pub(crate) node: Node,
    pub(crate) width: Width,
}

/// How many iterations run at once.
#[derive(Debug)]
pub(crate) enum Width {
    Fixed(usize),
    Function(Arc<dyn WidthFunction>),
}

#[derive(Debug)]
pub(crate) struct Loop {
    pub(crate) node: Node,
    pub(crate) condition: Condition,
    pub(crate) kind: LoopKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoopKind {
    /// Again while the condition holds.
    DoWhile,
    /// Again until the condition holds.
    DoUntil,
}

#[derive(Debug)]
pub(crate) struct Sleep {
    pub(crate) id: Text,
    pub(crate) until: Until,
}

/// How long an entry sleeps.
#[derive(Debug)]
pub(crate) enum Until {
    Duration(Duration),
    Instant(Timestamp),
    Function(Arc<dyn InstantFunction>),
}

impl Entry {
    /// The ids of its nodes.
    pub(crate) fn ids(&self) -> Vec<Text> {
        match self {
            Self::Parallel(nodes) => nodes.iter().map(|node| node.id().clone()).collect(),
            Self::Branch(all) => all.iter().map(|branch| branch.node.id().clone()).collect(),
            Self::Sleep(sleep) => vec![sleep.id.clone()],
            Self::Map(mapping) => vec![mapping.step.id.clone()],
            Self::Step(node) => vec![node.id().clone()],
            Self::Foreach(foreach) => vec![foreach.node.id().clone()],
            Self::Loop(repeated) => vec![repeated.node.id().clone()],
        }
    }

    /// Whether its nodes are different ones, side by side.
    pub(crate) fn has_branches(&self) -> bool {
        matches!(self, Self::Parallel(_) | Self::Branch(_))
    }

    /// The node of it, or of one of its branches or iterations. Sleeps and mappings have none.
    pub(crate) fn node(&self, branch: Option<usize>) -> Option<&Node> {
        match self {
            Self::Step(node) => Some(node),
            Self::Parallel(nodes) => nodes.get(branch?),
            Self::Branch(all) => all.get(branch?).map(|branch| &branch.node),
            Self::Foreach(foreach) => Some(&foreach.node),
            Self::Loop(repeated) => Some(&repeated.node),
            Self::Map(_) | Self::Sleep(_) => None,
        }
    }

    /// The function that does the work of a leaf.
    pub(crate) fn step(&self, branch: Option<usize>) -> Option<&Arc<StepDefinition>> {
        match self {
            Self::Map(mapping) => Some(&mapping.step),
            _ => match self.node(branch)? {
                Node::Step(step) => Some(step),
                Node::Workflow { .. } => None,
            },
        }
    }
}

impl StepKind {
    pub(crate) fn agent(id: Text) -> Self {
        Self::Agent(Reference::new(id))
    }

    pub(crate) fn tool(id: Text) -> Self {
        Self::Tool(Reference::new(id))
    }

    pub(crate) fn classifier(id: Text) -> Self {
        Self::Classifier(Reference::new(id))
    }
}

impl Reference {
    fn new(id: Text) -> Self {
        Self {
            id,
            output_schema: None,
            options: None,
        }
    }
}

impl Node {
    pub(crate) fn id(&self) -> &Text {
        match self {
            Self::Step(step) => &step.id,
            Self::Workflow { id, .. } => id,
        }
    }
}

impl fmt::Debug for StepDefinition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
