//! Connections by the `redis` crate.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::TcpSettings;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

use super::watch::Watch;
use super::{
    BoxFuture, Command, Connect, Connection, Failure, Purpose, Reply, Server, ServerError,
};

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

    /// A connection to `server`, of which no reply may take longer than `response_timeout`.
    async fn single(
        &self,
        server: &Server,
        response_timeout: Option<Duration>,
    ) -> Result<Shared<MultiplexedConnection>, Failure> {
        if server.is_tls() {
            return self.encrypted(server, response_timeout).await;
        }
        let connecting = plain(server, response_timeout);
        let connected = tokio::time::timeout(self.options.connect_timeout, connecting).await;
        let (connection, driver) = connected
            .unwrap_or_else(|late| Err(std::io::Error::from(late).into()))
            .map_err(while_connecting)?;
        Ok(Shared {
            connection,
            watch: Some(Watch::over(driver, response_timeout)),
            routed: false,
        })
    }

    /// The library makes encrypted connections, with a timer for every command.
    async fn encrypted(
        &self,
        server: &Server,
        response_timeout: Option<Duration>,
    ) -> Result<Shared<MultiplexedConnection>, Failure> {
        provide_cryptography();
        let (info, certificates) = (tuned(server), server.certificates().clone());
        let client = redis::Client::build_with_tls(info, certificates).map_err(while_connecting)?;
        let config = settings()
            .set_connection_timeout(Some(self.options.connect_timeout))
            .set_response_timeout(response_timeout);
        let connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(while_connecting)?;
        Ok(Shared {
            connection,
            watch: None,
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
                    watch: None,
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
    /// Where the library itself does not watch over every reply.
    watch: Option<Arc<Watch>>,
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
        let mut connection = self.connection.clone();
        let sending = self.watch.as_ref().map(Watch::sending);
        Box::pin(async move {
            let _sending = sending;
            let reply = connection.req_packed_command(command.packed()).await;
            reply.map_err(while_sending).map(Reply::from)?.into_result()
        })
    }

    fn send_all<'a>(
        &self,
        commands: &'a [Command],
        transaction: bool,
    ) -> BoxFuture<'a, Result<Vec<Reply>, Failure>> {
        let (mut connection, routed) = (self.connection.clone(), self.routed);
        let sending = self.watch.as_ref().map(Watch::sending);
        Box::pin(async move {
            let _sending = sending;
            let mut pipeline = redis::Pipeline::with_capacity(commands.len());
            for command in commands {
                pipeline.add_command(command.packed().clone());
            }
            if !transaction {
                let replies = connection
                    .req_packed_commands(&pipeline, 0, commands.len())
                    .await
                    .map_err(while_sending)?;
                return Ok(replies.into_iter().map(Reply::from).collect());
            }
            if !routed {
                return in_transaction(&mut connection, commands).await;
            }
            // Only so does the library send a transaction to one node.
            pipeline.atomic();
            let executed = connection
                .req_packed_commands(&pipeline, commands.len() + 1, 1)
                .await
                .map_err(while_sending)?;
            match executed.into_iter().next().map(Reply::from) {
                Some(Reply::Array(replies)) => Ok(replies),
                Some(other) => Err(other.unexpected("the replies of a transaction")),
                None => Err(Reply::Nil.unexpected("the replies of a transaction")),
            }
        })
    }
}

/// `MULTI`, `commands` and `EXEC`, spelled out: the library loses count of the replies when `MULTI` itself is refused.
async fn in_transaction<C: ConnectionLike>(
    connection: &mut C,
    commands: &[Command],
) -> Result<Vec<Reply>, Failure> {
    let mut pipeline = redis::Pipeline::with_capacity(commands.len() + 2);
    pipeline.cmd("MULTI");
    for command in commands {
        pipeline.add_command(command.packed().clone());
    }
    pipeline.cmd("EXEC");
    let replies = connection
        .req_packed_commands(&pipeline, 0, commands.len() + 2)
        .await
        .map_err(while_sending)?;
    let mut replies: Vec<Reply> = replies.into_iter().map(Reply::from).collect();
    let executed = replies.pop().unwrap_or(Reply::Nil);
    // What was refused on the way says more than that the whole was discarded.
    for reply in replies {
        reply.into_result()?;
    }
    match executed {
        Reply::Array(replies) => Ok(replies),
        other => Err(other.unexpected("the replies of a transaction")),
    }
}

async fn ask(
    connection: &Shared<MultiplexedConnection>,
    command: Command,
) -> Result<Reply, Failure> {
    connection.send(&command).await
}

/// An unencrypted connection, and the task that drives it.
async fn plain(
    server: &Server,
    response_timeout: Option<Duration>,
) -> redis::RedisResult<(MultiplexedConnection, AbortHandle)> {
    let stream = TcpStream::connect(server.address()).await?;
    stream.set_nodelay(true)?;
    socket2::SockRef::from(&stream).set_tcp_keepalive(&probes())?;
    let info = tuned(server);
    // Beside the watch: a command that the driver has forgotten must not wait for ever.
    let config = settings().set_response_timeout(response_timeout);
    let (connection, driver) =
        MultiplexedConnection::new_with_config(info.redis_settings(), stream, config).await?;
    Ok((connection, tokio::spawn(driver).abort_handle()))
}

fn settings() -> redis::AsyncConnectionConfig {
    redis::AsyncConnectionConfig::new().set_pipeline_buffer_size(1024)
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
