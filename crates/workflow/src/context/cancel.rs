//! Telling the steps of a run that nobody waits for them any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// What cancels: one per run.
#[derive(Debug, Default)]
pub(crate) struct CancelSource(Arc<Signal>);

/// What is cancelled. Never, if the source is gone without having cancelled.
#[derive(Debug, Clone, Default)]
pub(crate) struct CancelToken(Arc<Signal>);

#[derive(Debug, Default)]
struct Signal {
    raised: AtomicBool,
    changed: Notify,
}

impl CancelSource {
    /// Everything with a token of it is to give up. A second time does nothing.
    pub(crate) fn cancel(&self) {
        self.0.raised.store(true, Ordering::Release);
        self.0.changed.notify_waiters();
    }

    pub(crate) fn token(&self) -> CancelToken {
        CancelToken(Arc::clone(&self.0))
    }
}

impl CancelToken {
    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.raised.load(Ordering::Acquire)
    }

    /// Ready when, or because, it was cancelled.
    pub(crate) async fn cancelled(&self) {
        let mut changed = std::pin::pin!(self.0.changed.notified());
        // Listening begins before the look, so that nothing is missed between the two.
        changed.as_mut().enable();
        if !self.is_cancelled() {
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_who_wait_are_told_and_those_who_come_later() {
        let source = CancelSource::default();
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let token = source.token();
                tokio::spawn(async move { token.cancelled().await })
            })
            .collect();
        tokio::task::yield_now().await;
        assert!(!source.token().is_cancelled());
        source.cancel();
        source.cancel();
        for task in waiting {
            task.await.unwrap();
        }
        source.token().cancelled().await;
        assert!(source.token().is_cancelled());
    }
}
