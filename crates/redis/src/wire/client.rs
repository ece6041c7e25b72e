//! Connections by the `redis` crate.

use std::fmt;
use std::ops::RangeInclusive;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::TcpSettings;
use tokio::task::unconstrained;
use tokio::time::timeout;

use super::{
    BoxFuture, Command, Connect, Connection, Failure, Purpose, Reply, Server, ServerError,
};

/// How long a command may go unanswered before it is found out whether its connection still stands.
const PROBE_AFTER: Duration = Duration::from_secs(1);

/// How connections are made.
#[derive(Debug, Clone)]
pub(crate) struct ClientOptions {
    /// How long one attempt to connect may take.
    pub(crate) connect_timeout: Duration,
    /// How long the reply to a command may take. Blocking reads have no such limit here.
    pub(crate) response_timeout: Duration,
    /// Whether the server is a node of a cluster.
    pub(crate) cluster: bool,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(10),
            cluster: false,
        }
    }
}

/// Opens connections to one server or cluster.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    server: Server,
    options: ClientOptions,
}

impl Client {
    /// A client that has not connected yet.
    pub(crate) fn new(server: Server, options: ClientOptions) -> Self {
        Self { server, options }
    }

    /// Where this client connects to.
    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// A connection to `server`, of which no reply may take longer than `limit`.
    async fn single(
        &self,
        server: &Server,
        limit: Option<Duration>,
    ) -> Result<Shared<MultiplexedConnection>, Failure> {
        let info = tuned(server);
        let client = if server.is_tls() {
            provide_cryptography();
            redis::Client::build_with_tls(info, server.certificates().clone())
        } else {
            redis::Client::open(info)
        };
        // Replies are timed here, see `answered`.
        let config = redis::AsyncConnectionConfig::new()
            .set_pipeline_buffer_size(1024)
            .set_connection_timeout(Some(self.options.connect_timeout))
            .set_response_timeout(None);
        let connection = client
            .map_err(while_connecting)?
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(while_connecting)?;
        Ok(Shared {
            connection,
            limit,
            routed: false,
        })
    }

    async fn cluster(&self) -> Result<ClusterConnection, Failure> {
        let mut builder = redis::cluster::ClusterClientBuilder::new([tuned(&self.server)])
            .connection_timeout(self.options.connect_timeout)
            .response_timeout(self.options.response_timeout)
            .tcp_settings(tcp());
        if self.server.is_tls() {
            provide_cryptography();
            builder = builder.certs(self.server.certificates().clone());
        }
        let client = builder.build().map_err(while_connecting)?;
        client
            .get_async_connection()
            .await
            .map_err(while_connecting)
    }

    /// The node that serves `key`, by the server's own table.
    async fn node_of(&self, key: &str) -> Result<Server, Failure> {
        let seed = self.seed().await?;
        let slot = ask(&seed, Command::new("CLUSTER KEYSLOT").arg(key)).await?;
        let slot = slot.into_int()?;
        for (slots, node) in self.slots(&seed).await? {
            if slots.contains(&slot) {
                return Ok(node);
            }
        }
        Err(Failure::Server(ServerError {
            code: "CLUSTERDOWN".to_owned(),
            message: format!("no node serves the hash slot {slot}"),
        }))
    }

    /// A connection to every node that holds keys: one, unless this is a cluster.
    pub(crate) async fn connect_to_all(&self) -> Result<Vec<Arc<dyn Connection>>, Failure> {
        let timeout = Some(self.options.response_timeout);
        let mut nodes = vec![self.server.clone()];
        if self.options.cluster {
            let seed = self.seed().await?;
            nodes = self
                .slots(&seed)
                .await?
                .into_iter()
                .map(|(_, node)| node)
                .collect();
            nodes.sort_by_key(|node| node.to_string());
            nodes.dedup_by_key(|node| node.to_string());
        }
        let mut connections: Vec<Arc<dyn Connection>> = Vec::new();
        for node in nodes {
            connections.push(Arc::new(self.single(&node, timeout).await?));
        }
        Ok(connections)
    }

