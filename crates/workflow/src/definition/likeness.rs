//! Whether a journal that was written with one definition can be read with another.

use super::{Entry, Node, Workflow};

impl Workflow {
    /// The first entry, of those up to `last`, that is another one than in `old`, by its place. What comes later may differ.
    pub(crate) fn differs_from(&self, old: &Self, last: usize) -> Option<usize> {
        let last = last.min(
            self.definition()
                .entries
                .len()
                .max(old.definition().entries.len()),
        );
        (0..=last).find(|&i| match (self.entry(i), old.entry(i)) {
            (Some(new), Some(old)) => !new.is_like(old),
            // Behind the end of the old one nothing has run.
            (_, None) => false,
            (None, Some(_)) => true,
        })
    }
}

impl Entry {
    /// Whether it is of the same kind, with the same nodes.
    fn is_like(&self, old: &Self) -> bool {
        let kind = std::mem::discriminant(self) == std::mem::discriminant(old);
        kind && self.ids() == old.ids() && self.nested_like(old)
    }

    fn nested_like(&self, old: &Self) -> bool {
        let nested = |entry: &Self, k| match entry.node(Some(k)) {
            Some(Node::Workflow { workflow, .. }) => Some(workflow.clone()),
            _ => None,
        };
        (0..self.ids().len()).all(|k| match (nested(self, k), nested(old, k)) {
            (Some(new), Some(old)) => new.differs_from(&old, usize::MAX).is_none(),
            (None, None) => true,
            _ => false,
        })
    }
}
