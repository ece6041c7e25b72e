//! Whether a process may still speak for its runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::cancel::CancelToken;

/// How long nobody can have watched an engine to be silent for its lease. All its runs share it.
#[derive(Debug)]
pub(crate) struct Hold {
    began: Instant,
    length: Duration,
    /// Nanoseconds after `began`.
    until: AtomicU64,
    /// Counts the times that it was over before it was prolonged: others may have taken runs then.
    term: AtomicU64,
}

impl Hold {
    /// Of an engine that asks at `sent` to be entered, with this lease. The last eighth of a lease is for what is on its way to a
    /// bus when the hold is over.
    pub(crate) fn new(sent: Instant, lease: Duration) -> Self {
        let length = lease - lease / 8;
        Self {
            began: sent,
            length,
            until: AtomicU64::new(nanos(length)),
            term: AtomicU64::new(0),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        nanos(self.began.elapsed()) >= self.until.load(Ordering::SeqCst)
    }

    /// It was renewed by what was sent to the store at `sent`. `false` when it was over before: a new term begins.
    pub(crate) fn prolong(&self, sent: Instant) -> bool {
        let unbroken = !self.is_over();
        if !unbroken {
            // Whoever sees the new end sees the new term as well.
            self.term.fetch_add(1, Ordering::SeqCst);
        }
        let until = sent.duration_since(self.began) + self.length;
        self.until.store(nanos(until), Ordering::SeqCst);
        unbroken
    }

    /// It is over at once.
    pub(crate) fn end(&self) {
        self.until.store(0, Ordering::SeqCst);
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Keeps what the steps of a run say from being heard when the run may be somebody else's. Clones are the same fence.
#[derive(Debug, Clone)]
pub(crate) struct Fence(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// `None`: nobody else ever takes the run.
    hold: Option<Arc<Hold>>,
    /// The term in which the run was last seen to be this engine's.
    term: AtomicU64,
    /// The term in which it was waited for in vain.
    given_up: AtomicU64,
    seen: Notify,
    cancel: CancelToken,
}

impl Fence {
    /// Of a run that an engine takes, and that `cancel` cancels.
    pub(crate) fn new(hold: &Arc<Hold>, cancel: CancelToken) -> Self {
        let term = hold.term.load(Ordering::SeqCst);
        Self::of(Some(Arc::clone(hold)), term, cancel)
    }

    /// One that is always open.
    pub(crate) fn open(cancel: CancelToken) -> Self {
        Self::of(None, 0, cancel)
    }

    fn of(hold: Option<Arc<Hold>>, term: u64, cancel: CancelToken) -> Self {
        Self(Arc::new(Inner {
            hold,
            term: AtomicU64::new(term),
            given_up: AtomicU64::new(u64::MAX),
            seen: Notify::new(),
            cancel,
        }))
    }

    /// The present term, to be asked before it is looked whose the run is.
    pub(crate) fn term(&self) -> u64 {
        let hold = self.0.hold.as_ref();
        hold.map_or(0, |hold| hold.term.load(Ordering::SeqCst))
    }

    /// The run was seen to be this engine's in `term`.
    pub(crate) fn confirm(&self, term: u64) {
        self.0.term.store(term, Ordering::SeqCst);
        self.0.seen.notify_waiters();
    }

    /// Whether the run is certainly this engine's. It costs a reading of the clock.
    pub(crate) fn is_open(&self) -> bool {
        self.0.hold.as_ref().is_none_or(|hold| {
            !hold.is_over()
                && self.0.term.load(Ordering::SeqCst) == hold.term.load(Ordering::SeqCst)
        })
    }

    /// Waits until it is open, or the run is cancelled or lost. Whether it is open.
    pub(crate) async fn passes(&self) -> bool {
        if self.is_open() {
            return true;
        }
        loop {
            let mut seen = std::pin::pin!(self.0.seen.notified());
            // Listening begins before the look, so that nothing is missed between the two.
            seen.as_mut().enable();
            if self.is_open() {
                return true;
            }
            tokio::select! {
                () = seen => {}
                () = self.0.cancel.cancelled() => return self.is_open(),
            }
        }
    }

    /// As [`passes`](Self::passes), but not for ever, because who is to open it may be waiting for what is behind. After it has
    /// waited in vain once in a term, it does not wait in it again.
    pub(crate) async fn passes_soon(&self) -> bool {
        let term = self.term();
        if self.is_open() {
            return true;
        }
        let Some(hold) = &self.0.hold else {
            return true;
        };
        if self.0.given_up.load(Ordering::SeqCst) == term {
            return false;
        }
        match timeout(hold.length, self.passes()).await {
            Ok(passes) => passes,
            Err(_) => {
                self.0.given_up.store(term, Ordering::SeqCst);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::CancelSource;
    use super::*;

    const LEASE: Duration = Duration::from_secs(8);

    fn hold() -> Arc<Hold> {
        Arc::new(Hold::new(Instant::now(), LEASE))
    }

    async fn after(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_hold_is_counted_from_before_it_was_asked_for() {
        let (hold, source) = (hold(), CancelSource::default());
        let fence = Fence::new(&hold, source.token());
        after(6).await;
        assert!(fence.is_open(), "less than the lease");
        let sent = Instant::now() - Duration::from_secs(4);
        assert!(hold.prolong(sent), "it was not over");
        after(2).await;
        assert!(fence.is_open());
        after(1).await;
        assert!(!fence.is_open(), "seven seconds after it was asked for");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_over_is_open_again_when_the_run_was_seen() {
        let (hold, source) = (hold(), CancelSource::default());
        let fence = Fence::new(&hold, source.token());
        let before = fence.term();
        after(7).await;
        let waits = {
            let fence = fence.clone();
            tokio::spawn(async move { fence.passes().await })
        };
        tokio::task::yield_now().await;
        assert!(!hold.prolong(Instant::now()));
        assert!(!fence.is_open(), "others may have taken it");
        fence.confirm(before);
        assert!(!fence.is_open(), "that was known before");
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        fence.confirm(fence.term());
        assert!(waits.await.unwrap() && fence.is_open());
        hold.end();
        assert!(!fence.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_run_that_is_cancelled() {
        let (hold, source) = (hold(), CancelSource::default());
        let fence = Fence::new(&hold, source.token());
        source.cancel();
        assert!(fence.passes().await, "it is certainly ours still");
        hold.end();
        assert!(!fence.passes().await);
        assert!(Fence::open(source.token()).passes().await);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_behind_waits_once() {
        let (hold, source) = (hold(), CancelSource::default());
        let fence = Fence::new(&hold, source.token());
        after(7).await;
        let begun = Instant::now();
        assert!(!fence.passes_soon().await);
        let waited = begun.elapsed();
        assert!(!fence.passes_soon().await);
        assert_eq!(begun.elapsed(), waited);
        hold.prolong(Instant::now());
        fence.confirm(fence.term());
        assert!(fence.passes_soon().await);
    }
}
