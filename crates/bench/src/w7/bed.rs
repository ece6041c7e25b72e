//! An agent on a store and a bus, and readers of its runs.

use std::sync::Arc;
use std::time::Duration;

use bowline_agent::stream::Observe;
use bowline_agent::{
    Agent, AgentHandle, AgentRun, AgentStream, Chunk, DurableAgent, RunOptions, Strategy,
    StreamEvent,
};
use bowline_events::{InProcessPubSub, PubSub};
use bowline_store::{MemoryStore, Stats, Store, TableStats};
use bowline_workflow::Engine;

use super::model::{Stamp, Stamping};
use crate::Result;
use crate::clock::now_ns;
use crate::counting::{CountingBus, CountingStore, Counts};
use crate::histogram::Histogram;

/// How long a run and its stream are kept after its end, where runs are to go. A reader that falls behind by more would miss the
/// end.
const RETENTION: Duration = Duration::from_secs(1);
/// How long runs that are over may take to go.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);
/// Tables that do not grow with the runs: the engines that work, and the graphs of the workflows.
const FIXED: [&str; 2] = ["workers", "graphs"];

/// An agent with an engine of its own, on what an application has by default: a store in memory and the in-process bus.
pub(super) struct Bed {
    pub(super) agent: AgentHandle,
    pub(super) deltas: u64,
    pub(super) counts: Arc<Counts>,
    pub(super) bus: InProcessPubSub,
    store: Arc<dyn Store>,
}

/// What a reader saw of a run.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) deltas: u64,
    pub(super) misordered: u64,
    pub(super) finished: bool,
    /// When it was asked for, when the first delta came, and when it ended.
    pub(super) called: u64,
    pub(super) first: Option<u64>,
    pub(super) ended: u64,
    /// From the model to the reader.
    pub(super) latencies: Histogram,
}

impl Bed {
    /// `keep`: for as long as it is kept by default.
    pub(super) async fn make(model: Stamping, keep: bool, strategy: Strategy) -> Result<Self> {
        let counts = Arc::new(Counts::default());
        let store: Arc<dyn Store> = Arc::new(CountingStore {
            store: Arc::new(MemoryStore::new()),
            counts: Arc::clone(&counts),
        });
        let bus = InProcessPubSub::new();
        let counting: Arc<dyn PubSub> = Arc::new(CountingBus {
            bus: bus.clone(),
            counts: Arc::clone(&counts),
        });
        let agent = Agent::builder("bench").instructions("x").model(model);
        let agent = DurableAgent::new(agent.build()?, Arc::clone(&store), Arc::clone(&counting));
        let agent = agent.strategy(strategy);
        let mut engine = Engine::builder(Arc::clone(&store), counting).workflow(agent.workflow()?);
        if !keep {
            engine = engine
                .watch_retention(RETENTION)
                .run_retention(RETENTION)
                .poll(RETENTION / 10);
        }
        Ok(Self {
            agent: agent.on(&engine.start().await?)?,
            deltas: model.deltas,
            counts,
            bus,
            store,
        })
    }

    /// Begins a run and reads it to its end.
    pub(super) async fn run(&self) -> Result<(Read, String)> {
        let called = now_ns();
        let run = self.agent.stream("hi").await?;
        let id = run.id().to_string();
        Ok((read(run, called, 0, true).await?, id))
    }

    /// Reads a run from event `offset` on, of which `deltas` deltas lie before.
    pub(super) async fn observe(&self, run: &str, offset: u64, deltas: u64) -> Result<Read> {
        let called = now_ns();
        let run = self.agent.observe(run).from(offset).await?;
        read(run, called, deltas, false).await
    }

    /// As [`run`](Self::run), for a run with this id.
    pub(super) async fn run_as(&self, id: &str) -> Result<Read> {
        let called = now_ns();
        let options = RunOptions::new().run_id(id.to_owned());
        let run = self.agent.stream_with("hi", options).await?;
        read(run, called, 0, true).await
    }

    /// A reader of a run that may not have begun.
    pub(super) async fn attach(&self, id: &str) -> Result<AgentStream> {
        let bus: Arc<dyn PubSub> = Arc::new(self.bus.clone());
        let options = Observe::new().discard_output();
        Ok(AgentStream::open(&bus, id.to_owned(), options).await?)
    }

    /// Records and logs in the store when all runs are over for as long as they are kept.
    pub(super) async fn left_after_retention(&self) -> Result<u64> {
        let end = now_ns() + PATIENCE.as_nanos() as u64;
        loop {
            let left = records(&self.store.stats().await?);
            if left == 0 && self.bus.bytes() == 0 || now_ns() >= end {
                return Ok(left);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    pub(super) async fn close(&self) -> Result<()> {
        self.agent.engine().close().await;
        self.store.close().await?;
        Ok(())
    }
}

fn records(stats: &Stats) -> u64 {
    let grows = |table: &&TableStats| !FIXED.contains(&table.table.as_str());
    let tables = stats.tables.iter().filter(grows);
    tables.map(|table| table.records + table.logs).sum()
}

/// Reads to the end; `live` if the time from the model to the reader is of interest.
async fn read(mut run: AgentRun, called: u64, before: u64, live: bool) -> Result<Read> {
    let mut read = Read {
        called,
        ..Read::default()
    };
    let mut next = before;
    while let Some(item) = run.next().await {
        match item?.event {
            StreamEvent::Chunk {
                chunk: Chunk::TextDelta(delta),
                ..
            } => {
                let stamp = Stamp::read(&delta.text).ok_or("a delta without its number")?;
                if live {
                    let now = now_ns();
                    read.latencies.add(now.saturating_sub(stamp.made));
                }
                read.first.get_or_insert_with(now_ns);
                read.misordered += u64::from(stamp.number != next);
                next = stamp.number + 1;
                read.deltas += 1;
            }
            StreamEvent::Finished(_) => read.finished = true,
            _ => {}
        }
    }
    read.ended = now_ns();
    Ok(read)
}