    async fn seed(&self) -> Result<Shared<MultiplexedConnection>, Failure> {
        self.single(&self.server, Some(self.options.response_timeout))
            .await
    }

    /// Which node serves which hash slots.
    async fn slots(
        &self,
        seed: &Shared<MultiplexedConnection>,
    ) -> Result<Vec<(RangeInclusive<i64>, Server)>, Failure> {
        let mut slots = Vec::new();
        for range in ask(seed, Command::new("CLUSTER SLOTS"))
            .await?
            .into_array()?
        {
            let mut range = range.into_array()?.into_iter();
            if let (Some(first), Some(last), Some(master)) =
                (range.next(), range.next(), range.next())
            {
                slots.push((first.into_int()?..=last.into_int()?, self.node(master)?));
            }
        }
        Ok(slots)
    }

    fn node(&self, master: Reply) -> Result<Server, Failure> {
        let mut fields = master.into_array()?.into_iter();
        let (Some(host), Some(port)) = (fields.next(), fields.next()) else {
            return Err(Failure::Protocol("a node has no address".to_owned()));
        };
        let host = match host {
            // The node does not know its own name: it is the one that was asked.
            Reply::Nil => self.server.address().0.to_owned(),
            host => host.into_text()?,
        };
        let host = match host.as_str() {
            "" | "?" => self.server.address().0,
            host => host,
        };
        let port = u16::try_from(port.into_int()?)
            .map_err(|_| Failure::Protocol("a node has an impossible port".to_owned()))?;
        Ok(self.server.at(host, port))
    }
}

impl Connect for Client {
    fn connect<'a>(
        &'a self,
        purpose: Purpose,
        key: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Arc<dyn Connection>, Failure>> {
        Box::pin(async move {
            let timeout = Some(self.options.response_timeout);
            let shared: Arc<dyn Connection> = match (purpose, self.options.cluster) {
                (Purpose::Commands, false) => Arc::new(self.single(&self.server, timeout).await?),
                (Purpose::Commands, true) => Arc::new(Shared {
                    connection: self.cluster().await?,
                    // The library times the replies of the nodes.
                    limit: None,
                    routed: true,
                }),
                (Purpose::BlockingReads, false) => Arc::new(self.single(&self.server, None).await?),
                (Purpose::BlockingReads, true) => {
                    let node = self.node_of(key.unwrap_or_default()).await?;
                    Arc::new(self.single(&node, None).await?)
                }
            };
            Ok(shared)
        })
    }
}

/// A connection of the library, whose handles are cheap to clone.
struct Shared<C> {
    connection: C,
    /// How long a reply may take.
    limit: Option<Duration>,
    /// Whether commands go to the nodes of a cluster.
    routed: bool,
}

impl<C> fmt::Debug for Shared<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> Connection for Shared<C> {
    fn send<'a>(&self, command: &'a Command) -> BoxFuture<'a, Result<Reply, Failure>> {
        let (mut connection, probe, limit) =
            (self.connection.clone(), self.connection.clone(), self.limit);
        Box::pin(async move {
            let reply = connection.req_packed_command(command.packed());
            let reply = answered(reply, probe, limit).await;
            reply.map_err(while_sending).map(Reply::from)?.into_result()
        })
    }

    fn send_all<'a>(
        &self,
        commands: &'a [Command],
        transaction: bool,
    ) -> BoxFuture<'a, Result<Vec<Reply>, Failure>> {
        let (connection, probe, limit) =
            (self.connection.clone(), self.connection.clone(), self.limit);
        let routed = self.routed;
        Box::pin(async move {
            let replies = send_all(connection, commands, transaction, routed);
            let replies = answered(replies, probe, limit).await;
            let replies = replies.map_err(while_sending)?;
            let replies: Vec<Reply> = replies.into_iter().map(Reply::from).collect();
            match (transaction, routed) {
                (false, _) => Ok(replies),
                (true, true) => executed(replies),
                (true, false) => executed_one_by_one(replies),
            }
        })
    }
}

