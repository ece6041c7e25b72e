//! The broker's shared state: routing under one lock, writing outside of it.

use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSlice};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bowline_events::{OpFuture, Published};
use bytes::{Buf, Bytes};
use tokio::net::UnixStream;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::broker::{Broker, ClientId, Outputs};
use crate::client::Recent;
use crate::local::Local;
use crate::stamp::Now;

/// How long one publish, or one read from a publisher, waits for slow receivers at most.
pub(crate) const MAX_PUSHBACK: Duration = Duration::from_millis(25);

/// A run of own events that is not written yet may grow to this before it is written at once.
const OPEN_RUN: usize = 128 * 1024;

/// Buffers of one write.
const SLICES: usize = 64;

/// One connected client.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) stream: UnixStream,
    /// There is something to write that could not be written at once.
    pub(crate) writable: Notify,
    /// The client was removed.
    pub(crate) removed: Notify,
}

/// The broker of this process, while it is one.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    state: Mutex<State>,
    /// A queue fell below the high watermark.
    drained: Notify,
    /// Own events wait to be written.
    pub(crate) wake: Notify,
}

#[derive(Debug, Default)]
struct State {
    broker: Option<Broker>,
    conns: HashMap<ClientId, Arc<Conn>>,
    /// An own event was written at once and the flusher has not run since.
    wrote_inline: bool,
    /// What this process got before it became broker; other publishers may send some of it again.
    recent: Option<Recent>,
}

/// What has to be waited for after routing.
#[derive(Debug, Default)]
pub(crate) struct Pressure {
    local: Vec<OpFuture<'static, Published>>,
    congested: Vec<ClientId>,
}

impl Pressure {
    pub(crate) fn is_none(&self) -> bool {
        self.local.is_empty() && self.congested.is_empty()
    }
}

/// A client with what is to be written to it.
type Job = (ClientId, Arc<Conn>, VecDeque<Bytes>);

impl Hub {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to be a broker.
    ///
    /// `recent` are the events that this process got from the last broker, if there was one.
    pub(crate) fn open(&self, broker: Broker, recent: Option<Recent>) {
        let mut state = self.lock();
        state.broker = Some(broker);
        state.recent = recent;
        state.wrote_inline = false;
    }

    /// Stops being a broker: all clients are cut off.
    pub(crate) fn shut(&self) -> Option<(Broker, Option<Recent>)> {
        let mut state = self.lock();
        for conn in state.conns.drain().map(|(_, conn)| conn) {
            conn.removed.notify_one();
        }
        let recent = state.recent.take();
        state.broker.take().map(|broker| (broker, recent))
    }

