//! Signals that are given to a run of another program, which holds the thread: they wait here until it shows them.

use std::sync::Arc;

use bowline_events::{Delivery, PubSubExt, SubscribeOptions, Text};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::advance::Advanced;
use super::keeper::next;
use super::record::{SignalEnqueued, ThreadRecord};
use super::runtime::Shared;
use super::signal;
use super::thread::ThreadId;
use crate::{Error, ErrorKind, Result};

/// The name of the task that looks after what was given away.
pub(super) fn name(thread: &ThreadId) -> Text {
    format!("foreign {}", thread.key()).into()
}

/// Gives what waits to the run `owner`, and waits until that has shown it or is over. What it has not shown then is next.
pub(super) async fn watch(shared: Arc<Shared>, thread: ThreadId, owner: Text) {
    let mut owner = owner;
    loop {
        if let Err(error) = give(&shared, &thread, &owner).await {
            tracing::warn!(thread = %thread.id(), %error, "signals are given to the run of a peer later");
            sleep(shared.ttl / 3).await;
        }
        let back = shared
            .ledger
            .change(&thread, |state| state.take_back().then_some(()));
        if let Err(error) = back.await {
            tracing::warn!(thread = %thread.id(), %error, "signals are taken back later");
            continue;
        }
        match shared.advance_boxed(&thread, None).await {
            Ok(Advanced::Given(next)) => owner = next,
            Ok(_) => return,
            Err(error) => {
                // Whoever looks after the thread goes on.
                tracing::warn!(thread = %thread.id(), %error, "the next run begins later");
                return;
            }
        }
    }
}

async fn give(shared: &Shared, thread: &ThreadId, owner: &Text) -> Result<()> {
    let words = shared
        .thread_bus
        .subscribe(thread.topic(), SubscribeOptions::new());
    let mut words = words.await.map_err(|error| Error::bus("signal", error))?;
    let mut beats = interval(shared.ttl / 3);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut gone = 0;
    loop {
        // Before looking, so that nothing that comes afterwards is missed.
        let stirred = shared.stir.notified();
        forward(shared, thread, owner).await?;
        if shared.ledger.load(thread).await?.state.queue.is_empty() {
            return Ok(());
        }
        tokio::select! {
            word = next(&mut words) => match word {
                Some(word) => {
                    if is_over(shared, thread, owner, &word).await? {
                        return Ok(());
                    }
                }
                None => {
                    let message = "the bus is closed";
                    return Err(Error::new(ErrorKind::Closed, "signal", message));
                }
            },
            () = stirred => {}
            _ = beats.tick() => {
                let watched = shared.ledger.change(thread, |state| {
                    state.watched += 1;
                    Some(())
                });
                watched.await?;
                // What it said last may still be on its way when its lease is gone.
                let held = shared.leases.owner(&thread.key()).await;
                gone = match held {
                    Some(held) if held.as_ref() != Some(owner) => gone + 1,
                    _ => 0,
                };
                if gone >= 2 {
                    return Ok(());
                }
            }
        }
    }
}

async fn forward(shared: &Shared, thread: &ThreadId, owner: &Text) -> Result<()> {
    let unsent = shared.ledger.change(thread, |state| {
        let signals = state.forward(owner);
        (!signals.is_empty()).then_some(signals)
    });
    for signal in unsent.await?.unwrap_or_default() {
        let record = ThreadRecord::SignalEnqueued(SignalEnqueued {
            run_id: owner.clone(),
            signal,
            source_id: Some(shared.source.clone()),
            pre_run: false,
        });
        shared.mention(thread, &record).await;
    }
    Ok(())
}

/// Notes what the run shows. Whether it is over.
async fn is_over(
    shared: &Shared,
    thread: &ThreadId,
    owner: &Text,
    word: &Delivery,
) -> Result<bool> {
    match ThreadRecord::read(word.event()) {
        Ok(Some(ThreadRecord::Part(it))) => {
            if let Some(id) = signal::shown(it.part.as_str()) {
                let heard = shared
                    .ledger
                    .change(thread, |state| state.heard(&id).then_some(()));
                heard.await?;
            }
            Ok(false)
        }
        Ok(Some(
            it @ (ThreadRecord::Completed(_)
            | ThreadRecord::Aborted(_)
            | ThreadRecord::Failed(_)
            | ThreadRecord::Discarded(_)),
        )) => Ok(it.run_id() == Some(owner)),
        _ => Ok(false),
    }
}
