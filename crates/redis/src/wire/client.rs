//! Connections by the `redis` crate.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::TcpSettings;

use super::shared::Shared;
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
        // Replies are timed by the watch over the connection.
        let config = redis::AsyncConnectionConfig::new()
            .set_pipeline_buffer_size(1024)
            .set_connection_timeout(Some(self.options.connect_timeout))
            .set_response_timeout(None);
        let connection = client
            .map_err(while_connecting)?
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(while_connecting)?;
        Shared::single(connection, limit)
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
                (Purpose::Commands, true) => Arc::new(Shared::routed(self.cluster().await?)),
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

/// The error reply inside of an error of the library. Of an aborted transaction it is the one that aborted it.
pub(super) fn server_error(error: &redis::RedisError) -> Option<ServerError> {
    let first = error.clone().into_server_errors()?;
    first.first().map(|(_, reply)| ServerError::from(reply))
}
