//! A topic that has subscribers in this process.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bowline_events::{
    Error, ErrorKind, Event, InProcessPubSub, OpFuture, PubSub, Published, Result, StartFrom,
    SubscribeOptions, Subscription, Topic,
};

use super::gate::Gate;
use super::inbox::{End, Inbox};
use super::ledger::{Gap, Ledger, Mark, What};
use super::recent::Recent;
use super::track::Track;
use crate::stream::StreamId;

/// Entries of the first read of a topic, as in the reference.
const FIRST_COUNT: usize = 10;

/// A topic with its private group on the server and its log in this process.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) topic: Topic,
    pub(super) key: Arc<str>,
    /// The name of the log on the local bus; no two lives share one.
    local: Topic,
    pub(super) gate: Arc<Gate>,
    pub(super) stance: Stance,
    /// Held while the group is made or removed.
    pub(super) regrouping: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

/// How the next read of a topic has to be. Only the one who reads it changes this, and those who made the group anew.
#[derive(Debug)]
pub(super) struct Stance {
    /// Entries may have been lost before the next one: look at the stream together with the read.
    pub(super) careful: AtomicBool,
    /// A reply was lost: what it assigned to us comes first.
    pub(super) recover: AtomicBool,
    pub(super) count: AtomicUsize,
    /// The epoch in which the read under way was sent.
    pub(super) issued: AtomicU64,
}

impl Stance {
    /// A reply was lost.
    pub(super) fn recover(&self) {
        self.recover.store(true, Relaxed);
        self.careful.store(true, Relaxed);
    }
}

#[derive(Debug)]
struct State {
    ledger: Ledger,
    /// The short name of the last event that was read.
    last_name: Option<u64>,
    /// How often the group was made, so that replies of older ones are recognised.
    epoch: u64,
    readers: HashMap<u64, Reader>,
    next_reader: u64,
    /// Readers that pass over entries up to an id.
    skips: Vec<(StreamId, u64)>,
    /// Subscribers, those included that are about to come.
    users: usize,
    ended: Option<End>,
    /// Keeps the local log alive, so that it never begins to count anew.
    anchor: Option<Subscription>,
}

#[derive(Debug)]
struct Reader {
    inbox: Arc<Inbox>,
    attached: bool,
}

/// An entry that was read.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) id: StreamId,
    /// The event and its short name; none when the entry holds no event.
    pub(super) event: Option<(Event, u64)>,
}

/// What became of a batch.
pub(super) enum Appended {
    /// It is handed over; the future waits for slow readers.
    Done {
        epoch: u64,
        pressed: Option<OpFuture<'static, Published>>,
        duplicates: u64,
    },
    /// It was assigned to a group that is gone, or to one that nobody expected yet: nothing was done with it.
    Stale,
}

/// A subscriber's place in the local log.
pub(super) struct Attached {
    pub(super) inner: Subscription,
    pub(super) track: Track,
    /// Where the local log begins.
    pub(super) present: Present,
}

/// What a subscriber that reads the history must know of the topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Present {
    pub(super) epoch: u64,
    /// The position of the next entry that the shared reader hands over.
    pub(super) next: Option<u64>,
    pub(super) last_id: StreamId,
}

