//! The contract between two participants, in both roles.

#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use bowline_events::{
    NewEvent, Payload, PubSub, PubSubExt, PublishOptions, SubscribeOptions, Topic,
};
use support::{Place, event, next, settled, silent, subscribe, types};

#[tokio::test]
async fn the_first_is_the_broker_and_both_see_what_either_publishes() {
    let place = Place::new();
    let (broker, client) = (place.bus(), place.bus());
    let mut at_broker = subscribe(&broker, "t").await;
    assert!(broker.is_broker());
    let mut at_client = subscribe(&client, "t").await;
    assert!(!client.is_broker());
    assert_eq!(broker.remote_client_count(), 1);
    for publisher in [&broker, &client] {
        publisher
            .publish("t", event("hello", r#"{"n":1}"#))
            .await
            .unwrap();
        let (a, b) = (next(&mut at_broker).await, next(&mut at_client).await);
        assert_eq!(a.id, b.id);
        assert_eq!(a.created_at, b.created_at);
        assert_eq!(b.data.as_json().unwrap(), r#"{"n":1}"#);
        assert_eq!(
            (&*b.event_type, &*b.run_id, b.delivery_attempt),
            ("hello", "run-1", 1)
        );
    }
    silent(&mut at_client).await;
    silent(&mut at_broker).await;
}

#[tokio::test]
async fn many_events_arrive_once_and_in_order() {
    let place = Place::new();
    let (broker, client) = (place.bus(), place.bus());
    let mut at_broker = subscribe(&broker, "t").await;
    let mut at_client = subscribe(&client, "t").await;
    for publisher in [broker.clone(), client.clone()] {
        let publishing = tokio::spawn(async move {
            for n in 0..5000 {
                publisher
                    .publish("t", event("n", &n.to_string()))
                    .await
                    .unwrap();
            }
        });
        for n in 0..5000 {
            assert_eq!(next(&mut at_broker).await.data.parse::<u32>().unwrap(), n);
            assert_eq!(next(&mut at_client).await.data.parse::<u32>().unwrap(), n);
        }
        publishing.await.unwrap();
    }
}

/// The broker encodes an event only for other processes, and a client may come just then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_while_a_client_comes_is_whole() {
    let place = Place::new();
    let (broker, client) = (place.bus(), place.bus());
    broker.publish("t", event("n", "1")).await.unwrap();
    let publishing = tokio::spawn(async move {
        loop {
            broker.publish("t", event("n", "1")).await.unwrap();
            tokio::task::yield_now().await;
        }
    });
    for _ in 0..500 {
        let mut reader = client
            .subscribe("t", SubscribeOptions::new())
            .await
            .unwrap();
        let first = next(&mut reader).await;
        let seen = (&*first.event_type, first.data.to_json().unwrap());
        assert_eq!(seen, ("n", "1".into()));
        reader.unsubscribe().await.unwrap();
    }
    publishing.abort();
}

#[tokio::test]
async fn members_of_a_group_take_turns_by_process() {
    let place = Place::new();
    let (broker, one, two) = (place.bus(), place.bus(), place.bus());
    let group = || SubscribeOptions::new().group("g");
    let mut first = broker.subscribe("t", group()).await.unwrap();
    let mut second = one.subscribe("t", group()).await.unwrap();
    let mut third = two.subscribe("t", group()).await.unwrap();
    let mut all = subscribe(&two, "t").await;
    for n in 0..6 {
        one.publish("t", NewEvent::new(n.to_string(), "r"))
            .await
            .unwrap();
    }
    assert_eq!(types(&mut all, 6).await, ["0", "1", "2", "3", "4", "5"]);
    assert_eq!(types(&mut first, 2).await, ["0", "3"]);
    assert_eq!(types(&mut second, 2).await, ["1", "4"]);
    assert_eq!(types(&mut third, 2).await, ["2", "5"]);
}

#[tokio::test]
async fn a_refused_event_comes_again_to_the_same_subscriber() {
    let place = Place::new();
    let (broker, client) = (place.bus(), place.bus());
    let mut other = broker
        .subscribe("t", SubscribeOptions::new().group("g"))
        .await
        .unwrap();
    for options in [SubscribeOptions::new(), SubscribeOptions::new().group("h")] {
        let mut subscription = client.subscribe("t", options).await.unwrap();
        broker.publish("t", event("e", "1")).await.unwrap();
        let delivery = next(&mut subscription).await;
        let id = delivery.id.clone();
        delivery.nack().await.unwrap();
        let again = next(&mut subscription).await;
        assert_eq!((again.id.clone(), again.delivery_attempt), (id, 2));
        again.ack().await.unwrap();
        next(&mut other).await.ack().await.unwrap();
        subscription.unsubscribe().await.unwrap();
    }
    silent(&mut other).await;
}

#[tokio::test]
async fn nothing_is_delivered_after_unsubscribe() {
    let place = Place::new();
    let (broker, client) = (place.bus(), place.bus());
    let mut stays = subscribe(&client, "t").await;
    let leaves = subscribe(&client, "u").await;
    broker.publish("u", event("lost", "1")).await.unwrap();
    leaves.unsubscribe().await.unwrap();
    broker.publish("u", event("lost", "2")).await.unwrap();
    broker.publish("t", event("kept", "3")).await.unwrap();
    assert_eq!(types(&mut stays, 1).await, ["kept"]);
    let mut back = subscribe(&client, "u").await;
    broker.publish("u", event("new", "4")).await.unwrap();
    assert_eq!(types(&mut back, 1).await, ["new"]);
}

#[tokio::test]
async fn local_only_reaches_this_process_and_one_member_of_each_group() {
    let place = Place::new();
    let (broker, client) = (place.bus(), place.bus());
    let topic = Topic::new("t");
    for (publisher, other) in [(&client, &broker), (&broker, &client)] {
        let mut elsewhere = subscribe(other, "t").await;
        let mut own = subscribe(publisher, "t").await;
        let mut member = publisher
            .subscribe("t", SubscribeOptions::new().group("g"))
            .await
            .unwrap();
        publisher
            .publish_with(&topic, event("local", "1"), PublishOptions::LOCAL_ONLY)
            .await
            .unwrap();
        assert_eq!(types(&mut own, 1).await, ["local"]);
        assert_eq!(types(&mut member, 1).await, ["local"]);
        publisher.publish("t", event("all", "1")).await.unwrap();
        assert_eq!(types(&mut elsewhere, 1).await, ["all"]);
    }
}

#[tokio::test]
async fn closing_ends_subscriptions_and_removes_the_socket() {
    let place = Place::new();
    let (broker, client) = (place.bus(), place.bus());
    let mut at_broker = subscribe(&broker, "t").await;
    let mut at_client = subscribe(&client, "t").await;
    settled(&[&broker, &client]).await;
    client.publish("t", event("last", "1")).await.unwrap();
    client.close().await.unwrap();
    assert_eq!(types(&mut at_broker, 1).await, ["last"]);
    while let Some(item) = at_client.next().await {
        assert!(item.is_ok());
    }
    broker.close().await.unwrap();
    broker.close().await.unwrap();
    assert!(at_broker.next().await.is_none());
    assert!(place.files().is_empty(), "{:?}", place.files());
    for bus in [&broker, &client] {
        let error = bus.publish("t", event("late", "1")).await.unwrap_err();
        assert_eq!(error.kind(), bowline_events::ErrorKind::Closed);
        let error = bus
            .subscribe("t", SubscribeOptions::new())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), bowline_events::ErrorKind::Closed);
    }
}

