//! The lease of a thread, which programs of either language respect. Its owner is a run.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::{LeaseProvider, Text};

/// Leases, where the bus has them. Among processes with one store the state of the thread says who is at work, whatever the leases say;
/// a bus that cannot be asked therefore keeps nobody from working.
#[derive(Debug, Clone)]
pub(super) struct Leases {
    pub(super) provider: Option<Arc<dyn LeaseProvider>>,
    pub(super) ttl: Duration,
}

/// Who holds a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Held {
    /// The run that asked.
    Mine,
    /// Another one.
    By(Text),
}

impl Leases {
    /// Takes the thread for `run`.
    pub(super) async fn acquire(&self, key: &str, run: &str) -> Held {
        let Some(provider) = &self.provider else {
            return Held::Mine;
        };
        match provider.acquire(key, run, self.ttl).await {
            Ok(got) if got.acquired => Held::Mine,
            Ok(got) => match got.owner {
                Some(owner) if owner != *run => Held::By(owner),
                Some(_) => Held::Mine,
                // Somebody holds it whom the bus does not know: nobody can be told anything.
                None => Held::By(Text::default()),
            },
            Err(error) => {
                tracing::warn!(%run, %error, "the lease of a thread cannot be taken; the run goes on by the store alone");
                Held::Mine
            }
        }
    }

    /// Prolongs the lease of `run`, or takes it again if it has merely expired.
    pub(super) async fn renew(&self, key: &str, run: &str) -> Held {
        let Some(provider) = &self.provider else {
            return Held::Mine;
        };
        match provider.renew(key, run, self.ttl).await {
            Ok(true) => Held::Mine,
            Ok(false) => self.acquire(key, run).await,
            Err(error) => {
                tracing::warn!(%run, %error, "the lease of a thread cannot be prolonged; the run goes on by the store alone");
                Held::Mine
            }
        }
    }

    /// Hands the thread from a run that has ended to the next one.
    pub(super) async fn hand_over(&self, key: &str, from: &str, to: &str) -> Held {
        if let Some(provider) = &self.provider
            && let Ok(true) = provider.transfer(key, from, to, self.ttl).await
        {
            return Held::Mine;
        }
        self.acquire(key, to).await
    }

    pub(super) async fn release(&self, key: &str, run: &str) {
        if let Some(provider) = &self.provider
            && let Err(error) = provider.release(key, run).await
        {
            tracing::debug!(%run, %error, "the lease of a thread was not released; it expires");
        }
    }

    /// Who holds the thread; `None` when leases cannot be asked, `Some(None)` when nobody does.
    pub(super) async fn owner(&self, key: &str) -> Option<Option<Text>> {
        let provider = self.provider.as_ref()?;
        provider.owner(key).await.ok()
    }
}
