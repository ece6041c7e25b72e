//! The life of a client: one connection to the broker, read and written by one task.

use std::future::pending;
use std::io;
use std::os::unix::net::UnixStream as StdStream;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use bowline_events::{OpFuture, Published, Text, Topic};
use bytes::Bytes;
use tokio::net::UnixStream;
use tokio::time::sleep_until;

use crate::broker::Membership;
use crate::client::{Acknowledged, Chunk, Ending, Recent};
use crate::event::Reader;
use crate::frame::{Frame, Ignored, Kind, write_membership};
use crate::line::{LineBuffer, is_blank, lines, utf8_block};
use crate::participant::{Participant, Role};
use crate::race::{First, first};
use crate::stats::add;

/// A topic that nobody subscribes to. Every broker acknowledges that it is not subscribed to.
const PROBE: &str = "bowline.probe";

/// How long a broker may take to answer before frames that may be known to it are given up.
const GREETING_WAIT: Duration = Duration::from_secs(1);

/// Takes part as a client until the connection ends or the bus is closed.
pub(crate) async fn run(
    participant: &Arc<Participant>,
    stream: StdStream,
    recent: &mut Recent,
) -> io::Result<()> {
    let stream = Arc::new(UnixStream::from_std(stream)?);
    begin(participant, &stream);
    let mut inbound = Inbound {
        participant,
        reader: Reader::default(),
        recent,
        target: Target::default(),
    };
    let talk = first(read(&stream, &mut inbound), write(participant, &stream));
    let ending = match first(talk, participant.shutdown.notified()).await {
        First::Left(First::Left(ending)) => ending,
        First::Left(First::Right(())) | First::Right(()) => Ending::Closed,
    };
    if participant.is_closing() {
        write_at_once(participant, &stream);
    }
    end(participant, ending);
    Ok(())
}

/// The last handle was dropped: what the socket still takes without waiting goes out.
fn write_at_once(participant: &Participant, stream: &UnixStream) {
    while let Some(chunk) = next_chunk(participant) {
        let mut taken = Taken {
            participant,
            chunk: Some(chunk),
        };
        let Some(chunk) = &mut taken.chunk else {
            return;
        };
        while !chunk.is_done() {
            match stream.try_write(chunk.rest()) {
                Ok(written) => chunk.advance(written),
                Err(_) => return,
            }
        }
        if let Some(chunk) = taken.chunk.take() {
            participant.link().window.finished(chunk);
        }
    }
}

/// Subscribes anew to everything at once, ahead of what waits to be sent.
fn begin(participant: &Participant, stream: &Arc<UnixStream>) {
    let mut link = participant.link();
    let publisher = participant.publisher;
    let mut frames = Vec::new();
    for membership in link.memberships.reconnected() {
        let group = membership.group.as_deref();
        write_membership(Kind::Subscribe, &membership.topic, group, &mut frames);
    }
    // After what every broker understands, before the first numbered frame.
    let hello = format!("{{\"type\":\"hello\",\"publisher\":\"{publisher}\"}}\n");
    frames.extend_from_slice(hello.as_bytes());
    link.window.connected();
    if link.window.waits() {
        // A broker that answers this without having said welcome does not know what hello means.
        write_membership(Kind::Unsubscribe, PROBE, None, &mut frames);
    }
    link.window.control_first(frames);
    link.role = Role::Client(Arc::clone(stream));
    link.failure = None;
    link.connected_at = Some(Instant::now());
    link.no_unsubscribe_acks = false;
    // The writer runs first: it has the memberships to send.
    link.wrote_inline = true;
    link.woken = true;
    drop(link);
    add(&participant.counters.connections, 1);
    participant.changed.notify_waiters();
}

fn end(participant: &Participant, ending: Ending) {
    let mut link = participant.link();
    link.role = Role::Starting;
    link.connected_at = None;
    link.memberships.disconnected();
    link.directory.disconnected();
    let left = link.window.disconnected(ending);
    drop(link);
    add(&participant.counters.resent_frames, left.frames as u64);
    if left.given_up {
        tracing::error!("every broker ended the connection over one event; it was given up");
        add(&participant.counters.rejected_events, 1);
    }
    participant.changed.notify_waiters();
}

