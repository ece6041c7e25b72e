//! Threads that a process has claimed, and signals that only it may take.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bowline_agent::threads::{
    Accepted, IdleSignal, OwnerResponse, PresenceRecord, SendOptions, Signal, ThreadRecord,
};
use bowline_agent::{Error, ErrorKind, Result, RunOptions};
use bowline_events::{
    InProcessPubSub, OpFuture, PubSub, PubSubExt, SubscribeOptions, Subscription, Text, Timestamp,
    Topic,
};

use crate::world::{AGENT, Process, World, run_of, thread};

async fn to_owner(process: &Process, signal: impl Into<Signal>) -> Result<Accepted> {
    let options = SendOptions::new().require_claimed_owner();
    let sent = process
        .threads
        .send_signal(AGENT, thread(), signal, options);
    sent.await
}

fn kind(failed: Result<Accepted>) -> (ErrorKind, String) {
    let error: Error = failed.unwrap_err();
    (error.kind(), error.to_string())
}

/// A program with a store of its own on the same bus.
fn stranger(world: &World) -> World {
    World::on(Arc::clone(&world.host)).patient()
}

#[tokio::test]
async fn a_signal_wakes_the_agent_of_the_process_that_has_claimed_the_thread() {
    let world = World::new();
    let theirs = stranger(&world);
    let (a, b) = (world.process().await, theirs.process().await);
    let mut reader = a.read().await;
    let claim = a.claim().await;
    assert_eq!(claim.thread(), thread());
    let signal = Signal::user("hello");
    let given = to_owner(&b, signal.clone()).await.unwrap();
    let (run, told, _) = reader.run().await;
    assert_eq!(given, Accepted::Deliver { run_id: run.into() });
    assert!(told.contains(&"heard hello".to_owned()), "{told:?}");
    for process in [&a, &b] {
        let again = to_owner(process, signal.clone()).await.unwrap();
        assert_eq!(again, Accepted::Before);
    }
    assert_eq!(world.heard.all(), ["hello"]);
    assert!(theirs.heard.all().is_empty());
}

#[tokio::test]
async fn a_thread_without_an_owner_is_woken_by_nobody() {
    let world = World::new();
    let a = world.process().await;
    let (none, message) = kind(to_owner(&a, "hello").await);
    assert_eq!(none, ErrorKind::NotFound);
    assert!(message.contains("claim_ownership"), "{message}");
    // The process that sends may be the owner.
    let mut reader = a.read().await;
    let claim = a.claim().await;
    let woken = to_owner(&a, "hello").await.unwrap();
    assert!(matches!(woken, Accepted::Wake { .. }), "{woken:?}");
    assert_eq!(reader.said().await.0, "heard hello");
    drop(claim);
    assert_eq!(kind(to_owner(&a, "?").await).0, ErrorKind::NotFound);
    assert_eq!(world.heard.all(), ["hello"]);
}

#[tokio::test]
async fn a_run_at_work_needs_no_owner() {
    let world = World::new();
    let (a, b) = (world.process().await, world.process().await);
    let mut reader = a.read().await;
    let woken = a.send("work").await;
    world.until_working().await;
    let given = to_owner(&b, "more").await.unwrap();
    assert_eq!(run_of(&given), run_of(&woken));
    world.gate.add_permits(1);
    assert_eq!(reader.said().await.0, "heard work|more");
}

#[tokio::test]
async fn one_process_at_a_time_owns_a_thread() {
    let world = World::new();
    let a = world.process().await;
    let b = stranger(&world).process().await;
    let claim = a.claim().await;
    for process in [&a, &b] {
        let second = process
            .threads
            .claim_ownership(AGENT, thread(), RunOptions::new());
        assert_eq!(second.await.unwrap_err().kind(), ErrorKind::Conflict);
    }
    drop(claim);
    let c = world.process().await;
    let claim = c.claim().await;
    assert!(matches!(
        to_owner(&b, "hello").await.unwrap(),
        Accepted::Deliver { .. }
    ));
    c.threads.close().await;
    drop(claim);
    let nobody = a
        .threads
        .claim_ownership("nobody", thread(), RunOptions::new());
    assert_eq!(nobody.await.unwrap_err().kind(), ErrorKind::NotFound);
    let _claim = a.claim().await;
}

/// A program that asks by hand.
struct Asker {
    bus: Arc<dyn PubSub>,
    replies: Subscription,
    reply: Topic,
}

impl Asker {
    async fn new(world: &World) -> Self {
        let reply = Topic::idle_acceptance(&thread().topic(), "1");
        let replies = world
            .host
            .subscribe(reply.clone(), SubscribeOptions::new())
            .await
            .unwrap();
        Self {
            bus: Arc::clone(&world.host),
            replies,
            reply,
        }
    }

    async fn give(&self, owner: &Text, request: &str, text: &str, expires_at: Option<i64>) {
        let signal = ThreadRecord::IdleSignal(IdleSignal {
            run_id: "their-choice".into(),
            signal: Signal::user(text),
            source_id: "them".into(),
            request_id: request.to_owned().into(),
            reply_topic: self.reply.as_str().to_owned().into(),
            target_source_id: owner.clone(),
            expires_at,
        });
        let event = signal.to_event(&thread().key());
        self.bus.publish(thread().topic(), event).await.unwrap();
    }

