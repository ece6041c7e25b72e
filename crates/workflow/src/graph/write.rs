//! Writing down the graph of a workflow.

use bowline_events::Text;
use bowline_events::codec::date::format_iso;

use crate::definition::{
    Branch, COMPILED, Condition, Entry, Foreach, Loop, LoopKind, Node, Reference, Sleep,
    StepDefinition, StepKind, Until, Width,
};
use crate::json::Writer;
use crate::{Data, RetryPolicy, Workflow};

/// The graph in the form of the reference.
pub(super) fn graph(workflow: &Workflow) -> Data {
    Data::made(Form { complete: false }.flow(workflow))
}

/// The graph with everything that decides how a run goes on.
pub(super) fn outline(workflow: &Workflow) -> Data {
    let form = Form { complete: true };
    let mut json = Writer::object();
    form.policies(&mut json, workflow);
    json.raw("graph", &form.flow(workflow));
    Data::made(json.end())
}

/// How much is written.
#[derive(Clone, Copy)]
struct Form {
    /// Also how often what fails is tried again, which the reference does not write.
    complete: bool,
}

impl Form {
    fn policies(self, json: &mut Writer, workflow: &Workflow) {
        let definition = workflow.definition();
        retry(json, &definition.retry);
        json.number("maxCrashes", definition.options.max_crashes);
    }

    fn flow(self, workflow: &Workflow) -> String {
        let entries = workflow.definition().entries.iter();
        list(entries.map(|entry| self.entry(entry)))
    }

    fn entry(self, entry: &Entry) -> String {
        match entry {
            Entry::Step(node) => self.node(node),
            Entry::Map(mapping) => object("mapping", |json| {
                text(json, "id", &mapping.step.id);
                text(json, "mapConfig", mapping.step.function.source());
                self.retry_of(json, &mapping.step);
            }),
            Entry::Parallel(nodes) => object("parallel", |json| {
                json.raw("steps", &list(nodes.iter().map(|node| self.node(node))));
            }),
            Entry::Branch(branches) => self.conditional(branches),
            Entry::Foreach(foreach) => self.foreach(foreach),
            Entry::Loop(repeated) => self.repeated(repeated),
            Entry::Sleep(sleep) => sleeping(sleep),
        }
    }

    fn node(self, node: &Node) -> String {
        let step = match node {
            Node::Step(step) => step,
            Node::Workflow { id, workflow } => {
                return object("workflow", |json| {
                    text(json, "id", id);
                    text(json, "workflowId", workflow.id());
                    if self.complete {
                        self.policies(json, workflow);
                    }
                    json.raw("serializedStepFlow", &self.flow(workflow));
                });
            }
        };
        match &step.kind {
            StepKind::Step => self.step(step),
            StepKind::Agent(agent) => self.reference("agent", "agentId", step, agent),
            StepKind::Tool(tool) => self.reference("tool", "toolId", step, tool),
            StepKind::Classifier(it) => self.reference("classifier", "classifierId", step, it),
        }
    }

    fn step(self, step: &StepDefinition) -> String {
        object("step", |json| {
            json.nested("step", |json| {
                text(json, "id", &step.id);
                if let Some(description) = &step.description {
                    text(json, "description", description);
                }
                json.optional("metadata", step.metadata.as_ref());
                json.raw(
                    "canSuspend",
                    if step.can_suspend { "true" } else { "false" },
                );
                self.retry_of(json, step);
            });
        })
    }

    fn reference(
        self,
        kind: &str,
        member: &str,
        step: &StepDefinition,
        reference: &Reference,
    ) -> String {
        object(kind, |json| {
            text(json, "id", &step.id);
            text(json, member, &reference.id);
            json.optional("outputSchema", reference.output_schema.as_ref())
                .optional("options", reference.options.as_ref());
            self.retry_of(json, step);
        })
    }

