//! How to read a run.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bowline_events::StartFrom;

use super::idle::Probe;
use crate::Result;

/// How to read a run.
#[derive(Clone, Default)]
#[must_use]
pub struct Observe {
    start: Option<StartFrom>,
    pub(super) idle: Option<Duration>,
    pub(super) alive: Option<Probe>,
    pub(super) close_on_suspend: bool,
    pub(super) discard_output: bool,
}

impl Observe {
    /// From the begin of the run, to its end.
    pub fn new() -> Self {
        Self::default()
    }

    /// From `offset` on: the [`offset`](super::StreamItem::offset) of the last item that was seen, plus 1.
    pub fn from_offset(mut self, offset: u64) -> Self {
        self.start = Some(StartFrom::Offset(offset));
        self
    }

    /// Only what happens from now on.
    pub fn live(mut self) -> Self {
        self.start = Some(StartFrom::Latest);
        self
    }

    /// Ends with a [`Failed`](super::StreamEvent::Failed) when nothing has come for `timeout` (a millisecond at least, a year at most) and
    /// [`is_alive`](Self::is_alive) denies, or is not set. Without it a reader waits for ever.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle = Some(timeout);
        self
    }

    /// Asks `alive` after each [`idle_timeout`](Self::idle_timeout) of silence whether somebody drives the run. An error counts as a
    /// yes. An answer that comes after another event is not heard.
    pub fn is_alive<F, A>(mut self, alive: F) -> Self
    where
        F: Fn() -> A + Send + Sync + 'static,
        A: Future<Output = Result<bool>> + Send + 'static,
    {
        self.alive = Some(Arc::new(move || Box::pin(alive())));
        self
    }

    /// Whether it was said how long to wait.
    pub(crate) fn is_impatient(&self) -> bool {
        self.idle.is_some()
    }

    /// Ends after the run has begun to wait for somebody, too.
    pub fn close_on_suspend(mut self) -> Self {
        self.close_on_suspend = true;
        self
    }

    /// Where reading begins.
    pub(crate) fn start(&self) -> StartFrom {
        self.start.unwrap_or(StartFrom::Earliest)
    }

    /// Keeps nothing of what was read; see [`Fold::discard_output`](super::Fold::discard_output).
    pub fn discard_output(mut self) -> Self {
        self.discard_output = true;
        self
    }
}

impl fmt::Debug for Observe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observe")
            .field("start", &self.start)
            .field("idle_timeout", &self.idle)
            .field("is_alive", &self.alive.is_some())
            .field("close_on_suspend", &self.close_on_suspend)
            .field("discard_output", &self.discard_output)
            .finish()
    }
}
