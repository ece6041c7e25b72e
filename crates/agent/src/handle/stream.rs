//! Reading runs: that one has just begun, or any other from any position.

use std::fmt;
use std::future::IntoFuture;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bowline_events::Text;
use futures_core::Stream;

use super::AgentHandle;
use crate::stream::{AgentStream, Observe, RunOutput, StreamItem};
use crate::{BoxFuture, IntoMessages, Result, RunOptions};

/// A run that is being read: a stream of what happens in it, which ends with it. Dropping it ends the reading and nothing else.
#[must_use = "dropping it ends the reading"]
pub struct AgentRun {
    agent: AgentHandle,
    stream: AgentStream,
}

/// How a run is to be read; await it. Made by [`AgentHandle::observe`].
#[derive(Debug)]
#[must_use = "nothing is read until it is awaited"]
pub struct ObserveRun<'a> {
    agent: &'a AgentHandle,
    run_id: &'a str,
    options: Observe,
}

impl AgentHandle {
    /// Begins a run and reads it from its beginning. When this returns, the run is in the store and will be done, whatever happens
    /// to this process: come back with [`observe`](Self::observe).
    ///
    /// A run that has a [thread](RunOptions::thread) is at work in it alone if the agent was given to
    /// [`Threads`](crate::threads::Threads), as every agent of an application is: it is refused where somebody is at work, and told to
    /// everybody who reads the thread. When this is cancelled before it returns, the run has begun or the thread is left.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use bowline_agent::{Agent, DurableAgent, ScriptedModel};
    /// # use bowline_events::{InProcessPubSub, PubSub};
    /// # use bowline_store::{MemoryStore, Store};
    /// # use bowline_workflow::Engine;
    /// use bowline_agent::{Chunk, StreamEvent};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    /// # let bus: Arc<dyn PubSub> = Arc::new(InProcessPubSub::new());
    /// # let agent = Agent::builder("greeter").model(ScriptedModel::says("Hello!")).build()?;
    /// # let agent = DurableAgent::new(agent, Arc::clone(&store), Arc::clone(&bus));
    /// # let engine = Engine::builder(store, bus).workflow(agent.workflow()?).start().await?;
    /// # let agent = agent.on(&engine)?;
    ///
    /// let mut run = agent.stream("Hi").await?;
    /// let mut text = String::new();
    /// while let Some(item) = run.next().await {
    ///     match item?.event {
    ///         StreamEvent::Chunk { chunk: Chunk::TextDelta(delta), .. } => text.push_str(&delta.text),
    ///         StreamEvent::StepDiscarded { .. } => text.clear(),
    ///         _ => {}
    ///     }
    /// }
    /// assert_eq!(text, "Hello!");
    /// # engine.close().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`start`](Self::start), and `Bus`.
    pub async fn stream(&self, messages: impl IntoMessages) -> Result<AgentRun> {
        self.stream_with(messages, RunOptions::new()).await
    }

    /// As [`stream`](Self::stream), with what is said for this run.
    ///
    /// # Errors
    /// As [`stream`](Self::stream).
    pub async fn stream_with(
        &self,
        messages: impl IntoMessages,
        options: RunOptions,
    ) -> Result<AgentRun> {
        self.run(messages, options, Observe::new()).await
    }

    async fn run(
        &self,
        messages: impl IntoMessages,
        options: RunOptions,
        observe: Observe,
    ) -> Result<AgentRun> {
        let threads = self.threads_for(&options)?;
        let listen = |run_id: Text| async move {
            let observe = self.runs.patient(&run_id, observe);
            AgentStream::open(&self.services.bus, run_id, observe).await
        };
        let begun = self.begin_in(threads.as_ref(), messages, options, listen);
        let (_, stream) = begun.await?;
        Ok(AgentRun {
            agent: self.clone(),
            stream,
        })
    }

    /// Begins a run and waits for its end, or until it waits for somebody. A run that failed is no error of this; see
    /// [`RunOutput::error`].
    ///
    /// # Errors
    /// As [`stream`](Self::stream), and as [`AgentStream::collect`].
    pub async fn generate(&self, messages: impl IntoMessages) -> Result<RunOutput> {
        self.generate_with(messages, RunOptions::new()).await
    }

