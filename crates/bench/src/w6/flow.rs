//! The workflows: steps that take `{n}` and return `{n: n + 1}`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bowline_workflow::{RunResult, RunStatus, Start, StepError, Typed, TypedStep, Workflow, step};
use serde::{Deserialize, Serialize};

use super::long::Pace;
use crate::Result;

/// What a step takes, and what it returns.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct N {
    n: u64,
}

type NStep = TypedStep<Typed<N>, Typed<N>>;

/// What the steps tell of themselves.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Executions.
    pub(super) executed: AtomicU64,
    /// The pace of a long run.
    pub(super) pace: Option<Arc<Pace>>,
}

/// Which workflow, and of how many steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Steps one after the other.
    Linear(u64),
    /// Steps side by side.
    Parallel(u64),
    /// One step for each item of the input.
    Foreach { items: u64, width: usize },
}

/// A workflow and what its runs get and return.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) workflow: Workflow,
    pub(super) seen: Arc<Seen>,
    pub(super) shape: Shape,
}

impl Shape {
    /// Executions of steps in one run.
    pub(super) fn steps(self) -> u64 {
        match self {
            Self::Linear(steps) | Self::Parallel(steps) => steps,
            Self::Foreach { items, .. } => items,
        }
    }
}

impl Flow {
    pub(super) fn new(shape: Shape) -> Result<Self> {
        Self::with(shape, Seen::default())
    }

    pub(super) fn with(shape: Shape, seen: Seen) -> Result<Self> {
        let seen = Arc::new(seen);
        let named = |number: u64| add(&seen, number);
        let builder = Workflow::builder("bench");
        let workflow = match shape {
            Shape::Linear(steps) => {
                let first = builder.input::<N>().output::<N>().step(named(0));
                (1..steps)
                    .fold(first, |builder, number| builder.step(named(number)))
                    .build()?
            }
            Shape::Parallel(steps) => {
                let all: Vec<NStep> = (0..steps).map(named).collect();
                builder.input::<N>().parallel(all).build()?
            }
            Shape::Foreach { width, .. } => {
                let each = builder.input::<Vec<N>>().foreach(named(0));
                each.concurrency(width).build()?
            }
        };
        Ok(Self {
            workflow,
            seen,
            shape,
        })
    }

    /// What a run gets.
    pub(super) fn start(&self) -> Result<Start> {
        Ok(match self.shape {
            Shape::Linear(_) | Shape::Parallel(_) => Start::with(&N { n: 0 })?,
            Shape::Foreach { items, .. } => {
                Start::with(&(0..items).map(|n| N { n }).collect::<Vec<_>>())?
            }
        })
    }

    /// Whether a run ended well and returned what it has to.
    pub(super) fn check(&self, result: &RunResult) -> Result<()> {
        if result.status() != RunStatus::Success {
            let error = result.error().map(ToString::to_string).unwrap_or_default();
            return Err(format!("a run is {}: {error}", result.status()).into());
        }
        let right = match self.shape {
            Shape::Linear(steps) => result.output::<N>()?.n == steps,
            Shape::Parallel(steps) => {
                let outputs: HashMap<String, N> = result.output()?;
                outputs.len() as u64 == steps && outputs.values().all(|output| output.n == 1)
            }
            Shape::Foreach { items, .. } => {
                let outputs: Vec<N> = result.output()?;
                (1..=items).eq(outputs.into_iter().map(|output| output.n))
            }
        };
        match right {
            true => Ok(()),
            false => Err("a run returned something else than it has to".into()),
        }
    }
}

/// The step called `s` and its number.
fn add(seen: &Arc<Seen>, number: u64) -> NStep {
    let seen = Arc::clone(seen);
    step(format!("s{number}"), move |input: N| {
        seen.executed.fetch_add(1, Relaxed);
        if let Some(pace) = &seen.pace {
            pace.pass(input.n);
        }
        async move { Ok::<_, StepError>(N { n: input.n + 1 }) }
    })
}
