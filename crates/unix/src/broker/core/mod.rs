//! The routing state machine: frames in, queued bytes and local events out. No input or output happens here.

mod membership;
mod publish;

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use bytes::Bytes;
use uuid::Uuid;

use super::clients::{ClientId, Clients};
use super::encode::Encoded;
use super::horizon::Horizon;
use super::queue::{Part, Run};
use super::route::{Limits, Outputs, Sink};
use super::topics::{Member, Membership, Subscribers, Topics};
use crate::event::Reader;
use crate::frame::{Frame, Ignored, Kind};
use crate::stamp::{Now, Stamp};

/// What was not passed on.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counters {
    /// Lines that are no frames.
    pub(crate) malformed: u64,
    /// Publish frames that a Node process would not survive, or too large to be passed on.
    pub(crate) rejected: u64,
    /// Clients removed because their queue was full.
    pub(crate) kicked: u64,
    /// Events given to memberships that came back after a failover.
    pub(crate) recovered: u64,
}

/// The broker of one socket.
#[derive(Debug)]
pub(crate) struct Broker {
    limits: Limits,
    clients: Clients,
    topics: Topics,
    run: Run,
    /// Clients with frames in the present run.
    dirty: Vec<ClientId>,
    encoded: Encoded,
    stamp: Stamp,
    reader: Reader,
    horizon: Option<Horizon>,
    own: Option<Uuid>,
    counters: Counters,
}

