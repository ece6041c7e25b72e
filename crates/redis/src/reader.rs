//! The connection of a read loop: one blocking read at a time, reconnected when it breaks.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::{unconstrained, yield_now};
use tokio::time::{Instant, sleep, timeout};

use crate::stream::{Entry, millis, parse_read};
use crate::wire::{Command, Connect, Connection, Failure, Purpose, Reply, backoff};

/// How much later than its `BLOCK` time a read may be answered before the connection counts as dead.
const MARGIN: Duration = Duration::from_secs(5);

/// Pauses between reads from a server that does not block.
const SHORTEST_POLL: Duration = Duration::from_millis(50);
const LONGEST_POLL: Duration = Duration::from_secs(1);

/// How long a read may be silent, apart from its `BLOCK` time, before it is found out whether its connection still stands.
const SILENCE: Duration = Duration::from_secs(1);

/// Early empty answers in a row that show that a server does not block.
const EARLY: u32 = 3;

/// After so few entries readers go first: the next read would wake a thread of the runtime before they run, and costs them more
/// than it gains.
const FEW: usize = 8;

/// Lets those run who were given `entries` entries, when that is sooner done than the next read.
pub(crate) async fn let_readers_run(entries: usize) {
    if (1..=FEW).contains(&entries) {
        yield_now().await;
    }
}

/// What a group reads, from which streams, and how much.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupRead<'a> {
    pub(crate) group: &'a str,
    pub(crate) consumer: &'a str,
    pub(crate) count: usize,
    /// How long the server waits for an entry; `None` answers at once.
    pub(crate) block: Option<Duration>,
}

impl GroupRead<'_> {
    /// Reads what the group has not read yet.
    pub(crate) fn new_entries<K: AsRef<[u8]>>(&self, keys: &[K]) -> Command {
        let ids = std::iter::repeat_n(">", keys.len());
        self.command(keys, ids)
    }

    /// Reads again what this consumer was given behind `after` and has not acknowledged.
    pub(crate) fn own_pending(&self, key: &str, after: &str) -> Command {
        self.command(&[key], std::iter::once(after))
    }

    fn command<'k, K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        ids: impl Iterator<Item = &'k str>,
    ) -> Command {
        let bytes: usize = keys.iter().map(|key| key.as_ref().len() + 16).sum();
        let mut command = Command::sized("XREADGROUP", bytes)
            .arg("GROUP")
            .arg(self.group)
            .arg(self.consumer)
            .arg("COUNT")
            .number(self.count as u64);
        if let Some(block) = self.block {
            command = command.arg("BLOCK").number(millis(block));
        }
        command.arg("STREAMS").args(keys).args(ids)
    }
}

/// Entries by key.
pub(crate) type Batches = Vec<(Bytes, Vec<Entry>)>;

/// Why a read brought nothing that can be used.
#[derive(Debug, Clone)]
pub(crate) enum ReadFailure {
    /// A stream or its group is gone: it was deleted or expired, or the server lost it. The text may name the key.
    Gone(String),
    /// The connection broke; the next read makes a new one. What the server assigned to us in the lost reply is pending.
    Lost(Failure),
    /// The server refused the read.
    Refused(Failure),
}

/// A connection for blocking reads.
#[derive(Debug)]
pub(crate) struct BlockingReader {
    connector: Arc<dyn Connect>,
    /// Tells a cluster which node is meant.
    key: Option<String>,
    connection: Option<Arc<dyn Connection>>,
    failed: u32,
    early: u32,
    poll: Duration,
}

impl BlockingReader {
    /// Reads by `connector`, from the node that serves `key`.
    pub(crate) fn new(connector: Arc<dyn Connect>, key: Option<String>) -> Self {
        Self {
            connector,
            key,
            connection: None,
            failed: 0,
            early: 0,
            poll: SHORTEST_POLL,
        }
    }

    /// Whether a connection is open, as far as is known.
    pub(crate) fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// One attempt to connect, after a pause when the last one failed. Does nothing when a connection is open.
    pub(crate) async fn connect(&mut self) -> Result<(), Failure> {
        if self.connection.is_some() {
            return Ok(());
        }
        if self.failed > 0 {
            sleep(backoff(self.failed)).await;
        }
        let key = self.key.as_deref();
        match self.connector.connect(Purpose::BlockingReads, key).await {
            Ok(connection) => {
                self.failed = 0;
                self.connection = Some(connection);
                Ok(())
            }
            Err(failure) => {
                self.failed = self.failed.saturating_add(1);
                Err(failure)
            }
        }
    }

    /// Drops the connection; the server may still assign entries to a read that is on its way.
    pub(crate) fn disconnect(&mut self) {
        self.connection = None;
    }

    /// Sends one read and waits for its answer; `Ok` with nothing in it after a time-out of the server.
    ///
    /// When this future is dropped the connection must be dropped too: the reply would be taken for that of the next read.
    pub(crate) async fn read(
        &mut self,
        command: &Command,
        block: Option<Duration>,
    ) -> Result<Batches, ReadFailure> {
        let connection = match &self.connection {
            Some(connection) => Arc::clone(connection),
            None => {
                self.connect()
                    .await
                    .map_err(|failure| match failure.is_final() {
                        true => ReadFailure::Refused(failure),
                        false => ReadFailure::Lost(failure),
                    })?;
                return Box::pin(self.read(command, block)).await;
            }
        };
        let asked = Instant::now();
        match answer(&*connection, command, block.unwrap_or_default()).await {
            Ok(reply) => {
                let batches = self.parse(reply)?;
                if let Some(block) = block {
                    self.pace(batches.is_empty(), asked, block).await;
                }
                Ok(batches)
            }
            Err(failure) => Err(self.failed(failure)),
        }
    }

