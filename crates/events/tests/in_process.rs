//! What is particular to the in-process bus and its caching layer; the contract itself is checked by the conformance suite.
#![allow(missing_docs)]

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bowline_events::log::{Backlog, Redelivery};
use bowline_events::{
    CachingPubSub, ErrorKind, InProcessPubSub, NewEvent, PubSub, PubSubExt, StartFrom,
    SubscribeOptions, Topic,
};

fn number(n: u64) -> NewEvent {
    NewEvent::new("n", "r")
        .with_json(n.to_string())
        .expect("a number is JSON")
}

async fn next(
    subscription: &mut bowline_events::Subscription,
) -> bowline_events::Result<bowline_events::Delivery> {
    tokio::time::timeout(Duration::from_secs(10), subscription.next())
        .await
        .expect("an item within 10 s")
        .expect("not the end")
}

#[tokio::test]
async fn a_topic_without_readers_and_history_leaves_nothing_behind() {
    let bus = InProcessPubSub::builder().no_replay().build();
    for n in 0..100 {
        let topic = Topic::from(format!("t{n}"));
        let subscription = bus
            .subscribe(&topic, SubscribeOptions::new())
            .await
            .unwrap();
        bus.publish(&topic, number(n)).await.unwrap();
        drop(subscription);
    }
    assert_eq!(bus.bytes(), 0);
    assert_eq!(bus.topics().await.unwrap(), []);
}

#[tokio::test]
async fn the_budget_drops_whole_histories_and_tells_their_readers() {
    let bus = InProcessPubSub::builder().max_bytes(100_000).build();
    for n in 0..1000 {
        bus.publish(Topic::agent_stream(&n.to_string()), number(n))
            .await
            .unwrap();
    }
    assert!(bus.bytes() <= 100_000, "{} bytes", bus.bytes());
    let kept = bus.topics().await.unwrap();
    assert!(kept.iter().any(|info| info.topic == "agent.stream.999"));
    assert!(!kept.iter().any(|info| info.topic == "agent.stream.0"));
    let mut late = bus
        .subscribe(
            Topic::agent_stream("0"),
            SubscribeOptions::new().start(StartFrom::Offset(1)),
        )
        .await
        .unwrap();
    assert_eq!(
        next(&mut late).await.unwrap_err().kind(),
        ErrorKind::Cleared
    );
}

#[tokio::test]
async fn a_reader_that_stands_still_is_left_behind_and_told() {
    let mut backlog = Backlog::default();
    (backlog.events, backlog.max_delay, backlog.stall_after) =
        (10, Duration::from_millis(1), Duration::ZERO);
    let bus = InProcessPubSub::builder()
        .no_replay()
        .backlog(backlog)
        .build();
    let mut slow = bus.subscribe("t", SubscribeOptions::new()).await.unwrap();
    for n in 0..1000 {
        bus.publish("t", number(n)).await.unwrap();
    }
    let missed = next(&mut slow)
        .await
        .unwrap_err()
        .truncated()
        .expect("a truncation notice");
    assert_eq!(missed.wanted, 0);
    assert_eq!(next(&mut slow).await.unwrap().seq(), Some(missed.first));
}

#[tokio::test]
async fn an_event_refused_too_often_goes_to_the_dead_letters() {
    let bus = InProcessPubSub::builder()
        .redelivery(Redelivery::new(Some(3), Duration::from_millis(1)))
        .dead_letters("dead")
        .build();
    let mut dead = bus
        .subscribe("dead", SubscribeOptions::new())
        .await
        .unwrap();
    let mut worker = bus
        .subscribe("work", SubscribeOptions::new().group("g"))
        .await
        .unwrap();
    bus.publish("work", number(7)).await.unwrap();
    for attempt in 1..=3 {
        let delivery = next(&mut worker).await.unwrap();
        assert_eq!(delivery.delivery_attempt, attempt);
        delivery.nack().await.unwrap();
    }
    let letter = next(&mut dead).await.unwrap();
    assert_eq!(letter.data.parse::<u64>().unwrap(), 7);
}

