//! A stream, a read loop and subscribers in every order of events: nobody misses an event without being told.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bowline_events::log::Backlog;
use bowline_events::{
    Delivery, ErrorKind, Fill, InProcessPubSub, NewEvent, StartFrom, SubscribeOptions,
    SubscriptionSource, Topic,
};
use proptest::prelude::*;

use super::FanOut;
use super::ledger::Gap;
use super::live::{Appended, Arrival, Live, Seen};
use super::past::Past;
use super::private_group::{Begin, Loss, judge};
use super::reading::{Common, Reading};
use super::seam::Seam;
use super::share::Share;
use super::source::Source;
use super::topics::Member;
use crate::bus::Bus;
use crate::settings::Settings;
use crate::stream::{Entry, StreamId, StreamInfo, decode, encode};
use crate::wire::{Client, ClientOptions, Server};

/// Entries that the stream keeps.
const KEPT: usize = 8;

/// Entries of a page of the history.
const PAGE: usize = 3;

#[derive(Debug, Clone, Copy)]
enum Happening {
    Publish(usize),
    PublishLocally,
    Clear,
    LoseGroup,
    /// The shared reader reads up to so many entries; meanwhile others are published.
    Read {
        count: usize,
        meanwhile: usize,
    },
    Subscribe(Start),
    /// A subscriber takes up to so many items.
    Step {
        who: usize,
        items: usize,
    },
}

#[derive(Debug, Clone, Copy)]
enum Start {
    Latest,
    Earliest,
    Offset(u64),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        8 => (1..6_usize).prop_map(Happening::Publish),
        1 => (6..30_usize).prop_map(Happening::Publish),
        2 => Just(Happening::PublishLocally),
        1 => Just(Happening::Clear),
        1 => Just(Happening::LoseGroup),
        8 => (1..10_usize, 0..12_usize).prop_map(|(count, meanwhile)| Happening::Read { count, meanwhile }),
        2 => prop_oneof![
            Just(Start::Latest),
            Just(Start::Earliest),
            (0..20_u64).prop_map(Start::Offset),
        ].prop_map(Happening::Subscribe),
        8 => (any::<usize>(), 1..8_usize).prop_map(|(who, items)| Happening::Step { who, items }),
    ]
}

/// The stream as the server has it.
#[derive(Debug, Default)]
struct Stream {
    entries: VecDeque<Entry>,
    end: u64,
    last_id: StreamId,
    clock: u64,
    incarnation: u64,
    /// The last entry that the group was given.
    group: Option<StreamId>,
}

impl Stream {
    fn publish(&mut self) {
        let number = self.end;
        let event = NewEvent::new(self.incarnation.to_string(), number.to_string()).stamp();
        self.clock += 1;
        self.last_id = StreamId {
            millis: self.clock,
            number: 0,
        };
        self.entries.push_back(Entry {
            id: self.last_id,
            event: Some(encode(&event).expect("an event").into()),
        });
        self.end += 1;
        while self.entries.len() > KEPT {
            self.entries.pop_front();
        }
    }

    fn clear(&mut self) {
        *self = Self {
            clock: self.clock,
            incarnation: self.incarnation + 1,
            ..Self::default()
        };
    }

    fn info(&self) -> StreamInfo {
        StreamInfo {
            length: self.entries.len() as u64,
            end: self.end,
            last_id: self.last_id,
            first_id: self.entries.front().map(|entry| entry.id),
        }
    }

    fn behind(&self, after: StreamId, upto: Option<StreamId>, count: usize) -> Vec<Entry> {
        let wanted = |entry: &&Entry| entry.id > after && upto.is_none_or(|upto| entry.id <= upto);
        self.entries
            .iter()
            .filter(wanted)
            .take(count)
            .cloned()
            .collect()
    }
}

/// What a subscriber may get next.
#[derive(Debug)]
struct Expected {
    incarnation: Option<u64>,
    /// Unknown behind a notice that names no range.
    next: Option<u64>,
    at_least: u64,
    /// It joined behind a shared reader that was behind: what that lost may be told although it came before the subscription.
    may_overlap: bool,
    /// It went over to another stream without being told, and is to be told yet.
    owes_notice: bool,
}

