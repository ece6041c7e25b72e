//! Making a workflow of a graph.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::codec::date::parse_iso;
use bowline_events::{Text, Timestamp};
use serde::de::DeserializeOwned;

use super::outline::{Missing, MissingDuration};
use super::registry::StepRegistry;
use super::{MAX_DEPTH, shape};
use crate::definition::{
    Branch, COMPILED, Condition, Entry, Foreach, Loop, LoopKind, Mapping, Node, Options, Sleep,
    Until, Width, invalid,
};
use crate::predicate::Predicate;
use crate::step::{Draft, misfit};
use crate::{Data, Error, Result, RetryPolicy, Workflow, schema};

impl Workflow {
    /// The workflow of a graph that was written somewhere else, in the form of [`to_graph`](Self::to_graph), with the steps in
    /// `steps`. What the graph says of the description and the metadata of a step counts; retries and time-outs are those
    /// of `steps`.
    ///
    /// # Errors
    /// `InvalidDefinition` when it is no graph, is nested more than 64 deep, calls something that is not in `steps`, has
    /// functions (mappings, conditions without predicates, computed pauses and widths), or has two steps one after the other
    /// whose schemas no value fits. The message names the entry, or the steps.
    pub fn from_graph(id: impl Into<Text>, graph: &Data, steps: &StepRegistry) -> Result<Self> {
        Reader::new(id.into(), Some(steps)).workflow(graph)
    }

    /// A workflow to look at, and to replay journals with: as [`from_graph`](Self::from_graph), but its steps, and all other
    /// functions but predicates, fail when they are called. It takes [`to_outline`](Self::to_outline), and also
    /// [`to_graph`](Self::to_graph), which does not say how often what fails is tried again, so that it counts as never.
    ///
    /// # Errors
    /// `InvalidDefinition` when it is no graph, or is nested more than 64 deep. The message names the entry.
    pub fn outline(id: impl Into<Text>, graph: &Data) -> Result<Self> {
        Reader::new(id.into(), None).workflow(graph)
    }
}

/// Reads a part of a graph.
pub(super) struct Reader<'a> {
    pub(super) workflow: Text,
    /// `None`: functions are missing.
    pub(super) steps: Option<&'a StepRegistry>,
    /// Where it is, as in `2.steps.0`.
    place: Vec<String>,
}

impl<'a> Reader<'a> {
    fn new(workflow: Text, steps: Option<&'a StepRegistry>) -> Self {
        Self {
            workflow,
            steps,
            place: Vec::new(),
        }
    }

    fn workflow(&mut self, graph: &Data) -> Result<Workflow> {
        let id = self.workflow.clone();
        if graph.is_object() {
            let whole: shape::Whole = self.parse(graph)?;
            return self.flow(id, &whole.graph, whole.retry, whole.max_crashes);
        }
        self.flow(id, graph, None, None)
    }

    pub(super) fn flow(
        &mut self,
        id: Text,
        graph: &Data,
        retry: Option<RetryPolicy>,
        max_crashes: Option<u32>,
    ) -> Result<Workflow> {
        let entries = self.each(graph, Self::entry)?;
        let mut options = Options::default();
        options.max_crashes = max_crashes.unwrap_or(options.max_crashes);
        let retry = retry.unwrap_or(RetryPolicy::NEVER);
        let workflow = Workflow::new(id, entries, retry, options)?;
        // What is only looked at has run somewhere, whatever was declared.
        if self.steps.is_some() {
            schema::check(&workflow)?;
        }
        Ok(workflow)
    }

    /// Reads the elements of an array.
    fn each<T>(&mut self, array: &Data, read: fn(&mut Self, &Data) -> Result<T>) -> Result<Vec<T>> {
        let Some(elements) = array.elements() else {
            return Err(self.wrong("is no array; a graph is an array of entries"));
        };
        let mut all = Vec::with_capacity(elements.len());
        for (i, element) in elements.iter().enumerate() {
            all.push(self.within(&i.to_string(), |reader| read(reader, element))?);
        }
        Ok(all)
    }

    /// Reads what is at `place` in what is being read.
    pub(super) fn within<T>(
        &mut self,
        place: &str,
        read: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        // Every level of a graph is at most two places.
        if self.place.len() >= MAX_DEPTH * 2 {
            let message = format!("is nested more than {MAX_DEPTH} deep; flatten the workflow");
            return Err(self.wrong(&message));
        }
        self.place.push(place.to_owned());
        let read = read(self);
        self.place.pop();
        read
    }

    fn entry(&mut self, data: &Data) -> Result<Entry> {
        let kind = self.parse::<shape::Kind>(data)?.kind;
        match kind.as_str() {
            "parallel" => {
                let parallel: shape::Parallel = self.parse(data)?;
                let nodes = self.within("steps", |it| it.each(&parallel.steps, Self::node))?;
                Ok(Entry::Parallel(nodes))
            }
            "conditional" => self.conditional(data),
            "loop" => self.repeated(data),
            "foreach" => self.foreach(data),
            "sleep" => self.sleep(data, true),
            "sleepUntil" => self.sleep(data, false),
            "mapping" => self.mapping(data),
            _ => self.node(data).map(Entry::Step),
        }
    }

