//! A connection that comes back: made when it is first needed, and anew when it broke.

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout, timeout_at};

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

/// How long a command lets those go first that waited before it.
const GRACE: Duration = Duration::from_millis(10);

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

/// A connection for many commands, shared and self-healing. Clones are the same link.
#[derive(Clone)]
pub(crate) struct Link {
    shared: Arc<Shared>,
    options: LinkOptions,
}

struct Shared {
    connector: Arc<dyn Connect>,
    current: Mutex<Current>,
    /// Notified when there is a connection, when none can be made, and at the end.
    changed: Notify,
}

#[derive(Default)]
struct Current {
    connection: Option<Arc<dyn Connection>>,
    /// Counts the connections, so that a broken one is reported once.
    generation: u64,
    /// Commands that wait for a connection.
    waiting: usize,
    /// Whether there is a connection and those who waited for it go first.
    in_turn: bool,
    /// Whether a task is connecting.
    connecting: bool,
    /// Counts the attempts that were given up, with the reason of the last one.
    given_up: (u64, Option<Failure>),
    closed: bool,
}

/// A connection and its number.
type Present = (Arc<dyn Connection>, u64);

impl Link {
    /// A link that has not connected yet.
    pub(crate) fn new(connector: Arc<dyn Connect>, options: LinkOptions) -> Self {
        let shared = Shared {
            connector,
            current: Mutex::default(),
            changed: Notify::new(),
        };
        Self {
            shared: Arc::new(shared),
            options,
        }
    }

    /// Sends `command`, waiting for a connection when there is none.
    pub(crate) async fn run(&self, command: &Command, repeat: Repeat) -> Result<Reply, Failure> {
        self.attempt(repeat, |connection| connection.send(command))
            .await
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
    }