    fn retry_of(self, json: &mut Writer, step: &StepDefinition) {
        if self.complete
            && let Some(policy) = &step.retry
        {
            retry(json, policy);
        }
    }

    fn conditional(self, branches: &[Branch]) -> String {
        object("conditional", |json| {
            let steps = branches.iter().map(|branch| self.node(&branch.node));
            json.raw("steps", &list(steps));
            let conditions = branches
                .iter()
                .map(|branch| condition(branch.node.id(), &branch.condition));
            json.raw("serializedConditions", &list(conditions));
            let mut predicates = branches.iter().map(|branch| predicate(&branch.condition));
            if predicates.clone().any(|predicate| predicate.is_some()) {
                let all = predicates.by_ref();
                let all = all.map(|predicate| predicate.unwrap_or_else(|| "null".into()));
                json.raw("predicates", &list(all));
            }
        })
    }

    fn repeated(self, repeated: &Loop) -> String {
        object("loop", |json| {
            let id = repeated.node.id();
            json.raw("step", &self.node(&repeated.node))
                .raw("serializedCondition", &condition(id, &repeated.condition))
                .text(
                    "loopType",
                    match repeated.kind {
                        LoopKind::DoWhile => "dowhile",
                        LoopKind::DoUntil => "dountil",
                    },
                );
            if let Some(predicate) = predicate(&repeated.condition) {
                json.raw("predicate", &predicate);
            }
        })
    }

    fn foreach(self, foreach: &Foreach) -> String {
        object("foreach", |json| {
            json.raw("step", &self.node(&foreach.node));
            json.nested("opts", |json| match &foreach.width {
                Width::Fixed(width) => {
                    json.raw("concurrency", &width.to_string());
                }
                Width::Function(function) => text(json, "fn", function.source()),
            });
        })
    }
}

fn sleeping(sleep: &Sleep) -> String {
    let kind = match &sleep.until {
        Until::Duration(_) => "sleep",
        Until::Function(function) if function.is_duration() => "sleep",
        Until::Instant(_) | Until::Function(_) => "sleepUntil",
    };
    object(kind, |json| {
        text(json, "id", &sleep.id);
        match &sleep.until {
            Until::Duration(duration) => {
                json.raw("duration", &duration.as_millis().to_string());
            }
            Until::Instant(instant) => text(json, "date", &format_iso(instant.as_millis())),
            Until::Function(function) => text(json, "fn", function.source()),
        }
    })
}

fn condition(step: &Text, condition: &Condition) -> String {
    let mut json = Writer::object();
    text(&mut json, "id", &format!("{step}-condition"));
    let source = match condition {
        Condition::Function(function) => function.source(),
        Condition::Predicate(_) => COMPILED,
    };
    text(&mut json, "fn", source);
    json.end()
}

fn predicate(condition: &Condition) -> Option<String> {
    match condition {
        Condition::Function(_) => None,
        // It consists of texts, numbers and lists, all of which have JSON.
        Condition::Predicate(predicate) => serde_json::to_string(predicate).ok(),
    }
}

fn retry(json: &mut Writer, policy: &RetryPolicy) {
    // It consists of numbers, all of which have JSON.
    let policy = serde_json::to_string(policy).unwrap_or_else(|_| "null".into());
    json.raw("retry", &policy);
}

/// Text with the escapes of JavaScript, on which the hash depends.
fn text(json: &mut Writer, key: &str, value: &str) {
    // Text has JSON.
    let value = serde_json::to_string(value).unwrap_or_else(|_| "null".into());
    json.raw(key, &value);
}

fn object(kind: &str, fill: impl FnOnce(&mut Writer)) -> String {
    let mut json = Writer::object();
    json.text("type", kind);
    fill(&mut json);
    json.end()
}

fn list(elements: impl Iterator<Item = String>) -> String {
    let elements: Vec<_> = elements.collect();
    format!("[{}]", elements.join(","))
}
