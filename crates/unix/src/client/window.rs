//! The send window: frames in the order of the calls, from the call until the kernel has taken them.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use memchr::{memchr, memchr_iter, memrchr};

/// Bytes of one write.
const CHUNK: usize = 128 * 1024;

/// Frames that are written together.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    bytes: Vec<u8>,
    written: usize,
    /// Membership frames; they belong to one connection and are made anew for the next.
    control: bool,
}

impl Chunk {
    /// What is still to be written.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// The kernel took `bytes` more.
    pub(crate) fn advance(&mut self, bytes: usize) {
        self.written += bytes;
    }

    pub(crate) fn is_done(&self) -> bool {
        self.written == self.bytes.len()
    }

    /// Forgets that a part of a frame was written: whoever read that part is gone. With `last`, also forgets the last whole
    /// frame if nothing was written after it.
    fn rewind(&mut self, last: bool) {
        let before = self.written;
        self.written = frame_start(&self.bytes[..before]);
        if last && self.written == before {
            self.written = frame_start(&self.bytes[..before.saturating_sub(1)]);
        }
    }
}

/// Where the last frame of `bytes` begins that has no newline yet.
fn frame_start(bytes: &[u8]) -> usize {
    memrchr(b'\n', bytes).map_or(0, |at| at + 1)
}

/// How a connection came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Nothing is known about what the broker had read.
    Closed,
    /// The kernel said that the broker died with bytes of ours unread: the last frame at least never reached it.
    Unread,
}

/// How often a frame is sent again that was under way when its connection ended.
const MAX_RESENDS: u32 = 3;

/// What a lost connection leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Left {
    /// Frames for the next broker.
    pub(crate) frames: usize,
    /// One frame was given up.
    pub(crate) given_up: bool,
}

/// The window of one participant. Survives connections.
#[derive(Debug)]
pub(crate) struct Window {
    chunks: VecDeque<Chunk>,
    /// Bytes of publish frames that the kernel has not taken.
    bytes: usize,
    limit: usize,
    /// Somebody is writing the first chunk.
    taken: bool,
    spare: Vec<Vec<u8>>,
    /// The chunk that was written last, if it held publish frames.
    last: Option<Vec<u8>>,
    /// The frame that was under way when the last connection ended, by its hash, and in how many it was.
    suspect: (u64, u32),
}

