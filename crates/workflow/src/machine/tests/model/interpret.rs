//! The naive model: what a workflow comes to, by recursion over its definition, without events, order or memory.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::spec::{EntrySpec, NodeSpec, Returns, Script};

/// Where a step is run: entry, branch, and number of the iteration of a loop, from the outermost workflow inwards.
pub(super) type Place = Vec<(usize, Option<usize>, u32)>;

/// An execution: where, after how many suspensions, and which attempt.
pub(super) type Execution = (Place, u32, u32);

pub(super) type State = Map<String, Value>;

/// How a frame, or a part of it, ends.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum End {
    Output(Value),
    /// The workflow that it is in is done, with this.
    Bailed(Value),
    Failed(String),
}

#[derive(Debug)]
pub(super) struct Model<'a> {
    root: &'a [EntrySpec],
    /// Everything that may be executed; if nothing was cut short, everything that is.
    pub(super) executed: BTreeSet<Execution>,
    /// Whether the end of one branch or iteration kept others from ending.
    pub(super) cut: bool,
    /// Whether the order of events decides how it ends.
    pub(super) ambiguous: bool,
}

/// What surrounds a step.
struct Around<'a> {
    place: &'a Place,
    /// What is set while it runs.
    state: State,
    /// Inside of iterations the order of events decides what a step sees of the state.
    iterated: bool,
}

