//! Publishing: as client by the send window, as broker by routing.

use std::io::Write;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use bowline_events::{
    Error, ErrorKind, EventId, NewEvent, OpFuture, Published, Result, Topic, json,
};
use bytes::Bytes;
use tokio::net::UnixStream;
use tokio::sync::oneshot;

use super::{Link, Participant, Role, copy};
use crate::stamp::HEADROOM;
use crate::{event, hazard};

impl Participant {
    /// Publishes to all processes.
    pub(crate) fn publish(
        self: &Arc<Self>,
        topic: &Topic,
        event: NewEvent,
    ) -> OpFuture<'static, Published> {
        let mut link = self.link();
        if matches!(link.role, Role::Broker) && !link.closing {
            drop(link);
            return self.publish_as_broker(topic, event);
        }
        if event::is_live(&event) {
            // Serialising runs code of the caller, which must not happen under the lock.
            drop(link);
            return match event::materialise(event) {
                Ok(event) => self.publish(topic, event),
                Err(error) => OpFuture::ready(Err(error.with_subject(topic))),
            };
        }
        match &link.role {
            Role::Client(stream)
                if link.pending.is_empty() && link.window.has_room() && !link.closing =>
            {
                let stream = Arc::clone(stream);
                let number = link.window.number();
                let published = link
                    .window
                    .publish(|out| self.encode(topic, &event, number, out));
                if published.is_ok() {
                    self.send(&mut link, &stream);
                }
                OpFuture::ready(published.map(|()| Published::new(None, None)))
            }
            _ => self.publish_later(link, topic, &event),
        }
    }

    /// Writes at once when nothing else is under way, so that a single event does not wait for a task switch. When events come
    /// one after the other, only the first of them is: the others are gathered until the connection's task runs.
    fn send(&self, link: &mut Link, stream: &UnixStream) {
        if !link.wrote_inline
            && let Some(mut chunk) = link.window.take()
        {
            link.wrote_inline = true;
            while !chunk.is_done() {
                match stream.try_write(chunk.rest()) {
                    Ok(written) => chunk.advance(written),
                    // Not writable now, or broken: the connection's task finds out.
                    Err(_) => break,
                }
            }
            match chunk.is_done() {
                true => link.window.finished(chunk),
                false => link.window.put_back(chunk),
            }
        }
        self.wake_writer(link);
    }

    fn publish_later(
        self: &Arc<Self>,
        mut link: MutexGuard<'_, Link>,
        topic: &Topic,
        event: &NewEvent,
    ) -> OpFuture<'static, Published> {
        let mut frame = Vec::new();
        let number = link.window.number();
        let queued = self
            .ensure_started(&mut link, "publish")
            .and_then(|_| self.encode(topic, event, number, &mut frame));
        if let Err(error) = queued {
            return OpFuture::ready(Err(error));
        }
        let (done, finished) = oneshot::channel();
        let ticket = link.pending.push(frame, done);
        self.wake_writer(&mut link);
        drop(link);
        let this = Arc::clone(self);
        let subject = topic.clone();
        OpFuture::new(async move {
            let deadline = this.options.publish_deadline;
            match tokio::time::timeout(deadline, finished).await {
                Ok(Ok(result)) => result.map(|()| Published::new(None, None)),
                Ok(Err(_)) => Err(this.closed("publish")),
                Err(_) => this.give_up(ticket, &subject, deadline),
            }
        })
    }

    /// The deadline of a publish has passed. It may have gone out at the last moment.
    fn give_up(&self, ticket: u64, topic: &Topic, deadline: Duration) -> Result<Published> {
        let mut link = self.link();
        if !link.pending.remove(ticket) {
            return Ok(Published::new(None, None));
        }
        let connected = matches!(link.role, Role::Client(_) | Role::Broker);
        let (kind, message) = if connected {
            (
                ErrorKind::Full,
                format!(
                    "the broker took nothing for {deadline:?} and the send window is full; nothing was sent, try again later"
                ),
            )
        } else {
            (
                ErrorKind::Unavailable,
                format!(
                    "no broker was found within {deadline:?}; nothing was sent, try again later"
                ),
            )
        };
        let mut error = Error::new(kind, "publish", message).with_subject(topic);
        if let Some((_, cause)) = &link.failure {
            error = error.with_source(copy(cause));
        }
        Err(error)
    }

    /// Appends the publish frame of `event`, which is prepared, with its newline.
    ///
    /// # Errors
    /// `TooLarge` when receivers would not take it, `InvalidPayload` when a Node process would not survive it.
    fn encode(
        &self,
        topic: &Topic,
        event: &NewEvent,
        number: u64,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let start = out.len();
        out.extend_from_slice(br#"{"type":"publish","topic":"#);
        json::escape_into(topic, out);
        out.extend_from_slice(br#","event":"#);
        let object = out.len();
        event::write(event, out)?;
        self.check_event(topic, &out[object..], object - start, 1)?;
        // Node ignores members that it does not know.
        writeln!(out, ",\"seq\":{number}}}")
            .map_err(|error| self.path.io("encode a frame", error))?;
        Ok(())
    }

    /// Checks the JSON of an event or of its data; the rest of its frame has `around` bytes and `levels` of nesting.
    fn check_event(
        &self,
        topic: &Topic,
        object: &[u8],
        around: usize,
        levels: usize,
    ) -> Result<()> {
        let bytes = object.len() + around + HEADROOM;
        let limit = self.options.max_event_bytes();
        if bytes > limit {
            let message = format!(
                "the event needs {bytes} bytes on the wire, the limit is {limit}; send a reference to the data, or raise max_frame_bytes in all processes"
            );
            return Err(Error::new(ErrorKind::TooLarge, "publish", message).with_subject(topic));
        }
        let refuse = |message: String| {
            Error::new(ErrorKind::InvalidPayload, "publish", message).with_subject(topic)
        };
        hazard::check(object).map_err(|error| {
            refuse(format!(
                "a Node process would not survive this event: {error}"
            ))
            .with_source(error)
        })?;
        hazard::check_depth(object, levels).map_err(|error| {
            refuse(format!(
                "receivers would drop this event: {error}; flatten the data"
            ))
            .with_source(error)
        })
    }

    /// Whether `publish` would take this event, whatever the state of the bus.
    pub(crate) fn check(&self, topic: &Topic, event: &NewEvent) -> Result<()> {
        let mut object = Vec::new();
        event::materialise(event.clone())
            .and_then(|event| event::write(&event, &mut object))
            .and_then(|()| self.check_event(topic, &object, topic.len(), 1))
            .map_err(|error| error.with_subject(topic))
    }

    fn publish_as_broker(
        self: &Arc<Self>,
        topic: &Topic,
        event: NewEvent,
    ) -> OpFuture<'static, Published> {
        let leaves = self.hub.with(|broker| broker.leaves_process(topic));
        self.route_own(topic, event, leaves == Some(true))
    }

    /// Routes an event of the broker's own process; `encode` unless it stays there. Serialising runs code of the caller, which
    /// must not happen under the lock, so this is decided before.
    fn route_own(
        self: &Arc<Self>,
        topic: &Topic,
        event: NewEvent,
        encode: bool,
    ) -> OpFuture<'static, Published> {
        let mut object = Vec::new();
        let checked = if encode {
            event::materialise(event.clone())
                .and_then(|event| event::write(&event, &mut object))
                .and_then(|()| self.check_event(topic, &object, topic.len(), 1))
        } else {
            // What is acceptable does not depend on who happens to listen.
            let data = event.data.as_json().map_or(&b""[..], |data| data);
            self.check_event(topic, data, topic.len(), 2)
        };
        if let Err(error) = checked {
            return OpFuture::ready(Err(error.with_subject(topic)));
        }
        let object = Bytes::from(object);
        let event = event.stamp();
        let id = event.id.clone();
        let mut event = Some(event);
        let routed = self.hub.route_own(&self.local, |broker, now, out| {
            // A client may have subscribed since that was decided.
            if !encode && broker.leaves_process(topic) {
                return;
            }
            if let Some(mut event) = event.take() {
                event.created_at = now.wall;
                broker.publish_own(topic, event, &object, now, out);
            }
        });
        match (routed, event) {
            (Some(_), Some(event)) => self.route_own(topic, event.to_new(), true),
            (Some(pressure), None) if pressure.is_none() => OpFuture::ready(Ok(receipt(id))),
            (Some(pressure), None) => {
                let this = Arc::clone(self);
                OpFuture::new(async move {
                    this.hub.wait(pressure).await;
                    Ok(receipt(id))
                })
            }
            // The role changed meanwhile; the next one takes it.
            (None, event) => {
                let again = event.map(|event| event.to_new()).unwrap_or_default();
                self.publish(topic, again)
            }
        }
    }

    /// Delivers within this process: to every ungrouped subscriber, and to one of each group.
    pub(crate) fn publish_local(
        &self,
        topic: &Topic,
        event: NewEvent,
    ) -> OpFuture<'static, Published> {
        let link = self.link();
        if link.closing {
            return OpFuture::ready(Err(self.closed("publish")));
        }
        let groups = link.memberships.groups(topic);
        drop(link);
        let event = event.stamp();
        let id = event.id.clone();
        let mut slow = Vec::new();
        let targets = std::iter::once(None).chain(groups.iter().map(Some));
        for group in targets {
            if let Err(pending) = self
                .local
                .deliver(topic, group, event.clone())
                .now_or_self()
            {
                slow.push(pending);
            }
        }
        if slow.is_empty() {
            return OpFuture::ready(Ok(receipt(id)));
        }
        OpFuture::new(async move {
            for pending in slow {
                // Whether they caught up or not: nobody is slowed for longer.
                let _ = tokio::time::timeout(crate::hub::MAX_PUSHBACK, pending).await;
            }
            Ok(receipt(id))
        })
    }
}

fn receipt(id: EventId) -> Published {
    Published::new(Some(id), None)
}
