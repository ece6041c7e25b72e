//! The agents of an application.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bowline_agent::threads::{NotificationPolicy, Threads, ThreadsBuilder};
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
    pub(super) notifications: NotificationOptions,
}

/// What is said of the inboxes of all threads.
#[derive(Debug, Clone, Default)]
pub(super) struct NotificationOptions {
    pub(super) policy: Option<NotificationPolicy>,
    pub(super) retention: Option<Duration>,
}

/// Agents that nobody works on yet.
pub(super) struct Prepared<'a> {
    place: Place<'a>,
    agents: Vec<(DurableAgent, Option<Apart>)>,
}

/// Where an agent is that has something of its own.
struct Apart {
    store: Arc<dyn Store>,
    bus: Arc<dyn PubSub>,
    /// The bus below its cache.
    below: Arc<dyn PubSub>,
    /// What the names of its work topics begin with, on a bus on which others work in another store.
    namespace: Option<String>,
}

/// Agents that run.
#[derive(Debug, Clone)]
pub(super) struct Agents {
    all: Vec<Agent>,
    /// What works on those that are apart.
    apart: Vec<Working>,
    /// The threads of those that share store and bus of the application.
    threads: Option<Threads>,
}

/// What works on an agent that is apart.
#[derive(Debug, Clone)]
struct Working {
    engine: Engine,
    bus: Arc<dyn PubSub>,
    threads: Threads,
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
            let apart = self.apart(builder);
            let (store, bus) = match &apart {
                Some(apart) => (&apart.store, &apart.bus),
                None => (self.store, &self.bus),
            };
            let agent = builder.build(Arc::clone(store), Arc::clone(bus));
            prepared.push((agent, apart));
        }
        Ok(Prepared {
            place: self,
            agents: prepared,
        })
    }

    /// `None` for an agent that has nothing of its own.
    fn apart(&self, agent: &DurableAgentBuilder) -> Option<Apart> {
        let (store, bus) = (agent.own_store(), agent.own_bus(self.below, self.cache));
        if store.is_none() && bus.is_none() {
            return None;
        }
        let below = agent.thread_bus(self.below);
        let shared = Arc::ptr_eq(&below, self.below);
        Some(Apart {
            store: Arc::clone(store.unwrap_or(self.store)),
            bus: bus.unwrap_or_else(|| Arc::clone(&self.bus)),
            below,
            namespace: (store.is_some() && shared).then(|| format!("rs.{}.", agent.agent().id())),
        })
    }
}

impl Prepared<'_> {
    /// The loops that the engine of the application works on.
    pub(super) fn workflows(&self) -> Result<Vec<Workflow>> {
        let shared = self.agents.iter().filter(|(_, apart)| apart.is_none());
        shared.map(|(agent, _)| agent.workflow()).collect()
    }

    /// # Errors
    /// `Store`.
    pub(super) async fn start(self, engine: &Engine) -> bowline_events::Result<Agents> {
        let mut agents = Agents {
            all: Vec::with_capacity(self.agents.len()),
            apart: Vec::new(),
            threads: None,
        };
        let mut shared = Vec::new();
        for (agent, apart) in self.agents {
            agents.all.push(agent.agent().clone());
            match apart {
                None => shared.push(agent.on(engine)?),
                Some(apart) => agents.apart.push(apart.start(&agent, &self.place).await?),
            }
        }
        if !shared.is_empty() {
            let place = &self.place;
            let threads = Threads::builder(Arc::clone(place.store), Arc::clone(&place.bus));
            let threads = threads.thread_bus(Arc::clone(place.below));
            agents.threads = Some(place.notifications.start(threads, shared));
        }
        Ok(agents)
    }
}

impl Apart {
    async fn start(
        self,
        agent: &DurableAgent,
        place: &Place<'_>,
    ) -> bowline_events::Result<Working> {
        let mut engine = place.options.builder(&self.store, Arc::clone(&self.bus));
        if let Some(namespace) = self.namespace {
            engine = engine.namespace(namespace);
        }
        let engine = engine.workflow(agent.workflow()?).start().await?;
        let handle = agent.on(&engine)?;
        let threads = Threads::builder(self.store, Arc::clone(&self.bus)).thread_bus(self.below);
        let threads = place.notifications.start(threads, [handle]);
        Ok(Working {
            engine,
            bus: self.bus,
            threads,
        })
    }
}

impl NotificationOptions {
    /// Threads with these options, of these agents.
    fn start(
        &self,
        mut threads: ThreadsBuilder,
        agents: impl IntoIterator<Item = AgentHandle>,
    ) -> Threads {
        if let Some(policy) = &self.policy {
            threads = threads.notifications(policy.clone());
        }
        if let Some(retention) = self.retention {
            threads = threads.notification_retention(retention);
        }
        let threads = agents.into_iter().fold(threads, ThreadsBuilder::agent);
        threads.start()
    }
}

impl Agents {
    fn find(&self, id: &str) -> Option<AgentHandle> {
        let apart = self.apart.iter().map(|it| &it.threads);
        let mut all = apart.chain(&self.threads);
        all.find_map(|threads| threads.agent(id).ok())
    }

    /// Stops what works on those that are apart; what they told has left then.
    ///
    /// # Errors
    /// The first error of a bus; all are stopped all the same.
    pub(super) async fn close(&self) -> bowline_events::Result<()> {
        if let Some(threads) = &self.threads {
            threads.close().await;
        }
        let mut outcome = Ok(());
        for working in &self.apart {
            working.threads.close().await;
            working.engine.close().await;
            outcome = outcome.and(working.bus.flush().await);
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
        if let Some(handle) = self.agents.find(id) {
            return Ok(handle);
        }
        let all = self.agents.all.iter();
        let known: Vec<&str> = all.map(|agent| agent.id().as_str()).collect();
        let message = format!(
            "the application has no such agent, it has [{}]; give it to the builder",
            known.join(", ")
        );
        Err(Error::new(ErrorKind::NotFound, "find agent", message).with_subject(id.to_owned()))
    }

    /// The agents that it was built with, in that order.
    pub fn agents(&self) -> Vec<Agent> {
        self.agents.all.clone()
    }

    /// The runs of any agent on its store and bus, also of agents that only other programs have. Those of an agent with a store or
    /// a bus of its own are where it is: [`agent`](Self::agent) finds it.
    pub fn agent_runs(&self) -> AgentRuns {
        AgentRuns::new(&self.engine, Arc::clone(&self.store), self.bus.shared())
    }

    /// The threads in which its agents are at work, to say something to them there: to the run that is at work, or to wake the
    /// agent. An agent with a store, a bus or a cache of its own is not among them; it has
    /// [threads of its own](AgentHandle::threads).
    ///
    /// # Errors
    /// `NotFound` for an application without agents that share its store and bus.
    pub fn threads(&self) -> Result<Threads> {
        self.agents.threads.clone().ok_or_else(|| {
            let message = "the application has no agents that share its store and bus; give it one, or ask the agent for its threads";
            Error::new(ErrorKind::NotFound, "find threads", message)
        })
    }

    /// The conversations of agents in its store. Those of an agent with a store of its own are in [that](AgentHandle::memory).
    pub fn memory(&self) -> Memory {
        Memory::new(Arc::clone(&self.store))
    }
}
