//! Doing what the reducer asks for.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bowline_store::limits::MAX_ENTRY;
use futures_util::FutureExt;

use crate::context::{RunServices, StepContext};
use crate::definition::{BoxFuture, Branch, Condition, Entry, LoopKind, Until, Width};
use crate::machine::{At, Command, Completion, Fact, Failure, Machine, Outcome, Spot};
use crate::{Clock, Data, Error};

/// Bytes of an entry that are not what a step returned.
const FRAMING: usize = 64 * 1024;

/// A fact that will happen, and the frame that it happens in.
pub(super) type Task = BoxFuture<(usize, Fact)>;

/// What answers `command`. Wake-ups and aborts are not the business of this.
pub(super) fn answer(
    machine: &Machine,
    services: &Arc<RunServices>,
    clock: &Arc<dyn Clock>,
    command: &Command,
) -> Option<Task> {
    match *command {
        Command::Execute { spot, attempt } => {
            Some(execute(machine, services, clock, spot, attempt))
        }
        Command::Decide { spot } => Some(decide(machine, services, clock, spot)),
        Command::Test { spot } => Some(test(machine, services, clock, spot)),
        Command::Measure { spot } => Some(measure(machine, services, clock, spot)),
        Command::Time { spot } => Some(time(machine, services, clock, spot)),
        Command::Wake { .. } | Command::Abort { .. } => None,
    }
}

fn execute(
    machine: &Machine,
    services: &Arc<RunServices>,
    clock: &Arc<dyn Clock>,
    spot: Spot,
    attempt: u32,
) -> Task {
    let view = machine.view(spot);
    let entry = view.workflow.entry(spot.entry);
    let step = entry.and_then(|entry| entry.step(spot.branch)).cloned();
    let context = StepContext::new(view, Arc::clone(services));
    let clock = Arc::clone(clock);
    Box::pin(async move {
        let completion = match step {
            Some(step) => {
                let called = AssertUnwindSafe(async { step.function.call(context).await });
                called.catch_unwind().await.unwrap_or_else(|panic| {
                    Outcome::Failed(Failure::new("Panic", &words(&*panic))).into()
                })
            }
            None => Outcome::Failed(Failure::new("Error", "there is no such step").last()).into(),
        };
        let fact = Fact::Ended {
            at: At(clock.now()),
            spot,
            attempt,
            completion: bounded(completion),
        };
        (spot.frame, fact)
    })
}

/// What a panic said.
fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "the step panicked".to_owned())
}

/// What is too large for the journal is a failure of the step.
fn bounded(completion: Completion) -> Completion {
    let size = |data: &Data| data.as_str().len();
    let state = completion.state.as_ref().map_or(0, size);
    let outcome = match &completion.outcome {
        Outcome::Success(output) | Outcome::Bailed(output) => size(output),
        Outcome::Suspended(suspension) => size(&suspension.payload),
        Outcome::Failed(failure) => {
            size(&failure.error) + failure.tripwire.as_ref().map_or(0, size)
        }
        Outcome::Canceled => 0,
    };
    let limit = MAX_ENTRY - FRAMING;
    if state + outcome <= limit {
        return completion;
    }
    let message = format!(
        "the step returned {} bytes, the limit is {limit}; keep large values elsewhere and return where",
        state + outcome
    );
    Outcome::Failed(Failure::new("TooLarge", &message).last()).into()
}

fn decide(
    machine: &Machine,
    services: &Arc<RunServices>,
    clock: &Arc<dyn Clock>,
    spot: Spot,
) -> Task {
    let view = machine.view(spot);
    let conditions: Vec<Condition> = match view.workflow.entry(spot.entry) {
        Some(Entry::Branch(branches)) => branches
            .iter()
            .map(|Branch { condition, .. }| condition.clone())
            .collect(),
        _ => Vec::new(),
    };
    let services = Arc::clone(services);
    let clock = Arc::clone(clock);
    Box::pin(async move {
        let mut taken = Vec::with_capacity(conditions.len());
        for condition in conditions {
            let context = StepContext::new(view.clone(), Arc::clone(&services));
            match guarded(condition.holds(context)).await {
                Ok(holds) => taken.push(holds),
                Err(error) => {
                    return (
                        spot.frame,
                        broke(&*clock, "the condition of a branch", &error),
                    );
                }
            }
        }
        let at = At(clock.now());
        (spot.frame, Fact::Decided { at, spot, taken })
    })
}

