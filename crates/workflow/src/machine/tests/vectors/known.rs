//! Which differences a replay may meet, and which it did.

use super::differences::Kind;
use super::replay::{Replay, Step};

impl Replay<'_> {
    /// What is still asked for in the end, and differences that were none.
    pub(super) fn left(&mut self) -> Vec<String> {
        let mut left: Vec<Vec<usize>> = self.executed().iter().map(|spot| spot.path()).collect();
        self.accept(|kind| match kind {
            Kind::Left(paths) if left == *paths => {
                left.clear();
                true
            }
            _ => false,
        });
        let mut problems = Vec::new();
        if !left.is_empty() {
            problems.push(format!("in the end {left:?} is still asked for"));
        }
        for (known, used) in self.known.iter().zip(&self.used) {
            if !used && !matches!(known.kind, Kind::Told { .. }) {
                problems.push(format!("no such difference: {:?}", known.kind));
            }
        }
        problems
    }

    /// Whether the run has ended here while the recorded one goes on, which a difference must say.
    pub(super) fn is_over(&mut self) -> bool {
        self.machine.status().is_final() && self.accept(|kind| matches!(kind, Kind::Over))
    }

    /// Whether a known difference is meant.
    pub(super) fn accept(&mut self, mut meant: impl FnMut(&Kind) -> bool) -> bool {
        let found = self.known.iter().position(|known| meant(&known.kind));
        if let Some(i) = found {
            self.used[i] = true;
        }
        found.is_some()
    }

    pub(super) fn accept_or(&mut self, meant: impl FnMut(&Kind) -> bool, problem: String) -> Step {
        if self.accept(meant) {
            Ok(())
        } else {
            Err(problem)
        }
    }
}