impl Window {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            chunks: VecDeque::new(),
            bytes: 0,
            limit,
            taken: false,
            spare: Vec::new(),
            last: None,
            suspect: (0, 0),
        }
    }

    /// Whether another frame may be added. One that is larger than the window is let in when the window is empty.
    pub(crate) fn has_room(&self) -> bool {
        self.bytes < self.limit
    }

    /// Whether nothing waits and nobody writes.
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty() && !self.taken
    }

    /// Adds a publish frame that `write` encodes, with its newline; an error leaves the window as it was.
    pub(crate) fn publish<E>(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let fits = |chunk: &Chunk| !chunk.control && chunk.bytes.len() < CHUNK;
        if !self.chunks.back().is_some_and(fits) {
            let bytes = self.spare.pop().unwrap_or_default();
            self.chunks.push_back(Chunk {
                bytes,
                ..Chunk::default()
            });
        }
        // A chunk was pushed if there was none.
        let Some(chunk) = self.chunks.back_mut() else {
            return Ok(());
        };
        let before = chunk.bytes.len();
        let written = write(&mut chunk.bytes);
        if written.is_err() {
            chunk.bytes.truncate(before);
        }
        self.bytes += chunk.bytes.len() - before;
        if chunk.bytes.is_empty() {
            self.chunks.pop_back();
        }
        written
    }

    /// Adds membership frames.
    pub(crate) fn control(&mut self, frames: Vec<u8>) {
        match self.chunks.back_mut() {
            Some(chunk) if chunk.control => chunk.bytes.extend_from_slice(&frames),
            _ if frames.is_empty() => {}
            _ => self.chunks.push_back(Chunk {
                bytes: frames,
                control: true,
                ..Chunk::default()
            }),
        }
    }

    /// Adds membership frames before everything else, at the start of a connection.
    pub(crate) fn control_first(&mut self, frames: Vec<u8>) {
        if !frames.is_empty() {
            self.chunks.push_front(Chunk {
                bytes: frames,
                control: true,
                ..Chunk::default()
            });
        }
    }

    /// The first chunk, to be written; comes back through [`finished`](Self::finished) or [`put_back`](Self::put_back).
    pub(crate) fn take(&mut self) -> Option<Chunk> {
        if self.taken {
            return None;
        }
        let chunk = self.chunks.pop_front()?;
        self.taken = true;
        Some(chunk)
    }

    /// A chunk was written completely.
    pub(crate) fn finished(&mut self, chunk: Chunk) {
        self.taken = false;
        if !chunk.control {
            self.bytes -= chunk.bytes.len();
        }
        let keep = (!chunk.control).then_some(chunk.bytes);
        if let Some(mut bytes) = std::mem::replace(&mut self.last, keep)
            && self.spare.len() < 2
            && bytes.capacity() <= 2 * CHUNK
        {
            bytes.clear();
            self.spare.push(bytes);
        }
    }

    /// A chunk was not written completely.
    pub(crate) fn put_back(&mut self, chunk: Chunk) {
        self.taken = false;
        self.chunks.push_front(chunk);
    }

    /// The connection is gone: membership frames are dropped, frames that the broker certainly never got are to be written
    /// again. A frame that ended several connections in a row is given up, or no other would ever get through.
    pub(crate) fn disconnected(&mut self, ending: Ending) -> Left {
        let given_up = self.rewind(ending) && self.give_up_poison();
        let frames = |chunk: &Chunk| memchr_iter(b'\n', chunk.rest()).count();
        Left {
            frames: self.chunks.iter().map(frames).sum(),
            given_up,
        }
    }

    /// Makes the first chunk begin with the first frame that the broker did not get. Whether that frame was under way.
    fn rewind(&mut self, ending: Ending) -> bool {
        self.taken = false;
        let unread = ending == Ending::Unread;
        // What was written last is at the front, or was finished before.
        let last = self.last.take();
        let front = self.chunks.front_mut().filter(|chunk| chunk.written > 0);
        let began = front.is_some();
        let mut suspect = false;
        if let Some(front) = front {
            suspect = !front.control;
            front.rewind(unread);
            if !front.control {
                // The next connection begins with what is left.
                self.bytes -= front.written;
                front.bytes.drain(..front.written);
                front.written = 0;
            }
        }
        if unread
            && !began
            && let Some(bytes) = last
        {
            let start = frame_start(&bytes[..bytes.len().saturating_sub(1)]);
            let bytes = bytes[start..].to_vec();
            self.bytes += bytes.len();
            self.chunks.push_front(Chunk {
                bytes,
                ..Chunk::default()
            });
            suspect = true;
        }
        self.chunks.retain(|chunk| !chunk.control);
        suspect
    }

    /// Counts how often the frame at the front was the one under way when a connection ended; takes it out when that was too
    /// often. Whether it did.
    fn give_up_poison(&mut self) -> bool {
        let Some(front) = self.chunks.front_mut() else {
            return false;
        };
        let end = memchr(b'\n', &front.bytes).map_or(front.bytes.len(), |at| at + 1);
        let mut hasher = DefaultHasher::new();
        front.bytes[..end].hash(&mut hasher);
        let frame = hasher.finish();
        self.suspect = match self.suspect {
            (before, times) if before == frame => (frame, times + 1),
            _ => (frame, 1),
        };
        let given_up = self.suspect.1 > MAX_RESENDS;
        if given_up {
            front.bytes.drain(..end);
            self.bytes -= end;
            self.suspect = (0, 0);
            if self
                .chunks
                .front()
                .is_some_and(|front| front.bytes.is_empty())
            {
                self.chunks.pop_front();
            }
        }
        given_up
    }

    /// Takes everything out: whole publish frames, each with its newline.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Vec<u8>> + '_ {
        self.rewind(Ending::Closed);
        self.bytes = 0;
        self.chunks.drain(..).map(|chunk| chunk.bytes)
    }
}
