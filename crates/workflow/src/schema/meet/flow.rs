//! What comes to each entry of a workflow, and what it takes.

use super::compare::{Comparison, Side};
use super::document::{Document, View};
use super::mismatch::Mismatch;
use super::types::Types;
use crate::definition::{Entry, Node, StepDefinition, StepKind, invalid};
use crate::{Data, Result, Workflow};

/// How many workflows in workflows are looked into.
const MAX_NESTED: usize = 16;

/// Whether every entry may get what it takes, as far as that was declared.
///
/// # Errors
/// `InvalidDefinition` for two steps of which the first returns nothing that the second takes.
pub(crate) fn check(workflow: &Workflow) -> Result<()> {
    let definition = workflow.definition();
    let declared = &definition.options.schemas;
    let mut from = Value {
        whose: "the input of the workflow".to_owned(),
        given: declared
            .input
            .as_ref()
            .map_or(Given::Anything, |schema| Given::read(schema.text())),
    };
    for entry in &definition.entries {
        check_entry(&from, entry).map_err(|problem| invalid(workflow.id(), problem))?;
        if !matches!(entry, Entry::Sleep(_)) {
            from = Value::after(entry);
        }
    }
    let to = Taker {
        whose: "the output of the workflow".to_owned(),
        schema: declared
            .output
            .as_ref()
            .map(|schema| Document::read(schema.text())),
    };
    from.meets(&to)
        .map_err(|problem| invalid(workflow.id(), problem))
}

fn check_entry(from: &Value, entry: &Entry) -> Result<(), String> {
    match entry {
        Entry::Step(node) => from.meets(&Taker::node(node)),
        Entry::Map(mapping) => from.meets(&Taker::step(&mapping.step)),
        Entry::Parallel(nodes) => nodes
            .iter()
            .try_for_each(|node| from.meets(&Taker::node(node))),
        Entry::Branch(all) => all
            .iter()
            .try_for_each(|branch| from.meets(&Taker::node(&branch.node))),
        Entry::Foreach(foreach) => from.each_meets(&Taker::node(&foreach.node)),
        Entry::Loop(repeated) => {
            let to = Taker::node(&repeated.node);
            from.meets(&to)?;
            Value::after(entry).meets(&to)
        }
        Entry::Sleep(_) => Ok(()),
    }
}

/// Who takes something, and what.
struct Taker {
    whose: String,
    schema: Option<Document>,
}

impl Taker {
    fn node(node: &Node) -> Self {
        match node {
            Node::Step(step) => Self::step(step),
            Node::Workflow { id, workflow } => Self {
                whose: format!("what the workflow {id:?} takes"),
                schema: input_of(workflow, 0),
            },
        }
    }

    fn step(step: &StepDefinition) -> Self {
        Self {
            whose: format!("what the step {:?} takes", step.id),
            schema: input_of_step(step),
        }
    }
}

fn input_of_step(step: &StepDefinition) -> Option<Document> {
    let schema = step.function.schemas()?.input.as_ref()?;
    Some(Document::read(schema.text()))
}

/// What a nested workflow takes: what it declares, or else what its first step does.
fn input_of(workflow: &Workflow, depth: usize) -> Option<Document> {
    let definition = workflow.definition();
    if let Some(schema) = &definition.options.schemas.input {
        return Some(Document::read(schema.text()));
    }
    let first = definition
        .entries
        .iter()
        .find(|entry| !matches!(entry, Entry::Sleep(_)));
    match first? {
        Entry::Map(mapping) => input_of_step(&mapping.step),
        entry @ (Entry::Step(_) | Entry::Loop(_)) => match entry.node(None)? {
            Node::Step(step) => input_of_step(step),
            Node::Workflow { workflow, .. } if depth < MAX_NESTED => input_of(workflow, depth + 1),
            Node::Workflow { .. } => None,
        },
        _ => None,
    }
}

/// Whose value comes, and what is known of it.
struct Value {
    whose: String,
    given: Given,
}

/// What is known of a value.
enum Given {
    Anything,
    Declared(Document),
    /// An array of such values.
    List(Box<Self>),
    /// An object that has no other members; it has all of them, or may lack some.
    Members(Vec<(String, Self)>, bool),
}

impl Value {
    /// What an entry returns.
    fn after(entry: &Entry) -> Self {
        let ids: Vec<String> = entry.ids().iter().map(|id| format!("{id:?}")).collect();
        let what = match (entry, ids.len()) {
            (Entry::Step(Node::Workflow { .. }), _) => "workflow",
            (_, 1) => "step",
            _ => "entry of the steps",
        };
        let whose = format!("what the {what} {} returns", ids.join(", "));
        Self {
            whose,
            given: Given::after(entry, 0),
        }
    }

    fn meets(&self, to: &Taker) -> Result<(), String> {
        let Some(schema) = &to.schema else {
            return Ok(());
        };
        let found = self
            .given
            .mismatch(&mut Comparison::new(), schema.view(), 0);
        self.report(&to.whose, found)
    }

    fn each_meets(&self, to: &Taker) -> Result<(), String> {
        let taken = match &to.schema {
            Some(schema) => schema.view(),
            None => View::anything(),
        };
        let found = self.given.mismatch_of_each(&mut Comparison::new(), taken);
        self.report(&format!("an array of {}", to.whose), found)
    }