impl Live {
    /// A topic whose group begins behind `ledger`, with one subscriber about to come.
    pub(super) fn open(
        topic: &Topic,
        key: &str,
        number: u64,
        bus: &InProcessPubSub,
        ledger: Ledger,
    ) -> Result<Self> {
        let local = Topic::from(number.to_string());
        let anchor = subscribe_now(bus, &local, SubscribeOptions::new().skippable())?;
        Ok(Self {
            topic: topic.clone(),
            key: Arc::from(key),
            local,
            gate: Arc::default(),
            stance: Stance {
                careful: AtomicBool::new(false),
                recover: AtomicBool::new(false),
                count: AtomicUsize::new(FIRST_COUNT),
                issued: AtomicU64::new(u64::MAX),
            },
            regrouping: tokio::sync::Mutex::default(),
            state: Mutex::new(State {
                ledger,
                last_name: None,
                epoch: 0,
                readers: HashMap::new(),
                next_reader: 0,
                skips: Vec::new(),
                users: 1,
                ended: None,
                anchor: Some(anchor),
            }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one more subscriber, unless the topic has ended.
    pub(super) fn join(&self) -> bool {
        let mut state = self.lock();
        let open = state.ended.is_none();
        state.users += usize::from(open);
        open
    }

    /// Counts one subscriber less. Whether that was the last.
    pub(super) fn leave(&self, reader: Option<u64>) -> bool {
        let mut state = self.lock();
        if let Some(reader) = reader {
            state.readers.remove(&reader);
            state.skips.retain(|(_, other)| *other != reader);
        }
        state.users -= 1;
        state.users == 0
    }

    /// Subscribers of this process.
    pub(super) fn users(&self) -> u64 {
        self.lock().users as u64
    }

    /// Ends the topic if nobody uses it. Whether it has ended.
    pub(super) fn end_if_unused(&self) -> bool {
        let mut state = self.lock();
        if state.users == 0 && state.ended.is_none() {
            state.ended = Some(End::Closed);
            state.anchor = None;
        }
        state.ended.is_some()
    }

    /// Ends the topic and tells all subscribers why.
    pub(super) fn end(&self, end: &End) {
        let mut state = self.lock();
        if state.ended.is_some() {
            return;
        }
        state.ended = Some(end.clone());
        state.anchor = None;
        for reader in state.readers.values() {
            reader.inbox.end(end.clone());
        }
    }

    pub(super) fn is_ended(&self) -> bool {
        self.lock().ended.is_some()
    }

    /// Registers a subscriber that is not attached to the local log yet.
    pub(super) fn register(&self) -> (u64, Arc<Inbox>) {
        let mut state = self.lock();
        let reader = state.next_reader;
        state.next_reader += 1;
        let inbox = Arc::new(Inbox::default());
        if let Some(end) = &state.ended {
            inbox.end(end.clone());
        }
        let entry = Reader {
            inbox: Arc::clone(&inbox),
            attached: false,
        };
        state.readers.insert(reader, entry);
        (reader, inbox)
    }

    /// Attaches a subscriber to the local log; entries up to `seen` are passed over.
    pub(super) fn attach(
        &self,
        bus: &InProcessPubSub,
        reader: u64,
        mut options: SubscribeOptions,
        seen: StreamId,
    ) -> Result<Attached> {
        options.start = StartFrom::Latest;
        options.group = None;
        let mut state = self.lock();
        let inner = subscribe_now(bus, &self.local, options)?;
        let last = state.ledger.last_id();
        let skipping = seen > last;
        if skipping {
            state.skips.push((seen, reader));
        }
        let track = Track::new(state.ledger.next_local(), state.ledger.run(), skipping);
        if let Some(entry) = state.readers.get_mut(&reader) {
            entry.attached = true;
        }
        Ok(Attached {
            inner,
            track,
            present: state.present(),
        })
    }

    pub(super) fn present(&self) -> Present {
        self.lock().present()
    }

    /// Runs `look` on the account of the topic.
    pub(super) fn with_ledger<R>(&self, look: impl FnOnce(&Ledger) -> R) -> R {
        look(&self.lock().ledger)
    }

    /// The short name of the last event that was read; none when that entry held no event.
    pub(super) fn last_name(&self) -> Option<u64> {
        self.lock().last_name
    }

    /// A read of this topic is about to be sent.
    pub(super) fn issue(&self) {
        self.stance.issued.store(self.lock().epoch, Relaxed);
    }

    /// Whether the group is still the one that the read under way was sent to.
    pub(super) fn is_current(&self) -> bool {
        self.lock().epoch == self.stance.issued.load(Relaxed)
    }

    /// Hands a batch over to the local log.
    pub(super) fn append(
        &self,
        bus: &InProcessPubSub,
        recent: &Mutex<Recent>,
        batch: Vec<Arrival>,
        gap: Gap,
    ) -> Appended {
        let _shut = self.gate.shut();
        let mut state = self.lock();
        if state.ended.is_some() || state.epoch != self.stance.issued.load(Relaxed) {
            return Appended::Stale;
        }
        let mut recent = recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Gap::Before(gap) | Gap::Around(gap) = gap {
            let mark = state.ledger.lost(gap);
            state.tell(mark);
        }
        let (mut pressed, mut duplicates) = (None, 0);
        for Arrival { id, event } in batch {
            if id <= state.ledger.last_id() {
                continue;
            }
            state.last_name = event.as_ref().map(|(_, name)| *name);
            let Some((event, name)) = event else {
                state.ledger.pass(id);
                continue;
            };
            if !recent.insert(name) {
                state.ledger.pass(id);
                duplicates += 1;
                continue;
            }
            state.begin_those_behind(id);
            if let Some(mark) = state.ledger.entry(id) {
                state.tell(mark);
            }
            if let Err(waits) = bus.deliver(&self.local, event).now_or_self() {
                pressed = Some(waits);
            }
        }
        if let Gap::Around(_) = gap {
            let mark = state.ledger.doubtful();
            state.tell(mark);
        }
        Appended::Done {
            epoch: state.epoch,
            pressed,
            duplicates,
        }
    }

    /// Hands an event of this process to all subscribers. The future waits for slow readers.
    pub(super) fn append_local(
        &self,
        bus: &InProcessPubSub,
        event: Event,
    ) -> Option<OpFuture<'static, Published>> {
        let _shut = self.gate.shut();
        let mut state = self.lock();
        if state.ended.is_some() {
            return None;
        }
        if let Some(mark) = state.ledger.local() {
            state.tell(mark);
        }
        if state.readers.values().any(|reader| !reader.attached) {
            let event = Arc::new(event.clone());
            for reader in state.readers.values().filter(|reader| !reader.attached) {
                reader.inbox.event(&event);
            }
        }
        Some(bus.deliver(&self.local, event))
    }

    /// The group was made anew for a new stream, whose first entry has position `next`.
    pub(super) fn cleared(&self, next: Option<u64>) {
        let _shut = self.gate.shut();
        let mut state = self.lock();
        state.epoch += 1;
        let mark = state.ledger.cleared(next);
        state.tell(mark);
        // Whatever the new stream holds came after all subscriptions.
        for (_, reader) in std::mem::take(&mut state.skips) {
            state.begin(reader, mark.at);
        }
        self.stance.count.store(FIRST_COUNT, Relaxed);
    }

    /// The group was made anew on the same stream.
    pub(super) fn regrouped(&self) {
        self.lock().epoch += 1;
        self.stance.careful.store(true, Relaxed);
    }
}

impl State {
    fn present(&self) -> Present {
        Present {
            epoch: self.epoch,
            next: self.ledger.next(),
            last_id: self.ledger.last_id(),
        }
    }

    /// Tells all attached readers.
    fn tell(&self, mark: Mark) {
        for reader in self.readers.values().filter(|reader| reader.attached) {
            reader.inbox.mark(mark);
        }
    }

    /// Readers that passed over entries up to one before `id` take part from here on.
    fn begin_those_behind(&mut self, id: StreamId) {
        if self.skips.is_empty() {
            return;
        }
        let at = self.ledger.next_local();
        let (due, later) = std::mem::take(&mut self.skips)
            .into_iter()
            .partition(|(seen, _)| *seen < id);
        self.skips = later;
        let due: Vec<(StreamId, u64)> = due;
        for (_, reader) in due {
            self.begin(reader, at);
        }
    }

    fn begin(&self, reader: u64, at: u64) {
        if let Some(reader) = self.readers.get(&reader) {
            let what = What::Begin;
            reader.inbox.mark(Mark { at, what });
        }
    }
}

/// Subscribes on the local bus, which does that at once.
fn subscribe_now(
    bus: &InProcessPubSub,
    topic: &Topic,
    options: SubscribeOptions,
) -> Result<Subscription> {
    match bus.subscribe_with(topic, options).now_or_self() {
        Ok(subscription) => subscription,
        Err(_) => {
            let message = "the local bus did not attach the subscriber at once";
            Err(Error::new(ErrorKind::Unavailable, "subscribe", message).with_subject(topic))
        }
    }
}
