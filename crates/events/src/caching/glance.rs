//! When to look into the cache for what the bus does not bring.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// A timer that is armed while nothing comes.
pub(super) struct Glance {
    every: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    armed: bool,
}

impl Glance {
    pub(super) fn new(every: Duration) -> Self {
        Self {
            every,
            sleep: None,
            armed: false,
        }
    }

    /// Something came.
    pub(super) fn heard(&mut self) {
        self.armed = false;
    }

    /// Ready when it has been silent for so long. Call it only while nothing comes.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let every = self.every;
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(every)));
        if !self.armed {
            sleep.as_mut().reset(Instant::now() + every);
            self.armed = true;
        }
        ready!(sleep.as_mut().poll(cx));
        self.armed = false;
        Poll::Ready(())
    }
}
