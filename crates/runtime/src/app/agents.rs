//! The agents of an application.

use std::collections::HashSet;
use std::sync::Arc;

use bowline_agent::threads::Threads;
use bowline_agent::{
    Agent, AgentHandle, AgentRuns, DurableAgent, DurableAgentBuilder, Error, ErrorKind, Memory,
    Result,
};
use bowline_events::{EventCache, PubSub};
use bowline_store::Store;
use bowline_workflow::{Engine, Workflow};

use super::Bowline;
use super::builder::EngineOptions;

/// What agents share with their application.
pub(super) struct Place<'a> {
    pub(super) store: &'a Arc<dyn Store>,
    pub(super) bus: Arc<dyn PubSub>,
    /// The bus below its cache.
    pub(super) below: &'a Arc<dyn PubSub>,
    pub(super) cache: Option<&'a Arc<dyn EventCache>>,
    pub(super) options: EngineOptions,
}

/// Agents that nobody works on yet.
pub(super) struct Prepared<'a> {
    place: Place<'a>,
    /// With the bus of its own.
    agents: Vec<(DurableAgent, Option<Arc<dyn PubSub>>)>,
}

/// Agents that run.
#[derive(Debug, Clone)]
pub(super) struct Agents {
    handles: Vec<AgentHandle>,
    /// The engines of those that have a bus of their own, and that bus.
    own: Vec<(Engine, Arc<dyn PubSub>)>,
    /// The threads of those that share the bus of the application.
    threads: Option<Threads>,
}

impl<'a> Place<'a> {
    /// # Errors
    /// `InvalidDefinition` for two agents of one id.
    pub(super) fn prepare(self, agents: &[DurableAgentBuilder]) -> Result<Prepared<'a>> {
        let mut ids = HashSet::new();
        let mut prepared = Vec::with_capacity(agents.len());
        for builder in agents {
            let agent = builder.agent();
            if !ids.insert(agent.id().clone()) {
                let message = "two agents have this id; give one of them another";
                let error = Error::new(ErrorKind::InvalidDefinition, "start", message);
                return Err(error.with_subject(agent.id().clone()));
            }
            let own = builder.own_bus(self.below, self.cache);
            let bus = own.as_ref().unwrap_or(&self.bus);
            let agent = builder.build(Arc::clone(self.store), Arc::clone(bus));
            prepared.push((agent, own));
        }
        Ok(Prepared {
            place: self,
            agents: prepared,
        })
    }
}

impl Prepared<'_> {
    /// The loops that the engine of the application works on.
    pub(super) fn workflows(&self) -> Result<Vec<Workflow>> {
        let shared = self.agents.iter().filter(|(_, own)| own.is_none());
        shared.map(|(agent, _)| agent.workflow()).collect()
    }

    /// # Errors
    /// `Store`.
    pub(super) async fn start(self, engine: &Engine) -> bowline_events::Result<Agents> {
        let mut agents = Agents {
            handles: Vec::with_capacity(self.agents.len()),
            own: Vec::new(),
            threads: None,
        };
        let mut shared = Vec::new();
        for (agent, own) in self.agents {
            let handle = match own {
                None => {
                    let handle = agent.on(engine)?;
                    shared.push(handle.clone());
                    handle
                }
                Some(bus) => {
                    let options = self.place.options;
                    let builder = options.builder(self.place.store, Arc::clone(&bus));
                    let engine = builder.workflow(agent.workflow()?).start().await?;
                    agents.own.push((engine.clone(), bus));
                    agent.on(&engine)?
                }
            };
            agents.handles.push(handle);
        }
        if !shared.is_empty() {
            agents.threads = Some(self.place.threads(shared));
        }
        Ok(agents)
    }
}

impl Place<'_> {
    fn threads(&self, agents: Vec<AgentHandle>) -> Threads {
        let (store, bus) = (Arc::clone(self.store), Arc::clone(&self.bus));
        let threads = Threads::builder(store, bus).thread_bus(Arc::clone(self.below));
        let threads = agents
            .into_iter()
            .fold(threads, bowline_agent::threads::ThreadsBuilder::agent);
        threads.start()
    }
}

impl Agents {
    /// Stops the engines of those that have their own; what they told has left then.
    ///
    /// # Errors
    /// The first error of a bus; all engines are stopped all the same.
    pub(super) async fn close(&self) -> bowline_events::Result<()> {
        if let Some(threads) = &self.threads {
            threads.close().await;
        }
        let mut outcome = Ok(());
        for (engine, bus) in &self.own {
            engine.close().await;
            outcome = outcome.and(bus.flush().await);
        }
        outcome
    }
}

impl Bowline {
    /// A handle on the agent called `id`.
    ///
    /// # Errors
    /// `NotFound` when it was not given to the builder; the message names those that were.
    pub fn agent(&self, id: &str) -> Result<AgentHandle> {
        let handles = &self.agents.handles;
        if let Some(handle) = handles.iter().find(|handle| handle.agent().id() == id) {
            return Ok(handle.clone());
        }
        let known: Vec<&str> = handles
            .iter()
            .map(|handle| handle.agent().id().as_str())
            .collect();
        let message = format!(
            "the application has no such agent, it has [{}]; give it to the builder",
            known.join(", ")
        );
        Err(Error::new(ErrorKind::NotFound, "find agent", message).with_subject(id.to_owned()))
    }

    /// The agents that it was built with, in that order.
    pub fn agents(&self) -> Vec<Agent> {
        let handles = self.agents.handles.iter();
        handles.map(|handle| handle.agent().clone()).collect()
    }

    /// The runs of any agent on its store and bus, also of agents that only other programs have.
    pub fn agent_runs(&self) -> AgentRuns {
        AgentRuns::new(&self.engine, Arc::clone(&self.store), self.bus.shared())
    }

    /// The threads in which its agents are at work, to say something to them there: to the run that is at work, or to wake the
    /// agent. An agent with a bus of its own is not among them.
    ///
    /// # Errors
    /// `NotFound` for an application without such agents.
    pub fn threads(&self) -> Result<Threads> {
        self.agents.threads.clone().ok_or_else(|| {
            let message = "the application has no agents that share its bus; give it one";
            Error::new(ErrorKind::NotFound, "find threads", message)
        })
    }

    /// The conversations of agents in its store.
    pub fn memory(&self) -> Memory {
        Memory::new(Arc::clone(&self.store))
    }
}
