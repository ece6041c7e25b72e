//! Reading the nodes of a graph: steps, calls, and nested workflows.

use bowline_events::Text;

use super::outline::Missing;
use super::read::Reader;
use super::registry::Kind;
use super::shape;
use crate::definition::{COMPILED, Node, Reference, StepKind};
use crate::step::Draft;
use crate::{Data, Result, RetryPolicy};

impl Reader<'_> {
    pub(super) fn node(&mut self, data: &Data) -> Result<Node> {
        let kind = self.parse::<shape::Kind>(data)?.kind;
        match kind.as_str() {
            "step" => self.step(data),
            "workflow" => self.nested(data),
            "agent" => self.call(Kind::Agent, data),
            "tool" => self.call(Kind::Tool, data),
            "classifier" => self.call(Kind::Classifier, data),
            other => Err(self.wrong(&format!("has the type {other:?}, which cannot stand here"))),
        }
    }

    fn step(&self, data: &Data) -> Result<Node> {
        let step = self.parse::<shape::StepEntry>(data)?.step;
        let id = Text::from(step.id);
        let draft = self.find(Kind::Step, &id, step.retry)?;
        let draft = draft.shown(
            id,
            step.description.map(Text::from),
            step.metadata.as_ref().map(compact),
            step.can_suspend,
            StepKind::Step,
        );
        draft.into_node(&self.workflow, 0)
    }

    fn call(&self, kind: Kind, data: &Data) -> Result<Node> {
        let call: shape::Call = self.parse(data)?;
        let (called, make): (_, fn(Reference) -> StepKind) = match kind {
            Kind::Agent => (call.agent_id, StepKind::Agent),
            Kind::Tool => (call.tool_id, StepKind::Tool),
            Kind::Classifier => (call.classifier_id, StepKind::Classifier),
            Kind::Step => (None, |_| StepKind::Step),
        };
        let Some(called) = called.map(Text::from) else {
            let message = format!("has no member \"{}Id\"", kind.as_str());
            return Err(self.wrong(&message));
        };
        let draft = self.find(kind, &called, call.retry)?;
        let kind = make(Reference {
            id: called,
            output_schema: call.output_schema.as_ref().map(compact),
            options: call.options.as_ref().map(compact),
        });
        let draft = draft.shown(call.id.into(), None, None, false, kind);
        draft.into_node(&self.workflow, 0)
    }

    /// What does the work of a step.
    fn find(&self, kind: Kind, id: &Text, retry: Option<RetryPolicy>) -> Result<Draft> {
        let Some(steps) = self.steps else {
            let missing = Missing::new(COMPILED.to_owned());
            return Ok(Draft::new(Some(id.clone()), missing).retried(retry));
        };
        steps.find(kind, id).ok_or_else(|| {
            let kind = kind.as_str();
            let message = format!("calls the {kind} {id:?}, which was not registered");
            self.wrong(&message)
        })
    }

    fn nested(&mut self, data: &Data) -> Result<Node> {
        let nested: shape::Nested = self.parse(data)?;
        let id = Text::from(nested.id);
        let workflow_id = Text::from(nested.workflow_id);
        let known = self
            .steps
            .and_then(|steps| steps.find_workflow(&workflow_id));
        let workflow = match known {
            Some(workflow) => workflow,
            None => self.within("serializedStepFlow", |it| {
                let flow = &nested.serialized_step_flow;
                it.flow(workflow_id, flow, nested.retry, nested.max_crashes)
            })?,
        };
        Ok(Node::Workflow { id, workflow })
    }
}

/// The same without white space between the tokens, as the hash wants it.
pub(crate) fn compact(data: &Data) -> Data {
    let mut text = String::with_capacity(data.as_str().len());
    let (mut quoted, mut escaped) = (false, false);
    for c in data.as_str().chars() {
        if quoted || !matches!(c, ' ' | '\t' | '\n' | '\r') {
            text.push(c);
        }
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = quoted,
            '"' => quoted = !quoted,
            _ => {}
        }
    }
    Data::made(text)
}
