//! Random workflows with scripted steps.

use std::time::Duration;

use proptest::prelude::*;

use crate::definition::{Entry, LoopKind, Node};
use crate::machine::tests::build::{
    branch, foreach, foreach_measured, map_retried, nested, parallel, repeat, retried, sleep,
    sleep_timed, workflow,
};
use crate::{RetryPolicy, Workflow};

/// What a step does, every time that it is run in another place.
#[derive(Debug, Clone)]
pub(in crate::machine::tests) struct Script {
    /// How many attempts fail before one does not, again after every suspension.
    pub(super) fails: u32,
    /// How many further attempts there are.
    pub(super) retries: u32,
    pub(super) pause: bool,
    /// Whether its failures say that trying again cannot help.
    pub(super) last: bool,
    pub(super) suspends: u32,
    pub(super) bails: bool,
    /// The member of the state that it sets.
    pub(super) sets: Option<u8>,
    pub(super) returns: Returns,
}

#[derive(Debug, Clone, Copy)]
pub(in crate::machine::tests) enum Returns {
    /// A number made of everything that it sees.
    Number,
    Null,
    /// Such numbers.
    Array(usize),
}

#[derive(Debug, Clone)]
pub(in crate::machine::tests) enum NodeSpec {
    Step(Script),
    Workflow(Vec<EntrySpec>),
}

#[derive(Debug, Clone)]
pub(in crate::machine::tests) enum EntrySpec {
    Step(NodeSpec),
    Map(Script),
    Parallel(Vec<NodeSpec>),
    Branch(Vec<(bool, NodeSpec)>),
    Foreach {
        node: NodeSpec,
        width: usize,
        measured: bool,
    },
    Loop {
        node: NodeSpec,
        times: u32,
        kind: LoopKind,
    },
    Sleep {
        timed: bool,
    },
}

impl Script {
    /// Whether it fails for good.
    pub(super) fn is_fatal(&self) -> bool {
        self.fails > self.retries || self.last && self.fails > 0
    }

    fn policy(&self) -> RetryPolicy {
        let pause = if self.pause { 5 } else { 0 };
        RetryPolicy::times(self.retries).delay(Duration::from_millis(pause))
    }
}

impl EntrySpec {
    pub(super) fn node(&self, branch: Option<usize>) -> Option<&NodeSpec> {
        match self {
            Self::Step(node) | Self::Foreach { node, .. } | Self::Loop { node, .. } => Some(node),
            Self::Parallel(nodes) => nodes.get(branch?),
            Self::Branch(branches) => branches.get(branch?).map(|(_, node)| node),
            Self::Map(_) | Self::Sleep { .. } => None,
        }
    }

    fn build(&self, i: usize) -> Entry {
        let id = |k: usize| format!("n{i}_{k}");
        let all = |nodes: Vec<&NodeSpec>| -> Vec<Node> {
            let nodes = nodes.into_iter().enumerate();
            nodes.map(|(k, node)| node.build(&id(k))).collect()
        };
        match self {
            Self::Step(node) => Entry::Step(node.build(&id(0))),
            Self::Map(script) => map_retried(id(0), script.policy()),
            Self::Parallel(nodes) => parallel(all(nodes.iter().collect())),
            Self::Branch(branches) => branch(all(branches.iter().map(|(_, node)| node).collect())),
            Self::Foreach {
                node,
                measured: true,
                ..
            } => foreach_measured(node.build(&id(0))),
            Self::Foreach { node, width, .. } => foreach(node.build(&id(0)), *width),
            Self::Loop { node, kind, .. } => repeat(node.build(&id(0)), *kind),
            Self::Sleep { timed: true } => sleep_timed(id(0)),
            Self::Sleep { timed: false } => sleep(id(0), 7),
        }
    }
}

impl NodeSpec {
    fn build(&self, id: &str) -> Node {
        match self {
            Self::Step(script) => retried(id.to_owned(), script.policy()),
            Self::Workflow(entries) => nested(build(id, entries)),
        }
    }
}

pub(in crate::machine::tests) fn build(id: &str, entries: &[EntrySpec]) -> Workflow {
    let entries = entries.iter().enumerate();
    workflow(id.to_owned(), entries.map(|(i, entry)| entry.build(i)))
}

fn script() -> impl Strategy<Value = Script> {
    let fails = prop_oneof![6 => Just((0, 0)), 2 => Just((1, 1)), 1 => Just((1, 2)), 1 => Just((2, 2)), 1 => Just((2, 1))];
    let returns = prop_oneof![
        3 => Just(Returns::Number),
        1 => Just(Returns::Null),
        2 => (0_usize..4).prop_map(Returns::Array),
    ];
    let suspends = prop_oneof![6 => Just(0_u32), 2 => Just(1), 1 => Just(2)];
    let rare = |weight| prop::bool::weighted(weight);
    let sets = prop::option::of(0_u8..3);
    (
        fails,
        rare(0.3),
        rare(0.03),
        suspends,
        rare(0.04),
        sets,
        returns,
    )
        .prop_map(
            |((fails, retries), pause, last, suspends, bails, sets, returns)| Script {
                fails,
                retries,
                pause,
                last,
                suspends,
                bails,
                sets,
                returns,
            },
        )
}

/// A script of a step that returns an array.
fn lister() -> impl Strategy<Value = Script> {
    (script(), 0_usize..5).prop_map(|(script, length)| Script {
        fails: 0,
        bails: false,
        suspends: 0,
        returns: Returns::Array(length),
        ..script
    })
}

pub(in crate::machine::tests) fn entries(
    depth: u32,
    least: usize,
) -> BoxedStrategy<Vec<EntrySpec>> {
    let one = prop_oneof![
        4 => node(depth).prop_map(|node| vec![EntrySpec::Step(node)]),
        1 => script().prop_map(|script| vec![EntrySpec::Map(script)]),
        2 => prop::collection::vec(node(depth), 1..4)
            .prop_map(|nodes| vec![EntrySpec::Parallel(nodes)]),
        2 => prop::collection::vec((any::<bool>(), node(depth)), 1..4)
            .prop_map(|branches| vec![EntrySpec::Branch(branches)]),
        3 => (lister(), node(depth), 0_usize..4, any::<bool>()).prop_map(
            |(list, node, width, measured)| {
                vec![EntrySpec::Map(list), EntrySpec::Foreach { node, width, measured }]
            }
        ),
        1 => (node(depth), 1_usize..3).prop_map(|(node, width)| {
            // Of whatever the entry before returned.
            vec![EntrySpec::Foreach { node, width, measured: false }]
        }),
        2 => (node(depth), 1_u32..4, any::<bool>()).prop_map(|(node, times, until)| {
            let kind = if until { LoopKind::DoUntil } else { LoopKind::DoWhile };
            vec![EntrySpec::Loop { node, times, kind }]
        }),
        1 => any::<bool>().prop_map(|timed| vec![EntrySpec::Sleep { timed }]),
    ];
    prop::collection::vec(one, least..4)
        .prop_map(|entries| entries.into_iter().flatten().collect())
        .boxed()
}

fn node(depth: u32) -> BoxedStrategy<NodeSpec> {
    let step = script().prop_map(NodeSpec::Step);
    if depth == 0 {
        return step.boxed();
    }
    let inner = entries(depth - 1, 0).prop_map(NodeSpec::Workflow);
    prop_oneof![5 => step, 2 => inner].boxed()
}
