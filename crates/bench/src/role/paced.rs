//! Publishing at a rate, never waiting for an earlier publish.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bowline_events::{OpFuture, Published};
use futures_util::future::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::MissedTickBehavior;

use crate::clock::now_ns;
use crate::publishers::Publisher;

/// Number, instant of the call, instant at which it settled, and whether it succeeded.
pub(super) type Entry = (u64, u64, Option<u64>, Option<bool>);

/// What became of every publish, in order of call.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(super) log: Vec<Entry>,
    pub(super) errors: BTreeMap<String, u64>,
}

impl Log {
    fn settle(&mut self, position: usize, result: bowline_events::Result<Published>) {
        if let Some(entry) = self.log.get_mut(position) {
            (entry.2, entry.3) = (Some(now_ns()), Some(result.is_ok()));
        }
        if let Err(error) = result {
            *self.errors.entry(error.to_string()).or_default() += 1;
        }
    }
}

/// Publishes `rate` events per second for `length`, each as soon as a timer of 1 ms finds it due; then waits `settle`, and up
/// to `wait` more while some publish is pending.
pub(super) async fn run(
    publisher: &Publisher,
    rate: f64,
    length: Duration,
    settle: Duration,
    wait: Duration,
) -> Log {
    let mut log = Log::default();
    let mut pending = FuturesUnordered::new();
    let total = (rate * length.as_secs_f64()).round() as u64;
    let start = now_ns();
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let elapsed = (now_ns() - start) as f64 / 1e9;
        let due = total.min((elapsed * rate) as u64 + 1);
        for seq in log.log.len() as u64..due {
            let call = now_ns();
            log.log.push((seq, call, None, None));
            let publishing: OpFuture<'_, Published> = publisher.publish(seq, call);
            pending.push(publishing.map(move |result| (seq as usize, result)));
        }
        if due == total {
            break;
        }
        poll_fn(|cx| {
            take_settled(&mut pending, &mut log, cx);
            ticks.poll_tick(cx)
        })
        .await;
    }
    let mut settled = pin!(tokio::time::sleep(settle));
    poll_fn(|cx| {
        take_settled(&mut pending, &mut log, cx);
        settled.as_mut().poll(cx)
    })
    .await;
    let mut over = pin!(tokio::time::sleep(wait));
    poll_fn(|cx| {
        take_settled(&mut pending, &mut log, cx);
        if pending.is_empty() {
            Poll::Ready(())
        } else {
            over.as_mut().poll(cx)
        }
    })
    .await;
    log
}

fn take_settled<F>(pending: &mut FuturesUnordered<F>, log: &mut Log, cx: &mut Context<'_>)
where
    F: Future<Output = (usize, bowline_events::Result<Published>)>,
{
    while let Poll::Ready(Some((position, result))) = pending.poll_next_unpin(cx) {
        log.settle(position, result);
    }
}