    async fn attempt<'a, R>(
        &self,
        repeat: Repeat,
        send: impl Fn(&dyn Connection) -> BoxFuture<'a, Result<R, Failure>>,
    ) -> Result<R, Failure> {
        // Without trouble the clock is not read.
        let mut deadline = None;
        let mut pause = FIRST_PAUSE;
        let mut lost = 0;
        loop {
            let ready = self.shared.lock().ready()?;
            let (connection, generation) = match ready {
                Some(present) => present,
                None => {
                    let deadline = *deadline.get_or_insert_with(|| self.deadline());
                    Box::pin(self.wait(deadline)).await?
                }
            };
            let failure = match send(&*connection).await {
                Ok(reply) => return Ok(reply),
                Err(failure) => failure,
            };
            if failure.ends_connection() {
                self.broken(generation);
            }
            let again = failure.is_passing()
                || (matches!(failure, Failure::Lost(_)) && repeat == Repeat::Yes);
            let deadline = *deadline.get_or_insert_with(|| self.deadline());
            if !again || Instant::now() + pause >= deadline {
                return Err(failure);
            }
            lost += 1;
            // After a cut the new connection is tried at once, but not over and over.
            if failure.is_passing() || lost > 1 {
                Box::pin(sleep(pause)).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.options.patience
    }

    async fn wait(&self, deadline: Instant) -> Result<Present, Failure> {
        self.let_pass().await;
        self.connection(deadline).await
    }

    /// Lets commands go first that waited for the connection that is there now, so that the order of the calls is kept; but not
    /// for long, and only once per connection, because they may not be polled any more.
    async fn let_pass(&self) {
        let passed = async {
            loop {
                let mut changed = pin!(self.shared.changed.notified());
                changed.as_mut().enable();
                if !self.shared.lock().in_turn {
                    return;
                }
                changed.await;
            }
        };
        if timeout(GRACE, passed).await.is_err() {
            self.shared.end_turns(self.shared.lock());
        }
    }

    /// The connection, made now if there is none.
    async fn connection(&self, deadline: Instant) -> Result<Present, Failure> {
        let given_up = {
            let current = self.shared.lock();
            match current.present()? {
                Some(present) => return Ok(present),
                None => current.given_up.0,
            }
        };
        let _waiting = Waiting::count(&self.shared);
        loop {
            let mut changed = pin!(self.shared.changed.notified());
            changed.as_mut().enable();
            if let Some(outcome) = self.shared.outcome(given_up) {
                return outcome;
            }
            if self.shared.start_connecting()? {
                // A runtime that is shutting down drops new tasks at once: this lets it drop the caller as well.
                yield_now().await;
            }
            if timeout_at(deadline, changed).await.is_err() {
                return Err(out_of_patience());
            }
        }
    }

    fn broken(&self, generation: u64) {
        let mut current = self.shared.lock();
        if current.generation == generation {
            current.connection = None;
            self.shared.end_turns(current);
        }
    }

    /// Drops the connection and refuses further commands.
    pub(crate) fn close(&self) {
        let mut current = self.shared.lock();
        current.closed = true;
        current.connection = None;
        current.in_turn = false;
        drop(current);
        self.shared.changed.notify_waiters();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a command finds that saw `given_up` attempts fail before it began to wait.
    fn outcome(&self, given_up: u64) -> Option<Result<Present, Failure>> {
        let current = self.lock();
        match current.present() {
            Ok(Some(present)) => Some(Ok(present)),
            Err(failure) => Some(Err(failure)),
            Ok(None) if current.given_up.0 > given_up => current.given_up.1.clone().map(Err),
            Ok(None) => None,
        }
    }

    /// Nobody has to go first any more.
    fn end_turns(&self, mut current: MutexGuard<'_, Current>) {
        let ended = std::mem::take(&mut current.in_turn);
        drop(current);
        if ended {
            self.changed.notify_waiters();
        }
    }

    /// Has a task of its own connect, which goes on whether or not one command or another is polled. Whether that task is new.
    fn start_connecting(self: &Arc<Self>) -> Result<bool, Failure> {
        let runtime =
            Handle::try_current().map_err(|error| Failure::Configuration(error.to_string()))?;
        if std::mem::replace(&mut self.lock().connecting, true) {
            return Ok(false);
        }
        // Not under the lock: a runtime that is shutting down drops the task here.
        runtime.spawn(connect(Connecting(Arc::clone(self))));
        Ok(true)
    }
}

/// Tries until there is a connection, nobody waits for one any more, or trying cannot help.
async fn connect(link: Connecting) {
    let shared = &link.0;
    let mut failed = 0;
    loop {
        let failure = match shared.connector.connect(Purpose::Commands, None).await {
            Ok(connection) => {
                let mut current = shared.lock();
                if !current.closed {
                    current.generation += 1;
                    current.connection = Some(connection);
                    current.in_turn = current.waiting > 0;
                }
                return;
            }
            Err(failure) => failure,
        };
        failed += 1;
        tracing::debug!(?failure, attempt = failed, "the server cannot be reached");
        {
            let mut current = shared.lock();
            // A server that was never there is probably a wrong address: no waiting.
            if failure.is_final() || current.generation == 0 {
                current.given_up = (current.given_up.0 + 1, Some(failure));
                return;
            }
        }
        sleep(backoff(failed)).await;
        let current = shared.lock();
        if current.closed || current.waiting == 0 {
            return;
        }
    }
}

/// The task that connects; when it ends, whyever, the next command may start another one.
struct Connecting(Arc<Shared>);

impl Drop for Connecting {
    fn drop(&mut self) {
        self.0.lock().connecting = false;
        self.0.changed.notify_waiters();
    }
}

/// A command that waits for a connection.
struct Waiting<'a>(&'a Shared);

impl<'a> Waiting<'a> {
    fn count(shared: &'a Shared) -> Self {
        shared.lock().waiting += 1;
        Self(shared)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut current = self.0.lock();
        current.waiting -= 1;
        if current.waiting == 0 {
            self.0.end_turns(current);
        }
    }
}

impl Current {
    /// The connection, where there is one and nobody has to go first.
    fn ready(&self) -> Result<Option<Present>, Failure> {
        match self.in_turn {
            true => Ok(None),
            false => self.present(),
        }
    }

    fn present(&self) -> Result<Option<Present>, Failure> {
        if self.closed {
            return Err(closed());
        }
        let connection = self.connection.as_ref();
        Ok(connection.map(|connection| (Arc::clone(connection), self.generation)))
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let current = self.shared.lock();
        f.debug_struct("Link")
            .field("connected", &current.connection.is_some())
            .field("generation", &current.generation)
            .finish()
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