/// What a step returns, of what it sees.
pub(super) fn returned(
    script: &Script,
    place: &Place,
    input: &Value,
    state: Option<&State>,
) -> Value {
    let seen = format!("{place:?} {input} {}", json!(state));
    let number = seen.bytes().fold(0xcbf2_9ce4_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    match script.returns {
        Returns::Number => json!(number),
        Returns::Null => Value::Null,
        Returns::Array(length) => (0..length)
            .map(|i| json!(number.wrapping_add(i as u32)))
            .collect(),
    }
}

/// The step at a place, which is the same for all iterations of an array.
pub(super) fn name(root: &[EntrySpec], place: &Place) -> String {
    let (mut entries, mut name) = (root, String::new());
    for (i, branch, _) in place {
        let entry = &entries[*i];
        match (entry, branch) {
            (EntrySpec::Parallel(_) | EntrySpec::Branch(_), Some(k)) => write!(name, "/{i}.{k}"),
            _ => write!(name, "/{i}"),
        }
        .unwrap();
        if let Some(NodeSpec::Workflow(inner)) = entry.node(*branch) {
            entries = inner;
        }
    }
    name
}

/// The member of the state that a step sets, with a value that is the same for all iterations.
pub(super) fn set(script: &Script, name: &str) -> Option<State> {
    let key = format!("k{}", script.sets?);
    Some([(key, json!(name))].into_iter().collect())
}

fn at(place: &Place, entry: usize, branch: Option<usize>, iteration: u32) -> Place {
    let mut place = place.clone();
    place.push((entry, branch, iteration));
    place
}

impl<'a> Model<'a> {
    pub(super) fn new(root: &'a [EntrySpec]) -> Self {
        Self {
            root,
            executed: BTreeSet::new(),
            cut: false,
            ambiguous: false,
        }
    }

    /// How the workflow ends, and its state then.
    pub(super) fn run(&mut self, input: Value, state: State) -> (End, State) {
        let (end, delta) = self.frame(self.root, input, &state, &Vec::new(), false);
        let mut state = state;
        state.extend(delta);
        (end, state)
    }

    /// How a workflow ends, and what its steps set of the state. A bail is its output.
    fn frame(
        &mut self,
        entries: &[EntrySpec],
        input: Value,
        state: &State,
        place: &Place,
        iterated: bool,
    ) -> (End, State) {
        let mut previous = input;
        let mut around = Around {
            place,
            state: state.clone(),
            iterated,
        };
        let mut delta = State::new();
        for (i, entry) in entries.iter().enumerate() {
            let (end, set) = self.entry(i, entry, &previous, &around);
            around.state.extend(set.clone());
            delta.extend(set);
            match end {
                End::Output(output) => previous = output,
                End::Bailed(output) => return (End::Output(output), delta),
                End::Failed(error) => return (End::Failed(error), delta),
            }
        }
        (End::Output(previous), delta)
    }

    fn entry(
        &mut self,
        i: usize,
        entry: &EntrySpec,
        input: &Value,
        around: &Around<'_>,
    ) -> (End, State) {
        let place = |k, n| at(around.place, i, k, n);
        match entry {
            EntrySpec::Sleep { .. } => (End::Output(input.clone()), State::new()),
            EntrySpec::Map(script) => self.step(script, input, around, &place(None, 0)),
            EntrySpec::Step(node) => self.node(node, input, around, &place(None, 0)),
            EntrySpec::Loop { node, times, .. } => {
                let mut around = Around {
                    state: around.state.clone(),
                    ..*around
                };
                let (mut input, mut delta) = (input.clone(), State::new());
                for n in 0..*times {
                    let (end, set) = self.node(node, &input, &around, &place(None, n));
                    around.state.extend(set.clone());
                    delta.extend(set);
                    match end {
                        End::Output(output) => input = output,
                        other => return (other, delta),
                    }
                }
                (End::Output(input), delta)
            }
            EntrySpec::Foreach { node, .. } => self.foreach(i, node, input, around),
            EntrySpec::Parallel(nodes) => {
                let all: Vec<_> = nodes.iter().enumerate().collect();
                self.branches(i, &all, input, around)
            }
            EntrySpec::Branch(branches) => {
                let taken = branches.iter().enumerate().filter(|(_, (taken, _))| *taken);
                let taken: Vec<_> = taken.map(|(k, (_, node))| (k, node)).collect();
                self.branches(i, &taken, input, around)
            }
        }
    }

    fn branches(
        &mut self,
        i: usize,
        nodes: &[(usize, &NodeSpec)],
        input: &Value,
        around: &Around<'_>,
    ) -> (End, State) {
        let mut outputs = Map::new();
        let mut joined = State::new();
        let mut endings = Vec::new();
        for (k, node) in nodes {
            let (end, set) = self.node(node, input, around, &at(around.place, i, Some(*k), 0));
            match end {
                End::Output(output) => {
                    outputs.insert(format!("n{i}_{k}"), output);
                    joined.extend(set);
                }
                ending => endings.push((ending, set)),
            }
        }
        self.cut |= !endings.is_empty() && nodes.len() > 1;
        self.ambiguous |= endings.len() > 1;
        endings
            .pop()
            .unwrap_or_else(|| (End::Output(outputs.into()), joined))
    }

    fn foreach(
        &mut self,
        i: usize,
        node: &NodeSpec,
        input: &Value,
        around: &Around<'_>,
    ) -> (End, State) {
        let Some(items) = input.as_array() else {
            return (End::Failed("array".into()), State::new());
        };
        let around = Around {
            state: around.state.clone(),
            iterated: true,
            ..*around
        };
        let (mut outputs, mut delta, mut ending) = (Vec::new(), State::new(), None);
        for (k, item) in items.iter().enumerate() {
            let (end, set) = self.node(node, item, &around, &at(around.place, i, Some(k), 0));
            delta.extend(set);
            match end {
                End::Output(output) => outputs.push(output),
                end => ending = Some(end),
            }
        }
        self.cut |= ending.is_some() && items.len() > 1;
        (ending.unwrap_or_else(|| End::Output(outputs.into())), delta)
    }

    fn node(
        &mut self,
        node: &NodeSpec,
        input: &Value,
        around: &Around<'_>,
        place: &Place,
    ) -> (End, State) {
        match node {
            NodeSpec::Step(script) => self.step(script, input, around, place),
            NodeSpec::Workflow(entries) => self.frame(
                entries,
                input.clone(),
                &around.state,
                place,
                around.iterated,
            ),
        }
    }

    fn step(
        &mut self,
        script: &Script,
        input: &Value,
        around: &Around<'_>,
        place: &Place,
    ) -> (End, State) {
        let name = name(self.root, place);
        let mut delta = State::new();
        let attempts = match script.is_fatal() {
            true if script.last => 1,
            true => script.retries + 1,
            false => script.fails + 1,
        };
        for stage in 0..=script.suspends {
            for attempt in 0..attempts {
                self.executed.insert((place.clone(), stage, attempt));
            }
            if script.is_fatal() {
                return (End::Failed(name), delta);
            }
            let mut seen = around.state.clone();
            seen.extend(delta.clone());
            delta.extend(set(script, &name).unwrap_or_default());
            if stage == script.suspends {
                let seen = (!around.iterated).then_some(&seen);
                let end = match script.bails {
                    true => End::Bailed(json!(name)),
                    false => End::Output(returned(script, place, input, seen)),
                };
                return (end, delta);
            }
        }
        unreachable!("the last stage returns")
    }
}
