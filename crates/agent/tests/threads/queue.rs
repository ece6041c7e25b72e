//! How many signals wait in a thread.

use bowline_agent::RunOptions;
use bowline_agent::threads::{Accepted, QueueEvent, QueueEvents, QueueOptions, Signal};

use crate::world::{AGENT, OTHER, World, thread};

/// Waits until so many are said to wait.
async fn until(events: &mut QueueEvents, count: usize) {
    while events.next().await.unwrap() != QueueEvent::CountChanged(count) {}
}

#[tokio::test]
async fn every_change_of_what_waits_is_told_to_every_process() {
    let world = World::new();
    let (a, b) = (world.process().await, world.process().await);
    let mut reader = a.read().await;
    let mut mine = a.threads.subscribe_events(thread()).await.unwrap();
    let mut theirs = b.threads.subscribe_events(thread()).await.unwrap();
    let ours = b.threads.subscribe_events(thread()).await.unwrap();
    let mut ours = ours.of_owner("desk");
    a.send("work").await;
    world.until_working().await;
    assert_eq!(mine.next().await.unwrap(), QueueEvent::CountChanged(0));
    let queue = |agent, text: &'static str, options: QueueOptions| {
        let signal = Signal::user(text).with_id(text);
        a.threads.queue_message(agent, thread(), signal, options)
    };
    let desk = || QueueOptions::new().owner("desk");
    for (n, (agent, text, options)) in [
        (AGENT, "one", desk()),
        (AGENT, "two", RunOptions::new().into()),
        (OTHER, "three", desk()),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(queue(agent, text, options).await.unwrap(), Accepted::Queued);
        let counted = mine.next().await.unwrap();
        assert_eq!(counted, QueueEvent::CountChanged(n + 1));
    }
    until(&mut theirs, 3).await;
    until(&mut ours, 2).await;
    let gone = b.threads.cancel_queued_of(AGENT, thread(), "desk").await;
    assert_eq!(gone.unwrap(), ["one"]);
    assert_eq!(theirs.next().await.unwrap(), QueueEvent::CountChanged(2));
    until(&mut mine, 2).await;
    until(&mut ours, 1).await;
    let gone = b.threads.cancel_queued_of(AGENT, thread(), "desk").await;
    assert!(gone.unwrap().is_empty());
    world.gate.add_permits(1);
    for said in ["heard work", "heard two", "heard three"] {
        assert_eq!(reader.said().await.0, said);
    }
    for events in [&mut mine, &mut theirs, &mut ours] {
        until(events, 0).await;
    }
    a.threads.close().await;
    assert!(mine.next().await.is_err());
}
