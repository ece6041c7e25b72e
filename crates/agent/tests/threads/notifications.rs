//! What has happened elsewhere, as a thread hears it.

use bowline_agent::Data;
use bowline_agent::memory::Memory;
use bowline_agent::threads::{
    Accepted, IfActive, IfIdle, Notification, NotificationPolicy, Priority, Signal,
};
use serde_json::{Value, json};

use crate::world::{AGENT, Process, World, thread};

const PRIORITIES: [Priority; 4] = [
    Priority::Low,
    Priority::Medium,
    Priority::High,
    Priority::Urgent,
];

fn ship(priority: Priority) -> Notification {
    Notification::new("harbour", "arrival", "A ship.").priority(priority)
}

async fn send(process: &Process, ship: Notification, policy: NotificationPolicy) -> Accepted {
    let sent = process
        .threads
        .send_notification(AGENT, thread(), ship, policy);
    sent.await.unwrap()
}

#[tokio::test]
async fn the_policy_says_what_becomes_of_a_priority() {
    let world = World::new();
    let a = world.process().await;
    let mut reader = a.read().await;
    let usual = NotificationPolicy::new;
    for priority in PRIORITIES {
        let sent = send(&a, ship(priority), usual()).await;
        let wakes = matches!(sent, Accepted::Wake { .. });
        assert_eq!(wakes, priority != Priority::Low, "{priority:?} {sent:?}");
        reader.run().await;
    }
    a.send("work").await;
    world.until_working().await;
    for priority in PRIORITIES {
        let sent = send(&a, ship(priority), usual()).await;
        let delivers = matches!(sent, Accepted::Deliver { .. });
        assert_eq!(
            delivers,
            priority >= Priority::High,
            "{priority:?} {sent:?}"
        );
        let drop = usual().on(priority, IfActive::Discard, IfIdle::Wake);
        assert_eq!(send(&a, ship(priority), drop).await, Accepted::Discard);
    }
    world.gate.add_permits(1);
    let (said, _) = reader.said().await;
    assert_eq!(said.matches("A ship.").count(), 2, "{said}");
}

#[tokio::test]
async fn a_notification_is_a_signal_as_the_reference_makes_it() {
    let world = World::new();
    let a = world.process().await;
    let ship = ship(Priority::Low)
        .with_id("ship-1")
        .with_attribute("berth", 4)
        .and_then(|it| it.with_attribute("status", "mine"))
        .unwrap()
        .with_metadata(Data::of(&json!({ "mine": 1 })).unwrap());
    let sent = async || send(&a, ship.clone(), NotificationPolicy::new()).await;
    assert_eq!(sent().await, Accepted::Persist);
    assert_eq!(sent().await, Accepted::Before);
    let memory = Memory::new(world.store.clone());
    let messages = memory.recent(thread().id(), 10).await.unwrap();
    let signal = Signal::of_message(&messages[0]).unwrap();
    let signal: Value = signal.to_data().parse().unwrap();
    assert_eq!(signal["id"], "ship-1");
    assert_eq!(
        (&signal["type"], &signal["tagName"]),
        (&json!("notification"), &json!("notification"))
    );
    let attributes = json!({
        "berth": 4,
        "id": "ship-1",
        "source": "harbour",
        "type": "arrival",
        "kind": "arrival",
        "priority": "low",
        "status": "delivered",
    });
    assert_eq!(signal["attributes"], attributes);
    let metadata = json!({
        "mine": 1,
        "notification": {
            "signal": "notification",
            "recordId": "ship-1",
            "source": "harbour",
            "kind": "arrival",
            "priority": "low",
            "status": "delivered",
        },
    });
    assert_eq!(signal["metadata"], metadata);
}