    fn conditional(&mut self, data: &Data) -> Result<Entry> {
        let shape: shape::Conditional = self.parse(data)?;
        let nodes = self.within("steps", |it| it.each(&shape.steps, Self::node))?;
        if !shape.predicates.is_empty() && shape.predicates.len() != nodes.len() {
            let message = format!(
                "has {} predicates for {} steps; it needs one, or null, for each",
                shape.predicates.len(),
                nodes.len()
            );
            return Err(self.wrong(&message));
        }
        let mut predicates = shape.predicates.into_iter();
        let mut functions = shape.serialized_conditions.into_iter();
        let mut branches = Vec::with_capacity(nodes.len());
        for node in nodes {
            let function = functions.next().unwrap_or_default();
            let predicate = predicates.next().flatten();
            let condition = self.condition(&node, predicate, function)?;
            branches.push(Branch { condition, node });
        }
        Ok(Entry::Branch(branches))
    }

    fn repeated(&mut self, data: &Data) -> Result<Entry> {
        let shape: shape::Loop = self.parse(data)?;
        let node = self.within("step", |it| it.node(&shape.step))?;
        let condition = self.condition(&node, shape.predicate, shape.serialized_condition)?;
        let kind = match shape.loop_type {
            shape::LoopType::DoWhile => LoopKind::DoWhile,
            shape::LoopType::DoUntil => LoopKind::DoUntil,
        };
        Ok(Entry::Loop(Loop {
            node,
            condition,
            kind,
        }))
    }

    fn condition(
        &self,
        node: &Node,
        predicate: Option<Predicate>,
        function: shape::Function,
    ) -> Result<Condition> {
        if let Some(predicate) = predicate {
            return Ok(Condition::Predicate(Arc::new(predicate)));
        }
        let what = format!("the condition of {:?}", node.id());
        let missing = self.missing(&what, function.source, "write it as a predicate")?;
        Ok(Condition::Function(missing))
    }

    fn foreach(&mut self, data: &Data) -> Result<Entry> {
        let shape: shape::Foreach = self.parse(data)?;
        let node = self.within("step", |it| it.node(&shape.step))?;
        let width = match (shape.opts.concurrency, shape.opts.source) {
            (None, Some(source)) => {
                let what = format!("the concurrency over {:?}", node.id());
                Width::Function(self.missing(&what, Some(source), "write a number")?)
            }
            // What is no number of at least 1 counts as 1.
            (width, _) => {
                let width = width.and_then(|width| width.as_u64()).unwrap_or(1);
                Width::Fixed(usize::try_from(width).unwrap_or(usize::MAX).max(1))
            }
        };
        Ok(Entry::Foreach(Foreach { node, width }))
    }

    fn sleep(&mut self, data: &Data, is_duration: bool) -> Result<Entry> {
        let shape: shape::Sleep = self.parse(data)?;
        let until = match (shape.duration, shape.date) {
            (Some(millis), _) if is_duration => {
                let Ok(duration) = Duration::try_from_secs_f64(millis / 1000.0) else {
                    let message = format!("sleeps {millis} ms; that is no length of time");
                    return Err(self.wrong(&message));
                };
                // Whole milliseconds exactly, which a quotient of doubles is not.
                let whole = Duration::from_millis(millis as u64);
                Until::Duration(if millis.fract() == 0.0 {
                    whole
                } else {
                    duration
                })
            }
            (_, Some(date)) if !is_duration => match parse_iso(&date) {
                Some(millis) => Until::Instant(Timestamp::from_millis(millis)),
                None => {
                    let message = format!("has the date {date:?}; write it as toISOString does");
                    return Err(self.wrong(&message));
                }
            },
            _ => {
                let what = format!("the length of the sleep {:?}", shape.id);
                let missing = self.missing(&what, shape.source, "write a duration or a date")?;
                Until::Function(if is_duration {
                    Arc::new(MissingDuration(missing))
                } else {
                    missing
                })
            }
        };
        let id = shape.id.into();
        Ok(Entry::Sleep(Sleep { id, until }))
    }

    fn mapping(&mut self, data: &Data) -> Result<Entry> {
        let shape: shape::Mapping = self.parse(data)?;
        let id: Text = shape.id.into();
        let what = format!("the mapping {id:?}");
        let missing = self.missing(&what, shape.map_config, "make it a step")?;
        let draft = Draft::new(Some(id.clone()), missing).retried(shape.retry);
        let step = draft.into_mapping(&self.workflow, id)?;
        Ok(Entry::Map(Mapping { step }))
    }

    /// What stands for a function of which only the source is known.
    fn missing(&self, what: &str, source: Option<String>, remedy: &str) -> Result<Arc<Missing>> {
        if self.steps.is_some() {
            let message = format!("has {what} as a function of another program; {remedy}");
            return Err(self.wrong(&message));
        }
        Ok(Missing::new(source.unwrap_or_else(|| COMPILED.to_owned())))
    }

    pub(super) fn parse<T: DeserializeOwned>(&self, data: &Data) -> Result<T> {
        serde_json::from_str(data.as_str()).map_err(|error| {
            let fault = misfit::describe(data.as_str(), &error);
            self.wrong(&format!("is not as it has to be: {fault}"))
                .with_source(error)
        })
    }

    pub(super) fn wrong(&self, message: &str) -> Error {
        let message = match self.place.is_empty() {
            true => format!("the graph {message}"),
            false => format!("the entry {} {message}", self.place.join(".")),
        };
        invalid(&self.workflow, message)
    }
}
