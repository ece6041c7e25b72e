//! Not waiting for a server that is known to be away.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::histories::Histories;
use crate::wire::{Command, Failure, Repeat, backoff};

/// The longest pause between two probes, as an exponent.
const LONGEST_BACKOFF: u32 = 6;

/// What is known of the server: the failure that an operation met after all its patience, until the server answers again.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<Option<Failure>>);

impl Health {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Failure>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Histories {
    /// Does `work`, unless the server is known to be away: then it fails at once, so that live delivery does not wait for a
    /// cache that cannot keep the event.
    pub(super) async fn while_up<T>(
        self: &Arc<Self>,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        if let Some(failure) = self.health.lock().clone() {
            return Err(failure);
        }
        let result = work.await;
        if let Err(failure @ (Failure::Unreachable(_) | Failure::Lost(_))) = &result {
            self.is_away(failure);
        }
        result
    }

    fn is_away(self: &Arc<Self>, failure: &Failure) {
        let known = self.health.lock().replace(failure.clone()).is_some();
        if known {
            return;
        }
        tracing::warn!(
            ?failure,
            "the server of the cache is away: events are not kept until it answers"
        );
        tokio::spawn(probe(Arc::downgrade(self)));
    }
}

/// Asks the server until it answers, whatever the answer.
async fn probe(histories: Weak<Histories>) {
    for failed in 1.. {
        tokio::time::sleep(backoff(failed.min(LONGEST_BACKOFF))).await;
        let Some(histories) = histories.upgrade() else {
            return;
        };
        let ping = Command::new("PING");
        let answer = histories.store.run(&ping, Repeat::Yes).await;
        if !matches!(answer, Err(Failure::Unreachable(_) | Failure::Lost(_))) {
            *histories.health.lock() = None;
            tracing::info!("the server of the cache answers again");
            return;
        }
    }
}