impl Broker {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            clients: Clients::default(),
            topics: Topics::default(),
            run: Run::default(),
            dirty: Vec::new(),
            encoded: Encoded::default(),
            stamp: Stamp::new(),
            reader: Reader::default(),
            horizon: None,
            own: None,
            counters: Counters::default(),
        }
    }

    /// Keeps what is published in the next `span` for peers that are still on their way back.
    pub(crate) fn open_horizon(&mut self, now: Instant, span: Duration) {
        self.horizon = Some(Horizon::new(now, span));
    }

    /// The counts since they were last taken.
    pub(crate) fn take_counters(&mut self) -> Counters {
        std::mem::take(&mut self.counters)
    }

    /// The number of connections.
    pub(crate) fn connected(&self) -> usize {
        self.clients.len()
    }

    /// Topics with subscribers, here or there.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &Subscribers> {
        self.topics.iter()
    }

    pub(crate) fn connect(&mut self, now: Instant) -> ClientId {
        self.clients.connect(now)
    }

    /// Forgets a client and what is queued for it. False when it is gone already.
    pub(crate) fn disconnect(&mut self, id: ClientId) -> bool {
        let Some(gone) = self.clients.disconnect(id) else {
            return false;
        };
        for membership in gone.memberships() {
            self.topics.leave(membership, Member::Remote(id));
        }
        true
    }

    pub(crate) fn join_local(&mut self, membership: &Membership) {
        self.topics.join(membership, Member::Local);
    }

    pub(crate) fn leave_local(&mut self, membership: &Membership) {
        self.topics.leave(membership, Member::Local);
    }

    /// Acts upon one line of `from`.
    pub(crate) fn line(
        &mut self,
        from: ClientId,
        block: &Bytes,
        line: Range<usize>,
        now: Now,
        out: &mut Outputs,
    ) {
        let start = line.start;
        let text = &block[line];
        match Frame::parse(text) {
            Ok(frame) => match frame.kind {
                Kind::Subscribe => self.subscribe(from, &frame, now, out),
                Kind::Unsubscribe => self.unsubscribe(from, &frame, now, out),
                Kind::Publish => self.publish(from, block, start, &frame, now, out),
                Kind::Topics => self.list(from, now, out),
                Kind::Hello => self.welcome(from, &frame, now, out),
                Kind::Subscribed
                | Kind::Unsubscribed
                | Kind::Event
                | Kind::Welcome
                | Kind::Confirmed
                | Kind::Listed => {}
            },
            Err(Ignored::UnknownKind) => {}
            Err(Ignored::Malformed(_) | Ignored::BadMember(_)) => self.counters.malformed += 1,
        }
    }

    /// From now on the frames of this client get the ids that belong to their numbers, and are confirmed.
    fn welcome(&mut self, from: ClientId, frame: &Frame<'_>, now: Now, out: &mut Outputs) {
        let publisher = frame
            .publisher
            .and_then(|raw| Uuid::try_parse(&raw.decode()).ok());
        let Some(client) = self.clients.get(from) else {
            return;
        };
        client.publisher = publisher;
        if publisher.is_some() {
            self.tell(from, br#"{"type":"welcome"}"#, now, out);
        }
    }

    /// Tells a client how far its frames are routed, if it wants to know.
    pub(crate) fn confirm(&mut self, from: ClientId, now: Now, out: &mut Outputs) {
        let routed = self
            .clients
            .get(from)
            .and_then(|client| client.routed.take());
        if let Some(number) = routed {
            let frame = format!(r#"{{"type":"confirmed","seq":{number}}}"#);
            self.tell(from, frame.as_bytes(), now, out);
        }
    }

    fn tell(&mut self, to: ClientId, frame: &[u8], now: Now, out: &mut Outputs) {
        let start = self.run.len();
        self.run.push(frame);
        self.run.push(b"\n");
        let frame = [Part::Run(start..self.run.len())];
        if !self.send(to, &frame, now, out) {
            self.remove_kicked(out);
        }
    }

    /// The id that belongs to a numbered frame; a random one for all others.
    fn id_of(&mut self, from: ClientId, number: Option<u64>) -> Uuid {
        let own = self.own.filter(|_| from == ClientId::OWN);
        let client = self.clients.get(from);
        let publisher = own.or_else(|| client.as_ref()?.publisher);
        match (publisher, number) {
            (Some(publisher), Some(number)) => {
                if let Some(client) = client {
                    client.routed = Some(number);
                }
                Stamp::derive(publisher, number)
            }
            _ => Uuid::new_v4(),
        }
    }

    /// Numbered frames of [`ClientId::OWN`] are those of `publisher`.
    pub(crate) fn set_own(&mut self, publisher: Uuid) {
        self.own = Some(publisher);
    }

    fn send(&mut self, to: ClientId, parts: &[Part], now: Now, out: &mut Outputs) -> bool {
        let mut sink = Sink {
            clients: &mut self.clients,
            dirty: &mut self.dirty,
            limits: &self.limits,
            now,
        };
        sink.send(to, parts.iter(), out)
    }

    fn remove_kicked(&mut self, out: &Outputs) {
        for id in &out.kicked {
            if self.disconnect(*id) {
                self.counters.kicked += 1;
            }
        }
    }

    /// Bytes of the present run.
    pub(crate) fn run_bytes(&self) -> usize {
        self.run.len()
    }

    /// Ends the present run: what was routed becomes ready to be written to the clients that are returned.
    pub(crate) fn finish(&mut self) -> Vec<ClientId> {
        if self.run.len() == 0 {
            return Vec::new();
        }
        let run = self.run.finish();
        if let Some(horizon) = &mut self.horizon {
            horizon.finish_run(&run);
        }
        let mut ready = std::mem::take(&mut self.dirty);
        ready.retain(|id| match self.clients.get(*id) {
            Some(client) => {
                client.queue.finish_run(&run);
                true
            }
            None => false,
        });
        ready
    }

    /// What is to be written to `id`, unless somebody is writing to it already.
    pub(crate) fn take(&mut self, id: ClientId) -> Option<VecDeque<Bytes>> {
        self.clients.get(id)?.queue.take()
    }

    /// Takes back what could not be written. Returns whether the queue fell to the high watermark with that.
    pub(crate) fn give_back(
        &mut self,
        id: ClientId,
        written: usize,
        rest: VecDeque<Bytes>,
        now: Instant,
    ) -> bool {
        let high = self.limits.high_watermark;
        self.clients.get(id).is_some_and(|client| {
            let above = client.queue.bytes() > high;
            client.queue.give_back(written, rest, now);
            above && client.queue.bytes() <= high
        })
    }

    /// Whether `id` still has more queued than the high watermark and still makes progress.
    pub(crate) fn is_congested(&mut self, id: ClientId, now: Instant) -> bool {
        let high = self.limits.high_watermark;
        self.clients
            .get(id)
            .is_some_and(|client| client.queue.bytes() > high && !client.queue.is_stalled(now))
    }

    /// Bytes that wait for all clients together.
    pub(crate) fn queued(&self) -> usize {
        self.clients.queued()
    }
}
