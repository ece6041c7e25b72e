//! A connection that comes back: made when it is first needed, and anew when it broke.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use super::{BoxFuture, Command, Connect, Connection, Failure, Purpose, Reply};

/// How a link behaves while the server is away.
#[derive(Debug, Clone)]
pub(crate) struct LinkOptions {
    /// How long a command may wait for a connection, or for a server that is not ready.
    pub(crate) patience: Duration,
}

/// The first pause between two attempts to connect; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A random part of every pause, so that processes do not come back all at once.
const JITTER_MILLIS: u64 = 200;

/// What to do when the connection broke while a command was on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Executing it twice does no harm: send it again.
    Yes,
    /// Tell the caller, who cannot know whether it was executed.
    No,
}

/// A connection for many commands, shared and self-healing.
pub(crate) struct Link {
    connector: Arc<dyn Connect>,
    options: LinkOptions,
    current: Mutex<Current>,
    /// Held by the one who connects. It is fair: commands go out in the order in which they came to wait.
    connecting: tokio::sync::Mutex<Attempts>,
}

#[derive(Default)]
struct Current {
    connection: Option<Arc<dyn Connection>>,
    /// Counts the connections, so that a broken one is reported once.
    generation: u64,
    closed: bool,
}

/// A connection and its number.
type Present = (Arc<dyn Connection>, u64);

#[derive(Default)]
struct Attempts {
    failed: u32,
    next: Option<Instant>,
}

impl Link {
    /// A link that has not connected yet.
    pub(crate) fn new(connector: Arc<dyn Connect>, options: LinkOptions) -> Self {
        Self {
            connector,
            options,
            current: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
        }
    }

    /// Sends `command`, waiting for a connection when there is none.
    pub(crate) async fn run(&self, command: &Command, repeat: Repeat) -> Result<Reply, Failure> {
        self.attempt(repeat, |connection| connection.send(command))
            .await
            .map_err(Broken::into_failure)
    }

    /// Sends `commands` in one piece. Error replies are in their places.
    pub(crate) async fn run_all(
        &self,
        commands: &[Command],
        transaction: bool,
        repeat: Repeat,
    ) -> Result<Vec<Reply>, Failure> {
        self.attempt(repeat, |connection| {
            connection.send_all(commands, transaction)
        })
        .await
        .map_err(Broken::into_failure)
    }

    /// As [`run`](Self::run), and tells on which connection a command was lost.
    pub(crate) async fn run_once(&self, command: &Command) -> Result<Reply, Broken> {
        self.attempt(Repeat::No, |connection| connection.send(command))
            .await
    }

    /// As [`run_all`](Self::run_all), and tells on which connection the commands were lost.
    pub(crate) async fn run_all_once(
        &self,
        commands: &[Command],
        transaction: bool,
    ) -> Result<Vec<Reply>, Broken> {
        self.attempt(Repeat::No, |connection| {
            connection.send_all(commands, transaction)
        })
        .await
    }

    async fn attempt<'a, R>(
        &self,
        repeat: Repeat,
        send: impl Fn(&dyn Connection) -> BoxFuture<'a, Result<R, Failure>>,
    ) -> Result<R, Broken> {
        let deadline = Instant::now() + self.options.patience;
        let mut pause = FIRST_PAUSE;
        loop {
            let (connection, generation) =
                self.connection(deadline).await.map_err(Broken::never)?;
            let failure = match send(&*connection).await {
                Ok(reply) => return Ok(reply),
                Err(failure) => failure,
            };
            if failure.ends_connection() {
                self.broken(generation);
            }
            let again = failure.is_passing()
                || (matches!(failure, Failure::Lost(_)) && repeat == Repeat::Yes);
            if !again || Instant::now() + pause >= deadline {
                return Err(Broken {
                    failure,
                    generation,
                });
            }
            if failure.is_passing() {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }

    /// The connection, made now if there is none.
    async fn connection(&self, deadline: Instant) -> Result<Present, Failure> {
        if let Some(present) = self.present()? {
            return Ok(present);
        }
        let waited = timeout_at(deadline, self.connecting.lock()).await;
        let mut attempts = waited.map_err(|_| out_of_patience())?;
        loop {
            if let Some(present) = self.present()? {
                return Ok(present);
            }
            if let Some(next) = attempts.next
                && timeout_at(deadline, sleep_until(next)).await.is_err()
            {
                return Err(out_of_patience());
            }
            let connecting = self.connector.connect(Purpose::Commands, None);
            match timeout_at(deadline, connecting).await {
                Ok(Ok(connection)) => {
                    *attempts = Attempts::default();
                    return self.connected(connection);
                }
                Ok(Err(failure)) => {
                    attempts.failed += 1;
                    attempts.next = Some(Instant::now() + backoff(attempts.failed));
                    // A server that was never there is probably a wrong address: no waiting.
                    if failure.is_final() || !self.was_connected() {
                        return Err(failure);
                    }
                    tracing::debug!(
                        ?failure,
                        attempt = attempts.failed,
                        "the server cannot be reached"
                    );
                }
                Err(_) => return Err(out_of_patience()),
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn present(&self) -> Result<Option<Present>, Failure> {
        let current = self.lock();
        if current.closed {
            return Err(closed());
        }
        Ok(current
            .connection
            .as_ref()
            .map(|connection| (Arc::clone(connection), current.generation)))
    }

    fn was_connected(&self) -> bool {
        self.lock().generation > 0
    }

    fn connected(&self, connection: Arc<dyn Connection>) -> Result<Present, Failure> {
        let mut current = self.lock();
        if current.closed {
            return Err(closed());
        }
        current.generation += 1;
        current.connection = Some(Arc::clone(&connection));
        Ok((connection, current.generation))
    }

    fn broken(&self, generation: u64) {
        let mut current = self.lock();
        if current.generation == generation {
            current.connection = None;
        }
    }

    /// Drops the connection and refuses further commands.
    pub(crate) fn close(&self) {
        let mut current = self.lock();
        current.closed = true;
        current.connection = None;
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let current = self.lock();
        f.debug_struct("Link")
            .field("connected", &current.connection.is_some())
            .field("generation", &current.generation)
            .finish()
    }
}

/// A failure, and the connection that it happened on.
#[derive(Debug, Clone)]
pub(crate) struct Broken {
    pub(crate) failure: Failure,
    /// The number of the connection; 0 when there was none.
    pub(crate) generation: u64,
}

impl Broken {
    fn never(failure: Failure) -> Self {
        Self {
            failure,
            generation: 0,
        }
    }

    /// The failure of a command that the server answered.
    pub(crate) fn answered(failure: Failure) -> Self {
        Self::never(failure)
    }

    fn into_failure(self) -> Failure {
        self.failure
    }
}

/// The pause before attempt `failed + 1`: it doubles, and has a random part.
pub(crate) fn backoff(failed: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << failed.saturating_sub(1).min(10));
    let random = uuid::Uuid::new_v4().as_u64_pair().0 % JITTER_MILLIS;
    doubled.min(LONGEST_PAUSE) + Duration::from_millis(random)
}

fn out_of_patience() -> Failure {
    Failure::Unreachable(Arc::new(std::io::Error::new(
        std::io::ErrorKind::TimedOut,
        "the server did not come back in time",
    )))
}

fn closed() -> Failure {
    Failure::Unreachable(Arc::new(std::io::Error::new(
        std::io::ErrorKind::NotConnected,
        "the bus was closed",
    )))
}