impl Expected {
    fn delivery(&mut self, delivery: &Delivery) {
        if delivery.event_type == "local" {
            return;
        }
        let incarnation: u64 = delivery.event_type.parse().expect("a number");
        let number: u64 = delivery.run_id.parse().expect("a number");
        if let Some(position) = delivery.seq() {
            assert_eq!(position, number, "the position of an event");
        }
        if let Some(expected) = self.incarnation
            && incarnation != expected
        {
            // The history of a stream that was deleted and has grown again as far looks the same until the shared reader
            // comes to it.
            assert!(
                incarnation > expected && self.next == Some(number),
                "an event of another stream"
            );
            self.owes_notice = true;
        }
        if let Some(next) = self.next {
            assert_eq!(number, next, "the next event");
        }
        assert!(number >= self.at_least, "{number} comes again");
        *self = Self {
            incarnation: Some(incarnation),
            next: delivery.seq().map(|position| position + 1),
            at_least: number + 1,
            may_overlap: false,
            owes_notice: self.owes_notice,
        };
    }

    fn notice(&mut self, notice: &bowline_events::Error) {
        match (notice.kind(), notice.truncated()) {
            (ErrorKind::Cleared, _) => {
                *self = Self {
                    incarnation: None,
                    next: None,
                    at_least: 0,
                    may_overlap: false,
                    owes_notice: false,
                };
            }
            (_, Some(range)) => {
                if let Some(next) = self.next {
                    if self.may_overlap && range.wanted < next {
                        self.next = Some(range.first.max(next));
                        return;
                    }
                    assert_eq!(range.wanted, next, "the notice begins where reading ended");
                }
                assert!(range.first >= range.wanted);
                self.next = Some(range.first);
                self.at_least = self.at_least.max(range.first);
            }
            _ => self.next = None,
        }
    }
}

struct World {
    server: Arc<Mutex<Stream>>,
    fan_out: FanOut,
    common: Arc<Common>,
    member: Member,
    topic: Topic,
    subscribers: Vec<(Source, Expected)>,
    _runtime: tokio::runtime::Runtime,
}

