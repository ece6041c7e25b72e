//! Telling the watchers of runs.

use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bowline_events::{NewEvent, Payload, PubSub, PublishOptions, Reach, Text, Topic};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use super::shared::lock;
use super::untold;
use crate::context::{ChunkSink, Fence, SinkFuture};
use crate::machine::Notice;

/// Events that wait to be sent; who has more to tell waits.
const QUEUE: usize = 4096;
/// Runs whose events are on their way at a time, one event a run, so that the order holds when one is sent again.
const IN_FLIGHT: usize = 256;
/// The pauses between attempts while the bus is away.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Attempts on a bus of this process, which is not away but full.
const NEAR: u32 = 5;

/// What one driver tells of its run.
#[derive(Debug)]
pub(super) struct Voice {
    /// The run that was started; what is nested in it goes the same way.
    run: Text,
    /// Where the run itself is told of.
    topic: Topic,
    /// How much of what the run had to tell is published for certain.
    published: AtomicU64,
    /// What is said and not told yet.
    open: AtomicU64,
    /// Somebody else tells the rest.
    silent: AtomicBool,
}

/// Notes of the outbox that are done with: keys and versions.
pub(super) type Told = Arc<Mutex<Vec<(Text, u64)>>>;

/// Publishes the events of all runs of an engine, those of a run in order.
#[derive(Debug)]
pub(super) struct Publisher {
    bus: Arc<dyn PubSub>,
    told: Told,
    /// `None` where the bus is in this process and publishing waits for nobody.
    queue: Option<Queue>,
}

#[derive(Debug)]
struct Queue {
    sender: mpsc::Sender<Message>,
    /// Messages that are not done.
    open: Arc<watch::Sender<usize>>,
    task: AbortHandle,
}

struct Message {
    voice: Arc<Voice>,
    content: Content,
}

enum Content {
    Notice(Notice),
    /// Something that a step wrote, which is told only while the run is certainly this engine's.
    Chunk(Notice, Fence),
    /// Everything that the run had to tell so far, some of which was told before, `ask`: perhaps more than is known.
    All {
        notices: Vec<Notice>,
        ask: bool,
    },
    /// What was told is told: the note in the outbox is done with.
    Note(Text, u64),
}

impl Voice {
    pub(super) fn new(run: &Text, published: u64) -> Arc<Self> {
        Arc::new(Self {
            run: run.clone(),
            topic: Topic::workflow_events(run),
            published: AtomicU64::new(published),
            open: AtomicU64::new(0),
            silent: AtomicBool::new(false),
        })
    }

    pub(super) fn published(&self) -> u64 {
        self.published.load(Ordering::SeqCst)
    }

    /// Where something is told: of the run itself, of one that is nested in it, or elsewhere.
    fn topic(&self, notice: &Notice) -> Topic {
        match notice.elsewhere.is_none() && notice.run_id == self.run {
            true => self.topic.clone(),
            false => notice.topic(),
        }
    }

    /// Nothing more is told, also of what was said before and waits.
    pub(super) fn silence(&self) {
        self.silent.store(true, Ordering::SeqCst);
    }

    fn is_silent(&self) -> bool {
        self.silent.load(Ordering::SeqCst)
    }
}

impl Publisher {
    /// Must be called in a Tokio runtime.
    pub(super) fn new(bus: Arc<dyn PubSub>, told: Told) -> Self {
        let queue = (bus.capabilities().reach != Reach::Process).then(|| {
            let (sender, receiver) = mpsc::channel(QUEUE);
            let open = Arc::new(watch::channel(0).0);
            let work = send_all(
                Arc::clone(&bus),
                Arc::clone(&told),
                receiver,
                Arc::clone(&open),
            );
            let task = tokio::spawn(work).abort_handle();
            Queue { sender, open, task }
        });
        Self { bus, told, queue }
    }

