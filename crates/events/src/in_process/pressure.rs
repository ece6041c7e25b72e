//! Publishers that wait for readers.

use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::topic::TopicState;
use crate::log::Backlog;

/// Readers of a topic are too far behind.
pub(super) struct Pressure(pub(super) Arc<TopicState>);

impl Pressure {
    /// Waits until they caught up, stand still, or the longest delay is over.
    ///
    /// Time is counted in ticks of one timer for all who wait: a clock read by each of a thousand publishers costs more than
    /// the events.
    pub(super) async fn wait(self) {
        let state = self.0;
        let mut begun = None;
        loop {
            let mut notified = pin!(state.room.notified());
            let tick = {
                let mut inner = state.lock();
                let (releases, ticks) = *begun.get_or_insert((inner.releases, inner.ticks));
                let backlog = inner.log.config().backlog;
                if inner.releases != releases {
                    return;
                }
                if !inner.ticking {
                    inner.log.mark_stalled(Instant::now());
                }
                let patience = ticks_of(backlog.max_delay, tick_of(&backlog));
                if !inner.log.is_pressed() || inner.ticks - ticks >= patience {
                    return;
                }
                notified.as_mut().enable();
                inner.publishers_wait = true;
                (!std::mem::replace(&mut inner.ticking, true)).then(|| tick_of(&backlog))
            };
            if tick.is_some_and(|delay| !state.arm_tick(delay)) {
                return;
            }
            notified.await;
        }
    }
}

impl TopicState {
    /// Has all waiting publishers look again after `delay`: one timer for all of them. False where there is no runtime for it.
    ///
    /// Not to be called under the lock: a runtime that is shutting down drops the timer at once, which ends the tick.
    fn arm_tick(self: &Arc<Self>, delay: Duration) -> bool {
        let tick = Tick(Arc::downgrade(self));
        let Some(runtime) = self.bus.upgrade().and_then(|bus| bus.runtime()) else {
            return false;
        };
        runtime.spawn(async move {
            tokio::time::sleep(delay).await;
            drop(tick);
        });
        true
    }
}

/// The timer ticks at least twice in the longest delay.
fn tick_of(backlog: &Backlog) -> Duration {
    (backlog.max_delay / 2).min(backlog.stall_after)
}

/// Whole ticks in `delay`. A publisher waits for so many, the first of which may be nearly over when it comes, so that nobody
/// waits longer than `delay`.
fn ticks_of(delay: Duration, tick: Duration) -> u64 {
    let ticks = delay.as_nanos().checked_div(tick.as_nanos());
    ticks.map_or(0, |ticks| u64::try_from(ticks).unwrap_or(u64::MAX))
}

/// Ends when its time is over or its runtime is; either way those who wait look again.
struct Tick(Weak<TopicState>);

impl Drop for Tick {
    fn drop(&mut self) {
        if let Some(state) = self.0.upgrade() {
            let mut inner = state.lock();
            inner.ticking = false;
            inner.ticks += 1;
            drop(inner);
            state.room.notify_waiters();
        }
    }
}