impl World {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        let _entered = runtime.enter();
        let server: Server = "redis://127.0.0.1:1".parse().expect("a URL");
        let bus = Arc::new(Bus::new(
            Client::new(server, ClientOptions::default()),
            Settings::default(),
        ));
        let fan_out = FanOut::new(Arc::clone(&bus));
        let mut backlog = Backlog::default();
        backlog.max_bytes = 3000;
        let common = Arc::new(Common {
            local: InProcessPubSub::builder()
                .no_replay()
                .backlog(backlog)
                .build(),
            ..Common::new(&bus, runtime.handle())
        });
        let server = Stream {
            group: Some(StreamId::ZERO),
            ..Stream::default()
        };
        let topic = Topic::from("t");
        let ledger = Begin::Newest.ledger(Some(&server.info()));
        let live = Live::open(&topic, "k", 0, &common.local, ledger).expect("a topic");
        let member = Member {
            live: Arc::new(live),
            reading: Reading::new(&common, None),
        };
        Self {
            server: Arc::new(Mutex::new(server)),
            fan_out,
            common,
            member,
            topic,
            subscribers: Vec::new(),
            _runtime: runtime,
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Publish(events) => {
                for _ in 0..events {
                    self.server.lock().expect("no panic").publish();
                }
            }
            Happening::PublishLocally => {
                let event = NewEvent::new("local", "").stamp();
                drop(self.member.live.append_local(&self.common.local, event));
            }
            Happening::Clear => self.server.lock().expect("no panic").clear(),
            Happening::LoseGroup => self.server.lock().expect("no panic").group = None,
            Happening::Read { count, meanwhile } => self.read(count, meanwhile),
            Happening::Subscribe(start) => self.subscribe(start),
            Happening::Step { who, items } => {
                let count = self.subscribers.len();
                if count > 0 {
                    self.step(who % count, items);
                }
            }
        }
    }

    /// One turn of the read loop.
    fn read(&self, count: usize, meanwhile: usize) {
        let live = &self.member.live;
        let mut server = self.server.lock().expect("no panic");
        let Some(cursor) = server.group else {
            return self.regroup(&mut server);
        };
        live.issue();
        let before = server.info();
        let entries = server.behind(cursor, None, count);
        server.group = entries.last().map(|entry| entry.id).or(server.group);
        for _ in 0..meanwhile {
            server.publish();
        }
        let many = entries.len() >= count.min(KEPT);
        let ids: Vec<StreamId> = entries.iter().map(|entry| entry.id).collect();
        let gap = if live.stance.careful.load(Relaxed) {
            let gap = live.with_ledger(|ledger| ledger.gap_before(&before));
            gap.map_or(Gap::None, Gap::Before)
        } else if many {
            live.with_ledger(|ledger| ledger.gap_around(&server.info(), &ids))
        } else {
            Gap::None
        };
        live.stance.careful.store(many, Relaxed);
        let arrival = |entry: &Entry| Arrival {
            id: entry.id,
            event: decode(entry)
                .ok()
                .map(|event| (self.common.names.of("t", &event), event))
                .map(|(name, event)| (event, name)),
        };
        let batch = entries.iter().map(arrival).collect();
        let appended = live.append(&self.common.local, &self.common.recent, batch, gap);
        assert!(matches!(appended, Appended::Done { duplicates: 0, .. }));
    }

    fn regroup(&self, server: &mut Stream) {
        let live = &self.member.live;
        let present = live.present();
        let kept = server
            .entries
            .iter()
            .any(|entry| entry.id == present.last_id)
            .then_some(true);
        match judge(&server.info(), present.last_id, present.next, kept) {
            Loss::Group => {
                server.group = Some(present.last_id);
                live.regrouped();
            }
            Loss::Stream => {
                server.group = Some(StreamId::ZERO);
                live.cleared(Some(server.info().first()));
            }
        }
    }

    fn subscribe(&mut self, start: Start) {
        let live = &self.member.live;
        assert!(live.join());
        let share = Share::new(&self.fan_out.shared, &self.topic, &self.member);
        let (info, incarnation, newest) = {
            let server = self.server.lock().expect("no panic");
            (
                server.info(),
                server.incarnation,
                server
                    .entries
                    .back()
                    .map_or(StreamId::ZERO, |entry| entry.id),
            )
        };
        let options = SubscribeOptions::new();
        let (start, next) = match start {
            Start::Latest => (StartFrom::Latest, info.end),
            Start::Earliest => (StartFrom::Earliest, info.first()),
            Start::Offset(offset) => (StartFrom::Offset(offset), offset),
        };
        let past = (start != StartFrom::Latest).then(|| {
            let mut seam = Seam::new(start, Some(&info), &live.present());
            seam.page_size = PAGE as u64;
            let server = Arc::clone(&self.server);
            let fetch = move |after: Option<StreamId>, upto| {
                let server = server.lock().expect("no panic");
                let page = server.behind(after.unwrap_or_default(), upto, PAGE);
                let fetched = Ok((Some(server.info()), page));
                Box::pin(std::future::ready(fetched)) as crate::wire::BoxFuture<'static, _>
            };
            Past::by(Box::new(fetch), seam)
        });
        let seen = Seen {
            upto: newest,
            next: None,
        };
        let source = share.source(options, past, seen).expect("a source");
        let expected = Expected {
            incarnation: Some(incarnation),
            next: Some(next),
            at_least: 0,
            may_overlap: start == StartFrom::Latest,
            owes_notice: false,
        };
        self.subscribers.push((source, expected));
    }

    /// Whether there was anything.
    fn step(&mut self, who: usize, items: usize) -> bool {
        let (source, expected) = &mut self.subscribers[who];
        let mut into = VecDeque::new();
        let polled = source.poll_fill(&mut Context::from_waker(Waker::noop()), &mut into, items);
        match polled {
            Poll::Pending => return false,
            Poll::Ready(Fill::Some) => {}
            Poll::Ready(Fill::Notice(notice)) => expected.notice(&notice),
            Poll::Ready(other) => panic!("{other:?}"),
        }
        for delivery in into {
            expected.delivery(&delivery);
        }
        true
    }

    fn finish(mut self) {
        // Twice, because losses are noticed at the next read.
        for _ in 0..40 {
            self.read(5, 0);
        }
        for who in 0..self.subscribers.len() {
            while self.step(who, 4) {}
        }
        let server = self.server.lock().expect("no panic");
        for (who, (_, expected)) in self.subscribers.iter().enumerate() {
            assert!(
                !expected.owes_notice,
                "subscriber {who} was not told of a clear"
            );
            if let (Some(incarnation), Some(next)) = (expected.incarnation, expected.next) {
                assert_eq!(
                    (incarnation, next.max(server.end)),
                    (server.incarnation, next),
                    "subscriber {who} stays behind {}",
                    server.end
                );
            } else {
                assert_eq!(
                    server.entries.len(),
                    0,
                    "subscriber {who} got nothing of the new stream"
                );
            }
        }
    }
}

proptest! {
    #[test]
    fn every_subscriber_sees_every_event_or_is_told(happenings in prop::collection::vec(happening(), 0..80)) {
        let mut world = World::new();
        for happening in happenings {
            world.happen(happening);
        }
        world.finish();
    }
}
