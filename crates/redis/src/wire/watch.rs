//! One watch per connection over its commands in flight, instead of a timer for each of them.
//!
//! The library forgets a command that is handed over at the moment at which the connection ends: its reply never comes, not even
//! as an error. That shows in two ways. Another command of the connection fails because it ended: then nothing that is still
//! without a reply gets one. Or something has been silent for a second: then a `PING` goes behind it, which fails at once on a
//! connection that ended, and is answered after all that came before it on one that stands.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::unconstrained;
use tokio::time::{Instant, sleep};

use super::client::server_error;
use super::in_flight::{InFlight, Next, Verdict};
use super::pipe::Pipe;
use super::{BoxFuture, Failure};

/// How often a connection with commands in flight is looked at.
///
/// Silence is noticed after two to three of these, and the limit of a reply within one behind it.
const TICK: Duration = Duration::from_millis(500);

/// Ticks that pass at least within the limit of a reply.
const TICKS_WITHIN_LIMIT: u32 = 8;

const SHORTEST_TICK: Duration = Duration::from_millis(10);

/// The commands in flight on one connection, none of which waits for ever.
#[derive(Debug)]
pub(super) struct Watch<C> {
    /// For probes.
    connection: C,
    tick: Duration,
    /// How many ticks a reply may take.
    limit: u64,
    /// Where the watching runs: the runtime that the connection itself needs.
    runtime: Handle,
    commands: Mutex<InFlight>,
}

impl<C: Pipe> Watch<C> {
    /// Watches over the commands of `connection`, whose replies may take `limit`.
    ///
    /// # Errors
    /// `Configuration` outside of a runtime.
    pub(super) fn new(connection: C, limit: Duration) -> Result<Arc<Self>, Failure> {
        let runtime =
            Handle::try_current().map_err(|error| Failure::Configuration(error.to_string()))?;
        let tick = (limit / TICKS_WITHIN_LIMIT).clamp(SHORTEST_TICK, TICK);
        let ticks = limit.as_nanos().div_ceil(tick.as_nanos());
        Ok(Arc::new(Self {
            connection,
            tick,
            limit: u64::try_from(ticks).unwrap_or(u64::MAX),
            runtime,
            commands: Mutex::default(),
        }))
    }

    /// What `reply` brings, which belongs to a command on this connection.
    pub(super) async fn answered<T>(
        self: &Arc<Self>,
        mut reply: Pin<&mut impl Future<Output = redis::RedisResult<T>>>,
    ) -> redis::RedisResult<T> {
        let mut seat = Seat {
            watch: self,
            place: None,
        };
        let outcome = poll_fn(|cx| {
            if let Poll::Ready(outcome) = reply.as_mut().poll(cx) {
                return Poll::Ready(Ok(outcome));
            }
            let Some(verdict) = seat.verdict(cx) else {
                return Poll::Pending;
            };
            // It may have come between the two looks; one more shows.
            match pin!(unconstrained(reply.as_mut())).poll(cx) {
                Poll::Ready(outcome) => Poll::Ready(Ok(outcome)),
                Poll::Pending => Poll::Ready(Err(verdict)),
            }
        });
        match outcome.await {
            Ok(outcome) => outcome.inspect_err(|error| {
                if ends_connection(error) {
                    self.end();
                }
            }),
            Err(verdict) => Err(verdict.into()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, InFlight> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection ended.
    fn end(&self) {
        let mut woken = Vec::new();
        self.lock().end(&mut woken);
        wake(woken);
    }

    /// Commands in flight.
    #[cfg(test)]
    pub(super) fn in_flight(&self) -> usize {
        self.lock().len()
    }
}

/// The place of a command among those in flight, which is left when this is dropped.
struct Seat<'a, C: Pipe> {
    watch: &'a Arc<Watch<C>>,
    place: Option<usize>,
}

impl<C: Pipe> Seat<'_, C> {
    /// To be called after a look for the reply: so whatever is handed over after this call is behind the command.
    fn verdict(&mut self, cx: &Context<'_>) -> Option<Verdict> {
        let mut commands = self.watch.lock();
        if self.place.is_none() {
            let (place, unwatched) = commands.begin(cx.waker());
            self.place = Some(place);
            if unwatched {
                drop(commands);
                // Made before the runtime has it: one that was shut down drops it at once, which ends the watch.
                let watching = Watching(Arc::downgrade(self.watch));
                self.watch.runtime.spawn(watching.run(self.watch.tick));
                commands = self.watch.lock();
            }
        }
        commands.verdict(self.place?, cx.waker())
    }
}

impl<C: Pipe> Drop for Seat<'_, C> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.watch.lock().finish(place);
        }
    }
}

/// The task that lets the ticks pass while commands are in flight. It keeps no connection open.
struct Watching<C: Pipe>(Weak<Watch<C>>);

/// A `PING`, which tells whether the connection ended, and the number of the last command before it.
type Probe = (u64, BoxFuture<'static, bool>);

impl<C: Pipe> Watching<C> {
    async fn run(mut self, length: Duration) {
        let mut probe: Option<Probe> = None;
        let mut tick = pin!(sleep(length));
        loop {
            let probed = tokio::select! {
                probed = over(&mut probe) => Some(probed),
                () = tick.as_mut() => None,
            };
            let Some(watch) = self.0.upgrade() else {
                return;
            };
            let mut woken = Vec::new();
            if let Some((number, ended)) = probed {
                probe = None;
                match ended {
                    true => watch.lock().end(&mut woken),
                    false => watch.lock().passed(number, &mut woken),
                }
            } else {
                tick.as_mut().reset(Instant::now() + length);
                let next = watch.lock().tick(watch.limit, &mut woken);
                match next {
                    Next::Rest => {
                        self.0 = Weak::new();
                        return;
                    }
                    Next::Wait => probe = None,
                    Next::Probe(number) => {
                        probe.get_or_insert_with(|| (number, ping(watch.connection.clone())));
                    }
                }
            }
            wake(woken);
        }
    }
}

impl<C: Pipe> Drop for Watching<C> {
    fn drop(&mut self) {
        // The runtime is shut down, and the connection with it.
        if let Some(watch) = self.0.upgrade() {
            watch.end();
        }
    }
}

/// Waits until `probe` is over: the number of the last command before it, and whether the connection ended.
async fn over(probe: &mut Option<Probe>) -> (u64, bool) {
    match probe {
        Some((number, pong)) => {
            let ended = pong.await;
            (*number, ended)
        }
        None => std::future::pending().await,
    }
}

fn ping<C: Pipe>(mut connection: C) -> BoxFuture<'static, bool> {
    Box::pin(async move {
        let pong = connection.send(&redis::cmd("PING")).await;
        pong.is_err_and(|error| ends_connection(&error))
    })
}

/// Whether `error` came because the connection ended: the library gives it to all who wait for a reply.
fn ends_connection(error: &redis::RedisError) -> bool {
    error.is_unrecoverable_error() && server_error(error).is_none()
}

fn wake(woken: Vec<Waker>) {
    for waker in woken {
        waker.wake();
    }
}

impl From<Verdict> for redis::RedisError {
    fn from(verdict: Verdict) -> Self {
        use std::io::{Error, ErrorKind};
        let error = match verdict {
            Verdict::Forgotten => Error::new(
                ErrorKind::ConnectionAborted,
                "the connection ended while the command was handed over",
            ),
            Verdict::TimedOut => Error::new(
                ErrorKind::TimedOut,
                "the server did not answer within the response timeout",
            ),
        };
        error.into()
    }
}
