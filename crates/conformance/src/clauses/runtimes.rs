//! A bus and the runtimes that use it.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::{Capabilities, PubSub, PublishOptions, SubscribeOptions, Topic};
use tokio::runtime::{Builder, Runtime};

use crate::seed::{Numbers, Seed};
use crate::session::{Session, numbered, on_a_thread, within};
use crate::{ClauseResult, Fixture, Participants, Unmet};

const TOPIC: &str = "runtimes";

/// Runtimes that end, of each clause.
const ROUNDS: u64 = 12;

/// Tasks of each kind in a runtime that is about to end.
const TASKS: u64 = 4;

/// A runtime that is shut down in the midst of publishes and subscriptions ends, whatever the bus is doing: nothing waits for a
/// task that will never run again.
///
/// The moments are random; a failure names the seed, and [`Seed::VARIABLE`] repeats it.
pub async fn a_runtime_that_ends_hangs_nobody(fixture: &dyn Fixture) -> ClauseResult {
    let seed = Seed::choose();
    let mut numbers = seed.numbers();
    for round in 0..ROUNDS {
        let participants = within(fixture.deadline(), "connect", fixture.connect()).await??;
        let ended = end_in_the_midst(&participants, round, &mut numbers, fixture.deadline()).await;
        ended.map_err(|unmet| unmet.within(format!("{seed}: round {round}")))?;
        // Whether the bus outlives the runtime that used it first is open; that it can be closed is not.
        for bus in [&participants.publisher, &participants.subscriber] {
            drop(within(fixture.deadline(), "close", bus.close()).await?);
        }
    }
    Ok(())
}

/// A bus at work in one runtime goes on there when another one that used it as well is shut down.
///
/// The moments are random; a failure names the seed, and [`Seed::VARIABLE`] repeats it.
pub async fn another_runtime_may_end(fixture: &dyn Fixture) -> ClauseResult {
    let seed = Seed::choose();
    let mut numbers = seed.numbers();
    let session = Session::open(fixture, &[]).await?;
    let mut reader = session.listen("home").await?;
    session.publish("home", numbered(0)).await?;
    reader.expect_numbers(0..1).await?;
    for round in 0..ROUNDS {
        let participants = Participants::two(
            Arc::clone(&session.publisher),
            Arc::clone(&session.subscriber),
        );
        let goes_on = async {
            end_in_the_midst(&participants, round, &mut numbers, fixture.deadline()).await?;
            let next = round + 1;
            session.publish("home", numbered(next)).await?;
            reader.expect_numbers(next..next + 1).await
        };
        let went_on = goes_on.await;
        went_on.map_err(|unmet| unmet.within(format!("{seed}: round {round}")))?;
    }
    session.finish().await
}

/// Has a runtime of its own use the bus, and shuts it down while it does.
async fn end_in_the_midst(
    participants: &Participants,
    round: u64,
    numbers: &mut Numbers,
    deadline: Duration,
) -> ClauseResult {
    let buses = [&participants.publisher, &participants.subscriber].map(Arc::clone);
    let moment = Duration::from_micros(numbers.below(4_000));
    let guest = move || -> std::io::Result<()> {
        let runtime = runtime(round)?;
        runtime.block_on(use_it(buses, moment));
        // Waits for what its workers are at.
        drop(runtime);
        Ok(())
    };
    let ended = tokio::task::spawn_blocking(move || on_a_thread(deadline, guest)).await;
    match ended {
        Ok(Some(Ok(()))) => Ok(()),
        Ok(Some(Err(error))) => Err(Unmet::violated(format!(
            "the Tokio runtime does not start: {error}"
        ))),
        _ => Err(Unmet::violated(format!(
            "the runtime that used the bus does not end within {deadline:?}, or a task of it panicked"
        ))),
    }
}

fn runtime(round: u64) -> std::io::Result<Runtime> {
    let mut builder = match round % 3 {
        0 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder.worker_threads(2).enable_all().build()
}

/// Publishes and subscribes without a pause until `moment` has passed.
async fn use_it(buses: [Arc<dyn PubSub>; 2], moment: Duration) {
    let [publisher, subscriber] = buses;
    let capabilities = subscriber.capabilities();
    for n in 0..TASKS {
        tokio::spawn(publish(Arc::clone(&publisher)));
        tokio::spawn(come_and_go(Arc::clone(&subscriber), capabilities, n));
    }
    tokio::time::sleep(moment).await;
}

async fn publish(bus: Arc<dyn PubSub>) {
    let topic = Topic::from(TOPIC);
    loop {
        // A bus may refuse while it connects: only the end matters here.
        drop(
            bus.publish_with(&topic, numbered(0), PublishOptions::default())
                .await,
        );
        tokio::task::yield_now().await;
    }
}

async fn come_and_go(bus: Arc<dyn PubSub>, capabilities: Capabilities, task: u64) {
    let topic = Topic::from(TOPIC);
    loop {
        let mut options = SubscribeOptions::new();
        if capabilities.groups && task.is_multiple_of(2) {
            options = options.group("workers");
        }
        if let Ok(mut subscription) = bus.subscribe_with(&topic, options).await {
            for _ in 0..task {
                if let Some(Ok(delivery)) = subscription.next().await {
                    drop(delivery.ack().await);
                }
            }
        }
        tokio::task::yield_now().await;
    }
}
