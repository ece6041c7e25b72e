//! Signals that are kept in the memory of a thread without a run.

use bowline_events::Text;
use uuid::Uuid;

use super::record::{RunCompleted, RunRegistered, StreamPart, ThreadRecord};
use super::runtime::{Shared, Threads};
use super::signal::Signal;
use super::thread::ThreadId;
use crate::chunk::{Chunk, Encoder, RawChunk, Start};
use crate::memory::{Memory, ThreadDetails};
use crate::{Data, Result};

/// What a run that says nothing ends with.
const FINISH: &str = r#"{"stepResult":{"reason":"stop"},"output":{"usage":{"inputTokens":0,"outputTokens":0,"totalTokens":0}}}"#;

impl Threads {
    /// Keeps a signal in the memory of a thread and shows it to those who read the thread, without waking anybody: the next run finds it
    /// there. Keeping it again changes nothing, but shows it again.
    ///
    /// # Errors
    /// `NotFound` for an agent that this process does not have, `AlreadyExists` when the thread is one of another resource,
    /// `InvalidInput` and `TooLarge` for what cannot be given, `Store`, `Bus` when it is kept but not shown.
    pub async fn persist_signal(
        &self,
        agent: &str,
        thread: &ThreadId,
        signal: impl Into<Signal>,
    ) -> Result<()> {
        let shared = self.shared();
        shared.check_open("signal")?;
        shared.agent("signal", agent)?;
        let signal = signal.into();
        signal.check()?;
        let memory = Memory::new(shared.store.clone());
        // As runs have it, a conversation of nobody in particular is its own resource.
        let resource = thread.resource_id().unwrap_or_else(|| thread.id()).clone();
        let details = ThreadDetails::default();
        memory.open(thread.id().clone(), resource, details).await?;
        let message = signal.to_message(Some(thread.id()), thread.resource_id());
        memory.append(thread.id(), &[message]).await?;
        let told = shared.show(agent, thread, &signal).await;
        told.map_err(|error| crate::Error::bus("signal", error))
    }
}

impl Shared {
    /// Shows a signal as the only piece of a run that there is not.
    async fn show(
        &self,
        agent: &str,
        thread: &ThreadId,
        signal: &Signal,
    ) -> bowline_events::Result<()> {
        let random = || Text::from(Uuid::new_v4().to_string());
        let (run_id, stream_id) = (random(), random());
        let encoder = Encoder::new(run_id.clone());
        let start = encoder.chunk(&Chunk::Start(Start {
            agent_id: agent.to_owned().into(),
            message_id: format!("persisted-signal:{}", signal.id()).into(),
        }));
        let run = Data::of(run_id.as_str()).unwrap_or_default();
        let shown = signal.to_chunk();
        // It is an object, so it ends with a brace, before which one more member has its place.
        let open = shown.as_str().strip_suffix('}').unwrap_or_default();
        let shown = format!("{open},\"runId\":{run}}}");
        let finish =
            format!(r#"{{"type":"finish","runId":{run},"from":"AGENT","payload":{FINISH}}}"#);
        self.tell(
            thread,
            &ThreadRecord::Registered(RunRegistered {
                run_id: run_id.clone(),
                stream_id: stream_id.clone(),
                stream_seq: 1,
                source_id: Some(self.source.clone()),
            }),
        )
        .await?;
        for part in [start, shown.into(), finish.into()] {
            let Ok(part) = RawChunk::read(part) else {
                continue;
            };
            let part = ThreadRecord::Part(StreamPart {
                run_id: run_id.clone(),
                stream_id: stream_id.clone(),
                part,
                source_id: Some(self.source.clone()),
            });
            self.tell(thread, &part).await?;
        }
        self.tell(
            thread,
            &ThreadRecord::Completed(RunCompleted {
                run_id,
                stream_id: Some(stream_id),
                persisted: Some(true),
            }),
        )
        .await
    }
}