/// A chunk that goes back to the window unless it was written.
struct Taken<'a> {
    participant: &'a Participant,
    chunk: Option<Chunk>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(chunk) = self.chunk.take() {
            self.participant.link().window.put_back(chunk);
        }
    }
}

/// Sends what is in the window. Never ends: what the broker sent before it died is still to be read.
async fn write(participant: &Participant, stream: &UnixStream) {
    loop {
        let Some(chunk) = next_chunk(participant) else {
            let held_since = {
                let link = participant.link();
                link.connected_at.filter(|_| link.window.is_held())
            };
            match held_since {
                None => participant.outgoing.notified().await,
                Some(since) => {
                    let deadline = sleep_until((since + GREETING_WAIT).into());
                    if let First::Right(()) = first(participant.outgoing.notified(), deadline).await
                    {
                        greeted(participant, false);
                    }
                }
            }
            continue;
        };
        let mut taken = Taken {
            participant,
            chunk: Some(chunk),
        };
        if let Some(chunk) = &mut taken.chunk
            && write_chunk(stream, chunk).await.is_err()
        {
            drop(taken);
            return pending().await;
        }
        if let Some(chunk) = taken.chunk.take() {
            let mut link = participant.link();
            link.window.finished(chunk);
            link.wrote_inline = true;
        }
        // Whoever publishes in a loop goes on now, and what it publishes is gathered.
        tokio::task::yield_now().await;
    }
}

/// The broker confirms what it routes, or does not.
fn greeted(participant: &Participant, confirms: bool) {
    let mut link = participant.link();
    let held = link.window.is_held();
    let given_up = link.window.greeted(confirms);
    if held {
        participant.wake_writer(&mut link);
    }
    drop(link);
    if given_up > 0 {
        tracing::warn!(
            events = given_up,
            "the last broker may not have passed on some events, and the new one could double them; they were given up"
        );
        add(&participant.counters.rejected_events, given_up as u64);
    }
    participant.changed.notify_waiters();
}

fn next_chunk(participant: &Participant) -> Option<Chunk> {
    let mut link = participant.link();
    let link = &mut *link;
    while link.window.has_room() {
        let Some(frame) = link.pending.next() else {
            break;
        };
        let copied: Result<(), std::convert::Infallible> = link.window.publish(|out| {
            out.extend_from_slice(&frame);
            Ok(())
        });
        // Copying bytes cannot fail.
        let Ok(()) = copied;
    }
    link.woken = false;
    let chunk = link.window.take();
    link.wrote_inline = chunk.is_some();
    chunk
}

