//! Where the server is, and who we are there.

use std::fmt;
use std::path::Path;

use bowline_events::{Error, ErrorKind, Result};

/// The schemes of the reference's client, and their names for Valkey.
const SCHEMES: [&str; 4] = ["redis", "rediss", "valkey", "valkeys"];

/// A server: address, login, database and TLS. Made from a URL
/// `redis://[user[:password]@]host[:port][/database]`; `rediss` and `valkeys` mean TLS, `valkey` is `redis`.
///
/// User and password are percent-decoded. `Debug` and `Display` show neither.
///
/// ```
/// use bowline_redis::Server;
/// let server: Server = "rediss://app:s%40crt@cache.example:6380/2".parse()?;
/// assert_eq!(server.to_string(), "rediss://cache.example:6380/2");
/// # Ok::<(), bowline_events::Error>(())
/// ```
#[derive(Clone)]
pub struct Server {
    scheme: String,
    info: redis::ConnectionInfo,
    tls: redis::TlsCertificates,
}

impl Server {
    /// Reads a URL.
    ///
    /// # Errors
    /// `InvalidInput` for another scheme, a missing host, a database that is no number, or a query. The message never repeats
    /// user or password.
    pub fn from_url(url: &str) -> Result<Self> {
        let scheme = url
            .split_once(':')
            .map_or("", |(scheme, _)| scheme)
            .to_ascii_lowercase();
        if !SCHEMES.contains(&scheme.as_str()) {
            let message = format!("the scheme is not known; use one of {}", SCHEMES.join(", "));
            return Err(invalid(message).with_subject(&scheme));
        }
        if url.contains(['?', '#']) {
            return Err(invalid(
                "a server URL has no query and no fragment; options are set on the builder, or in the URL of the bus configuration",
            ));
        }
        let info = redis::IntoConnectionInfo::into_connection_info(url).map_err(|error| {
            let detail = error
                .detail()
                .unwrap_or("write redis://[user[:password]@]host[:port][/database]");
            invalid(format!("the URL of the server cannot be read: {detail}"))
        })?;
        Ok(Self {
            scheme,
            info,
            tls: redis::TlsCertificates {
                client_tls: None,
                root_cert: None,
            },
        })
    }

    /// Trusts the certificate authorities in the PEM text `pem`, instead of those of the system.
    #[must_use]
    pub fn tls_ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.tls.root_cert = Some(pem.into());
        self
    }

    /// As [`tls_ca_pem`](Self::tls_ca_pem), from a file.
    ///
    /// # Errors
    /// `InvalidInput` when the file cannot be read.
    pub fn tls_ca_file(self, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let pem = std::fs::read(path).map_err(|error| {
            invalid("the file with the certificate authorities cannot be read")
                .with_subject(&path.display().to_string())
                .with_source(error)
        })?;
        Ok(self.tls_ca_pem(pem))
    }

    /// Shows the server the certificate and key in PEM texts.
    #[must_use]
    pub fn tls_client_pem(
        mut self,
        certificate: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Self {
        self.tls.client_tls = Some(redis::ClientTlsConfig {
            client_cert: certificate.into(),
            client_key: key.into(),
        });
        self
    }

    /// Whether the connection is encrypted.
    pub fn is_tls(&self) -> bool {
        matches!(self.scheme.as_str(), "rediss" | "valkeys")
    }

    /// The number of the database.
    pub fn database(&self) -> i64 {
        self.info.redis_settings().db()
    }

    /// Host and port.
    pub fn address(&self) -> (&str, u16) {
        match self.info.addr() {
            redis::ConnectionAddr::Tcp(host, port) => (host, *port),
            redis::ConnectionAddr::TcpTls { host, port, .. } => (host, *port),
            // No scheme that we accept gives another kind of address.
            _ => ("", 0),
        }
    }

    /// The same login at another node.
    pub(super) fn at(&self, host: &str, port: u16) -> Self {
        let addr = match self.info.addr() {
            redis::ConnectionAddr::TcpTls {
                insecure,
                tls_params,
                ..
            } => redis::ConnectionAddr::TcpTls {
                host: host.to_owned(),
                port,
                insecure: *insecure,
                tls_params: tls_params.clone(),
            },
            _ => redis::ConnectionAddr::Tcp(host.to_owned(), port),
        };
        Self {
            info: self.info.clone().set_addr(addr),
            ..self.clone()
        }
    }

    pub(super) fn info(&self) -> &redis::ConnectionInfo {
        &self.info
    }

    pub(super) fn certificates(&self) -> &redis::TlsCertificates {
        &self.tls
    }
}

fn invalid(message: impl Into<bowline_events::Text>) -> Error {
    Error::new(ErrorKind::InvalidInput, "redis url", message)
}

impl std::str::FromStr for Server {
    type Err = Error;
    fn from_str(url: &str) -> Result<Self> {
        Self::from_url(url)
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port) = self.address();
        if host.contains(':') {
            write!(f, "{}://[{host}]:{port}", self.scheme)?;
        } else {
            write!(f, "{}://{host}:{port}", self.scheme)?;
        }
        match self.database() {
            0 => Ok(()),
            database => write!(f, "/{database}"),
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({self})")
    }
}
