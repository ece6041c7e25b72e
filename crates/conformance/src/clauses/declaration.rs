//! What a backend says about itself.

use std::sync::Arc;

use bowline_events::{PubSub, SubscribeOptions};

use crate::forwarding::Forwarding;
use crate::session::{Session, is_same, number, numbered};
use crate::verdict::{ensure, ensure_eq};
use crate::{ClauseResult, Fixture};

const TOPIC: &str = "declaration";

/// The declared capabilities do not contradict each other or the offered leases, and every participant declares the same.
pub async fn capabilities_are_consistent(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    let said = session.capabilities;
    ensure!(!said.name.is_empty(), "the backend has no name");
    ensure!(
        said.groups || !said.group_redelivery,
        "redelivery to groups without groups"
    );
    ensure!(
        said.group_redelivery || !said.group_redelivery_moves,
        "redelivery to another member without redelivery"
    );
    ensure!(
        said.max_deliveries != Some(0),
        "a cap of no delivery at all"
    );
    ensure!(said.modes.pull || said.modes.push, "neither pull nor push");
    ensure!(said.max_event_bytes != Some(0), "a limit of no byte at all");
    for bus in [&session.publisher, &session.subscriber] {
        ensure_eq!(
            bus.capabilities(),
            said,
            "capabilities of the other participant"
        );
        ensure_eq!(
            bus.lease_provider().is_some(),
            said.leases,
            "whether leases are offered"
        );
    }
    session.finish().await
}

/// Through a wrapper that forwards every method, the bus is the same bus: what one side publishes the other reads.
pub async fn a_forwarding_wrapper_is_the_same_bus(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    let wrapper: Arc<dyn PubSub> = Arc::new(Forwarding::new(Arc::clone(&session.subscriber)));
    ensure_eq!(
        wrapper.capabilities(),
        session.capabilities,
        "capabilities through the wrapper"
    );
    ensure_eq!(
        wrapper.lease_provider().is_some(),
        session.capabilities.leases,
        "leases through the wrapper"
    );
    let mut bare = session.listen(TOPIC).await?;
    let mut wrapped = session
        .subscribe_on(&wrapper, TOPIC, SubscribeOptions::new())
        .await?;
    for n in 0..10 {
        let through = if n % 2 == 0 {
            &wrapper
        } else {
            &session.subscriber
        };
        session.publish_on(through, TOPIC, numbered(n)).await?;
        let (bare, wrapped) = (bare.event().await?, wrapped.event().await?);
        ensure_eq!(number(&bare)?, n, "event without the wrapper");
        ensure!(
            is_same(&wrapped, &bare),
            "event {n} is another one through the wrapper"
        );
    }
    let topic = TOPIC.into();
    let kept = session
        .within("history", wrapper.history(&topic, 0, 100))
        .await??;
    ensure_eq!(
        kept.len(),
        session.history(TOPIC, 0, 100).await?.len(),
        "history through the wrapper"
    );
    session.within("flush", wrapper.flush()).await??;
    session.finish().await
}

/// Handles can be described for a log: `Debug` is there, not empty and no novel.
pub async fn handles_can_be_described(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    session.publish_numbers(TOPIC, 0..50).await?;
    for bus in [&session.publisher, &session.subscriber] {
        let length = format!("{bus:?}").len();
        ensure!(
            (1..=1000).contains(&length),
            "the Debug form has {length} bytes"
        );
    }
    session.finish().await
}