    fn report(&self, to: &str, found: Option<Mismatch>) -> Result<(), String> {
        found.map_or(Ok(()), |found| {
            let from = &self.whose;
            let remedy = "change one of their schemas, or put a .map(..) between them";
            Err(format!("{from} does not fit {to}: {found}; {remedy}"))
        })
    }
}

impl Given {
    fn read(schema: &Data) -> Self {
        Self::Declared(Document::read(schema))
    }

    fn after(entry: &Entry, depth: usize) -> Self {
        let members = |nodes: &[&Node], always| {
            let member = |node: &&Node| (node.id().to_string(), Self::of(node, depth));
            Self::Members(nodes.iter().map(member).collect(), always)
        };
        match entry {
            Entry::Step(node) => Self::of(node, depth),
            Entry::Loop(repeated) => Self::of(&repeated.node, depth),
            Entry::Map(mapping) => Self::of_step(&mapping.step),
            Entry::Foreach(foreach) => Self::List(Box::new(Self::of(&foreach.node, depth))),
            Entry::Parallel(nodes) => members(&nodes.iter().collect::<Vec<_>>(), true),
            Entry::Branch(all) => {
                let nodes: Vec<_> = all.iter().map(|branch| &branch.node).collect();
                members(&nodes, false)
            }
            Entry::Sleep(_) => Self::Anything,
        }
    }

    fn of(node: &Node, depth: usize) -> Self {
        match node {
            Node::Step(step) => Self::of_step(step),
            Node::Workflow { workflow, .. } => Self::of_workflow(workflow, depth + 1),
        }
    }

    fn of_step(step: &StepDefinition) -> Self {
        let declared = step.function.schemas();
        let declared = declared.and_then(|schemas| schemas.output_text());
        let shown = match &step.kind {
            StepKind::Agent(agent) => agent.output_schema.clone(),
            _ => None,
        };
        let schema = declared.or(shown);
        schema.map_or(Self::Anything, |schema| Self::read(&schema))
    }

    fn of_workflow(workflow: &Workflow, depth: usize) -> Self {
        let definition = workflow.definition();
        if let Some(schema) = &definition.options.schemas.output {
            return Self::read(schema.text());
        }
        let mut entries = definition.entries.iter();
        match entries.rfind(|entry| !matches!(entry, Entry::Sleep(_))) {
            Some(last) if depth < MAX_NESTED => Self::after(last, depth),
            _ => Self::Anything,
        }
    }

    /// Why no such value is what is taken.
    fn mismatch(
        &self,
        comparison: &mut Comparison,
        taken: View<'_>,
        depth: usize,
    ) -> Option<Mismatch> {
        match self {
            Self::Anything => comparison.disjoint(View::anything(), taken, depth),
            Self::Declared(schema) => comparison.disjoint(schema.view(), taken, depth),
            Self::List(elements) => {
                comparison.narrow(taken, Side::Taken, depth, &mut |it, taken, depth| {
                    if !Types::of(taken).has(Types::ARRAY) {
                        return Some(Mismatch::of(Types::ARRAY, Types::of(taken)));
                    }
                    // What takes an empty array takes what comes of an empty one.
                    taken.number("minItems").filter(|least| *least >= 1.0)?;
                    let found = elements.mismatch(it, taken.elements(), depth)?;
                    Some(found.within("*"))
                })
            }
            Self::Members(members, always) => {
                comparison.narrow(taken, Side::Taken, depth, &mut |it, taken, depth| {
                    if !Types::of(taken).has(Types::OBJECT) {
                        return Some(Mismatch::of(Types::OBJECT, Types::of(taken)));
                    }
                    mismatch_of_members(members, *always, it, taken, depth)
                })
            }
        }
    }

    /// Why no value is an array of what is taken, if it has any elements.
    fn mismatch_of_each(&self, comparison: &mut Comparison, taken: View<'_>) -> Option<Mismatch> {
        match self {
            Self::Anything => comparison.disjoint(View::anything(), taken, 0),
            Self::List(elements) => elements.mismatch(comparison, taken, 0),
            Self::Members(..) => Some(Mismatch::of(Types::OBJECT, Types::ARRAY)),
            Self::Declared(schema) => {
                comparison.narrow(schema.view(), Side::Given, 0, &mut |it, given, depth| {
                    if !Types::of(given).has(Types::ARRAY) {
                        return Some(Mismatch::of(Types::of(given), Types::ARRAY));
                    }
                    let elements = given.elements();
                    if elements.as_bool() == Some(false) {
                        return None;
                    }
                    Some(it.disjoint(elements, taken, depth)?.within("*"))
                })
            }
        }
    }
}

fn mismatch_of_members(
    members: &[(String, Given)],
    always: bool,
    comparison: &mut Comparison,
    taken: View<'_>,
    depth: usize,
) -> Option<Mismatch> {
    for name in taken.required() {
        match members.iter().find(|(own, _)| own == name) {
            None => return Some(Mismatch::because("there is never anything").within(name)),
            Some((_, given)) => {
                let found = given.mismatch(comparison, taken.member(name), depth);
                if let Some(found) = found {
                    return Some(found.within(name));
                }
            }
        }
    }
    // What need not be there fits by not being there.
    let others = if always { members } else { <&[_]>::default() };
    others.iter().find_map(|(name, given)| {
        let found = given.mismatch(comparison, taken.member(name), depth)?;
        Some(found.within(name))
    })
}
