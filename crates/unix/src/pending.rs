//! Publishes that wait for a broker, or for room in the send window.

use std::collections::VecDeque;

use bowline_events::{Error, Result};
use tokio::sync::oneshot;

use crate::participant::copy;

/// Frames with the callers that wait for them, in the order of the calls. Bounded by the number of callers.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    queue: VecDeque<Waiting>,
    tickets: u64,
}

#[derive(Debug)]
struct Waiting {
    ticket: u64,
    frame: Vec<u8>,
    done: oneshot::Sender<Result<()>>,
}

impl Pending {
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Adds a frame; `done` hears when it is in the window, or why it will not get there.
    pub(crate) fn push(&mut self, frame: Vec<u8>, done: oneshot::Sender<Result<()>>) -> u64 {
        self.tickets += 1;
        self.queue.push_back(Waiting {
            ticket: self.tickets,
            frame,
            done,
        });
        self.tickets
    }

    /// Takes a frame out again; false when it has gone already.
    pub(crate) fn remove(&mut self, ticket: u64) -> bool {
        let before = self.queue.len();
        self.queue.retain(|waiting| waiting.ticket != ticket);
        self.queue.len() < before
    }

    /// The next frame; its caller is told that it is under way.
    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        let waiting = self.queue.pop_front()?;
        // The caller may have gone; its frame goes out all the same.
        let _ = waiting.done.send(Ok(()));
        Some(waiting.frame)
    }

    /// Tells all callers that it will not happen.
    pub(crate) fn fail(&mut self, error: &Error) {
        for waiting in self.queue.drain(..) {
            // A caller that has gone does not need to know.
            let _ = waiting.done.send(Err(copy(error)));
        }
    }
}