async fn send_all<C: ConnectionLike>(
    mut connection: C,
    commands: &[Command],
    transaction: bool,
    routed: bool,
) -> redis::RedisResult<Vec<redis::Value>> {
    let spelled_out = transaction && !routed;
    let mut pipeline = redis::Pipeline::with_capacity(commands.len() + 2);
    if spelled_out {
        // The library loses count of the replies when `MULTI` itself is refused.
        pipeline.cmd("MULTI");
    }
    for command in commands {
        pipeline.add_command(command.packed().clone());
    }
    let (skipped, wanted) = match (transaction, routed) {
        (false, _) => (0, commands.len()),
        (true, false) => {
            pipeline.cmd("EXEC");
            (0, commands.len() + 2)
        }
        (true, true) => {
            // Only so does the library send a transaction to one node.
            pipeline.atomic();
            (commands.len() + 1, 1)
        }
    };
    connection
        .req_packed_commands(&pipeline, skipped, wanted)
        .await
}

/// The replies in that to `EXEC`, the last one.
fn executed(mut replies: Vec<Reply>) -> Result<Vec<Reply>, Failure> {
    match replies.pop().unwrap_or(Reply::Nil) {
        Reply::Array(replies) => Ok(replies),
        other => Err(other.unexpected("the replies of a transaction")),
    }
}

/// As [`executed`], where the replies to `MULTI` and to the queued commands come before.
fn executed_one_by_one(mut replies: Vec<Reply>) -> Result<Vec<Reply>, Failure> {
    let last = replies.pop();
    // What was refused on the way says more than that the whole was discarded.
    for reply in replies {
        reply.into_result()?;
    }
    executed(last.into_iter().collect())
}

/// What `reply` brings, within `limit`.
///
/// The library forgets a command that is handed over at the moment at which the connection ends: its reply never comes, not even
/// as an error. So after a second another command goes behind it. On a connection that ended this one fails at once, and on one
/// that stands replies come in the order of the commands.
async fn answered<T, C: ConnectionLike>(
    reply: impl Future<Output = redis::RedisResult<T>>,
    mut connection: C,
    limit: Option<Duration>,
) -> redis::RedisResult<T> {
    let Some(limit) = limit else {
        return reply.await;
    };
    let mut reply = pin!(reply);
    let first = limit.min(PROBE_AFTER);
    if let Ok(reply) = timeout(first, &mut reply).await {
        return reply;
    }
    let late = async {
        let ping = redis::cmd("PING");
        tokio::select! {
            biased;
            reply = &mut reply => return reply,
            _ = connection.req_packed_command(&ping) => {}
        }
        // It may have come between the two looks; one more shows.
        let last = timeout(Duration::ZERO, unconstrained(reply)).await;
        last.unwrap_or_else(|_| Err(forgotten()))
    };
    let late = Box::pin(timeout(limit - first, late)).await;
    late.unwrap_or_else(|elapsed| Err(std::io::Error::from(elapsed).into()))
}

fn forgotten() -> redis::RedisError {
    let message = "the connection ended while the command was handed over";
    std::io::Error::new(std::io::ErrorKind::ConnectionAborted, message).into()
}

async fn ask(
    connection: &Shared<MultiplexedConnection>,
    command: Command,
) -> Result<Reply, Failure> {
    connection.send(&command).await
}

fn tuned(server: &Server) -> redis::ConnectionInfo {
    let info = server.info().clone().set_tcp_settings(tcp());
    let settings = info
        .redis_settings()
        .clone()
        .set_lib_name("bowline", env!("CARGO_PKG_VERSION"));
    info.set_redis_settings(settings)
}

