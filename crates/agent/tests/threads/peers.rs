//! Runs of programs that do not share our store, played by hand.

use std::sync::Arc;
use std::time::Duration;

use bowline_agent::chunk::RawChunk;
use bowline_agent::threads::{
    AbortRequested, Accepted, IfActive, IfIdle, RunCompleted, RunRegistered, SendOptions, Signal,
    SignalEnqueued, StreamPart, ThreadEvent, ThreadRecord,
};
use bowline_events::{
    InProcessPubSub, LeaseProvider, PubSub, PubSubExt, SubscribeOptions, Subscription, Text, Topic,
};

use bowline_store::Table;

use crate::world::{AGENT, World, run_of, thread};

/// A run of a peer, which holds the thread.
struct Peer {
    bus: Arc<dyn PubSub>,
    leases: Arc<dyn LeaseProvider>,
    records: Subscription,
}

const RUN: &str = "their-run";
const STREAM: &str = "their-stream";

impl Peer {
    async fn new(world: &World) -> Self {
        let leases = world.host.lease_provider().unwrap();
        let topic = thread().topic();
        let records = world.host.subscribe(topic, SubscribeOptions::new());
        Self {
            bus: Arc::clone(&world.host),
            leases,
            records: records.await.unwrap(),
        }
    }

    async fn tell(&self, record: ThreadRecord) {
        let event = record.to_event(&thread().key());
        self.bus.publish(thread().topic(), event).await.unwrap();
    }

    async fn begin(&self) {
        let hour = Duration::from_secs(3600);
        let held = self
            .leases
            .acquire(&thread().key(), RUN, hour)
            .await
            .unwrap();
        assert!(held.acquired);
        self.tell(ThreadRecord::Registered(RunRegistered {
            run_id: RUN.into(),
            stream_id: STREAM.into(),
            stream_seq: 1,
            source_id: Some("them".into()),
        }))
        .await;
    }

    async fn say(&self, part: &str) {
        self.tell(ThreadRecord::Part(StreamPart {
            run_id: RUN.into(),
            stream_id: STREAM.into(),
            part: RawChunk::read(part.to_owned()).unwrap(),
            source_id: Some("them".into()),
        }))
        .await;
    }

    async fn end(&self) {
        self.tell(ThreadRecord::Completed(RunCompleted {
            run_id: RUN.into(),
            stream_id: Some(STREAM.into()),
            persisted: Some(true),
        }))
        .await;
        self.leases.release(&thread().key(), RUN).await.unwrap();
    }

    async fn give(&self, run: &str, signal: Signal) {
        self.tell(ThreadRecord::SignalEnqueued(SignalEnqueued {
            run_id: run.to_owned().into(),
            signal,
            source_id: Some("them".into()),
            pre_run: false,
        }))
        .await;
    }

    /// The next signal that is given to a run.
    async fn given(&mut self) -> (Text, Signal) {
        loop {
            let record = self.records.next().await.unwrap().unwrap();
            if let Some(ThreadRecord::SignalEnqueued(it)) =
                ThreadRecord::read(record.event()).unwrap()
            {
                return (it.run_id, it.signal);
            }
        }
    }
}

#[tokio::test]
async fn what_their_run_has_not_shown_is_what_ours_begins_with() {
    let world = World::new();
    let a = world.process().await;
    let mut peer = Peer::new(&world).await;
    let mut reader = a.read().await;
    peer.begin().await;
    let (shown, lost) = (Signal::user("shown"), Signal::user("lost"));
    for signal in [&shown, &lost] {
        let given = a.send(signal.clone()).await;
        assert_eq!(given, Accepted::Deliver { run_id: RUN.into() });
        assert_eq!(peer.given().await, (RUN.into(), signal.clone()));
    }
    let active = a.threads.active_run(thread()).await.unwrap();
    assert_eq!(active.as_deref(), Some(RUN));
    peer.say(shown.to_chunk().as_str()).await;
    peer.end().await;
    let (run, told, end) = reader.run().await;
    let theirs = (RUN, ThreadEvent::Completed);
    assert_eq!(
        ((run.as_str(), end), told),
        (theirs, vec!["data-user-message".to_owned()])
    );
    assert_eq!(reader.said().await.0, "heard lost");
    assert_eq!(a.send(shown).await, Accepted::Before);
    assert_eq!(world.heard.all(), ["lost"]);
}

#[tokio::test]
async fn their_run_counts_as_the_agent_at_work() {
    let world = World::new();
    let a = world.process().await;
    let mut peer = Peer::new(&world).await;
    let mut reader = a.read().await;
    peer.begin().await;
    let send = async |text: &'static str, options| {
        let sent = a.threads.send_signal(AGENT, thread(), text, options);
        sent.await.unwrap()
    };
    let usual = SendOptions::new;
    let persist = usual().if_active(IfActive::Persist);
    assert_eq!(send("later", persist).await, Accepted::Persist);
    let discard = usual().if_active(IfActive::Discard);
    assert_eq!(send("never", discard.clone()).await, Accepted::Discard);
    let now = usual().if_idle(IfIdle::Discard);
    let now = now.active_attribute("when", "now").unwrap();
    let run_id = RUN.into();
    assert_eq!(send("now", now).await, Accepted::Deliver { run_id });
    let (run, signal) = peer.given().await;
    assert_eq!((run.as_str(), signal.contents()), (RUN, &"now".into()));
    assert_eq!(
        signal.attributes().get("when").unwrap().as_str(),
        r#""now""#
    );
    peer.say(signal.to_chunk().as_str()).await;
    peer.end().await;
    assert_eq!(reader.run().await.0, RUN);
    send("again", discard).await;
    assert_eq!(reader.said().await.0, "heard again");
    assert_eq!(world.heard.all(), ["again"]);
}

