//! What is published: by clients, and by the broker's own process.

use bowline_events::{Event, Topic, json};
use bytes::Bytes;

use super::Broker;
use crate::broker::clients::ClientId;
use crate::broker::encode::{Body, FAN_OUT_TAIL, SHARE_FROM};
use crate::broker::queue::Part;
use crate::broker::route::{Outputs, Route, Sink};
use crate::broker::topics::Topics;
use crate::event::Reader;
use crate::frame::{Frame, RawText};
use crate::hazard;
use crate::stamp::{Now, STAMPED};

impl Broker {
    pub(super) fn publish(
        &mut self,
        from: ClientId,
        block: &Bytes,
        start: usize,
        frame: &Frame<'_>,
        now: Now,
        out: &mut Outputs,
    ) {
        let id = self.id_of(from, frame.number);
        let parts = &frame.event;
        let range = start + parts.body.start..start + parts.body.end;
        let body = &block[range.clone()];
        let object = start + parts.object.start..start + parts.object.end;
        let too_large = body.len() + frame.topic.0.len() + STAMPED > self.limits.frame;
        if too_large || hazard::check(&block[object]).is_err() {
            self.counters.rejected += 1;
            return;
        }
        self.stamp.set(id, now.wall);
        let body = match body {
            body if parts.is_stamped() => Body::Stamped(body),
            body if body.len() >= SHARE_FROM => Body::Share(block.slice(range)),
            body => Body::Copy(body),
        };
        let topic = frame.topic.decode();
        if frame.local_only {
            self.echo(from, &topic, frame.topic, body, now, out);
            return;
        }
        let stamp = (self.stamp.id(), self.stamp.wall());
        let (mut route, topics, reader) = self.routing(now);
        let read = || Event {
            id: stamp.0,
            created_at: stamp.1,
            delivery_attempt: 1,
            ..reader.read(block, start, parts)
        };
        route.event(topics, &topic, frame.topic.0, body, read, out);
        self.remove_kicked(out);
    }

    /// Old clients ask the broker to deliver to themselves alone.
    fn echo(
        &mut self,
        to: ClientId,
        topic: &str,
        raw: RawText<'_>,
        body: Body<'_>,
        now: Now,
        out: &mut Outputs,
    ) {
        let subscribed = self
            .topics
            .get_mut(topic)
            .is_some_and(|subscribers| subscribers.remote.binary_search(&to).is_ok());
        if !subscribed {
            return;
        }
        let mut encoded = std::mem::take(&mut self.encoded);
        encoded.write(&mut self.run, raw.0, body, &self.stamp);
        let start = self.run.len();
        self.run.push(FAN_OUT_TAIL);
        encoded.parts.push(Part::Run(start..self.run.len()));
        if !self.send(to, &encoded.parts, now, out) {
            self.remove_kicked(out);
        }
        self.encoded = encoded;
    }

    /// Routes an event of the broker's own process. `object` is its JSON without the stamp, on one line; empty when
    /// [`leaves_process`](Self::leaves_process) is false.
    pub(crate) fn publish_own(
        &mut self,
        topic: &Topic,
        event: Event,
        object: &Bytes,
        now: Now,
        out: &mut Outputs,
    ) {
        if let bowline_events::EventId::Uuid(id) = event.id {
            self.stamp.set(id, event.created_at);
        }
        let mut raw = Vec::with_capacity(topic.len() + 2);
        json::escape_into(topic, &mut raw);
        let body = match object.len() {
            0..2 => Body::Copy(b""),
            2..SHARE_FROM => Body::Copy(&object[1..object.len() - 1]),
            _ => Body::Share(object.slice(1..object.len() - 1)),
        };
        let (mut route, topics, _) = self.routing(now);
        let raw = &raw[1..raw.len() - 1];
        route.event(topics, topic, raw, body, || event, out);
        self.remove_kicked(out);
    }

    /// The way of one event, and what it is found and read by.
    fn routing(&mut self, now: Now) -> (Route<'_>, &mut Topics, &mut Reader) {
        let sink = Sink {
            clients: &mut self.clients,
            dirty: &mut self.dirty,
            limits: &self.limits,
            now,
        };
        let route = Route {
            sink,
            run: &mut self.run,
            encoded: &mut self.encoded,
            stamp: &self.stamp,
            horizon: &mut self.horizon,
        };
        (route, &mut self.topics, &mut self.reader)
    }

    /// Whether an event of `topic` has to be encoded: it has receivers in other processes, now or possibly soon.
    pub(crate) fn leaves_process(&mut self, topic: &str) -> bool {
        let subscribers = self.topics.get_mut(topic);
        self.horizon.is_some() || subscribers.is_some_and(|subscribers| subscribers.is_remote())
    }
}