fn tcp() -> TcpSettings {
    TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(probes())
}

fn probes() -> socket2::TcpKeepalive {
    socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(5))
        .with_interval(Duration::from_secs(5))
}

/// TLS needs one implementation of its cryptography for the process; what the application has chosen stays.
fn provide_cryptography() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Fails only when somebody else was faster, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

fn while_connecting(error: redis::RedisError) -> Failure {
    match server_error(&error) {
        Some(reply) => Failure::Server(reply),
        None => match error.kind() {
            redis::ErrorKind::AuthenticationFailed => Failure::Server(ServerError {
                code: "WRONGPASS".to_owned(),
                message: "invalid username-password pair or user is disabled".to_owned(),
            }),
            redis::ErrorKind::InvalidClientConfig => Failure::Configuration(error.to_string()),
            _ => Failure::Unreachable(Arc::new(error)),
        },
    }
}

fn while_sending(error: redis::RedisError) -> Failure {
    match server_error(&error) {
        Some(reply) => Failure::Server(reply),
        // A reply that ends in the middle is a parse error for the library; for us it is a broken connection.
        None => Failure::Lost(Arc::new(error)),
    }
}

/// The error reply inside of an error of the library. Of an aborted transaction it is the one that aborted it.
fn server_error(error: &redis::RedisError) -> Option<ServerError> {
    let first = error.clone().into_server_errors()?;
    first.first().map(|(_, reply)| ServerError::from(reply))
}

#[cfg(test)]
mod tests {
    use super::*;

    use redis::{Cmd, Pipeline, RedisFuture, RedisResult, Value};
    use tokio::time::{Instant, sleep};

    /// When the answers to a command and to a `PING` behind it come, if ever.
    #[derive(Clone)]
    struct Scripted {
        answer: Option<Duration>,
        pong: Option<RedisResult<Duration>>,
    }

    impl ConnectionLike for Scripted {
        fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
            let name = command.args_iter().next();
            let is_ping = matches!(name, Some(redis::Arg::Simple(b"PING")));
            let due = match is_ping {
                true => self.pong.clone(),
                false => self.answer.map(Ok),
            };
            Box::pin(async move {
                match due {
                    Some(due) => sleep(due?).await,
                    None => std::future::pending().await,
                }
                Ok(Value::Okay)
            })
        }

        fn req_packed_commands<'a>(
            &'a mut self,
            _pipeline: &'a Pipeline,
            _offset: usize,
            _count: usize,
        ) -> RedisFuture<'a, Vec<Value>> {
            Box::pin(std::future::pending())
        }

        fn get_db(&self) -> i64 {
            0
        }
    }

    /// Whether a command was answered, and how long that took by the clock of the test.
    async fn play(answer: Option<Duration>, pong: Option<RedisResult<Duration>>) -> (bool, u64) {
        let shared = Shared {
            connection: Scripted { answer, pong },
            limit: Some(Duration::from_secs(10)),
            routed: false,
        };
        let asked = Instant::now();
        let answer = shared.send(&Command::new("XADD")).await;
        let took = asked.elapsed().as_secs();
        assert!(
            matches!(answer, Ok(_) | Err(Failure::Lost(_))),
            "{answer:?}"
        );
        (answer.is_ok(), took)
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_that_the_library_forgot_is_lost_at_the_first_look() {
        let ended = Some(Err(forgotten()));
        assert_eq!(play(None, ended).await, (false, 1), "the connection ended");
        let stands = Some(Ok(Duration::ZERO));
        assert_eq!(
            play(None, stands).await,
            (false, 1),
            "what came later is answered"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_server_has_its_time_and_a_silent_one_no_more() {
        let slow = Duration::from_secs(7);
        assert_eq!(play(Some(slow), Some(Ok(slow))).await, (true, 7));
        assert_eq!(play(Some(slow), None).await, (true, 7));
        assert_eq!(play(None, None).await, (false, 10));
    }
}
