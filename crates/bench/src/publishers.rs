//! Publishing as fast as a number of awaited tasks can.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bowline_events::{OpFuture, PubSub, PublishOptions, Published, Topic};

use crate::clock::now_ns;
use crate::payload::BenchEvents;

/// Publishes P(n) on one topic.
pub(crate) struct Publisher {
    bus: Arc<dyn PubSub>,
    topic: Topic,
    events: BenchEvents,
}

impl Publisher {
    pub(crate) fn new(bus: &Arc<dyn PubSub>, topic: &Topic, events: BenchEvents) -> Arc<Self> {
        Arc::new(Self {
            bus: Arc::clone(bus),
            topic: topic.clone(),
            events,
        })
    }

    /// Publishes the event numbered `seq` with the stamp `now_ns`; 0 leaves it unstamped.
    pub(crate) fn publish(&self, seq: u64, now_ns: u64) -> OpFuture<'_, Published> {
        match self.events.event(seq, now_ns) {
            Ok(event) => self
                .bus
                .publish_with(&self.topic, event, PublishOptions::default()),
            Err(error) => OpFuture::ready(Err(error)),
        }
    }
}

/// What became of a blast.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Blasted {
    /// Publishes that were called.
    pub(crate) published: u64,
    /// Those among them that failed.
    pub(crate) rejected: u64,
    /// Just before the first call.
    pub(crate) first_ns: u64,
    /// After the last task ended.
    pub(crate) last_ns: u64,
}

impl Blasted {
    /// What was published, unless some of it failed, which a bus without limits on this path never does.
    pub(crate) fn all(self) -> Result<Self, String> {
        match self.rejected {
            0 => Ok(self),
            rejected => Err(format!("{rejected} of {} publishes failed", self.published)),
        }
    }
}

struct Counts {
    next: u64,
    rejected: u64,
    over: bool,
}

struct Blast {
    publisher: Arc<Publisher>,
    end_ns: u64,
    counts: Mutex<Counts>,
}

/// The clock is read before every publish whose number is a multiple of this.
const CLOCK_EVERY: u64 = 64;
/// Events whose number is a multiple of this are stamped.
pub(crate) const STAMP_EVERY: u64 = 10;

/// `width` tasks that each publish and await that, until `length` has passed. Numbers count the calls of all tasks, and the
/// events are on the bus in their order.
pub(crate) async fn blast(publisher: &Arc<Publisher>, width: usize, length: Duration) -> Blasted {
    let first_ns = now_ns();
    let blast = Arc::new(Blast {
        publisher: Arc::clone(publisher),
        end_ns: first_ns + length.as_nanos() as u64,
        counts: Mutex::new(Counts {
            next: 0,
            rejected: 0,
            over: false,
        }),
    });
    let tasks: Vec<_> = (0..width)
        .map(|_| tokio::spawn(Arc::clone(&blast).publish_until_over()))
        .collect();
    for task in tasks {
        // A task that panicked has ended as well; its events are missing in the counts.
        let _ = task.await;
    }
    let counts = blast.lock();
    Blasted {
        published: counts.next,
        rejected: counts.rejected,
        first_ns,
        last_ns: now_ns(),
    }
}

impl Blast {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn publish_until_over(self: Arc<Self>) {
        while let Some(publishing) = self.start_next() {
            if publishing.await.is_err() {
                self.lock().rejected += 1;
            }
        }
    }

    /// Calls the next publish. Number and call are one step, so that events are in order on a bus that appends at the call.
    fn start_next(&self) -> Option<OpFuture<'_, Published>> {
        let mut counts = self.lock();
        if counts.next.is_multiple_of(CLOCK_EVERY) && now_ns() >= self.end_ns {
            counts.over = true;
        }
        if counts.over {
            return None;
        }
        let seq = counts.next;
        counts.next += 1;
        let stamp = if seq.is_multiple_of(STAMP_EVERY) {
            now_ns()
        } else {
            0
        };
        Some(self.publisher.publish(seq, stamp))
    }
}
