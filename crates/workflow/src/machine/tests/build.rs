//! Workflows whose functions are never called: the tests answer the commands themselves.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bowline_events::{Text, Timestamp};

use crate::context::StepContext;
use crate::definition::{
    Branch, Condition, ConditionFunction, Entry, Foreach, InstantFunction, Loop, LoopKind, Mapping,
    Node, Options, Sleep, StepDefinition, StepFunction, StepKind, Until, Width, WidthFunction,
};
use crate::machine::Completion;
use crate::{RetryPolicy, Workflow};

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A function that no test calls.
#[derive(Debug)]
struct Uncalled;

impl StepFunction for Uncalled {
    fn call(&self, _: StepContext) -> BoxFuture<Completion> {
        unreachable!("the tests answer the commands")
    }
}

impl ConditionFunction for Uncalled {
    fn call(&self, _: StepContext) -> BoxFuture<crate::Result<bool>> {
        unreachable!("the tests answer the commands")
    }
}

impl WidthFunction for Uncalled {
    fn call(&self, _: StepContext) -> BoxFuture<crate::Result<usize>> {
        unreachable!("the tests answer the commands")
    }
}

impl InstantFunction for Uncalled {
    fn call(&self, _: StepContext) -> BoxFuture<crate::Result<Timestamp>> {
        unreachable!("the tests answer the commands")
    }
}

fn definition(id: Text, retry: Option<RetryPolicy>) -> Arc<StepDefinition> {
    Arc::new(StepDefinition {
        id,
        description: None,
        can_suspend: false,
        resumes: None,
        retry,
        function: Arc::new(Uncalled),
        metadata: None,
        kind: StepKind::Step,
    })
}

pub(super) fn step(id: impl Into<Text>) -> Node {
    Node::Step(definition(id.into(), None))
}

pub(super) fn retried(id: impl Into<Text>, retry: RetryPolicy) -> Node {
    Node::Step(definition(id.into(), Some(retry)))
}

pub(super) fn nested(workflow: Workflow) -> Node {
    let id = workflow.id().clone();
    Node::Workflow { id, workflow }
}

pub(super) fn then(id: impl Into<Text>) -> Entry {
    Entry::Step(step(id))
}

pub(super) fn map(id: impl Into<Text>) -> Entry {
    let step = definition(id.into(), None);
    Entry::Map(Mapping { step })
}

pub(super) fn map_retried(id: impl Into<Text>, retry: RetryPolicy) -> Entry {
    let step = definition(id.into(), Some(retry));
    Entry::Map(Mapping { step })
}

pub(super) fn parallel(nodes: impl IntoIterator<Item = Node>) -> Entry {
    Entry::Parallel(nodes.into_iter().collect())
}

pub(super) fn branch(nodes: impl IntoIterator<Item = Node>) -> Entry {
    let branch = |node| Branch {
        condition: Condition::Function(Arc::new(Uncalled)),
        node,
    };
    Entry::Branch(nodes.into_iter().map(branch).collect())
}

pub(super) fn foreach(node: Node, width: usize) -> Entry {
    let width = Width::Fixed(width);
    Entry::Foreach(Foreach { node, width })
}

/// One whose width is asked for.
pub(super) fn foreach_measured(node: Node) -> Entry {
    let width = Width::Function(Arc::new(Uncalled));
    Entry::Foreach(Foreach { node, width })
}

pub(super) fn repeat(node: Node, kind: LoopKind) -> Entry {
    let condition = Condition::Function(Arc::new(Uncalled));
    Entry::Loop(Loop {
        node,
        condition,
        kind,
    })
}

pub(super) fn sleep(id: impl Into<Text>, millis: u64) -> Entry {
    let until = Until::Duration(Duration::from_millis(millis));
    Entry::Sleep(Sleep {
        id: id.into(),
        until,
    })
}

pub(super) fn sleep_until(id: impl Into<Text>, millis: i64) -> Entry {
    let until = Until::Instant(Timestamp::from_millis(millis));
    Entry::Sleep(Sleep {
        id: id.into(),
        until,
    })
}

/// One whose end is asked for.
pub(super) fn sleep_timed(id: impl Into<Text>) -> Entry {
    let until = Until::Function(Arc::new(Uncalled));
    Entry::Sleep(Sleep {
        id: id.into(),
        until,
    })
}

pub(super) fn workflow(id: impl Into<Text>, entries: impl IntoIterator<Item = Entry>) -> Workflow {
    retrying(id, entries, RetryPolicy::NEVER)
}

pub(super) fn retrying(
    id: impl Into<Text>,
    entries: impl IntoIterator<Item = Entry>,
    retry: RetryPolicy,
) -> Workflow {
    let entries = entries.into_iter().collect();
    Workflow::new(id.into(), entries, retry, Options::default()).unwrap()
}
