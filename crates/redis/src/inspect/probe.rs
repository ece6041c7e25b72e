//! A connection for questions.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bowline_events::Result;

use crate::Server;
use crate::wire::{Client, ClientOptions, Command, Connect, Connection, Failure, Purpose, Reply};

/// How long a server has to answer a question.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Something that the server may or may not tell.
pub type Fact<T> = std::result::Result<T, Unknown>;

/// Why something is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// The command that would have told.
    pub command: &'static str,
    /// Why it did not.
    pub reason: String,
}

impl Unknown {
    pub(super) fn new(command: &'static str, reason: impl Into<String>) -> Self {
        Self {
            command,
            reason: reason.into(),
        }
    }

    /// The answer was there, and did not say it.
    pub(super) fn unsaid(command: &'static str, name: &str) -> Self {
        Self::new(command, format!("it does not tell {name}"))
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.command, self.reason)
    }
}

impl std::error::Error for Unknown {}

/// A connection for questions.
pub(super) struct Probe {
    connection: Arc<dyn Connection>,
}

impl Probe {
    pub(super) async fn connect(server: &Server) -> Result<Self> {
        let client = client(server, false);
        let connection = client
            .connect(Purpose::Commands, None)
            .await
            .map_err(|failure| failure.into_error("connect", "AUTH", Some(&server.to_string())))?;
        let probe = Self { connection };
        // Without a login the connection is made, and then every command is refused.
        match probe.ask(&Command::new("PING")).await {
            Err(failure) if failure.code() != Some("NOPERM") => {
                Err(failure.into_error("connect", "PING", Some(&server.to_string())))
            }
            _ => Ok(probe),
        }
    }

    /// One for each node of the cluster; for the one server that there is without a cluster.
    pub(super) async fn connect_to_all(server: &Server, cluster: bool) -> Result<Vec<Self>> {
        let connections = client(server, cluster)
            .connect_to_all()
            .await
            .map_err(|failure| failure.into_error("connect", "AUTH", Some(&server.to_string())))?;
        let probes = connections
            .into_iter()
            .map(|connection| Self { connection });
        Ok(probes.collect())
    }

    pub(super) fn connection(&self) -> &dyn Connection {
        &*self.connection
    }

    /// Asks one question.
    pub(super) async fn ask(&self, command: &Command) -> std::result::Result<Reply, Failure> {
        self.connection.send(command).await
    }

    /// Asks many questions in one round trip; a question that fails has an error reply in its place.
    pub(super) async fn ask_all(
        &self,
        commands: &[Command],
    ) -> std::result::Result<Vec<Reply>, Failure> {
        self.connection.send_all(commands, false).await
    }

    /// Asks one question, of which a refusal is an answer too.
    pub(super) async fn fact(&self, command: &Command) -> Fact<Reply> {
        self.ask(command)
            .await
            .map_err(|failure| unknown(command.name(), &failure))
    }

    /// The time of one round trip. A refusal takes as long as an answer.
    pub(super) async fn round_trip(&self) -> Duration {
        let start = Instant::now();
        let _ = self.ask(&Command::new("PING")).await;
        start.elapsed()
    }
}

fn client(server: &Server, cluster: bool) -> Client {
    let options = ClientOptions {
        connect_timeout: ANSWER_WITHIN,
        response_timeout: ANSWER_WITHIN,
        cluster,
    };
    Client::new(server.clone(), options)
}

/// Why a command tells nothing.
pub(super) fn unknown(command: &'static str, failure: &Failure) -> Unknown {
    let reason = match failure {
        Failure::Server(error) => format!("the server answers {error}"),
        Failure::Protocol(message) | Failure::Configuration(message) => message.clone(),
        Failure::Lost(error) | Failure::Unreachable(error) => {
            format!("the connection was lost ({error})")
        }
    };
    Unknown::new(command, reason)
}
