//! What a driver has begun: steps, conditions and pauses of one run.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use bowline_events::{Text, Timestamp};
use futures_util::future::abortable;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, timeout};

use super::execute::Task;
use crate::Clock;
use crate::definition::BoxFuture;
use crate::machine::{At, Fact, Outcome, Spot};

/// Facts that are taken together at most, and bytes of them after which no more are.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 16 * 1024 * 1024;
/// How long steps that were aborted are waited for: they end where they wait next.
const ENDING: Duration = Duration::from_secs(1);
/// Longer than any process lives.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// What will have happened; `None` when it was aborted.
type Running = BoxFuture<Option<(usize, Fact)>>;

/// What a driver has begun.
#[derive(Default)]
pub(super) struct Tasks {
    running: FuturesUnordered<Running>,
    /// How to abort what runs, by the frame that it belongs to.
    handles: Vec<(usize, Handle)>,
    aborted: Vec<usize>,
    timers: BinaryHeap<Reverse<Timer>>,
}

/// Something that sleeps. How long is measured by the monotonic clock, so that a clock that is set neither keeps it asleep nor
/// wakes it up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Timer {
    /// When it wakes up.
    pub(super) fires: Instant,
    /// The same by the clock.
    pub(super) at: Timestamp,
    spot: Spot,
}

impl Timer {
    /// How long it still sleeps.
    pub(super) fn left(&self) -> Duration {
        self.fires.saturating_duration_since(Instant::now())
    }
}

/// What aborts something that runs.
enum Handle {
    /// On a task of its own.
    Beside(tokio::task::AbortHandle),
    /// On the task of the driver.
    Here(futures_util::future::AbortHandle),
}

impl Tasks {
    /// Whether nothing runs. Something may sleep.
    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Whether nothing runs and nothing sleeps.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty() && self.timers.is_empty()
    }

    /// The first of those that sleep to wake up.
    pub(super) fn first_timer(&self) -> Option<Timer> {
        self.timers.peek().map(|Reverse(timer)| *timer)
    }

    /// Sleeps until `at`, which is in `wait`.
    pub(super) fn wake(&mut self, spot: Spot, at: Timestamp, wait: Duration) {
        // What is longer than anything is not waited for here.
        let now = Instant::now();
        let fires = now.checked_add(wait).unwrap_or(now + LONGEST);
        self.timers.push(Reverse(Timer { fires, at, spot }));
    }

    /// Begins a task of a frame. Those side by side run on tasks of their own, so that one that computes does not keep the
    /// others waiting.
    pub(super) fn begin(&mut self, frame: usize, task: Task, alone: bool) {
        const MANY: usize = 2 * BATCH;
        let (running, handle): (Running, Handle) = if alone {
            let (task, handle) = abortable(task);
            (Box::pin(task.map(Result::ok)), Handle::Here(handle))
        } else {
            let spawned = tokio::spawn(task);
            let handle = spawned.abort_handle();
            // Functions of the application do not panic out of their task.
            (Box::pin(spawned.map(Result::ok)), Handle::Beside(handle))
        };
        if self.running.is_empty() {
            self.handles.clear();
        } else if self.handles.len() > MANY {
            self.handles.retain(|(_, handle)| !handle.is_finished());
        }
        self.handles.push((frame, handle));
        self.running.push(running);
    }

    /// Aborts what belongs to a frame. Nothing of it happens any more.
    pub(super) fn abort(&mut self, frame: usize) {
        self.aborted.push(frame);
        self.handles.retain(|(of, task)| {
            if *of == frame {
                task.abort();
            }
            *of != frame
        });
        self.timers
            .retain(|Reverse(timer)| timer.spot.frame != frame);
    }

    pub(super) fn abort_all(&mut self) {
        for (_, task) in self.handles.drain(..) {
            task.abort();
        }
        self.timers.clear();
    }

    /// Waits until everything that was aborted has ended. What ended by itself is returned.
    pub(super) async fn ended(&mut self, run: &Text) -> Vec<Fact> {
        let mut facts = Vec::new();
        let ended = async {
            while let Some(done) = self.running.next().await {
                facts.extend(kept(&self.aborted, done));
            }
        };
        if timeout(ENDING, ended).await.is_err() {
            tracing::warn!(run = %run, "a step does not let itself be aborted; it may still run");
        }
        self.running.clear();
        facts
    }

    /// The next that ends; `None` when it was aborted, or nothing runs. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Fact> {
        let done = self.running.next().await?;
        kept(&self.aborted, done)
    }

    /// Adds to `facts` what has happened by now.
    pub(super) fn take_ready(&mut self, mut facts: Vec<Fact>, clock: &dyn Clock) -> Vec<Fact> {
        let mut bytes = facts.iter().map(size).sum::<usize>();
        while facts.len() < BATCH && bytes < BATCH_BYTES {
            let Some(Some(done)) = self.running.next().now_or_never() else {
                break;
            };
            if let Some(fact) = kept(&self.aborted, done) {
                bytes += size(&fact);
                facts.push(fact);
            }
        }
        if self.timers.is_empty() {
            return facts;
        }
        let (now, at) = (Instant::now(), At(clock.now()));
        while facts.len() < BATCH {
            match self.timers.peek() {
                Some(Reverse(timer)) if timer.fires <= now => {
                    let spot = timer.spot;
                    facts.push(Fact::Woke { at, spot });
                    self.timers.pop();
                }
                _ => break,
            }
        }
        facts
    }
}

/// The fact, unless its frame was aborted.
fn kept(aborted: &[usize], done: Option<(usize, Fact)>) -> Option<Fact> {
    let (frame, fact) = done?;
    (!aborted.contains(&frame)).then_some(fact)
}

impl Handle {
    fn abort(&self) {
        match self {
            Self::Beside(handle) => handle.abort(),
            Self::Here(handle) => handle.abort(),
        }
    }

    fn is_finished(&self) -> bool {
        match self {
            Self::Beside(handle) => handle.is_finished(),
            Self::Here(_) => false,
        }
    }
}

/// About how many bytes a fact has.
fn size(fact: &Fact) -> usize {
    let Fact::Ended { completion, .. } = fact else {
        return 0;
    };
    let outcome = match &completion.outcome {
        Outcome::Success(data) | Outcome::Bailed(data) => data.as_str().len(),
        Outcome::Suspended(suspension) => suspension.payload.as_str().len(),
        Outcome::Failed(failure) => failure.error.as_str().len(),
        Outcome::Canceled => 0,
    };
    let state = completion.state.as_ref();
    outcome + state.map_or(0, |state| state.as_str().len())
}