async fn write_chunk(stream: &UnixStream, chunk: &mut Chunk) -> io::Result<()> {
    while !chunk.is_done() {
        match stream.try_write(chunk.rest()) {
            Ok(written) => chunk.advance(written),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads until the connection ends.
async fn read(stream: &UnixStream, inbound: &mut Inbound<'_>) -> Ending {
    let limit = inbound.participant.options.max_frame_bytes;
    let mut buffer = LineBuffer::new(limit);
    loop {
        if stream.readable().await.is_err() {
            return Ending::Closed;
        }
        match stream.try_read_buf(buffer.space()) {
            Ok(0) => return Ending::Closed,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ending::Unread,
            Err(_) => return Ending::Closed,
        }
        let taken = buffer.take();
        let mut too_long = taken.too_long;
        if let Some(block) = taken.block {
            let block = utf8_block(block);
            let (slow, all) = inbound.block(&block, limit);
            too_long |= !all;
            for slow in slow {
                // Readers of this process are behind: the socket waits for them. Its result is that of a finished delivery.
                let _ = slow.await;
            }
        }
        if too_long {
            tracing::warn!(
                limit,
                "the broker sent a line over the limit; connecting anew"
            );
            add(&inbound.participant.counters.refused_connections, 1);
            return Ending::Closed;
        }
    }
}

/// Whom the events of one topic and group go to; remembered from the last event.
#[derive(Debug, Default)]
struct Target {
    raw_topic: Vec<u8>,
    raw_group: Option<Vec<u8>>,
    version: Option<u64>,
    found: Option<(Membership, u64)>,
}

struct Inbound<'a> {
    participant: &'a Participant,
    reader: Reader,
    recent: &'a mut Recent,
    target: Target,
}

type Slow = Vec<OpFuture<'static, Published>>;

impl Inbound<'_> {
    /// Acts upon all lines, up to one that is too long. Returns what slow readers make us wait for.
    fn block(&mut self, block: &Bytes, limit: usize) -> (Slow, bool) {
        let _run = self.participant.local.gate.shut();
        let mut slow = Slow::new();
        let mut last: Option<(Topic, Option<Text>)> = None;
        for line in lines(block) {
            if line.len() > limit {
                return (slow, false);
            }
            let Some((membership, pending)) = self.line(block, line) else {
                continue;
            };
            // The last delivery of a topic is done when all before it are.
            let key = (membership.topic, membership.group);
            if last.as_ref() == Some(&key) {
                slow.pop();
            }
            slow.push(pending);
            last = Some(key);
        }
        (slow, true)
    }

    fn line(
        &mut self,
        block: &Bytes,
        line: std::ops::Range<usize>,
    ) -> Option<(Membership, OpFuture<'static, Published>)> {
        let start = line.start;
        let text = &block[line];
        let frame = match Frame::parse(text) {
            Ok(frame) => frame,
            Err(Ignored::UnknownKind) => return None,
            Err(_) if is_blank(text) => return None,
            Err(reason) => {
                tracing::debug!(?reason, "a line of the broker was ignored");
                add(&self.participant.counters.malformed_frames, 1);
                return None;
            }
        };
        match frame.kind {
            Kind::Event => self.event(block, start, &frame),
            Kind::Subscribed | Kind::Unsubscribed => {
                greeted(self.participant, false);
                self.acknowledged(&frame);
                None
            }
            Kind::Listed => {
                self.participant
                    .link()
                    .directory
                    .row(Membership::of(&frame));
                None
            }
            Kind::Topics => {
                self.participant.link().directory.end();
                None
            }
            Kind::Welcome => {
                greeted(self.participant, true);
                None
            }
            Kind::Confirmed => {
                if let Some(number) = frame.number {
                    self.participant.link().window.confirmed(number);
                }
                None
            }
            Kind::Subscribe | Kind::Unsubscribe | Kind::Publish | Kind::Hello => None,
        }
    }

    fn event(
        &mut self,
        block: &Bytes,
        start: usize,
        frame: &Frame<'_>,
    ) -> Option<(Membership, OpFuture<'static, Published>)> {
        self.find_target(frame);
        let (membership, place) = self.target.found.as_ref()?;
        let event = self.reader.read(block, start, &frame.event);
        if !self.recent.insert(&event.id, *place) {
            add(&self.participant.counters.duplicates, 1);
            return None;
        }
        let delivered =
            self.participant
                .local
                .deliver(&membership.topic, membership.group.as_ref(), event);
        match delivered.now_or_self() {
            Ok(_) => None,
            Err(pending) => Some((membership.clone(), pending)),
        }
    }

    fn find_target(&mut self, frame: &Frame<'_>) {
        let version = self.participant.membership_version.load(Relaxed);
        let target = &mut self.target;
        let group = frame.group.map(|group| group.0);
        let same = target.version == Some(version)
            && target.raw_topic == frame.topic.0
            && target.raw_group.as_deref() == group;
        if same {
            return;
        }
        let membership = Membership::of(frame);
        let subscribed = self.participant.link().memberships.is_active(&membership);
        let place = Recent::place(&membership.topic, membership.group.as_deref());
        *target = Target {
            raw_topic: frame.topic.0.to_vec(),
            raw_group: group.map(<[u8]>::to_vec),
            version: Some(version),
            found: subscribed.then_some((membership, place)),
        };
    }

    fn acknowledged(&self, frame: &Frame<'_>) {
        let outcome = {
            let mut link = self.participant.link();
            link.memberships
                .acknowledged(frame.kind, &Membership::of(frame))
        };
        if let Acknowledged::WithoutGroup(refused) = &outcome
            && let Some(group) = &refused.group
        {
            tracing::error!(topic = %refused.topic, %group, "the broker is an old version without groups; the group subscription ends");
            self.participant.local.end_group(&refused.topic, group);
        }
        if outcome != Acknowledged::Unexpected {
            self.participant.changed.notify_waiters();
        }
    }
}
