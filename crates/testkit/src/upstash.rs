//! The REST protocol of Upstash, in front of a real server.

mod answer;
mod execute;
mod request;
mod serve;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use serve::Service;

use crate::tls::Certificates;
use crate::{Error, Result};

/// A request that an [`UpstashServer`] has carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstashRequest {
    /// The path, such as `/` or `/pipeline`.
    pub path: String,
    /// The commands with their arguments, invalid UTF-8 replaced.
    pub commands: Vec<Vec<String>>,
}

/// Speaks the REST protocol of Upstash on a loopback port, and has a real server execute the commands.
///
/// There are the command in the body or the path, `/pipeline`, `/multi-exec`, the token in the header or the query, and
/// `Upstash-Encoding: base64`. There are no read-only tokens, no RESP2 answers and no event streams (`/monitor`,
/// `/subscribe`): these are refused with status 400, as are the commands that change the state of a connection.
///
/// It lives on the runtime that started it and ends with its handle.
///
/// ```no_run
/// # use bowline_testkit::{RedisServer, UpstashServer};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), bowline_testkit::Error> {
/// let redis = RedisServer::start().await?;
/// let upstash = UpstashServer::start(redis.address(), "token").await?;
/// // POST ["SET", "key", "value"] to this URL with `Authorization: Bearer token`.
/// println!("{}", upstash.url());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct UpstashServer {
    address: SocketAddr,
    certificates: Option<Certificates>,
    service: Arc<Service>,
    accepting: JoinHandle<()>,
}

impl UpstashServer {
    /// Serves plain HTTP to whoever has `token`; `redis` is a server without a password.
    ///
    /// # Errors
    ///
    /// When there is no port to listen on.
    pub async fn start(redis: SocketAddr, token: &str) -> Result<Self> {
        Self::launch(redis, token, None).await
    }

    /// Serves HTTPS with a certificate of its own; see [`ca_pem`](Self::ca_pem).
    ///
    /// # Errors
    ///
    /// When there is no port to listen on, or no certificate can be made.
    pub async fn start_tls(redis: SocketAddr, token: &str) -> Result<Self> {
        Self::launch(redis, token, Some(Certificates::make()?)).await
    }

    async fn launch(
        redis: SocketAddr,
        token: &str,
        certificates: Option<Certificates>,
    ) -> Result<Self> {
        let failed = |error| Error::io("the Upstash stand-in cannot listen", error);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let acceptor = certificates
            .as_ref()
            .map(Certificates::acceptor)
            .transpose()?;
        let service = Arc::new(Service::new(redis, token));
        let accepting = tokio::spawn(serve::accept(listener, acceptor, Arc::clone(&service)));
        Ok(Self {
            address,
            certificates,
            service,
            accepting,
        })
    }

    /// `http://127.0.0.1:port`, or `https://127.0.0.1:port` with TLS.
    pub fn url(&self) -> String {
        let scheme = match self.certificates {
            Some(_) => "https",
            None => "http",
        };
        format!("{scheme}://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate of the authority that signed the server's, as PEM.
    ///
    /// # Panics
    ///
    /// When the server was started without TLS.
    pub fn ca_pem(&self) -> &str {
        match &self.certificates {
            Some(certificates) => &certificates.ca,
            None => panic!("this server was started without TLS"),
        }
    }

    /// The requests that were carried out since the last call, in the order of their arrival. Refused ones are not among
    /// them.
    pub fn take_requests(&self) -> Vec<UpstashRequest> {
        self.service.take_requests()
    }

    /// Answers the next `count` requests with `status` and `{"error": error}` instead of carrying them out; for 429 and 5xx.
    pub fn fail_next(&self, count: usize, status: u16, error: &str) {
        self.service.fail_next(count, status, error);
    }
}

impl Drop for UpstashServer {
    fn drop(&mut self) {
        // The open connections belong to this task.
        self.accepting.abort();
    }
}