    /// As [`generate`](Self::generate), with what is said for this run.
    ///
    /// # Errors
    /// As [`generate`](Self::generate).
    pub async fn generate_with(
        &self,
        messages: impl IntoMessages,
        options: RunOptions,
    ) -> Result<RunOutput> {
        let observe = Observe::new().close_on_suspend();
        self.run(messages, options, observe).await?.collect().await
    }

    /// Reads a run of any process, from its beginning unless another position is said: first what has happened, then what happens.
    ///
    /// ```no_run
    /// # async fn example(agent: bowline_agent::AgentHandle) -> bowline_agent::Result<()> {
    /// let mut run = agent.observe("run-1").from(6).await?;
    /// while let Some(item) = run.next().await {
    ///     println!("{:?}", item?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When awaited: `NotFound` for a run that neither the store nor the bus knows: it was never there, or its retention is over.
    /// `Bus`, `Store`.
    pub fn observe<'a>(&'a self, run_id: &'a str) -> ObserveRun<'a> {
        ObserveRun {
            agent: self,
            run_id,
            options: Observe::new(),
        }
    }
}

impl ObserveRun<'_> {
    /// From this position on: the offset of the last item that was seen, plus 1.
    pub fn from(mut self, offset: u64) -> Self {
        self.options = self.options.from_offset(offset);
        self
    }

    /// Only what happens from now on.
    pub fn live(mut self) -> Self {
        self.options = self.options.live();
        self
    }

    /// Ends also when the run waits for somebody.
    pub fn close_on_suspend(mut self) -> Self {
        self.options = self.options.close_on_suspend();
        self
    }

    /// Keeps nothing of what was read, for readers that only pass it on.
    pub fn discard_output(mut self) -> Self {
        self.options = self.options.discard_output();
        self
    }

    /// Ends with a failure after so much silence, whether or not somebody works on the run. Unless set, the store is asked every
    /// 30 s of silence, and it ends when nobody does; a run of a Node process is waited for without end.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.options = self.options.idle_timeout(timeout);
        self
    }
}

impl<'a> IntoFuture for ObserveRun<'a> {
    type Output = Result<AgentRun>;
    type IntoFuture = BoxFuture<'a, Result<AgentRun>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let agent = self.agent;
            let stream = agent.runs.observe(self.run_id, self.options).await?;
            Ok(AgentRun {
                agent: agent.clone(),
                stream,
            })
        })
    }
}

impl AgentRun {
    /// The id of the run.
    pub fn id(&self) -> &Text {
        self.stream.run_id()
    }

    /// The agent.
    pub fn agent(&self) -> &AgentHandle {
        &self.agent
    }

    /// Where to come back with [`observe`](AgentHandle::observe) in order to miss nothing of what was not read yet.
    pub fn next_offset(&self) -> u64 {
        self.stream.next_offset()
    }

    /// What happens next; `None` after the end. Cancel safe.
    pub async fn next(&mut self) -> Option<Result<StreamItem>> {
        self.stream.next().await
    }

    /// Reads to the end and gives what the run made. A run that failed is no error of this; see [`RunOutput::error`].
    ///
    /// # Errors
    /// As [`AgentStream::collect`].
    pub async fn collect(self) -> Result<RunOutput> {
        self.stream.collect().await
    }

    /// As [`AgentHandle::abort`].
    ///
    /// # Errors
    /// As there.
    pub async fn abort(&self) -> Result<()> {
        self.agent.abort(self.id()).await
    }

    /// The reader.
    pub fn stream(&mut self) -> &mut AgentStream {
        &mut self.stream
    }

    /// The reader alone.
    pub fn into_stream(self) -> AgentStream {
        self.stream
    }
}

impl Stream for AgentRun {
    type Item = Result<StreamItem>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.stream).poll_next(cx)
    }
}

impl fmt::Debug for AgentRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentRun")
            .field("id", self.id())
            .finish_non_exhaustive()
    }
}
