//! Signals that are kept in the memory of a thread without a run.

use super::record::{RunCompleted, RunRegistered, StreamPart, ThreadRecord};
use super::runtime::Shared;
use super::signal::Signal;
use super::state::Waiting;
use super::thread::ThreadId;
use crate::chunk::{Chunk, Encoder, RawChunk, Start};
use crate::memory::{Memory, ThreadDetails};
use crate::{Data, Result, random_id};

/// What a run that says nothing ends with.
const FINISH: &str = r#"{"stepResult":{"reason":"stop"},"output":{"usage":{"inputTokens":0,"outputTokens":0,"totalTokens":0}}}"#;

impl Shared {
    /// Keeps a signal in the memory of a thread. Keeping it again changes nothing.
    pub(super) async fn remember(&self, thread: &ThreadId, signal: &Signal) -> Result<()> {
        let memory = self.memory(thread).await?;
        let message = signal.to_message(Some(thread.id()), thread.resource_id());
        memory.append(thread.id(), &[message]).await?;
        Ok(())
    }

    /// The memory of a thread, which is made unless it is there.
    pub(super) async fn memory(&self, thread: &ThreadId) -> Result<Memory> {
        let memory = Memory::new(self.store.clone());
        // As runs have it, a conversation of nobody in particular is its own resource.
        let resource = thread.resource_id().unwrap_or_else(|| thread.id()).clone();
        let details = ThreadDetails::default();
        memory.open(thread.id().clone(), resource, details).await?;
        Ok(memory)
    }

    /// Shows a signal that is kept to those who read the thread.
    pub(super) async fn show(&self, thread: &ThreadId, kept: &Waiting) {
        if let Err(error) = self.try_to_show(&kept.agent, thread, &kept.signal).await {
            tracing::warn!(thread = %thread.id(), %error, "a signal is kept and was not shown");
        }
    }

    /// Shows a signal as the only piece of a run that there is not.
    async fn try_to_show(
        &self,
        agent: &str,
        thread: &ThreadId,
        signal: &Signal,
    ) -> bowline_events::Result<()> {
        let (run_id, stream_id) = (random_id(), random_id());
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