#[tokio::test]
async fn a_full_work_topic_refuses_and_loses_nothing() {
    let retention = bowline_events::Retention::new(1_000_000, 5, Duration::from_secs(60));
    let bus = InProcessPubSub::builder()
        .retention(bowline_events::TopicFamily::Work, retention)
        .group_window(1)
        .build();
    let topic = Topic::workflows();
    let mut worker = bus
        .subscribe(&topic, SubscribeOptions::new().group("g"))
        .await
        .unwrap();
    let mut accepted = 0;
    let refusal = loop {
        match bus.publish(&topic, number(accepted)).await {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refusal.kind(), ErrorKind::Full);
    assert!(refusal.is_retryable());
    for n in 0..accepted {
        let delivery = next(&mut worker).await.unwrap();
        assert_eq!(delivery.data.parse::<u64>().unwrap(), n);
        delivery.ack().await.unwrap();
    }
    bus.publish(&topic, number(accepted)).await.unwrap();
}

#[tokio::test]
async fn a_cleared_stream_starts_again_for_its_observer() {
    let bus = CachingPubSub::in_process();
    let topic = Topic::agent_stream("r");
    for n in 0..3 {
        bus.publish(&topic, number(n)).await.unwrap();
    }
    let mut observer = bus
        .subscribe(&topic, SubscribeOptions::new().start(StartFrom::Earliest))
        .await
        .unwrap();
    for n in 0..3 {
        assert_eq!(next(&mut observer).await.unwrap().index, Some(n));
    }
    bus.clear_topic(&topic).await.unwrap();
    for n in 10..15 {
        bus.publish(&topic, number(n)).await.unwrap();
    }
    assert_eq!(
        next(&mut observer).await.unwrap_err().kind(),
        ErrorKind::Cleared
    );
    for n in 0..5 {
        let delivery = next(&mut observer).await.unwrap();
        assert_eq!(
            (delivery.index, delivery.data.parse::<u64>().unwrap()),
            (Some(n), n + 10)
        );
    }
}

#[tokio::test]
async fn run_local_topics_and_rejected_topics_are_not_cached() {
    let bus = CachingPubSub::in_process().should_cache(|topic| !topic.starts_with("secret"));
    for (name, cached) in [
        ("workflow.events.v2.r", false),
        ("secret.x", false),
        ("open.x", true),
    ] {
        let mut live = bus.subscribe(name, SubscribeOptions::new()).await.unwrap();
        bus.publish(name, number(1)).await.unwrap();
        assert_eq!(
            next(&mut live).await.unwrap().index.is_some(),
            cached,
            "{name}"
        );
        let history = bus.history(&Topic::from(name), 0, 10).await.unwrap();
        assert_eq!(!history.is_empty(), cached, "{name}");
    }
}

#[tokio::test]
async fn closing_a_topic_ends_its_readers_after_the_last_event() {
    let bus = InProcessPubSub::new();
    let topic = Topic::agent_stream("r");
    bus.publish(&topic, number(1)).await.unwrap();
    bus.close_topic(&topic);
    assert_eq!(
        bus.publish(&topic, number(2)).await.unwrap_err().kind(),
        ErrorKind::Closed
    );
    let mut late = bus
        .subscribe(&topic, SubscribeOptions::new().start(StartFrom::Earliest))
        .await
        .unwrap();
    assert_eq!(
        next(&mut late).await.unwrap().data.parse::<u64>().unwrap(),
        1
    );
    assert!(late.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn old_events_go_even_from_topics_where_nothing_happens_any_more() {
    let moment = bowline_events::Retention::new(1_000_000, 100, Duration::from_millis(1));
    let bus = InProcessPubSub::builder()
        .retention(bowline_events::TopicFamily::Plain, moment)
        .build();
    let mut reader = bus.subscribe("t", SubscribeOptions::new()).await.unwrap();
    bus.publish("t", number(1)).await.unwrap();
    assert_eq!(next(&mut reader).await.unwrap().seq(), Some(0));
    // The age of an event is told by the clock of the machine, the sweep by that of the runtime.
    std::thread::sleep(Duration::from_millis(5));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(bus.bytes(), 0);
}

#[test]
fn a_publish_in_a_runtime_that_has_ended_waits_for_nobody() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut backlog = Backlog::default();
    backlog.events = 1;
    let bus = InProcessPubSub::builder().backlog(backlog).build();
    let _stands = runtime
        .block_on(bus.subscribe("t", SubscribeOptions::new()))
        .unwrap();
    let handle = runtime.handle().clone();
    drop(runtime);
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _entered = handle.enter();
        for n in 0..4 {
            let publish = pin!(bus.publish("t", number(n)));
            let published = publish.poll(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(published, Poll::Ready(Ok(_))), "{published:?}");
        }
        tell.send(bus)
    });
    let bus = told
        .recv_timeout(Duration::from_secs(30))
        .expect("it returns");
    assert!(bus.bytes() > 0, "all of it is there");
}