fn test(
    machine: &Machine,
    services: &Arc<RunServices>,
    clock: &Arc<dyn Clock>,
    spot: Spot,
) -> Task {
    let mut view = machine.view(spot);
    view.iterations += 1;
    let (condition, kind) = match view.workflow.entry(spot.entry) {
        Some(Entry::Loop(repeated)) => (repeated.condition.clone(), repeated.kind),
        _ => return nothing(clock, spot),
    };
    let context = StepContext::new(view, Arc::clone(services));
    let clock = Arc::clone(clock);
    Box::pin(async move {
        let fact = match guarded(condition.holds(context)).await {
            Ok(holds) => Fact::Looped {
                at: At(clock.now()),
                spot,
                again: holds == (kind == LoopKind::DoWhile),
            },
            Err(error) => broke(&*clock, "the condition of a loop", &error),
        };
        (spot.frame, fact)
    })
}

fn measure(
    machine: &Machine,
    services: &Arc<RunServices>,
    clock: &Arc<dyn Clock>,
    spot: Spot,
) -> Task {
    let view = machine.view(spot);
    let function = match view.workflow.entry(spot.entry) {
        Some(Entry::Foreach(foreach)) => match &foreach.width {
            Width::Function(function) => Some(Arc::clone(function)),
            Width::Fixed(_) => None,
        },
        _ => None,
    };
    let Some(function) = function else {
        return nothing(clock, spot);
    };
    let context = StepContext::new(view, Arc::clone(services));
    let clock = Arc::clone(clock);
    Box::pin(async move {
        // As core 1.71 does: a width that cannot be had is 1.
        let width = guarded(function.call(context)).await.unwrap_or(1);
        let at = At(clock.now());
        (spot.frame, Fact::Measured { at, spot, width })
    })
}

fn time(
    machine: &Machine,
    services: &Arc<RunServices>,
    clock: &Arc<dyn Clock>,
    spot: Spot,
) -> Task {
    let view = machine.view(spot);
    let function = match view.workflow.entry(spot.entry) {
        Some(Entry::Sleep(sleep)) => match &sleep.until {
            Until::Function(function) => Some(Arc::clone(function)),
            _ => None,
        },
        _ => None,
    };
    let Some(function) = function else {
        return nothing(clock, spot);
    };
    let context = StepContext::new(view, Arc::clone(services));
    let clock = Arc::clone(clock);
    Box::pin(async move {
        let fact = match guarded(function.call(context)).await {
            Ok(until) => Fact::Slept {
                at: At(clock.now()),
                spot,
                until: At(until),
            },
            Err(error) => broke(&*clock, "the length of a sleep", &error),
        };
        (spot.frame, fact)
    })
}

/// Runs a function of the application; a panic of it is an error.
async fn guarded<T>(call: impl Future<Output = crate::Result<T>>) -> crate::Result<T> {
    let called = AssertUnwindSafe(call).catch_unwind().await;
    called.unwrap_or_else(|panic| {
        let message = format!("the function panicked: {}", words(&*panic));
        Err(Error::new(crate::ErrorKind::InvalidInput, "call", message))
    })
}

fn broke(clock: &dyn Clock, what: &str, error: &Error) -> Fact {
    let message = format!("{what} could not be computed: {}", error.message());
    Fact::Broke {
        at: At(clock.now()),
        error: Failure::new("Error", &message).error,
    }
}

fn nothing(clock: &Arc<dyn Clock>, spot: Spot) -> Task {
    let fact = no_such(&**clock, spot);
    Box::pin(async move { (spot.frame, fact) })
}

fn no_such(clock: &dyn Clock, spot: Spot) -> Fact {
    let message = format!("the workflow has nothing to compute at {:?}", spot.path());
    Fact::Broke {
        at: At(clock.now()),
        error: Failure::new("Error", &message).error,
    }
}
