//! How long a reader waits for a run that nobody may drive any more.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::{BoxFuture, Result};

/// Tells whether somebody drives the run.
pub(super) type Probe = Arc<dyn Fn() -> BoxFuture<'static, Result<bool>> + Send + Sync>;

/// Shorter times would make a reader spin.
const SHORTEST: Duration = Duration::from_millis(1);
/// Longer ones cannot be told from never.
const LONGEST: Duration = Duration::from_secs(60 * 60 * 24 * 365);

/// A timer that is armed while nothing comes.
pub(super) struct Idle {
    timeout: Duration,
    alive: Option<Probe>,
    sleep: Option<Pin<Box<Sleep>>>,
    armed: bool,
    probe: Option<BoxFuture<'static, Result<bool>>>,
}

impl Idle {
    pub(super) fn new(timeout: Duration, alive: Option<Probe>) -> Self {
        Self {
            timeout: timeout.clamp(SHORTEST, LONGEST),
            alive,
            sleep: None,
            armed: false,
            probe: None,
        }
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Something came: what was asked before does not matter any more.
    pub(super) fn heard(&mut self) {
        self.armed = false;
        self.probe = None;
    }

    /// Ready when it has been silent for too long and nobody drives the run. Call it only while nothing comes.
    pub(super) fn poll_dead(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(probe) = &mut self.probe {
                let answer = ready!(probe.as_mut().poll(cx));
                self.probe = None;
                // Who cannot be asked may be alive.
                if let Ok(false) = answer {
                    return Poll::Ready(());
                }
            }
            ready!(self.poll_silence(cx));
            match &self.alive {
                Some(alive) => self.probe = Some(alive()),
                None => return Poll::Ready(()),
            }
        }
    }

    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(self.timeout)));
        if !self.armed {
            sleep.as_mut().reset(Instant::now() + self.timeout);
            self.armed = true;
        }
        ready!(sleep.as_mut().poll(cx));
        self.armed = false;
        Poll::Ready(())
    }
}

impl fmt::Debug for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idle")
            .field("timeout", &self.timeout)
            .field("armed", &self.armed)
            .field("asking", &self.probe.is_some())
            .finish_non_exhaustive()
    }
}
