//! What a share does from time to time.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::time::sleep_until;

use super::create::sweep;
use super::scripts::is_gone;
use super::share::{Phase, Share};
use crate::wire::Failure;

/// Takes over what others left, renews what is held here, takes events from handlers that hang.
pub(super) async fn run(share: Arc<Share>) {
    let settings = &share.bus.settings;
    let renew_every = (settings.reclaim_idle / 3).max(Duration::from_millis(1));
    let stream = share.stream();
    look(
        &share,
        "sweep",
        sweep(&share.bus, share.owner(&stream)).await,
    );
    let mut reclaim_at = Some(Instant::now());
    let mut renew_at = Instant::now() + renew_every;
    loop {
        let now = Instant::now();
        if reclaim_at.is_some_and(|at| at <= now) {
            if share.phase() == Phase::Running {
                look(&share, "reclaim", share.reclaim().await);
            }
            take_from_late_handlers(&share).await;
            reclaim_at = settings
                .reclaim_interval
                .and_then(|interval| Instant::now().checked_add(interval));
        }
        if renew_at <= now {
            look(&share, "renew", renew(&share, renew_every / 2).await);
            renew_at = Instant::now() + renew_every;
        }
        set_counts(&share).await;
        let next = reclaim_at.map_or(renew_at, |at| at.min(renew_at));
        tokio::select! {
            () = sleep_until(next.into()) => {}
            () = share.counted.notified() => {}
        }
    }
}

/// Shows the server that the entries here are being worked on.
async fn renew(share: &Share, age: Duration) -> Result<(), Failure> {
    let ids = share.lock().work.to_renew(age, Instant::now());
    if ids.is_empty() {
        return Ok(());
    }
    let stream = share.stream();
    let lost = share.owner(&stream).keep(&share.bus, &ids).await?;
    if !lost.is_empty() {
        share.update(|inner| inner.work.lost(&lost));
        tracing::warn!(topic = %share.topic, group = %share.group, entries = lost.len(), "entries that were held here belong to others by now");
    }
    Ok(())
}

async fn take_from_late_handlers(share: &Arc<Share>) {
    let Some(limit) = share.bus.settings.in_flight_timeout else {
        return;
    };
    let overdue = share.update(|inner| inner.work.overdue(limit, Instant::now()));
    for refused in overdue {
        share.take_away(refused).await;
    }
}

/// Tells the server how often events were delivered that are redelivered here.
async fn set_counts(share: &Share) {
    let counts = share.take_counts();
    if counts.is_empty() {
        return;
    }
    let stream = share.stream();
    let marked = share.owner(&stream).mark(&share.bus, 0, &counts).await;
    look(share, "count", marked);
}

/// A failure here is made good the next time.
fn look(share: &Share, doing: &'static str, outcome: Result<(), Failure>) {
    let Err(failure) = outcome else { return };
    if is_gone(&failure) {
        share.suspect.store(true, Relaxed);
        share.room.notify_one();
        return;
    }
    if !share.bus.is_closed() {
        tracing::warn!(topic = %share.topic, group = %share.group, doing, ?failure, "upkeep of a group failed; it is tried again");
    }
}