#[tokio::test]
async fn a_live_value_stays_one_in_the_process_of_the_broker_and_is_json_elsewhere() {
    let place = Place::new();
    let (broker, client) = (place.bus(), place.bus());
    let mut at_broker = subscribe(&broker, "t").await;
    let mut at_client = subscribe(&client, "t").await;
    for publisher in [&broker, &client] {
        let live = NewEvent::new("live", "r").with_data(Payload::local(vec![1, 2]));
        publisher.publish("t", live).await.unwrap();
        let here = next(&mut at_broker).await;
        assert_eq!(
            here.data.downcast_ref::<Vec<i32>>().is_some(),
            publisher.is_broker()
        );
        assert_eq!(here.data.parse::<Vec<i32>>().unwrap(), [1, 2]);
        assert_eq!(next(&mut at_client).await.data.as_json().unwrap(), "[1,2]");
    }
}

#[tokio::test]
async fn topics_are_those_that_a_process_knows() {
    let place = Place::new();
    let (broker, client) = (place.bus(), place.bus());
    let _all = subscribe(&broker, "a").await;
    let _there = subscribe(&client, "a").await;
    let _member = client
        .subscribe("b", SubscribeOptions::new().group("g"))
        .await
        .unwrap();
    let known = async |bus: &bowline_unix::UnixSocketPubSub| {
        let topics = bus.topics().await.unwrap();
        topics
            .iter()
            .map(|info| (info.topic.to_string(), info.subscribers, info.groups.len()))
            .collect::<Vec<_>>()
    };
    // How many subscribers share the membership of another process is not known.
    let expected = [("a".to_owned(), None, 0), ("b".to_owned(), Some(0), 1)];
    assert_eq!(known(&broker).await, expected);
    let expected = [("a".to_owned(), Some(1), 0), ("b".to_owned(), Some(0), 1)];
    assert_eq!(known(&client).await, expected);
}

#[tokio::test]
async fn a_client_learns_the_topics_of_the_others_from_the_broker() {
    let place = Place::new();
    let (broker, client, asking) = (place.bus(), place.bus(), place.bus());
    let _own = broker
        .subscribe("at broker", SubscribeOptions::new())
        .await
        .unwrap();
    let _other = client
        .subscribe("at client", SubscribeOptions::new().group("g"))
        .await
        .unwrap();
    let topics = asking.topics().await.unwrap();
    let known: Vec<(&str, Vec<&str>)> = topics
        .iter()
        .map(|info| {
            (
                info.topic.as_str(),
                info.groups.iter().map(|group| group.as_str()).collect(),
            )
        })
        .collect();
    assert_eq!(known, [("at broker", vec![]), ("at client", vec!["g"])]);
    assert_eq!(topics[0].subscribers, None, "the number is not told");
    assert_eq!(topics[1].subscribers, Some(0));
}

#[tokio::test]
async fn a_bus_does_not_start_in_a_runtime_that_has_ended() {
    let place = Place::new();
    let bus = place.bus();
    let ended = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().handle().clone()
    });
    let ended = ended.join().unwrap();
    let refused = std::thread::spawn({
        let bus = bus.clone();
        move || {
            let _entered = ended.enter();
            let topic = Topic::from("t");
            let publish = bus.publish_with(&topic, event("early", "1"), PublishOptions::default());
            publish.now_or_self().ok()
        }
    });
    let refused = refused.join().unwrap().expect("at once").unwrap_err();
    assert_eq!(
        refused.kind(),
        bowline_events::ErrorKind::Closed,
        "{refused}"
    );
    let mut reader = subscribe(&bus, "t").await;
    bus.publish("t", event("late", "2")).await.unwrap();
    assert_eq!(&*next(&mut reader).await.event_type, "late");
}
