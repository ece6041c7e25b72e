//! The send window: frames in the order of the calls, from the call until the kernel has taken them.

use std::collections::VecDeque;

use memchr::{memchr_iter, memrchr};

use crate::line::lines;

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

/// Bytes of frames that are kept until a broker confirms them, at most.
const UNCONFIRMED: usize = 4 * 1024 * 1024;

/// Whether the broker of the present connection confirms what it has routed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Greeting {
    /// It has not answered yet.
    Unknown,
    Confirms,
    /// It does not know of confirmations: a Node process.
    Silent,
}

/// The number of a publish frame, given without its newline.
fn number(frame: &[u8]) -> Option<u64> {
    let digits = frame.strip_suffix(b"}")?;
    let at = memrchr(b':', digits)?;
    std::str::from_utf8(&digits[at + 1..]).ok()?.parse().ok()
}

/// The frames of `bytes` that `keep` chooses by their number.
fn select(bytes: &[u8], keep: impl Fn(u64) -> bool) -> Vec<u8> {
    let mut kept = Vec::new();
    for line in lines(bytes) {
        if number(&bytes[line.clone()]).is_some_and(&keep) {
            kept.extend_from_slice(&bytes[line.start..=line.end]);
        }
    }
    kept
}

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
    /// Publish frames that the kernel took and the broker has not confirmed, oldest first; at least the last ones.
    unconfirmed: VecDeque<Vec<u8>>,
    unconfirmed_bytes: usize,
    /// Membership frames were written after the last publish frame.
    control_last: bool,
    greeting: Greeting,
    connected_before: bool,
    waits: bool,
    next_number: u64,
    /// The broker has routed all frames up to this number.
    confirmed: u64,
    /// Frames below this number may have been routed by a broker that is gone.
    doubtful_below: u64,
    /// The frame that was under way when the last connection ended, by its number, and in how many it was.
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
            unconfirmed: VecDeque::new(),
            unconfirmed_bytes: 0,
            control_last: false,
            greeting: Greeting::Unknown,
            connected_before: false,
            waits: false,
            next_number: 1,
            confirmed: 0,
            doubtful_below: 0,
            suspect: (0, 0),
        }
    }

    /// A number for the next publish frame. Numbers grow in the order of the frames; some may be missing.
    pub(crate) fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
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
        let control = self.chunks.front()?.control;
        if self.taken || (self.waits() && !control) {
            return None;
        }
        let chunk = self.chunks.pop_front()?;
        self.taken = true;
        Some(chunk)
    }

    /// A chunk was written completely.
    pub(crate) fn finished(&mut self, chunk: Chunk) {
        self.taken = false;
        self.control_last = chunk.control;
        if chunk.control {
            return;
        }
        self.bytes -= chunk.bytes.len();
        self.unconfirmed_bytes += chunk.bytes.len();
        self.unconfirmed.push_back(chunk.bytes);
        // Without confirmations only the last frame matters.
        let limit = if self.greeting == Greeting::Silent {
            0
        } else {
            UNCONFIRMED
        };
        while self.unconfirmed.len() > 1 && self.unconfirmed_bytes > limit {
            self.recycle_oldest();
        }
    }

    fn recycle_oldest(&mut self) {
        let Some(mut bytes) = self.unconfirmed.pop_front() else {
            return;
        };
        self.unconfirmed_bytes -= bytes.len();
        if self.spare.len() < 4 && bytes.capacity() <= 2 * CHUNK {
            bytes.clear();
            self.spare.push(bytes);
        }
    }

    /// The broker has routed all frames up to `up_to`.
    pub(crate) fn confirmed(&mut self, up_to: u64) {
        self.confirmed = self.confirmed.max(up_to);
        while let Some(oldest) = self.unconfirmed.front() {
            let last = frame_start(&oldest[..oldest.len().saturating_sub(1)]);
            if number(&oldest[last..oldest.len() - 1]).is_some_and(|last| last > self.confirmed) {
                return;
            }
            self.recycle_oldest();
        }
    }

    /// A new connection begins. After a lost one, frames wait until the broker has answered: it may be one that is just dying,
    /// and only a broker that knows the numbers of frames gives those that were routed before the same ids again.
    pub(crate) fn connected(&mut self) {
        self.greeting = Greeting::Unknown;
        self.waits = std::mem::replace(&mut self.connected_before, true);
    }

    /// Whether this connection waits for an answer before it sends publish frames.
    pub(crate) fn waits(&self) -> bool {
        self.waits && self.greeting == Greeting::Unknown
    }

    /// Whether there are frames that wait for an answer.
    pub(crate) fn is_held(&self) -> bool {
        self.waits() && self.chunks.iter().any(|chunk| !chunk.control)
    }

    /// The broker said what it is, or is known not to. Frames that may have been routed before are given up where it would
    /// double them. Returns how many.
    pub(crate) fn greeted(&mut self, confirms: bool) -> usize {
        if confirms {
            self.greeting = Greeting::Confirms;
            return 0;
        }
        if self.greeting != Greeting::Unknown {
            return 0;
        }
        self.greeting = Greeting::Silent;
        let before = self.frames();
        let certain_from = self.doubtful_below;
        self.retain(|number| number >= certain_from);
        before - self.frames()
    }

    fn retain(&mut self, keep: impl Fn(u64) -> bool) {
        for chunk in self.chunks.iter_mut().filter(|chunk| !chunk.control) {
            chunk.bytes = select(&chunk.bytes, &keep);
        }
        self.chunks.retain(|chunk| !chunk.bytes.is_empty());
        let publish = self.chunks.iter().filter(|chunk| !chunk.control);
        self.bytes = publish.map(|chunk| chunk.bytes.len()).sum();
    }

    fn frames(&self) -> usize {
        let publish = self.chunks.iter().filter(|chunk| !chunk.control);
        publish
            .map(|chunk| memchr_iter(b'\n', &chunk.bytes).count())
            .sum()
    }

    /// A chunk was not written completely.
    pub(crate) fn put_back(&mut self, chunk: Chunk) {
        self.taken = false;
        self.chunks.push_front(chunk);
    }

    /// The connection is gone: membership frames are dropped, frames that the broker did not get are to be written again, and so
    /// are those that it had not confirmed although it confirms. A frame that ended several connections in a row is given up,
    /// or no other would ever get through.
    pub(crate) fn disconnected(&mut self, ending: Ending) -> Left {
        let suspect = self.rewind(ending);
        let given_up = suspect.filter(|suspect| self.is_poison(*suspect));
        if let Some(poison) = given_up {
            self.retain(|number| number != poison);
        }
        Left {
            frames: self.frames(),
            given_up: given_up.is_some(),
        }
    }

    /// Puts what is to be written again at the front. Returns the frame that was under way, if that is known.
    fn rewind(&mut self, ending: Ending) -> Option<u64> {
        self.taken = false;
        let mut accepted: Vec<u8> = self.unconfirmed.drain(..).flatten().collect();
        self.unconfirmed_bytes = 0;
        let mut more_followed = self.control_last;
        let mut partial = None;
        if let Some(front) = self.chunks.front_mut().filter(|chunk| chunk.written > 0) {
            let whole = frame_start(&front.bytes[..front.written]);
            more_followed = front.control || whole < front.written;
            if !front.control {
                if whole < front.written {
                    partial = lines(&front.bytes[whole..])
                        .next()
                        .and_then(|line| number(&front.bytes[whole..][line]));
                }
                accepted.extend(front.bytes.drain(..whole));
                front.written = 0;
            }
        }
        let last = lines(&accepted)
            .last()
            .and_then(|line| number(&accepted[line]));
        let unread = last.filter(|_| ending == Ending::Unread && !more_followed);
        let again = match self.greeting {
            Greeting::Confirms => {
                let routed = last.map_or(0, |last| last + u64::from(unread.is_none()));
                self.doubtful_below = self.doubtful_below.max(routed);
                select(&accepted, |number| number > self.confirmed)
            }
            Greeting::Unknown | Greeting::Silent => {
                select(&accepted, |number| Some(number) == unread)
            }
        };
        // A broker confirms all that it routed before it ends a connection: the frame after that is to blame.
        let blamed = lines(&again)
            .next()
            .filter(|_| self.greeting == Greeting::Confirms)
            .and_then(|line| number(&again[line]));
        self.chunks.push_front(Chunk {
            bytes: again,
            ..Chunk::default()
        });
        self.chunks.retain(|chunk| !chunk.control);
        self.retain(|_| true);
        self.control_last = false;
        self.greeting = Greeting::Unknown;
        blamed.or(partial).or(unread)
    }

    /// Counts how often a frame was the one under way when a connection ended. Whether that was too often.
    fn is_poison(&mut self, frame: u64) -> bool {
        self.suspect = match self.suspect {
            (before, times) if before == frame => (frame, times + 1),
            _ => (frame, 1),
        };
        self.suspect.1 > MAX_RESENDS
    }

    /// Takes everything out: whole publish frames, each with its newline.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Vec<u8>> + '_ {
        self.rewind(Ending::Closed);
        self.bytes = 0;
        self.chunks.drain(..).map(|chunk| chunk.bytes)
    }
}