    /// Tells what happened. Waits only while the queue is full, or a reader of this process is too slow.
    pub(super) async fn tell(&self, voice: &Arc<Voice>, notice: Notice) {
        self.say(voice, Content::Notice(notice)).await;
    }

    /// Tells of `notices`, which are all of the run, those that were not told. `ask`: it may be more than `voice` knows.
    pub(super) async fn tell_rest(&self, voice: &Arc<Voice>, notices: Vec<Notice>, ask: bool) {
        self.say(voice, Content::All { notices, ask }).await;
    }

    /// Notes that everything was told that was said before.
    pub(super) async fn note(&self, voice: &Arc<Voice>, key: Text, version: u64) {
        self.say(voice, Content::Note(key, version)).await;
    }

    async fn say(&self, voice: &Arc<Voice>, content: Content) {
        let voice = Arc::clone(voice);
        voice.open.fetch_add(1, Ordering::SeqCst);
        let message = Message { voice, content };
        match &self.queue {
            None => deliver(&*self.bus, &self.told, message, NEAR).await,
            Some(queue) => {
                queue.open.send_modify(|open| *open += 1);
                // The receiver lives until the engine is closed; what comes later is told by others.
                let _ = queue.sender.send(message).await;
            }
        }
    }

    /// Waits until `voice` has told as much as `wanted`, or until `deadline`.
    pub(super) async fn wait_for(&self, voice: &Voice, wanted: u64, deadline: Instant) {
        let Some(queue) = &self.queue else { return };
        let mut open = queue.open.subscribe();
        let told = open.wait_for(|_| voice.published() >= wanted);
        // Who waits looks himself how far it has come.
        let _ = timeout_at(deadline, told).await;
    }

    /// Waits until everything is told that `voice` has said, at most for a time. Whether it is.
    pub(super) async fn is_done(&self, voice: &Voice, wait: Duration) -> bool {
        let is_done = || voice.open.load(Ordering::SeqCst) == 0;
        let Some(queue) = &self.queue else {
            return is_done();
        };
        let mut open = queue.open.subscribe();
        let told = open.wait_for(|_| is_done());
        timeout_at(Instant::now() + wait, told).await.is_ok()
    }

    /// Whether there is something that is said and not told.
    pub(super) fn is_busy(&self) -> bool {
        self.queue
            .as_ref()
            .is_some_and(|queue| *queue.open.borrow() > 0)
    }

    /// Waits until everything is told, or until `deadline`, and tells nothing any more.
    pub(super) async fn close(&self, deadline: Instant) {
        let Some(queue) = &self.queue else { return };
        let mut open = queue.open.subscribe();
        if timeout_at(deadline, open.wait_for(|open| *open == 0))
            .await
            .is_err()
        {
            tracing::warn!("the bus is away; other engines will tell the rest");
        }
        queue.task.abort();
    }
}

/// Where the steps of a run write.
#[derive(Debug)]
pub(super) struct Chunks {
    pub(super) publisher: Arc<Publisher>,
    pub(super) voice: Arc<Voice>,
    pub(super) fence: Fence,
}

impl ChunkSink for Chunks {
    fn write<'a>(&'a self, run_id: &'a Text, json: String) -> SinkFuture<'a> {
        let run_id = run_id.clone();
        let chunk = Notice {
            run_id,
            json,
            elsewhere: None,
        };
        let chunk = Content::Chunk(chunk, self.fence.clone());
        Box::pin(self.publisher.say(&self.voice, chunk))
    }
}