#[tokio::test]
async fn queued_messages_wait_for_the_end_of_their_run_and_are_not_given_to_it() {
    let world = World::new();
    let a = world.process().await;
    let peer = Peer::new(&world).await;
    let mut reader = a.read().await;
    peer.begin().await;
    a.queue("mine").await;
    peer.end().await;
    assert_eq!(reader.run().await.0, RUN);
    assert_eq!(reader.said().await.0, "heard mine");
}

#[tokio::test]
async fn a_signal_of_theirs_reaches_our_run_once() {
    let world = World::new();
    let (a, _b) = (world.process().await, world.process().await);
    let peer = Peer::new(&world).await;
    let mut reader = a.read().await;
    let woken = a.send("work").await;
    world.until_working().await;
    let signal = Signal::user("from afar");
    for _ in 0..3 {
        peer.give(run_of(&woken), signal.clone()).await;
    }
    peer.give("another run", Signal::user("not for us")).await;
    // What is told to us is taken in order: when this is taken, the rest is.
    peer.give(run_of(&woken), Signal::user("last")).await;
    let mail = Table::new("agent_mail").log(run_of(&woken).to_owned());
    let letters = async || {
        world
            .store
            .read_log(&mail, 0, 10)
            .await
            .unwrap()
            .entries
            .len()
    };
    while letters().await < 3 {
        tokio::task::yield_now().await;
    }
    world.gate.add_permits(1);
    assert_eq!(reader.said().await.0, "heard work|from afar|last");
}

#[tokio::test]
async fn they_can_stop_our_run_if_they_know_how_it_is_told() {
    let world = World::new();
    let a = world.process().await;
    let mut peer = Peer::new(&world).await;
    let mut reader = a.read().await;
    let woken = a.send("work").await;
    world.until_working().await;
    let stream_id = loop {
        let record = peer.records.next().await.unwrap().unwrap();
        if let Some(ThreadRecord::Registered(it)) = ThreadRecord::read(record.event()).unwrap() {
            break it.stream_id;
        }
    };
    let run_id = Text::from(run_of(&woken).to_owned());
    for (stream_id, clear) in [("another".into(), true), (stream_id, false)] {
        let request = AbortRequested {
            run_id: run_id.clone(),
            stream_id: Some(stream_id),
            clear_pending_signals: clear,
        };
        a.queue(if clear { "kept" } else { "kept, too" }).await;
        peer.tell(ThreadRecord::AbortRequested(request)).await;
    }
    world.gate.add_permits(1);
    assert_eq!(reader.run().await.2, ThreadEvent::Aborted);
    assert_eq!(reader.said().await.0, "heard kept");
    assert_eq!(reader.said().await.0, "heard kept, too");
}

#[tokio::test]
async fn we_ask_their_run_to_stop() {
    let world = World::new();
    let a = world.process().await;
    let mut peer = Peer::new(&world).await;
    let control = Topic::agent_control(RUN);
    let mut control = world
        .bus
        .subscribe(control, SubscribeOptions::new())
        .await
        .unwrap();
    let mut reader = a.read().await;
    assert!(!a.threads.abort(thread(), false).await.unwrap());
    peer.begin().await;
    assert_eq!(reader.next().await.event, ThreadEvent::Began);
    assert!(a.threads.abort(thread(), false).await.unwrap());
    let asked = loop {
        let record = peer.records.next().await.unwrap().unwrap();
        if let Some(ThreadRecord::AbortRequested(it)) = ThreadRecord::read(record.event()).unwrap()
        {
            break it;
        }
    };
    assert_eq!(asked.stream_id.as_deref(), Some(STREAM));
    let asked = control.next().await.unwrap().unwrap();
    assert_eq!(asked.event_type, "abort-request");
}

#[tokio::test]
async fn a_bus_without_leases_goes_by_the_store_alone() {
    #[derive(Debug)]
    struct NoLeases(InProcessPubSub);
    impl PubSub for NoLeases {
        fn publish_with<'a>(
            &'a self,
            topic: &'a Topic,
            event: bowline_events::NewEvent,
            options: bowline_events::PublishOptions,
        ) -> bowline_events::OpFuture<'a, bowline_events::Published> {
            self.0.publish_with(topic, event, options)
        }

        fn subscribe_with<'a>(
            &'a self,
            topic: &'a Topic,
            options: SubscribeOptions,
        ) -> bowline_events::OpFuture<'a, Subscription> {
            self.0.subscribe_with(topic, options)
        }

        fn flush(&self) -> bowline_events::OpFuture<'_, ()> {
            self.0.flush()
        }

        fn close(&self) -> bowline_events::OpFuture<'_, ()> {
            self.0.close()
        }

        fn capabilities(&self) -> bowline_events::Capabilities {
            self.0.capabilities()
        }
    }
    let world = World::on(Arc::new(NoLeases(InProcessPubSub::new())));
    let (a, b) = (world.process().await, world.process().await);
    let mut reader = b.read().await;
    a.send("work").await;
    world.until_working().await;
    assert!(matches!(b.send("more").await, Accepted::Deliver { .. }));
    b.queue("next").await;
    world.gate.add_permits(1);
    assert_eq!(reader.said().await.0, "heard work|more");
    assert_eq!(reader.said().await.0, "heard next");
}
