//! What waits to be written to one client.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

/// A client that took nothing for this long, although something was waiting, is stalled and slows nobody any more.
pub(crate) const STALLED_AFTER: Duration = Duration::from_secs(1);

/// A piece of a frame.
#[derive(Debug, Clone)]
pub(crate) enum Part {
    /// A range of the run that is being encoded; many clients refer to the same bytes.
    Run(Range<usize>),
    /// Bytes of the read buffer, too many to be worth copying.
    Shared(Bytes),
}

impl Part {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Run(range) => range.len(),
            Self::Shared(bytes) => bytes.len(),
        }
    }
}

/// The queue of one client: finished runs, and references into the present one.
#[derive(Debug)]
pub(crate) struct Queue {
    ready: VecDeque<Bytes>,
    parts: Vec<Part>,
    /// Bytes of `ready`, `parts` and what a writer holds.
    bytes: usize,
    writing: bool,
    progressed_at: Instant,
}

impl Queue {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            ready: VecDeque::new(),
            parts: Vec::new(),
            bytes: 0,
            writing: false,
            progressed_at: now,
        }
    }

    /// Bytes that are queued and not yet written.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends a frame made of `parts`. Whether this is the client's first frame in the run.
    pub(crate) fn push<'p>(
        &mut self,
        parts: impl IntoIterator<Item = &'p Part>,
        now: Instant,
    ) -> bool {
        let first = self.parts.is_empty();
        if self.bytes == 0 {
            self.progressed_at = now;
        }
        for part in parts {
            self.bytes += part.len();
            match (self.parts.last_mut(), part) {
                (Some(Part::Run(last)), Part::Run(next)) if last.end == next.start => {
                    last.end = next.end;
                }
                _ => self.parts.push(part.clone()),
            }
        }
        first
    }

    /// The run is finished: `run` holds the bytes that the parts refer to.
    pub(crate) fn finish_run(&mut self, run: &Bytes) {
        for part in self.parts.drain(..) {
            self.ready.push_back(match part {
                Part::Run(range) => run.slice(range),
                Part::Shared(bytes) => bytes,
            });
        }
    }

    /// Hands everything that is ready to a writer, unless there is one at work.
    pub(crate) fn take(&mut self) -> Option<VecDeque<Bytes>> {
        if self.writing || self.ready.is_empty() {
            return None;
        }
        self.writing = true;
        Some(std::mem::take(&mut self.ready))
    }

    /// A writer comes back: it wrote `written` bytes and could not write `rest`.
    pub(crate) fn give_back(&mut self, written: usize, mut rest: VecDeque<Bytes>, now: Instant) {
        self.writing = false;
        self.bytes = self.bytes.saturating_sub(written);
        if written > 0 {
            self.progressed_at = now;
        }
        if self.ready.is_empty() {
            self.ready = rest;
        } else if !rest.is_empty() {
            rest.append(&mut self.ready);
            self.ready = rest;
        }
    }

    /// Whether the client has not taken anything for too long.
    pub(crate) fn is_stalled(&self, now: Instant) -> bool {
        self.bytes > 0 && now.saturating_duration_since(self.progressed_at) >= STALLED_AFTER
    }
}

/// The bytes of the frames that are being encoded: one buffer, shared by all clients they go to.
#[derive(Debug, Default)]
pub(crate) struct Run(BytesMut);

/// Room that is made at a time.
const BLOCK: usize = 256 * 1024;

impl Run {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.0.capacity() - self.0.len() < bytes.len() {
            self.0.reserve(bytes.len().max(BLOCK));
        }
        self.0.extend_from_slice(bytes);
    }

    /// Ends the run.
    pub(crate) fn finish(&mut self) -> Bytes {
        self.0.split().freeze()
    }
}
