//! One event on its way to all that want it.

use bowline_events::{Event, Text, Topic};

use super::clients::{ClientId, Clients};
use super::encode::{Body, Encoded, FAN_OUT_TAIL};
use super::horizon::Horizon;
use super::queue::{Part, Run};
use super::topics::{Group, Member, Subscribers, Topics};
use crate::stamp::{Now, Stamp};

/// What bounds the memory of a broker, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// A frame, the newline not counted.
    pub(crate) frame: usize,
    /// What waits for one client, newlines included.
    pub(crate) queue: usize,
    /// A queue from which on publishers are slowed down.
    pub(crate) high_watermark: usize,
}

/// An event for a subscriber in the broker's own process.
#[derive(Debug)]
pub(crate) struct LocalEvent {
    pub(crate) topic: Topic,
    pub(crate) group: Option<Text>,
    pub(crate) event: Event,
}

/// What routing frames led to, beside the bytes that were queued; see [`Broker::finish`](super::Broker::finish) for those.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    /// In order of delivery.
    pub(crate) local: Vec<LocalEvent>,
    /// Clients that were removed because their queue was full.
    pub(crate) kicked: Vec<ClientId>,
    /// Clients above the high watermark that still take what they are sent.
    pub(crate) congested: Vec<ClientId>,
}

/// Where frames are queued.
pub(super) struct Sink<'a> {
    pub(super) clients: &'a mut Clients,
    pub(super) dirty: &'a mut Vec<ClientId>,
    pub(super) limits: &'a Limits,
    pub(super) now: Now,
}

impl Sink<'_> {
    /// Queues a frame; false when the client's queue has no room for it, which is the end of the client.
    pub(super) fn send<'p>(
        &mut self,
        to: ClientId,
        parts: impl Iterator<Item = &'p Part> + Clone,
        out: &mut Outputs,
    ) -> bool {
        let Some(client) = self.clients.get(to) else {
            return false;
        };
        let queue = &mut client.queue;
        let bytes: usize = parts.clone().map(Part::len).sum();
        if queue.bytes() + bytes > self.limits.queue {
            if !out.kicked.contains(&to) {
                out.kicked.push(to);
            }
            return false;
        }
        if queue.push(parts, self.now.instant) {
            self.dirty.push(to);
        }
        if queue.bytes() > self.limits.high_watermark
            && !queue.is_stalled(self.now.instant)
            && !out.congested.contains(&to)
        {
            out.congested.push(to);
        }
        true
    }
}

/// One event on its way to all that want it.
pub(super) struct Route<'a> {
    pub(super) sink: Sink<'a>,
    pub(super) run: &'a mut Run,
    pub(super) encoded: &'a mut Encoded,
    pub(super) stamp: &'a Stamp,
    pub(super) horizon: &'a mut Option<Horizon>,
}

impl Route<'_> {
    /// The order is that of the reference: the broker's own ungrouped subscribers, ungrouped clients, one member per group.
    pub(super) fn event(
        &mut self,
        topics: &mut Topics,
        topic: &str,
        raw_topic: &[u8],
        body: Body<'_>,
        event: impl FnOnce() -> Event,
        out: &mut Outputs,
    ) {
        let now = self.sink.now.instant;
        self.horizon.take_if(|horizon| horizon.is_over(now));
        let subscribers = topics.get_mut(topic);
        if subscribers.is_none() && self.horizon.is_none() {
            return;
        }
        let leaves = subscribers
            .as_ref()
            .is_some_and(|subscribers| subscribers.is_remote());
        if leaves || self.horizon.is_some() {
            self.encoded.write(self.run, raw_topic, body, self.stamp);
        }
        let mut served = Vec::new();
        if let Some(subscribers) = subscribers {
            let mut local = subscribers
                .local
                .then_some(None)
                .into_iter()
                .collect::<Vec<_>>();
            self.fan_out(subscribers, out);
            for group in &mut subscribers.groups {
                if self.group(group, &mut local, out) && self.horizon.is_some() {
                    served.push(group.name.clone());
                }
            }
            if !local.is_empty() {
                let event = event();
                out.local.extend(local.into_iter().map(|group| LocalEvent {
                    topic: subscribers.topic.clone(),
                    group,
                    event: event.clone(),
                }));
            }
        }
        self.keep(topic, served);
    }

    fn fan_out(&mut self, subscribers: &Subscribers, out: &mut Outputs) {
        if subscribers.remote.is_empty() {
            return;
        }
        let tail = self.tail(FAN_OUT_TAIL);
        for id in &subscribers.remote {
            let parts = self.encoded.parts.iter().chain(std::iter::once(&tail));
            self.sink.send(*id, parts, out);
        }
    }

    /// Gives the event to the member whose turn it is; a member that is kicked by it passes it on. False without members.
    fn group(
        &mut self,
        group: &mut Group,
        local: &mut Vec<Option<Text>>,
        out: &mut Outputs,
    ) -> bool {
        for _ in 0..group.len() {
            match group.next() {
                None => return false,
                Some(Member::Local) => {
                    local.push(Some(group.name.clone()));
                    return true;
                }
                Some(Member::Remote(id)) if out.kicked.contains(&id) => {}
                Some(Member::Remote(id)) => {
                    let tail = self.tail(&group.tail);
                    let parts = self.encoded.parts.iter().chain(std::iter::once(&tail));
                    if self.sink.send(id, parts, out) {
                        return true;
                    }
                }
            }
        }
        false
    }

    fn tail(&mut self, bytes: &[u8]) -> Part {
        let start = self.run.len();
        self.run.push(bytes);
        Part::Run(start..self.run.len())
    }

    fn keep(&mut self, topic: &str, served: Vec<Text>) {
        let Some(horizon) = self.horizon else {
            return;
        };
        let mut parts = self.encoded.parts.clone();
        if let Some(Part::Run(first)) = parts.first_mut() {
            first.start += self.encoded.event_at;
        }
        horizon.keep(Topic::from(topic.to_owned()), parts, served);
    }
}
