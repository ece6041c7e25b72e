//! One watch over all replies of a connection, which costs less than a timer for every command.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::sleep;

/// Looks per response time-out.
const LOOKS: u32 = 4;

/// The task that drives a connection, and what it is waiting for. The task ends with the last user of the connection.
#[derive(Debug)]
pub(super) struct Watch {
    driver: AbortHandle,
    outstanding: AtomicUsize,
    replies: AtomicU64,
}

impl Watch {
    /// Watches over the connection of `driver`: it is ended, and all commands on it fail, when commands are outstanding and
    /// nothing was answered for `limit`.
    pub(super) fn over(driver: AbortHandle, limit: Option<Duration>) -> Arc<Self> {
        let watch = Arc::new(Self {
            driver,
            outstanding: AtomicUsize::new(0),
            replies: AtomicU64::new(0),
        });
        if let Some(limit) = limit {
            let watched = Arc::downgrade(&watch);
            tokio::spawn(async move {
                let (mut seen, mut silent) = (0, 0);
                while silent < LOOKS {
                    sleep(limit / LOOKS).await;
                    let Some(watch) = watched.upgrade() else {
                        return;
                    };
                    let replies = watch.replies.load(Relaxed);
                    let waits = watch.outstanding.load(Relaxed) > 0 && replies == seen;
                    silent = if waits { silent + 1 } else { 0 };
                    seen = replies;
                }
                if let Some(watch) = watched.upgrade() {
                    tracing::warn!(
                        "the server has not answered for {limit:?}; the connection is given up"
                    );
                    watch.driver.abort();
                }
            });
        }
        watch
    }

    /// A command is on its way until the guard is dropped.
    pub(super) fn sending(self: &Arc<Self>) -> Sending {
        self.outstanding.fetch_add(1, Relaxed);
        Sending(Arc::clone(self))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A command on its way.
#[derive(Debug)]
pub(super) struct Sending(Arc<Watch>);

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.outstanding.fetch_sub(1, Relaxed);
        self.0.replies.fetch_add(1, Relaxed);
    }
}
