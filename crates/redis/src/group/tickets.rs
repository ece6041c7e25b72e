//! Counts work under way, so that somebody can wait for what was begun before.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(super) struct Tickets {
    drawn: Mutex<Drawn>,
    returned: Notify,
}

#[derive(Debug, Default)]
struct Drawn {
    next: u64,
    out: BTreeSet<u64>,
}

/// Work under way; it is over when this is dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    number: u64,
    tickets: Arc<Tickets>,
}

impl Tickets {
    fn lock(&self) -> MutexGuard<'_, Drawn> {
        self.drawn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn draw(self: &Arc<Self>) -> Ticket {
        let mut drawn = self.lock();
        let number = drawn.next;
        drawn.next += 1;
        drawn.out.insert(number);
        Ticket {
            number,
            tickets: Arc::clone(self),
        }
    }

    /// Waits until everything that was begun before this call is over.
    pub(super) async fn settled(&self) {
        let before = self.lock().next;
        loop {
            let mut returned = pin!(self.returned.notified());
            returned.as_mut().enable();
            if self.lock().out.first().is_none_or(|first| *first >= before) {
                return;
            }
            returned.await;
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.tickets.lock().out.remove(&self.number);
        self.tickets.returned.notify_waiters();
    }
}
