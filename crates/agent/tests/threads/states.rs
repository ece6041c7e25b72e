//! How something is, as a thread hears it.

use bowline_agent::memory::Memory;
use bowline_agent::threads::{Accepted, IfActive, IfIdle, SendOptions, Signal, StateSignal};
use bowline_agent::{Data, ErrorKind, Result};
use serde_json::{Value, json};

use crate::world::{AGENT, Process, World, thread};

async fn say(process: &Process, state: StateSignal, options: SendOptions) -> Result<Accepted> {
    let said = process
        .threads
        .send_state_signal(AGENT, thread(), state, options);
    said.await
}

fn tide(key: &str) -> StateSignal {
    StateSignal::new("tide", key.to_owned(), format!("It is {key}."))
}

/// What is kept of the states of the thread.
async fn tracked(world: &World) -> Value {
    let memory = Memory::new(world.store.clone());
    let thread = memory.thread(thread().id()).await.unwrap().unwrap();
    let metadata: Value = thread.details.metadata.unwrap().parse().unwrap();
    metadata["mastra"]["stateSignals"].clone()
}

#[tokio::test]
async fn a_state_is_heard_when_it_changes_whoever_says_it() {
    let world = World::new();
    let (a, b) = (world.process().await, world.process().await);
    let mut reader = a.read().await;
    let usual = SendOptions::new;
    for (n, key) in ["low", "high", "low"].into_iter().enumerate() {
        let said = say(&a, tide(key), usual()).await.unwrap();
        assert!(matches!(said, Accepted::Wake { .. }), "{said:?}");
        let heard = format!("heard <state>It is {key}.</state>");
        assert_eq!(reader.said().await.0, heard);
        for process in [&a, &b] {
            let again = say(process, tide(key), usual()).await.unwrap();
            assert_eq!(again, Accepted::Skipped);
        }
        assert_eq!(tracked(&world).await["tide"]["version"], n + 1);
    }
    // Another thing, and a change of the same thing, are other states.
    let wind = StateSignal::new("wind", "low", "It is low.");
    for state in [wind, tide("low").delta()] {
        let said = say(&b, state, usual()).await.unwrap();
        assert!(matches!(said, Accepted::Wake { .. }), "{said:?}");
        reader.said().await;
    }
    let tracked = tracked(&world).await;
    assert_eq!(tracked["wind"]["version"], 1);
    assert_eq!(tracked["tide"]["currentMode"], "delta");
}

#[tokio::test]
async fn a_state_is_kept_as_programs_of_the_reference_find_it() {
    let world = World::new();
    let a = world.process().await;
    let keep = SendOptions::new()
        .if_active(IfActive::Persist)
        .if_idle(IfIdle::Persist);
    let state = tide("high")
        .with_value(Data::of(&4.2).unwrap())
        .with_metadata(Data::of(&json!({ "mine": true })).unwrap());
    assert_eq!(say(&a, state, keep).await.unwrap(), Accepted::Persist);
    let memory = Memory::new(world.store.clone());
    let messages = memory.recent(thread().id(), 10).await.unwrap();
    let signal = Signal::of_message(&messages[0]).unwrap();
    let signal: Value = signal.to_data().parse().unwrap();
    let metadata = json!({
        "mine": true,
        "state": {
            "id": "tide",
            "cacheKey": "high",
            "mode": "snapshot",
            "threadId": "thread-1",
            "version": 1,
        },
        "value": 4.2,
    });
    assert_eq!(
        (&signal["type"], &signal["metadata"]),
        (&json!("state"), &metadata)
    );
    let mut tide = tracked(&world).await["tide"].take();
    assert!(tide["updatedAt"].take().is_string());
    let id = &signal["id"];
    let copy = json!({ "id": id, "cacheKey": "high", "mode": "snapshot", "version": 1 });
    let wanted = json!({
        "currentCacheKey": "high",
        "currentMode": "snapshot",
        "version": 1,
        "lastSignalId": id,
        "lastSnapshotSignalId": id,
        "updatedAt": null,
        "activeCopies": [copy],
    });
    assert_eq!(tide, wanted);
}

#[tokio::test]
async fn a_state_that_was_not_taken_is_not_known() {
    let world = World::new();
    let a = world.process().await;
    let drop = SendOptions::new().if_idle(IfIdle::Discard);
    let said = say(&a, tide("low"), drop).await.unwrap();
    assert_eq!(said, Accepted::Discard);
    assert_eq!(tracked(&world).await, json!({}));
    let said = say(&a, tide("low"), SendOptions::new()).await.unwrap();
    assert!(matches!(said, Accepted::Wake { .. }), "{said:?}");
}

#[tokio::test]
async fn a_state_whose_process_ended_on_the_way_is_given_under_its_id() {
    let world = World::new();
    let a = world.process().await;
    let mut reader = a.read().await;
    a.send("hello").await;
    reader.said().await;
    let pending = json!({ "mastra": { "stateSignals": { "tide": {
        "currentCacheKey": "high",
        "currentMode": "snapshot",
        "version": 7,
        "lastSignalId": "signal-7",
        "pending": {},
    } } } });
    let memory = Memory::new(world.store.clone());
    let left = memory.update(thread().id(), |it| {
        it.metadata = Some(Data::of(&pending).unwrap());
    });
    left.await.unwrap();
    let said = say(&a, tide("high"), SendOptions::new()).await.unwrap();
    assert!(matches!(said, Accepted::Wake { .. }), "{said:?}");
    reader.said().await;
    assert_eq!(
        a.send(Signal::user("?").with_id("signal-7")).await,
        Accepted::Before
    );
    assert_eq!(tracked(&world).await["tide"]["pending"], Value::Null);
}

#[tokio::test]
async fn a_state_has_names() {
    let world = World::new();
    let a = world.process().await;
    let long = "x".repeat(257);
    for state in [
        StateSignal::new("", "key", "?"),
        StateSignal::new("id", "", "?"),
        StateSignal::new("id", long, "?"),
    ] {
        let said = say(&a, state, SendOptions::new()).await;
        assert_eq!(said.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
