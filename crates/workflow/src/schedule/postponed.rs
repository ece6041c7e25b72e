//! Schedules that failed, and wait.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bowline_events::Text;
use tokio::time::Instant;

use super::backoff;

/// The schedules that failed last time, and until when each is left alone.
#[derive(Debug, Default)]
pub(super) struct Postponed(Mutex<HashMap<Text, (u32, Instant)>>);

impl Postponed {
    /// How many there are, waiting or about to be tried again.
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether `id` is to be left alone at present.
    pub(super) fn is_waiting(&self, id: &str) -> bool {
        let until = self.lock().get(id).map(|(_, until)| *until);
        until.is_some_and(|until| until > Instant::now())
    }

    /// When the first of them is tried again.
    pub(super) fn next(&self) -> Option<Instant> {
        self.lock().values().map(|(_, until)| *until).min()
    }

    /// `id` has failed.
    pub(super) fn failed(&self, id: &Text) {
        let mut all = self.lock();
        let (failures, until) = all.entry(id.clone()).or_insert_with(|| (0, Instant::now()));
        *failures = failures.saturating_add(1);
        *until = Instant::now() + backoff::wait(*failures);
    }

    /// `id` has not failed.
    pub(super) fn succeeded(&self, id: &str) {
        self.lock().remove(id);
    }

    /// Forgets those that did not become due again when they could: they were deleted, paused, or fired by others.
    pub(super) fn keep(&self, is_due: impl Fn(&str) -> bool) {
        let now = Instant::now();
        self.lock()
            .retain(|id, (_, until)| *until > now || is_due(id));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Text, (u32, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_wait_longer_until_one_succeeds() {
        let postponed = Postponed::default();
        let id = Text::from("s");
        let wait_after_failure = || {
            postponed.failed(&id);
            postponed.next().map(|until| until - Instant::now())
        };
        let first = wait_after_failure();
        assert!(postponed.is_waiting("s") && !postponed.is_waiting("other"));
        let waits = [(); 12].map(|()| wait_after_failure());
        assert!(waits[0] >= first && waits[11] > Some(Duration::from_secs(14)));
        postponed.succeeded("s");
        assert_eq!((postponed.len(), postponed.next()), (0, None));
        assert!(
            wait_after_failure() < Some(Duration::from_secs(1)),
            "it begins anew"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_due_any_more_is_forgotten_after_its_wait() {
        let postponed = Postponed::default();
        postponed.failed(&"s".into());
        postponed.keep(|_| false);
        assert_eq!(postponed.len(), 1, "it waits");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!postponed.is_waiting("s"));
        postponed.keep(|id| id == "s");
        assert_eq!(postponed.len(), 1, "it is still due");
        postponed.keep(|_| false);
        assert_eq!(postponed.len(), 0);
    }
}
