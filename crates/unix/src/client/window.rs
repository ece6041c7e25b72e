//! The send window: frames in the order of the calls, from the call until the kernel has taken them.

use std::collections::VecDeque;

use memchr::memrchr;

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
    /// again. Returns the number of frames that are left.
    pub(crate) fn disconnected(&mut self, ending: Ending) -> usize {
        self.taken = false;
        let unread = ending == Ending::Unread;
        // What was written last is at the front, or was finished before.
        let last = self.last.take();
        let front = self.chunks.front_mut().filter(|chunk| chunk.written > 0);
        let began = front.is_some();
        if let Some(front) = front {
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
        }
        self.chunks.retain(|chunk| !chunk.control);
        let frames = |chunk: &Chunk| memchr::memchr_iter(b'\n', chunk.rest()).count();
        self.chunks.iter().map(frames).sum()
    }

    /// Takes everything out: whole publish frames, each with its newline.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Vec<u8>> + '_ {
        self.disconnected(Ending::Closed);
        self.bytes = 0;
        self.chunks.drain(..).map(|chunk| chunk.bytes)
    }
}