    /// The request that is answered next, and whether the signal was taken.
    async fn answer(&mut self) -> (Text, bool) {
        let reply = self.replies.next().await.unwrap().unwrap();
        match PresenceRecord::read(reply.event()).unwrap() {
            Some(PresenceRecord::IdleAccepted(it)) => (it.request_id, true),
            Some(PresenceRecord::IdleRejected(it)) => (it.request_id, false),
            other => panic!("no answer: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_request_is_dealt_with_once_and_only_while_somebody_waits() {
    let world = World::new();
    let a = world.process().await;
    let _claim = a.claim().await;
    let mut asker = Asker::new(&world).await;
    let us = a.threads.source_id();
    let now = Timestamp::now().as_millis();
    for (owner, request, text, expires_at) in [
        (us, "late", "too late", Some(now - 60_000)),
        (&"another".into(), "other", "not for us", None),
        (us, "x".repeat(257).as_str(), "not remembered", None),
        (us, "first", "work", Some(now)),
        (us, "first", "again", Some(now)),
        (us, "second", "more", None),
    ] {
        asker.give(owner, request, text, expires_at).await;
    }
    for request in ["first", "second"] {
        assert_eq!(asker.answer().await, (request.into(), true));
    }
    world.until_working().await;
    let mut reader = a.read().await;
    world.gate.add_permits(1);
    assert_eq!(reader.said().await.0, "heard work|more");
}

#[tokio::test]
async fn what_an_owner_cannot_take_it_refuses() {
    let world = World::new();
    let a = world.process_with(5, true).await;
    let b = stranger(&world).process().await;
    let mut reader = a.read().await;
    let _claim = a.claim().await;
    to_owner(&b, "work").await.unwrap();
    loop {
        if reader.next().await.event == bowline_agent::threads::ThreadEvent::Suspended {
            break;
        }
    }
    let mut asker = Asker::new(&world).await;
    asker.give(a.threads.source_id(), "1", "hello?", None).await;
    assert_eq!(asker.answer().await, ("1".into(), false));
    assert_eq!(world.heard.all(), ["work"]);
}

/// A bus that notes what is cleared.
#[derive(Debug, Default)]
struct Clears {
    bus: InProcessPubSub,
    cleared: Mutex<Vec<Topic>>,
}

impl PubSub for Clears {
    fn publish_with<'a>(
        &'a self,
        topic: &'a Topic,
        event: bowline_events::NewEvent,
        options: bowline_events::PublishOptions,
    ) -> OpFuture<'a, bowline_events::Published> {
        self.bus.publish_with(topic, event, options)
    }

    fn subscribe_with<'a>(
        &'a self,
        topic: &'a Topic,
        options: SubscribeOptions,
    ) -> OpFuture<'a, Subscription> {
        self.bus.subscribe_with(topic, options)
    }

    fn clear_topic<'a>(&'a self, topic: &'a Topic) -> OpFuture<'a, ()> {
        self.cleared.lock().unwrap().push(topic.clone());
        self.bus.clear_topic(topic)
    }

    fn flush(&self) -> OpFuture<'_, ()> {
        self.bus.flush()
    }

    fn close(&self) -> OpFuture<'_, ()> {
        self.bus.close()
    }

    fn capabilities(&self) -> bowline_events::Capabilities {
        self.bus.capabilities()
    }
}

#[tokio::test]
async fn an_owner_that_does_not_answer_is_an_error_and_no_topic_of_answers_stays() {
    let bus = Arc::new(Clears::default());
    let mut world = World::on(bus.clone()).patient();
    world.acceptance = Duration::from_millis(20);
    let a = world.process().await;
    let topic = Topic::thread_owner_discovery(None);
    let mut requests = world
        .host
        .subscribe(topic, SubscribeOptions::new())
        .await
        .unwrap();
    let mut words = world
        .host
        .subscribe(thread().topic(), SubscribeOptions::new())
        .await
        .unwrap();
    let silent = async {
        let request = requests.next().await.unwrap().unwrap();
        let Some(PresenceRecord::OwnerRequest(it)) = PresenceRecord::read(request.event()).unwrap()
        else {
            panic!("it asks: {request:?}");
        };
        let response = PresenceRecord::OwnerResponse(OwnerResponse {
            key: it.key,
            request_id: it.request_id,
            source_id: "silent".into(),
        });
        let reply = Topic::new(it.reply_topic.as_str());
        let event = response.to_event();
        world.host.publish(reply.clone(), event).await.unwrap();
        loop {
            let word = words.next().await.unwrap().unwrap();
            if let Some(ThreadRecord::IdleSignal(it)) = ThreadRecord::read(word.event()).unwrap() {
                assert_eq!(it.target_source_id, "silent");
                return [reply, Topic::new(it.reply_topic.as_str())];
            }
        }
    };
    let (sent, replies) = tokio::join!(to_owner(&a, "hello"), silent);
    assert_eq!(kind(sent).0, ErrorKind::Timeout);
    while bus.cleared.lock().unwrap().len() < replies.len() {
        tokio::task::yield_now().await;
    }
    assert_eq!(*bus.cleared.lock().unwrap(), replies);
}
