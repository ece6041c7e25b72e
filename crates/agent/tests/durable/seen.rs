//! What readers of a run have seen.

use std::sync::Arc;
use std::time::Duration;

use bowline_agent::chunk::Chunk;
use bowline_agent::stream::{AgentStream, Observe};
use bowline_agent::{RunOutput, StreamEvent, StreamItem};
use bowline_events::PubSub;
use tokio::time::timeout;

/// What one reader has seen, without what was void.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Seen {
    starts: usize,
    /// The text of each step.
    texts: Vec<String>,
    /// Calls, in the order of the model.
    calls: Vec<String>,
    /// What came of calls; those side by side end in any order.
    outcomes: Vec<String>,
    waits: Vec<String>,
    step_ends: usize,
    iterations: Vec<u32>,
    ends: usize,
    /// Where the last item was.
    last: Option<u64>,
}

impl Seen {
    pub(crate) fn take(&mut self, item: &StreamItem) {
        assert!(Some(item.offset) >= self.last, "back to {}", item.offset);
        self.last = Some(item.offset);
        match &item.event {
            StreamEvent::Chunk { chunk, .. } => self.chunk(chunk),
            StreamEvent::StepDiscarded { .. } => {
                // The step begins again right behind it.
                self.texts.pop();
                let step = format!("{}:", self.texts.len() + 1);
                self.calls.retain(|call| !call.starts_with(&step));
            }
            StreamEvent::Suspended(call) => {
                let wait = format!("{:?} {:?}", call.tool_call_id, call.kind);
                // A tool that waits again after a crash says so again.
                if !self.waits.contains(&wait) {
                    self.waits.push(wait);
                }
            }
            StreamEvent::IterationComplete(end) => self.iterations.push(end.iteration),
            _ => self.ends += 1,
        }
    }

    fn chunk(&mut self, chunk: &Chunk) {
        match chunk {
            Chunk::Start(_) => self.starts += 1,
            Chunk::StepStart(_) => self.texts.push(String::new()),
            Chunk::TextDelta(delta) => self.texts.last_mut().unwrap().push_str(&delta.text),
            Chunk::ToolCall(call) => {
                let step = self.texts.len();
                self.calls.push(format!("{step}:{}", call.call.id));
            }
            Chunk::ToolResult(result) => {
                let outcome = format!("{} {:?}", result.call.id, result.result);
                self.outcomes.push(outcome);
                self.outcomes.sort();
            }
            Chunk::ToolError(failure) => panic!("a tool has failed: {failure:?}"),
            Chunk::StepFinish(_) => self.step_ends += 1,
            _ => {}
        }
    }

    /// What does not depend on where things were, and on who asked first.
    pub(crate) fn essence(mut self) -> Self {
        self.last = None;
        self.waits.sort();
        self
    }
}

/// Reads a run to its end on one connection.
pub(crate) async fn attached(bus: &Arc<dyn PubSub>, run: &str) -> (Seen, RunOutput) {
    let mut stream = AgentStream::open(bus, run.to_owned(), Observe::new())
        .await
        .unwrap();
    let mut seen = Seen::default();
    while let Some(item) = stream.next().await {
        seen.take(&item.unwrap());
    }
    (seen, stream.into_output())
}

/// Reads a run to its end, and connects anew every few items.
pub(crate) async fn reconnecting(
    bus: &Arc<dyn PubSub>,
    run: &str,
    every: usize,
) -> (Seen, RunOutput, usize) {
    let mut stream = AgentStream::open(bus, run.to_owned(), Observe::new())
        .await
        .unwrap();
    let mut seen = Seen::default();
    let (mut items, mut times) = (0, 0);
    while let Some(item) = stream.next().await {
        seen.take(&item.unwrap());
        items += 1;
        if items % every == 0 {
            stream.reopen().await.unwrap();
            times += 1;
        }
    }
    (seen, stream.into_output(), times)
}

/// Reads a run to its end on a bus whose live events may not come from other processes: connects anew while nothing comes.
pub(crate) async fn looking(bus: &Arc<dyn PubSub>, run: String) -> (Seen, RunOutput) {
    const SILENCE: Duration = Duration::from_millis(25);
    let mut stream = AgentStream::open(bus, run, Observe::new()).await.unwrap();
    let mut seen = Seen::default();
    loop {
        match timeout(SILENCE, stream.next()).await {
            Ok(Some(item)) => seen.take(&item.unwrap()),
            Ok(None) => return (seen, stream.into_output()),
            Err(_) => stream.reopen().await.unwrap(),
        }
    }
}
