//! Functions that are called while a run is read.

use std::fmt;

use super::AgentRun;
use crate::chunk::event::{Finish, IterationComplete, Suspended};
use crate::chunk::{Chunk, Failure, StepFinish};
use crate::model::FinishReason;
use crate::stream::{RunOutput, StreamEvent};
use crate::{Error, Result};

type On<T> = Option<Box<dyn FnMut(&T) + Send>>;

/// Functions that are called while [`AgentRun::drive`] reads a run, each in the order in which things happened. They are those of a
/// reader: they run where it does, and every reader may have its own.
///
/// ```no_run
/// # async fn example(agent: bowline_agent::AgentHandle) -> bowline_agent::Result<()> {
/// use bowline_agent::Callbacks;
///
/// let callbacks = Callbacks::new()
///     .on_step_finish(|step| println!("{} tokens", step.usage.total_tokens))
///     .on_error(|error| eprintln!("{error}"));
/// let output = agent.stream("Hi").await?.drive(callbacks).await?;
/// println!("{}", output.text);
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
#[must_use = "they are called by `AgentRun::drive`"]
pub struct Callbacks {
    chunk: On<Chunk>,
    step_finish: On<StepFinish>,
    iteration_complete: On<IterationComplete>,
    suspended: On<Suspended>,
    finish: On<Finish>,
    abort: Option<Box<dyn FnMut() + Send>>,
    error: On<Failure>,
    loss: On<Error>,
}

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident, $field:ident: $type:ty;)*) => {$(
        $(#[$doc])*
        pub fn $name(mut self, call: impl FnMut(&$type) + Send + 'static) -> Self {
            self.$field = Some(Box::new(call));
            self
        }
    )*};
}

impl Callbacks {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    setters! {
        /// With each chunk.
        on_chunk, chunk: Chunk;
        /// When the model and the tools that it called are done.
        on_step_finish, step_finish: StepFinish;
        /// When a round is over.
        on_iteration_complete, iteration_complete: IterationComplete;
        /// When the run waits for somebody.
        on_suspended, suspended: Suspended;
        /// When the run has ended, however, unless it failed as a whole.
        on_finish, finish: Finish;
        /// When the run has failed: the models did, or the run as a whole. After `on_finish`.
        on_error, error: Failure;
        /// When events were lost before they were read.
        on_loss, loss: Error;
    }

    /// When the run was stopped. After `on_finish`.
    pub fn on_abort(mut self, call: impl FnMut() + Send + 'static) -> Self {
        self.abort = Some(Box::new(call));
        self
    }

    fn hear(&mut self, event: &StreamEvent, last_error: &mut Option<Failure>) {
        match event {
            StreamEvent::Chunk { chunk, .. } => {
                match chunk {
                    Chunk::StepFinish(finish) => say(&mut self.step_finish, finish),
                    Chunk::Error(error) => *last_error = Some((**error).clone()),
                    _ => {}
                }
                say(&mut self.chunk, chunk);
            }
            StreamEvent::IterationComplete(round) => say(&mut self.iteration_complete, round),
            StreamEvent::Suspended(suspended) => say(&mut self.suspended, suspended),
            StreamEvent::Finished(finish) => self.end(finish, last_error.take()),
            StreamEvent::Failed(error) => say(&mut self.error, error),
            StreamEvent::Aborted(_) => self.stop(),
            StreamEvent::StepDiscarded { .. } => *last_error = None,
        }
    }

    fn end(&mut self, finish: &Finish, error: Option<Failure>) {
        say(&mut self.finish, finish);
        match finish.step_result.reason {
            FinishReason::Abort => self.stop(),
            FinishReason::Error => {
                let error = error.unwrap_or_else(|| Failure::new("Error", "the run failed"));
                say(&mut self.error, &error);
            }
            _ => {}
        }
    }

    fn stop(&mut self) {
        if let Some(call) = &mut self.abort {
            call();
        }
    }
}

fn say<T>(call: &mut On<T>, what: &T) {
    if let Some(call) = call {
        call(what);
    }
}

impl AgentRun {
    /// Reads to the end, calling `callbacks` on the way, and gives what the run made.
    ///
    /// # Errors
    /// The error that was the end of the stream.
    pub async fn drive(mut self, mut callbacks: Callbacks) -> Result<RunOutput> {
        let mut last_error = None;
        while let Some(item) = self.next().await {
            match item {
                Ok(item) => callbacks.hear(&item.event, &mut last_error),
                Err(error) if self.stream().is_open() => say(&mut callbacks.loss, &error),
                Err(error) => return Err(error),
            }
        }
        Ok(self.into_stream().into_output())
    }
}

impl fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Callbacks")
    }
}
