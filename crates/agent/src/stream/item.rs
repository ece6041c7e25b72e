//! What a reader of a run sees.

use bowline_events::Text;

use crate::chunk::event::{Aborted, Finish, IterationComplete, Suspended};
use crate::chunk::{Chunk, Failure, RawChunk};

/// Something that happened in a run, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamItem {
    /// The position of the event in the stream of the run: whoever comes back at the next one misses nothing. A
    /// [`StepDiscarded`](StreamEvent::StepDiscarded) shares it with the begin of the step, which follows. What has no position, because
    /// the cache failed or the bus counts nothing, has that of the event before, or 0.
    pub offset: u64,
    /// What happened.
    pub event: StreamEvent,
}

/// Something that happened in a run.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum StreamEvent {
    /// The model said something, or a tool did.
    Chunk {
        /// What it says.
        chunk: Chunk,
        /// How it travelled, with all its members.
        raw: RawChunk,
    },
    /// The call of the model is made again, after a crash or a failure: what came since its last
    /// [`StepStart`](Chunk::StepStart), or since this reader began, is void.
    StepDiscarded {
        /// The message that is not to be; `None` when this reader did not see it begin.
        message_id: Option<Text>,
        /// The iteration that begins again, where the producer tells.
        iteration: Option<u32>,
    },
    /// The run waits for somebody.
    Suspended(Box<Suspended>),
    /// The model answered, and the tools that it called are done.
    IterationComplete(Box<IterationComplete>),
    /// The run has ended; the reason may be that it failed or was stopped. The last item.
    Finished(Box<Finish>),
    /// The run failed as a whole, or nobody drives it any more. The last item.
    Failed(Failure),
    /// The run was stopped. The last item.
    Aborted(Box<Aborted>),
}

impl StreamEvent {
    /// Whether the run has ended with it.
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Finished(_) | Self::Failed(_) | Self::Aborted(_))
    }
}
