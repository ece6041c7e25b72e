//! Running all clauses, and what came of it.

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use crate::{CLAUSES, Clause, ClauseResult, Fixture, Unmet};

/// Deadlines of a fixture that one clause may use up before it is given up as hanging.
const DEADLINES: u32 = 12;

/// What came of each clause.
#[derive(Debug, Clone)]
pub struct Report {
    fixture: String,
    outcomes: Vec<(&'static str, ClauseResult)>,
}

impl Report {
    /// The clauses with their outcomes, in the order of [`CLAUSES`].
    pub fn outcomes(&self) -> impl Iterator<Item = (&'static str, &ClauseResult)> {
        self.outcomes.iter().map(|(name, outcome)| (*name, outcome))
    }

    /// The clauses that the backend breaks, with what was seen.
    pub fn violations(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.outcomes().filter_map(|(name, outcome)| match outcome {
            Err(Unmet::Violated(message)) => Some((name, message.as_str())),
            _ => None,
        })
    }

    /// The clauses that do not apply, with what the backend would have to declare.
    pub fn not_applicable(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.outcomes().filter_map(|(name, outcome)| match outcome {
            Err(Unmet::NotApplicable(missing)) => Some((name, missing.as_str())),
            _ => None,
        })
    }

    /// The clauses that the backend fulfils.
    pub fn fulfilled(&self) -> impl Iterator<Item = &'static str> {
        self.outcomes()
            .filter(|(_, outcome)| outcome.is_ok())
            .map(|(name, _)| name)
    }

    /// Whether every clause that applies is fulfilled.
    pub fn is_conformant(&self) -> bool {
        self.violations().next().is_none()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, outcome) in self.outcomes() {
            match outcome {
                Ok(()) => writeln!(f, "ok    {name}")?,
                Err(unmet @ Unmet::NotApplicable(_)) => writeln!(f, "-     {name}: {unmet}")?,
                Err(unmet) => writeln!(f, "FAIL  {name}: {unmet}")?,
            }
        }
        write!(
            f,
            "{}: {} fulfilled, {} violated, {} not applicable",
            self.fixture,
            self.fulfilled().count(),
            self.violations().count(),
            self.not_applicable().count()
        )
    }
}

/// Runs every clause, one after the other, each on a fresh bus. Must be awaited inside a Tokio runtime with time enabled.
///
/// A clause that panics or hangs counts as violated.
pub async fn run_all(fixture: &dyn Fixture) -> Report {
    let mut outcomes = Vec::with_capacity(CLAUSES.len());
    for clause in CLAUSES {
        outcomes.push((clause.name(), run_guarded(clause, fixture).await));
    }
    Report {
        fixture: fixture.name().to_owned(),
        outcomes,
    }
}

/// The outcome of `clause`, whatever it does.
pub(crate) async fn run_guarded(clause: &Clause, fixture: &dyn Fixture) -> ClauseResult {
    let patience = fixture.deadline().saturating_mul(DEADLINES);
    let run = AssertUnwindSafe(clause.run(fixture)).catch_unwind();
    match tokio::time::timeout(patience, run).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panic)) => Err(Unmet::violated(format!("panicked: {}", text_of(&*panic)))),
        Err(_) => Err(Unmet::violated(format!("still running after {patience:?}"))),
    }
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
