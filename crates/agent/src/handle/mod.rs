//! Running an agent: the definition with a store and a bus, and the handle that starts and controls its runs.

mod callbacks;
mod control;
mod durable;
mod prepare;
mod runs;
mod stream;

use std::fmt;
use std::sync::Arc;

use bowline_events::{PubSub, Text};
use bowline_store::Store;
use bowline_workflow::{Engine, Workflow};

use crate::durable::workflow::{self, Services};
use crate::durable::{Begun, Ears};
use crate::threads::{Membership, Threads};
use crate::{Agent, Error, ErrorKind, Memory, Result, RunOptions};

pub use callbacks::Callbacks;
pub use control::SuspendedCall;
pub use durable::{DurableAgentBuilder, Strategy};
pub(crate) use prepare::unread;
pub use runs::AgentRuns;
pub use stream::{AgentRun, ObserveRun};

/// An agent with the store and the bus of its runs: its loop, to give to an engine, and then a handle.
///
/// An application does this by itself; by hand it is
///
/// ```
/// # use std::sync::Arc;
/// use bowline_agent::{Agent, DurableAgent, ScriptedModel};
/// use bowline_events::{InProcessPubSub, PubSub};
/// use bowline_store::{MemoryStore, Store};
/// use bowline_workflow::Engine;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
/// let bus: Arc<dyn PubSub> = Arc::new(InProcessPubSub::new());
/// let agent = Agent::builder("greeter").model(ScriptedModel::says("Hello!")).build()?;
/// let agent = DurableAgent::new(agent, Arc::clone(&store), Arc::clone(&bus));
/// let engine = Engine::builder(store, bus).workflow(agent.workflow()?).start().await?;
/// let agent = agent.on(&engine)?;
/// let output = agent.generate("Hi").await?;
/// assert_eq!(output.text, "Hello!");
/// engine.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct DurableAgent(Arc<Services>);

/// Starts, observes and controls the runs of an agent. Cheap to clone.
#[derive(Clone)]
pub struct AgentHandle {
    services: Arc<Services>,
    engine: Engine,
    runs: AgentRuns,
    /// Keeps them open.
    threads: Option<Threads>,
}

impl DurableAgent {
    /// `agent`, whose runs are kept in `store` and told on `bus`: those of the engine that works on them.
    pub fn new(agent: Agent, store: Arc<dyn Store>, bus: Arc<dyn PubSub>) -> Self {
        Self(Arc::new(Self::services(agent, store, bus)))
    }

    fn services(agent: Agent, store: Arc<dyn Store>, bus: Arc<dyn PubSub>) -> Services {
        Services {
            agent,
            bus,
            memory: Memory::new(Arc::clone(&store)),
            store,
            strategy: Strategy::default(),
            ears: Ears::default(),
            begun: Begun::default(),
            threads: Membership::default(),
        }
    }

    /// Who works on its runs, before they begin; [`Strategy::Durable`] unless set.
    #[must_use]
    pub fn strategy(self, strategy: Strategy) -> Self {
        let Services {
            agent, bus, store, ..
        } = &*self.0;
        let mut services = Self::services(agent.clone(), Arc::clone(store), Arc::clone(bus));
        services.strategy = strategy;
        Self(Arc::new(services))
    }

    /// The agent.
    pub fn agent(&self) -> &Agent {
        &self.0.agent
    }

    /// The loop of the agent, for an engine on the same store and bus.
    ///
    /// # Errors
    /// `InvalidDefinition` when its id is none for a workflow.
    pub fn workflow(&self) -> Result<Workflow> {
        workflow::of(&self.0)
    }

    /// The handle, with an engine that has the [workflow](Self::workflow).
    ///
    /// # Errors
    /// `NotFound` when the engine does not have it.
    pub fn on(&self, engine: &Engine) -> Result<AgentHandle> {
        let id = workflow::id(self.agent().id());
        if engine
            .workflows()
            .iter()
            .any(|known| known.id().as_str() == id)
        {
            let (store, bus) = (Arc::clone(&self.0.store), Arc::clone(&self.0.bus));
            return Ok(AgentHandle {
                services: Arc::clone(&self.0),
                engine: engine.clone(),
                runs: AgentRuns::new(engine, store, bus).of(self.agent().id().clone()),
                threads: None,
            });
        }
        let message = "the engine does not have the loop of the agent; give it `workflow()`";
        Err(Error::new(ErrorKind::NotFound, "find agent", message)
            .with_subject(self.agent().id().clone()))
    }
}

impl AgentHandle {
    /// The agent.
    pub fn agent(&self) -> &Agent {
        &self.services.agent
    }

    /// What works on the runs.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The conversations in its store.
    pub fn memory(&self) -> &Memory {
        &self.services.memory
    }

    /// The threads in which the agent is at work, to say something to it there: to the run that is at work, or to wake the agent.
    ///
    /// # Errors
    /// `NotFound` for an agent that was given to none, `Closed` when they are dropped.
    pub fn threads(&self) -> Result<Threads> {
        let threads = match &self.threads {
            Some(threads) => Some(threads.clone()),
            None => self.services.threads.threads()?,
        };
        threads.ok_or_else(|| {
            let message =
                "the agent was given to no threads; give it to `Threads::builder`, or to an application";
            Error::new(ErrorKind::NotFound, "find threads", message)
                .with_subject(self.agent().id().clone())
        })
    }

    /// Those through which a run with these options begins.
    fn threads_for(&self, options: &RunOptions) -> Result<Option<Threads>> {
        match (&options.thread_id, &self.threads) {
            (None, _) => Ok(None),
            (Some(_), Some(threads)) => Ok(Some(threads.clone())),
            (Some(_), None) => self.services.threads.threads(),
        }
    }

    pub(crate) fn membership(&self) -> &Membership {
        &self.services.threads
    }

    pub(crate) fn with_threads(mut self, threads: Threads) -> Self {
        self.threads = Some(threads);
        self
    }

    /// The id of its workflow, by which the runs are found in the store.
    pub fn workflow_id(&self) -> Text {
        workflow::id(self.agent().id()).into()
    }
}

impl fmt::Debug for AgentHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentHandle")
            .field("agent", self.agent().id())
            .finish_non_exhaustive()
    }
}