    /// Sends commands in one piece on this connection, such as a transaction around a read that does not block.
    pub(crate) async fn run_all(
        &mut self,
        commands: &[Command],
        transaction: bool,
    ) -> Result<Vec<Reply>, ReadFailure> {
        if self.connection.is_none() {
            self.connect().await.map_err(ReadFailure::Lost)?;
        }
        let Some(connection) = self.connection.clone() else {
            return Ok(Vec::new());
        };
        let replies = timeout(MARGIN, connection.send_all(commands, transaction)).await;
        let replies = replies.unwrap_or_else(|_| Err(unanswered("a read was not answered")));
        replies.map_err(|failure| self.failed(failure))
    }

    fn parse(&mut self, reply: Reply) -> Result<Batches, ReadFailure> {
        parse_read(reply).map_err(|failure| self.failed(failure))
    }

    /// Sorts a failure, and drops the connection where another one is needed.
    pub(crate) fn failed(&mut self, failure: Failure) -> ReadFailure {
        if failure.ends_connection() || matches!(failure, Failure::Protocol(_)) {
            self.connection = None;
            self.failed = self.failed.max(1);
            return ReadFailure::Lost(failure);
        }
        match failure {
            Failure::Server(error) if matches!(error.code.as_str(), "NOGROUP" | "UNBLOCKED") => {
                ReadFailure::Gone(error.message)
            }
            failure if failure.is_passing() => ReadFailure::Lost(failure),
            Failure::Unreachable(_) => ReadFailure::Lost(failure),
            failure => ReadFailure::Refused(failure),
        }
    }

    /// A server that answers empty long before the time is up would be asked in a busy loop: pause instead.
    async fn pace(&mut self, empty: bool, asked: Instant, block: Duration) {
        if !empty || asked.elapsed() >= block / 2 {
            self.early = 0;
            self.poll = SHORTEST_POLL;
            return;
        }
        self.early += 1;
        if self.early < EARLY {
            return;
        }
        if self.early == EARLY {
            tracing::warn!(
                "the server does not block reads; it is polled every {SHORTEST_POLL:?} to {LONGEST_POLL:?}"
            );
        }
        sleep(self.poll).await;
        self.poll = (self.poll * 2).min(LONGEST_POLL);
    }
}

/// The reply to a read that the server may answer after `block`.
///
/// The library forgets a command that is handed over at the moment at which the connection ends. Nothing else goes over this
/// connection, so a `PING` behind the read shows it: that one fails at once, or is answered when the read has been.
async fn answer(
    connection: &dyn Connection,
    read: &Command,
    block: Duration,
) -> Result<Reply, Failure> {
    let mut reply = connection.send(read);
    let first = block.min(SILENCE) + SILENCE;
    if let Ok(reply) = timeout(first, &mut reply).await {
        return reply;
    }
    let late = async {
        let ping = Command::new("PING");
        tokio::select! {
            biased;
            reply = &mut reply => return reply,
            _ = connection.send(&ping) => {}
        }
        // It may have come between the two looks; one more shows.
        let last = timeout(Duration::ZERO, unconstrained(reply)).await;
        last.unwrap_or_else(|_| {
            Err(unanswered(
                "the connection ended while a read was handed over",
            ))
        })
    };
    let late = Box::pin(timeout((block + MARGIN).saturating_sub(first), late)).await;
    late.unwrap_or_else(|_| Err(unanswered("a blocking read was not answered")))
}

fn unanswered(message: &'static str) -> Failure {
    let error = std::io::Error::new(std::io::ErrorKind::TimedOut, message);
    Failure::Lost(Arc::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::wire::BoxFuture;

    /// When a read and a `PING` are over, if ever, and how.
    #[derive(Debug, Clone)]
    struct Scripted {
        read: Option<Duration>,
        ping: Option<(Duration, bool)>,
    }

    impl Connection for Scripted {
        fn send<'a>(&self, command: &'a Command) -> BoxFuture<'a, Result<Reply, Failure>> {
            let fate = match command.name() {
                "PING" => self.ping,
                _ => self.read.map(|due| (due, true)),
            };
            Box::pin(async move {
                let Some((due, answered)) = fate else {
                    return std::future::pending().await;
                };
                sleep(due).await;
                match answered {
                    true => Ok(Reply::Nil),
                    false => Err(unanswered("it ended")),
                }
            })
        }

        fn send_all<'a>(
            &self,
            _commands: &'a [Command],
            _transaction: bool,
        ) -> BoxFuture<'a, Result<Vec<Reply>, Failure>> {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_ends_when_its_connection_has_or_its_time_is_up() {
        const fn seconds(seconds: u64) -> Duration {
            Duration::from_secs(seconds)
        }
        let ended = Some((seconds(0), false));
        let pong = |after| Some((seconds(after), true));
        // Block and answer of the read, its probe; whether there is an answer, and after how many seconds by this clock.
        let table = [
            (1, Some(seconds(1)), None, (true, 1)),
            (1, None, ended, (false, 2)),
            (1, None, pong(0), (false, 2)),
            (30, None, ended, (false, 2)),
            (30, Some(seconds(30)), pong(29), (true, 30)),
            (30, Some(seconds(30)), None, (true, 30)),
            (0, None, ended, (false, 1)),
            (1, None, None, (false, 6)),
            (30, None, None, (false, 35)),
        ];
        for (block, read, ping, expected) in table {
            let connection = Scripted { read, ping };
            let asked = Instant::now();
            let command = Command::new("XREADGROUP");
            let answer = answer(&connection, &command, seconds(block)).await;
            let took = asked.elapsed().as_secs();
            let row = (block, read, ping);
            assert_eq!((answer.is_ok(), took), expected, "{row:?}");
        }
    }
}
