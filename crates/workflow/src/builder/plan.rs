//! A workflow that is being written down, without its types.

use bowline_events::Text;

use crate::definition::{
    Branch, Condition, Entry, Foreach, Loop, LoopKind, Mapping, Node, Options, Sleep, Until, Width,
    invalid,
};
use crate::step::Draft;
use crate::{Error, Result, RetryPolicy, Workflow, schema};

/// The entries so far, and the first thing that is wrong with them.
#[derive(Debug)]
pub(super) struct Plan {
    id: Text,
    entries: Vec<Entry>,
    pub(super) retry: RetryPolicy,
    pub(super) options: Options,
    mappings: usize,
    sleeps: usize,
    fault: Option<Error>,
}

impl Plan {
    pub(super) fn new(id: Text) -> Self {
        Self {
            id,
            entries: Vec::new(),
            retry: RetryPolicy::NEVER,
            options: Options::default(),
            mappings: 0,
            sleeps: 0,
            fault: None,
        }
    }

    #[cfg(feature = "schema")]
    pub(super) fn id(&self) -> &Text {
        &self.id
    }

    fn add(&mut self, entry: Result<Entry>) {
        match entry {
            Ok(entry) => self.entries.push(entry),
            Err(error) => self.refuse(error),
        }
    }

    fn refuse(&mut self, error: Error) {
        self.fault.get_or_insert(error);
    }

    fn node(&self, draft: Draft) -> Result<Node> {
        draft.into_node(&self.id, self.entries.len())
    }

    pub(super) fn step(&mut self, draft: Draft) {
        let entry = self.node(draft).map(Entry::Step);
        self.add(entry);
    }

    pub(super) fn parallel(&mut self, drafts: Vec<Draft>) {
        let nodes: Result<_> = drafts.into_iter().map(|draft| self.node(draft)).collect();
        self.add(nodes.map(Entry::Parallel));
    }

    pub(super) fn branch(&mut self, all: impl Iterator<Item = (Condition, Draft)>) {
        let branch = |(condition, draft)| {
            let node = self.node(draft)?;
            Ok(Branch { condition, node })
        };
        let branches: Result<_> = all.map(branch).collect();
        self.add(branches.map(Entry::Branch));
    }

    pub(super) fn foreach(&mut self, draft: Draft) {
        let width = Width::Fixed(1);
        let entry = self.node(draft).map(|node| Foreach { node, width });
        self.add(entry.map(Entry::Foreach));
    }

    /// Sets the width of the `foreach` that was added last.
    pub(super) fn set_width(&mut self, width: Width) {
        if let Some(Entry::Foreach(foreach)) = self.entries.last_mut() {
            if matches!(width, Width::Fixed(0)) {
                let message = format!(
                    "the foreach over {:?} runs 0 at once; let it run at least 1",
                    foreach.node.id()
                );
                let error = invalid(&self.id, message);
                self.refuse(error);
            } else {
                foreach.width = width;
            }
        }
    }

    pub(super) fn repeat(&mut self, draft: Draft, condition: Condition, kind: LoopKind) {
        let entry = self.node(draft).map(|node| Loop {
            node,
            condition,
            kind,
        });
        self.add(entry.map(Entry::Loop));
    }

    pub(super) fn map(&mut self, draft: Draft) {
        let id = format!("mapping_{}_{}", self.id, self.mappings);
        self.mappings += 1;
        let step = draft.into_mapping(&self.id, id.into());
        self.add(step.map(|step| Entry::Map(Mapping { step })));
    }

    pub(super) fn sleep(&mut self, until: Until) {
        let id = format!("sleep_{}_{}", self.id, self.sleeps).into();
        self.sleeps += 1;
        self.entries.push(Entry::Sleep(Sleep { id, until }));
    }

    /// Names the sleep that was added last.
    pub(super) fn name_sleep(&mut self, id: Text) {
        if let Some(Entry::Sleep(sleep)) = self.entries.last_mut() {
            sleep.id = id;
        }
    }

    pub(super) fn build(self) -> Result<Workflow> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        if self.entries.is_empty() {
            return Err(invalid(&self.id, "it has no steps; give it at least one"));
        }
        let workflow = Workflow::new(self.id, self.entries, self.retry, self.options)?;
        schema::check(&workflow)?;
        Ok(workflow)
    }
}