    /// Looks at the broker, or changes something that routes nothing.
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut Broker) -> R) -> Option<R> {
        self.lock().broker.as_mut().map(act)
    }

    pub(crate) fn connect(&self, stream: UnixStream) -> Option<(ClientId, Arc<Conn>)> {
        let mut state = self.lock();
        let id = state.broker.as_mut()?.connect(Instant::now());
        let conn = Arc::new(Conn {
            stream,
            writable: Notify::new(),
            removed: Notify::new(),
        });
        state.conns.insert(id, Arc::clone(&conn));
        Some((id, conn))
    }

    pub(crate) fn disconnect(&self, id: ClientId) {
        let mut state = self.lock();
        if let Some(broker) = &mut state.broker {
            broker.disconnect(id);
        }
        if let Some(conn) = state.conns.remove(&id) {
            conn.removed.notify_one();
        }
    }

    /// Routes what comes from clients, and writes what comes of it. `None` when this is no broker any more.
    pub(crate) fn route(
        &self,
        local: &Local,
        act: impl FnOnce(&mut Broker, Now, &mut Outputs),
    ) -> Option<Pressure> {
        let mut state = self.lock();
        let pressure = state.act(local, act)?;
        let jobs = state.jobs();
        drop(state);
        self.write(jobs);
        Some(pressure)
    }

    /// Routes an event of this process. It is written at once when that happened last before the flusher ran; otherwise more
    /// is coming, and it is written together with that.
    pub(crate) fn route_own(
        &self,
        local: &Local,
        act: impl FnOnce(&mut Broker, Now, &mut Outputs),
    ) -> Option<Pressure> {
        let mut state = self.lock();
        let pressure = state.act(local, act)?;
        let open = state.broker.as_ref().map_or(0, Broker::run_bytes);
        if open == 0 {
            return Some(pressure);
        }
        if state.wrote_inline && open < OPEN_RUN {
            return Some(pressure);
        }
        state.wrote_inline = true;
        let jobs = state.jobs();
        drop(state);
        self.wake.notify_one();
        self.write(jobs);
        Some(pressure)
    }

    /// Writes what own publishes left.
    pub(crate) fn flush_own(&self) {
        let mut state = self.lock();
        let jobs = state.jobs();
        state.wrote_inline = !jobs.is_empty();
        let again = state.wrote_inline;
        drop(state);
        self.write(jobs);
        if again {
            self.wake.notify_one();
        }
    }

    /// Writes to a client what is ready, as far as the socket takes it. False when it takes no more for now.
    pub(crate) fn write_ready(&self, id: ClientId) -> bool {
        let mut state = self.lock();
        let queue = state.broker.as_mut().and_then(|broker| broker.take(id));
        let conn = state.conns.get(&id).cloned();
        drop(state);
        let (Some(queue), Some(conn)) = (queue, conn) else {
            return true;
        };
        self.write_job((id, conn, queue))
    }

    fn write(&self, jobs: Vec<Job>) {
        for job in jobs {
            let conn = Arc::clone(&job.1);
            if !self.write_job(job) {
                conn.writable.notify_one();
            }
        }
    }

    /// Whether everything was written, and nothing came in meanwhile that could not be written too.
    fn write_job(&self, (id, conn, mut queue): Job) -> bool {
        loop {
            let (written, outcome) = write_queue(&conn.stream, &mut queue);
            let full = !queue.is_empty();
            if let Err(error) = &outcome {
                tracing::debug!(%error, "a client is gone");
                self.disconnect(id);
                return true;
            }
            let mut state = self.lock();
            let Some(broker) = state.broker.as_mut() else {
                return true;
            };
            let drained = broker.give_back(id, written, std::mem::take(&mut queue), Instant::now());
            let more = if full { None } else { broker.take(id) };
            drop(state);
            if drained {
                self.drained.notify_waiters();
            }
            match more {
                Some(more) => queue = more,
                None => return !full,
            }
        }
    }

    /// Waits for slow receivers, a bounded time.
    pub(crate) async fn wait(&self, pressure: Pressure) {
        let relieved = async {
            for slow in pressure.local {
                // A delivery is done whatever its result.
                let _ = slow.await;
            }
            self.relieved(&pressure.congested).await;
        };
        // Whether they caught up or not: nobody is slowed for longer.
        let _ = timeout(MAX_PUSHBACK, relieved).await;
    }

    /// Waits until no client of `congested` is congested any more.
    async fn relieved(&self, congested: &[ClientId]) {
        loop {
            let mut drained = pin!(self.drained.notified());
            drained.as_mut().enable();
            let now = Instant::now();
            let still =
                self.with(|broker| congested.iter().any(|id| broker.is_congested(*id, now)));
            if still != Some(true) {
                return;
            }
            drained.await;
        }
    }

    /// Bytes that clients have sent and nobody has read yet, and bytes that wait for clients.
    pub(crate) fn outstanding(&self) -> u64 {
        let state = self.lock();
        let unread: u64 = state
            .conns
            .values()
            .map(|conn| rustix::io::ioctl_fionread(&conn.stream).unwrap_or(0))
            .sum();
        let queued = state.broker.as_ref().map_or(0, Broker::queued);
        unread + queued as u64
    }

    /// Bytes that wait for clients.
    pub(crate) fn queued(&self) -> usize {
        self.with(|broker| broker.queued()).unwrap_or(0)
    }
}

impl State {
    fn act(
        &mut self,
        local: &Local,
        act: impl FnOnce(&mut Broker, Now, &mut Outputs),
    ) -> Option<Pressure> {
        let broker = self.broker.as_mut()?;
        let mut out = Outputs::default();
        act(broker, Now::read(), &mut out);
        for id in &out.kicked {
            if let Some(conn) = self.conns.remove(id) {
                tracing::warn!(
                    client = id.serial,
                    "a client that does not read was cut off"
                );
                conn.removed.notify_one();
            }
        }
        let _run = (out.local.len() > 1).then(|| local.gate.shut());
        let mut slow = Vec::new();
        for event in out.local {
            if let Some(recent) = &mut self.recent {
                let place = Recent::place(&event.topic, event.group.as_deref());
                if !recent.insert(&event.event.id, place) {
                    continue;
                }
            }
            let delivered = local.deliver(&event.topic, event.group.as_ref(), event.event);
            if let Err(pending) = delivered.now_or_self() {
                slow.push(pending);
            }
        }
        // The last one resolves when the readers have caught up with all of them.
        slow.drain(..slow.len().saturating_sub(1));
        Some(Pressure {
            local: slow,
            congested: out.congested,
        })
    }

    fn jobs(&mut self) -> Vec<Job> {
        let Some(broker) = self.broker.as_mut() else {
            return Vec::new();
        };
        let ready = broker.finish();
        ready
            .into_iter()
            .filter_map(|id| {
                let conn = Arc::clone(self.conns.get(&id)?);
                Some((id, conn, broker.take(id)?))
            })
            .collect()
    }
}

/// Writes as much of `queue` as the socket takes. Returns how many bytes that was.
fn write_queue(stream: &UnixStream, queue: &mut VecDeque<Bytes>) -> (usize, io::Result<()>) {
    let mut total = 0;
    while !queue.is_empty() {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let count = queue.len().min(SLICES);
        for (slice, bytes) in slices.iter_mut().zip(queue.iter()) {
            *slice = IoSlice::new(bytes);
        }
        match stream.try_write_vectored(&slices[..count]) {
            Ok(written) => {
                total += written;
                advance(queue, written);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return (total, Err(error)),
        }
    }
    (total, Ok(()))
}

fn advance(queue: &mut VecDeque<Bytes>, mut written: usize) {
    while let Some(front) = queue.front_mut() {
        if written < front.len() {
            front.advance(written);
            return;
        }
        written -= front.len();
        queue.pop_front();
    }
}
