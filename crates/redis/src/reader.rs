//! The connection of a read loop: one blocking read at a time, reconnected when it breaks.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};

use crate::stream::{Entry, millis, parse_read};
use crate::wire::{Command, Connect, Connection, Failure, Purpose, Reply, backoff};

/// How much later than its `BLOCK` time a read may be answered before the connection counts as dead.
const MARGIN: Duration = Duration::from_secs(5);

/// Pauses between reads from a server that does not block.
const SHORTEST_POLL: Duration = Duration::from_millis(50);
const LONGEST_POLL: Duration = Duration::from_secs(1);

/// Early empty answers in a row that show that a server does not block.
const EARLY: u32 = 3;

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
        let limit = block.unwrap_or_default() + MARGIN;
        let reply = match timeout(limit, connection.send(command)).await {
            Ok(reply) => reply,
            Err(_) => Err(Failure::Lost(Arc::new(std::io::Error::new(
                std::io::ErrorKind::TimedOut,
                "a blocking read was not answered",
            )))),
        };
        match reply {
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
        let replies = replies.unwrap_or_else(|_| {
            Err(Failure::Lost(Arc::new(std::io::Error::new(
                std::io::ErrorKind::TimedOut,
                "a read was not answered",
            ))))
        });
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
