//! Runs of agents, without the agents.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bowline_events::{Event, PubSub, StartFrom, Text, Topic};
use bowline_store::Store;
use bowline_workflow::{Engine, RunStatus};

use crate::stream::{AgentStream, Observe};
use crate::{Error, ErrorKind, Result};

/// How long a run may be silent before the store is asked whether it still lives.
const SILENCE: Duration = Duration::from_secs(30);

/// Reads and controls runs of agents: for programs that have neither their models nor their tools. Cheap to clone.
///
/// ```
/// use std::sync::Arc;
/// use bowline_agent::AgentRuns;
/// use bowline_events::{InProcessPubSub, PubSub};
/// use bowline_store::{MemoryStore, Store};
/// use bowline_workflow::{Engine, RunQuery};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
/// let bus: Arc<dyn PubSub> = Arc::new(InProcessPubSub::new());
/// let engine = Engine::builder(Arc::clone(&store), Arc::clone(&bus)).workers(false).start().await?;
/// let runs = AgentRuns::new(&engine, store, bus);
/// assert!(runs.list("analyst", RunQuery::new()).await?.runs.is_empty());
/// assert!(runs.approve("run-1", "call-1").await.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct AgentRuns {
    pub(super) engine: Engine,
    pub(super) store: Arc<dyn Store>,
    pub(super) bus: Arc<dyn PubSub>,
    /// The only agent whose runs these are.
    pub(super) agent: Option<Text>,
}

impl AgentRuns {
    /// The runs of all agents in `store`, which are told on `bus`: those of `engine`, which need not work on them.
    pub fn new(engine: &Engine, store: Arc<dyn Store>, bus: Arc<dyn PubSub>) -> Self {
        Self {
            engine: engine.clone(),
            store,
            bus,
            agent: None,
        }
    }

    /// Those of one agent.
    pub(super) fn of(self, agent: Text) -> Self {
        Self {
            agent: Some(agent),
            ..self
        }
    }

    /// Reads a run of any process: from its beginning to its end, unless `options` say otherwise. Unless they say how long to wait,
    /// the store is asked every 30 s of silence whether somebody works on the run, and the stream ends with a failure when nobody
    /// does; a run of a Node process is waited for without end.
    ///
    /// # Errors
    /// `NotFound` for a run that neither the store nor the bus knows: it was never there, or its retention is over. `Bus`,
    /// `Store`.
    pub async fn observe(&self, run_id: &str, options: Observe) -> Result<AgentStream> {
        let status = self.seek(run_id).await?;
        let over = status.is_some_and(RunStatus::is_final);
        let over = over && self.is_read(run_id, options.start()).await?;
        let options = match status.is_some() && !options.is_impatient() {
            true => self.patient(run_id, options),
            false => options,
        };
        let mut stream = AgentStream::open(&self.bus, run_id.to_owned(), options).await?;
        if over {
            stream.close();
        }
        Ok(stream)
    }

    /// Ends the reading when the store says that nobody works on the run any more.
    pub(super) fn patient(&self, run_id: &str, observe: Observe) -> Observe {
        let (runs, run_id) = (self.clone(), Text::from(run_id.to_owned()));
        observe.idle_timeout(SILENCE).is_alive(move || {
            let (runs, run_id) = (runs.clone(), run_id.clone());
            async move {
                match runs.status(&run_id).await {
                    Ok(status) => Ok(!status.is_final()),
                    Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
                    Err(error) => Err(error),
                }
            }
        })
    }

    /// How the run is, as the store has it; `None` when only the bus knows it, because a Node process runs it.
    async fn seek(&self, run_id: &str) -> Result<Option<RunStatus>> {
        let status = match self.own_run("observe", run_id).await {
            Ok((_, info)) => Some(info.status),
            Err(error) if is_unknown(&error) => None,
            Err(error) => return Err(error),
        };
        let over = status.is_none_or(RunStatus::is_final);
        if !over || self.is_kept(run_id, status).await? {
            return Ok(status);
        }
        let message = match status {
            Some(status) => format!(
                "the run is {status}, and the retention of its stream is over; raise `watch_retention` to keep streams longer"
            ),
            None => "neither the store nor the bus knows the run: it was never there, or its retention is over".to_owned(),
        };
        Err(Error::new(ErrorKind::NotFound, "observe", message).with_subject(run_id.to_owned()))
    }

    /// Whether the bus has something of the run. One that keeps nothing may still tell of a run that the store does not know.
    async fn is_kept(&self, run_id: &str, status: Option<RunStatus>) -> Result<bool> {
        if !self.bus.capabilities().replay {
            return Ok(status.is_none());
        }
        self.is_told_of(run_id).await
    }

    /// Whether the bus has something of a run.
    pub(super) async fn is_told_of(&self, run_id: &str) -> Result<bool> {
        Ok(self.told(run_id, 0).await?.is_some())
    }

    /// The event at `offset` of the stream of a run, or the first behind it.
    async fn told(&self, run_id: &str, offset: u64) -> Result<Option<Arc<Event>>> {
        let topic = Topic::agent_stream(run_id);
        let kept = self.bus.history(&topic, offset, 1).await;
        let kept = kept.map_err(|error| Error::bus("observe", error))?;
        Ok(kept.into_iter().next())
    }

    /// Whether a run that has ended has nothing to tell from `start` on.
    async fn is_read(&self, run_id: &str, start: StartFrom) -> Result<bool> {
        let before = match start {
            StartFrom::Latest => return Ok(true),
            StartFrom::Earliest | StartFrom::Offset(0) => return Ok(false),
            StartFrom::Offset(offset) => offset - 1,
        };
        let last = self.told(run_id, before).await?;
        Ok(last.is_some_and(|event| {
            event.index == Some(before)
                && matches!(event.event_type.as_str(), "finish" | "error" | "abort")
        }))
    }
}

/// Whether there is no such run, in contrast to one of another agent.
pub(super) fn is_unknown(error: &Error) -> bool {
    error.kind() == ErrorKind::NotFound && std::error::Error::source(error).is_some()
}

impl fmt::Debug for AgentRuns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentRuns")
            .field("agent", &self.agent)
            .finish_non_exhaustive()
    }
}
