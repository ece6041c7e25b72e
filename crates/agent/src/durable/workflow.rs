//! The loop of an agent, as a workflow.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bowline_events::{NewEvent, PubSub, Topic};
use bowline_store::Store;
use bowline_workflow::{Dispatch, RetryPolicy, StepContext, StepError, Workflow, step};
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};

use super::input::RunInput;
use super::mapping::{END, End};
use super::outlet::Told;
use super::transcript::Transcript;
use super::writer::Writer;
use super::{Begun, Ears};
use super::{llm, mapping, stop, tool_call};
use crate::threads::Membership;
use crate::tool::panic_text;
use crate::{Agent, Data, Error, ErrorKind, Memory, Message, Result, Strategy};

/// What the ids of the workflows of agents begin with.
pub(crate) const LOOP: &str = "durable-agentic-loop";

/// How often a step is tried again when store or bus are away. What the model or a tool failed with is no failure of a step.
const AGAIN: RetryPolicy = RetryPolicy::times(20)
    .delay(Duration::from_millis(100))
    .backoff(2)
    .longest(Duration::from_secs(10));

/// What the steps of an agent work with.
#[derive(Debug)]
pub(crate) struct Services {
    pub(crate) agent: Agent,
    pub(crate) bus: Arc<dyn PubSub>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) memory: Memory,
    pub(crate) strategy: Strategy,
    pub(crate) ears: Ears,
    pub(crate) begun: Begun,
    pub(crate) threads: Membership,
}

/// A round of model and tools.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Round {
    /// Counted from 1.
    pub(crate) n: u32,
    /// Whether it is to take place.
    pub(crate) more: bool,
}

/// A call of a tool: the round, and which of it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct CallRef {
    pub(crate) n: u32,
    pub(crate) k: usize,
}

/// What a run returns.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Returned {
    finish_reason: crate::model::FinishReason,
    text: String,
}

/// The id of the workflow of the agent `id`.
pub(crate) fn id(agent: &str) -> String {
    format!("{LOOP}:{agent}")
}

/// The agent whose workflow has the id `workflow`; `None` for another workflow.
pub(crate) fn agent(workflow: &str) -> Option<&str> {
    workflow.strip_prefix(LOOP)?.strip_prefix(':')
}

/// The loop of an agent.
///
/// # Errors
/// None for an agent that was built.
pub(crate) fn of(services: &Arc<Services>) -> Result<Workflow> {
    build(services).map_err(|error| Error::engine("build agent", error))
}

fn build(services: &Arc<Services>) -> bowline_workflow::Result<Workflow> {
    let ended = Arc::clone(services);
    let asked = Arc::clone(services);
    let called = Arc::clone(services);
    let width = Arc::clone(services);
    let last = Arc::clone(services);
    let round = Workflow::builder("durable-agentic-execution")
        .input::<Round>()
        .step(
            step(
                "durable-llm-execution",
                move |ctx: StepContext, round: Round| {
                    guarded(llm::ask(Arc::clone(&asked), ctx, round))
                },
            )
            .retries(AGAIN),
        )
        .foreach(
            step(
                "durable-tool-call",
                move |ctx: StepContext, call: CallRef| {
                    guarded(tool_call::call(Arc::clone(&called), ctx, call))
                },
            )
            .retries(AGAIN),
        )
        .concurrency_by(move |ctx: StepContext| {
            let services = Arc::clone(&width);
            async move {
                let transcript = Transcript::of_step(&ctx)?;
                Ok::<_, StepError>(services.width(&transcript))
            }
        })
        .step(
            step("durable-llm-mapping", move |ctx: StepContext| {
                guarded(mapping::end_round(Arc::clone(&ended), ctx))
            })
            .retries(AGAIN),
        )
        .build_step()?;
    Workflow::builder(id(services.agent.id()))
        .quiet()
        .outlet(Told)
        .dispatch(dispatch(services.strategy))
        .step(step("init-iteration-state", |_: StepContext| async {
            Ok::<_, StepError>(Round { n: 1, more: true })
        }))
        .do_while(round, |round: &Round| round.more)
        .step(step("map-final-output", move |ctx: StepContext| {
            let services = Arc::clone(&last);
            async move {
                let mut state: HashMap<String, Data> = ctx.state()?;
                let end = state.remove(END).and_then(|end| end.parse().ok());
                let end: End = end.unwrap_or_default();
                let finish = Transcript::of_state(state)?.finish(&end);
                if end.aborted {
                    // It is committed that the run stops.
                    stop::forget(&*services.store, ctx.run_id()).await;
                }
                Ok::<_, StepError>(Returned {
                    finish_reason: finish.step_result.reason,
                    text: finish.output.text.unwrap_or_default(),
                })
            }
        }))
        .build()
}

fn dispatch(strategy: Strategy) -> Dispatch {
    match strategy {
        Strategy::Durable => Dispatch::Run,
        Strategy::Evented => Dispatch::Step,
    }
}

/// What `step` comes to. A panic of the application is a failure, and trying again does not help.
async fn guarded<T>(step: impl Future<Output = Result<T, StepError>>) -> Result<T, StepError> {
    let called = AssertUnwindSafe(step).catch_unwind().await;
    called.unwrap_or_else(|panic| {
        let text = panic_text(panic.as_ref());
        Err(StepError::fail("Panic", text).no_retry())
    })
}

impl Services {
    /// How many tools of the last round run at once.
    fn width(&self, transcript: &Transcript) -> usize {
        let run = &transcript.run;
        let concurrency = run.concurrency(&self.agent.0);
        let called = || {
            let last = transcript.answers.values().next_back();
            last.into_iter().flat_map(super::transcript::Answer::calls)
        };
        let counts = |name: &str| match concurrency.called_only {
            true => called().any(|call| call.name == name),
            false => run.is_active(name),
        };
        let mut tools = self.agent.tools().iter();
        let waits = run.asks_for_approval(&self.agent.0)
            || tools.any(|tool| tool.may_wait() && counts(tool.name()));
        if waits { 1 } else { concurrency.limit }
    }

    /// Publishes events on the stream of a run, in their order.
    ///
    /// # Errors
    /// Those of the bus, and `Closed` when the run is not this process's any more.
    pub(crate) async fn tell(
        &self,
        ctx: &StepContext,
        run_id: &str,
        events: impl IntoIterator<Item = NewEvent>,
    ) -> Result<(), bowline_events::Error> {
        let topic = Topic::agent_stream(run_id);
        let mut writer = Writer::new(&*self.bus, ctx, &topic);
        for event in events {
            writer.write(event).await;
        }
        writer.flush().await
    }

    /// Keeps messages in the memory of the thread of the run.
    pub(crate) async fn remember(
        &self,
        run: &RunInput,
        messages: &[Message],
    ) -> Result<(), StepError> {
        let Some(thread) = &run.thread_id else {
            return Ok(());
        };
        if self.agent.0.memory.read_only {
            return Ok(());
        }
        match self.memory.append(thread, messages).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                tracing::warn!(run = %run.run_id, %error, "the thread of a run was deleted; the run goes on without");
                Ok(())
            }
            kept => kept.map(|_| ()).map_err(super::store_failure),
        }
    }
}
