//! Acknowledgements on their way to the server: many in one command.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::Notify;

use crate::stream::StreamId;
use crate::wire::Failure;

/// Entries that one command acknowledges at most.
pub(super) const MOST: usize = 1_000;

/// The outcome of one command, shared by all who wait for it.
#[derive(Debug, Default)]
pub(super) struct Batch {
    outcome: OnceLock<Result<(), Failure>>,
    answered: Notify,
}

impl Batch {
    /// Waits until the server has answered.
    pub(super) async fn answer(&self) -> Result<(), Failure> {
        loop {
            let mut answered = pin!(self.answered.notified());
            answered.as_mut().enable();
            if let Some(outcome) = self.outcome.get() {
                return outcome.clone();
            }
            answered.await;
        }
    }

    fn settle(&self, outcome: Result<(), Failure>) {
        // A batch is settled once, by the one who took it.
        let _ = self.outcome.set(outcome);
        self.answered.notify_waiters();
    }
}

/// Gathers what is acknowledged while the command before is on its way.
#[derive(Debug, Default)]
pub(super) struct Acks {
    gathered: Mutex<Gathered>,
    /// Tells the sender that there is something.
    some: Notify,
}

#[derive(Debug, Default)]
struct Gathered {
    full: VecDeque<(Vec<StreamId>, Arc<Batch>)>,
    open: Vec<StreamId>,
    batch: Arc<Batch>,
    /// What the command on its way acknowledges.
    sending: Option<(Vec<StreamId>, Arc<Batch>)>,
    last: Option<Arc<Batch>>,
    /// Why nothing is sent any more.
    failed: Option<Failure>,
}

impl Acks {
    fn lock(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an entry; the batch tells when the server has it.
    pub(super) fn push(&self, id: StreamId) -> Arc<Batch> {
        let mut gathered = self.lock();
        if let Some(failure) = &gathered.failed {
            let batch = Batch::default();
            batch.settle(Err(failure.clone()));
            return Arc::new(batch);
        }
        let first = gathered.open.is_empty();
        gathered.open.push(id);
        let batch = Arc::clone(&gathered.batch);
        if gathered.open.len() >= MOST {
            gathered.close();
        }
        drop(gathered);
        if first {
            self.some.notify_one();
        }
        batch
    }

    /// The entries of the next command. They are on their way until [`answered`](Self::answered).
    pub(super) async fn next(&self) -> Vec<StreamId> {
        loop {
            let some = self.some.notified();
            if let Some(next) = self.take() {
                return next;
            }
            some.await;
        }
    }

    fn take(&self) -> Option<Vec<StreamId>> {
        let mut gathered = self.lock();
        if gathered.sending.is_none() {
            if gathered.full.is_empty() && !gathered.open.is_empty() {
                gathered.close();
            }
            gathered.sending = gathered.full.pop_front();
        }
        gathered.sending.as_ref().map(|(ids, _)| ids.clone())
    }

    /// The command on its way was answered, or given up.
    pub(super) fn answered(&self, outcome: Result<(), Failure>) {
        let sent = self.lock().sending.take();
        if let Some((_, batch)) = sent {
            batch.settle(outcome);
        }
    }

    /// Entries whose acknowledgement is not answered.
    pub(super) fn pending(&self) -> usize {
        let gathered = self.lock();
        let closed = gathered.full.iter().chain(&gathered.sending);
        closed.map(|(ids, _)| ids.len()).sum::<usize>() + gathered.open.len()
    }

    /// Adds the entries whose acknowledgement is not answered to `ids`.
    pub(super) fn collect(&self, ids: &mut impl Extend<StreamId>) {
        let gathered = self.lock();
        ids.extend(gathered.open.iter().copied());
        for (closed, _) in gathered.full.iter().chain(&gathered.sending) {
            ids.extend(closed.iter().copied());
        }
    }

    /// Waits until everything that was pushed before is answered. Whether it succeeded is known to those who pushed.
    pub(super) async fn settled(&self) {
        let last = {
            let gathered = self.lock();
            match gathered.open.is_empty() {
                true => gathered.last.clone(),
                false => Some(Arc::clone(&gathered.batch)),
            }
        };
        if let Some(batch) = last {
            let _ = batch.answer().await;
        }
    }

    /// Nothing is sent any more: those who wait get `failure`.
    pub(super) fn fail(&self, failure: &Failure) {
        let mut gathered = self.lock();
        if !gathered.open.is_empty() {
            gathered.close();
        }
        gathered.failed = Some(failure.clone());
        let sending = gathered.sending.take();
        let full = std::mem::take(&mut gathered.full);
        drop(gathered);
        for (_, batch) in sending.into_iter().chain(full) {
            batch.settle(Err(failure.clone()));
        }
    }
}

impl Gathered {
    fn close(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        self.last = Some(Arc::clone(&batch));
        let ids = std::mem::take(&mut self.open);
        self.full.push_back((ids, batch));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> StreamId {
        StreamId { millis: 1, number }
    }

    #[tokio::test]
    async fn what_gathers_goes_together() {
        let acks = Acks::default();
        for n in 0..5 {
            drop(acks.push(id(n)));
        }
        let first = acks.push(id(5));
        assert_eq!(acks.next().await, (0..6).map(id).collect::<Vec<_>>());
        let later = acks.push(id(6));
        assert_eq!(acks.pending(), 7);
        assert_eq!(acks.next().await.len(), 6, "until it is answered");
        acks.answered(Ok(()));
        assert!(first.answer().await.is_ok());
        assert_eq!(acks.pending(), 1);
        acks.fail(&Failure::Protocol("closed".to_owned()));
        assert!(later.answer().await.is_err());
        assert!(acks.push(id(7)).answer().await.is_err());
        acks.settled().await;
    }

    #[tokio::test]
    async fn no_command_grows_beyond_its_limit() {
        let acks = Acks::default();
        let all = 2 * MOST + 7;
        for n in 0..all as u64 {
            drop(acks.push(id(n)));
        }
        let mut sizes = Vec::new();
        let mut seen = Vec::new();
        while acks.pending() > 0 {
            let ids = acks.next().await;
            sizes.push(ids.len());
            seen.extend(ids);
            acks.answered(Ok(()));
        }
        assert_eq!(sizes, [MOST, MOST, 7]);
        assert_eq!(seen, (0..all as u64).map(id).collect::<Vec<_>>());
    }
}