/// Sends the events of a run one after the other, those of different runs side by side.
async fn send_all(
    bus: Arc<dyn PubSub>,
    told: Told,
    mut queue: mpsc::Receiver<Message>,
    open: Arc<watch::Sender<usize>>,
) {
    let mut waiting: HashMap<Text, VecDeque<Message>> = HashMap::new();
    let mut behind = 0;
    let mut sending = FuturesUnordered::new();
    let send = |message: Message| {
        let (bus, told) = (Arc::clone(&bus), Arc::clone(&told));
        let run = message.voice.run.clone();
        async move {
            deliver(&*bus, &told, message, u32::MAX).await;
            run
        }
    };
    let mut more = true;
    while more || !sending.is_empty() {
        let room = behind < QUEUE && sending.len() < IN_FLIGHT;
        tokio::select! {
            message = queue.recv(), if more && room => match message {
                None => more = false,
                Some(message) => match waiting.entry(message.voice.run.clone()) {
                    Entry::Vacant(run) => {
                        run.insert(VecDeque::new());
                        sending.push(send(message));
                    }
                    Entry::Occupied(mut run) => {
                        run.get_mut().push_back(message);
                        behind += 1;
                    }
                },
            },
            Some(run) = sending.next(), if !sending.is_empty() => {
                open.send_modify(|open| *open -= 1);
                match waiting.get_mut(&run).and_then(VecDeque::pop_front) {
                    Some(next) => {
                        behind -= 1;
                        sending.push(send(next));
                    }
                    None => {
                        waiting.remove(&run);
                    }
                }
            }
        }
    }
}

async fn deliver(bus: &dyn PubSub, told: &Told, message: Message, attempts: u32) {
    let voice = Arc::clone(&message.voice);
    speak(bus, told, message, attempts).await;
    voice.open.fetch_sub(1, Ordering::SeqCst);
}

async fn speak(bus: &dyn PubSub, told: &Told, message: Message, attempts: u32) {
    let Message { voice, content } = message;
    match content {
        Content::Notice(notice) => notify(bus, &voice, notice, attempts).await,
        Content::Chunk(chunk, fence) => {
            publish(bus, &voice, chunk, attempts, Some(&fence)).await;
        }
        Content::All { notices, ask } => {
            let mut known = voice.published();
            if ask && !voice.is_silent() {
                known = known.max(untold::first(bus, &notices, known).await);
                voice.published.fetch_max(known, Ordering::SeqCst);
            }
            let known = usize::try_from(known).unwrap_or(usize::MAX);
            for notice in notices.into_iter().skip(known) {
                notify(bus, &voice, notice, attempts).await;
            }
        }
        Content::Note(key, version) if !voice.is_silent() => lock(told).push((key, version)),
        Content::Note(..) => {}
    }
}

async fn notify(bus: &dyn PubSub, voice: &Voice, notice: Notice, attempts: u32) {
    if publish(bus, voice, notice, attempts, None).await {
        voice.published.fetch_add(1, Ordering::SeqCst);
    }
}

/// Publishes what the bus takes, in so many attempts while it is away. `false` when somebody else is to tell it.
async fn publish(
    bus: &dyn PubSub,
    voice: &Voice,
    notice: Notice,
    attempts: u32,
    fence: Option<&Fence>,
) -> bool {
    let topic = voice.topic(&notice);
    let event = event(notice);
    let mut pause = FIRST_PAUSE;
    let mut attempt = 0;
    while !voice.is_silent() {
        // It may have been said long ago.
        if let Some(fence) = fence
            && !fence.passes_soon().await
        {
            return false;
        }
        attempt += 1;
        let published = bus.publish_with(&topic, event.clone(), PublishOptions::default());
        match published.await {
            Ok(_) => return true,
            Err(error) if error.is_retryable() && attempt < attempts => {
                tracing::debug!(topic = %topic, %error, "an event of a run is published again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            Err(error) => {
                tracing::warn!(topic = %topic, %error, "an event of a run was not published");
                return true;
            }
        }
    }
    false
}

fn event(notice: Notice) -> NewEvent {
    // It may be kept for watchers, and needs no room to grow.
    let json = Bytes::from(notice.json.into_bytes().into_boxed_slice());
    let data = Payload::from_valid_json(json, bowline_events::Dialect::Plain);
    let event_type = match notice.elsewhere {
        Some(elsewhere) => elsewhere.1,
        None => "watch".into(),
    };
    NewEvent::new(event_type, notice.run_id).with_data(data)
}
