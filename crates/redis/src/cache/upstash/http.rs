//! One request to the REST API.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::address::Address;
use super::body::{refusal, replies};
use crate::wire::{Failure, Reply, ServerError};

/// Bytes of an answer at most.
const LONGEST_ANSWER: usize = 128 * 1024 * 1024;

/// How long a connection is kept for the next request.
const IDLE: Duration = Duration::from_secs(30);

type HttpClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// What became of a request that failed.
#[derive(Debug, Clone)]
pub(super) enum Trouble {
    /// Nothing was executed, and trying again later may help.
    Later(Failure),
    /// There is no use in trying again, or nobody knows what was executed ([`Failure::Lost`]).
    Failed(Failure),
}

/// Sends requests over connections that it keeps.
pub(super) struct Http {
    pub(super) address: Address,
    timeout: Duration,
    ca_pem: Option<Vec<u8>>,
    /// Made at the first request: certificates are read then.
    client: OnceLock<Result<HttpClient, Failure>>,
}

impl Http {
    pub(super) fn new(address: Address, timeout: Duration, ca_pem: Option<Vec<u8>>) -> Self {
        Self {
            address,
            timeout,
            ca_pem,
            client: OnceLock::new(),
        }
    }

    /// Has the commands in `body` executed, one after the other, and returns their replies.
    pub(super) async fn pipeline(&self, body: Bytes) -> Result<Vec<Reply>, Trouble> {
        let client = self
            .client
            .get_or_init(|| connector(self.ca_pem.as_deref(), self.timeout))
            .as_ref()
            .map_err(|failure| Trouble::Failed(failure.clone()))?;
        match tokio::time::timeout(self.timeout, self.exchange(client, body)).await {
            Ok(result) => result,
            Err(late) => Err(Trouble::Failed(Failure::Lost(Arc::new(late)))),
        }
    }

    async fn exchange(&self, client: &HttpClient, body: Bytes) -> Result<Vec<Reply>, Trouble> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.address.at("/pipeline"))
            .header(AUTHORIZATION, self.address.authorization())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(Full::new(body))
            .map_err(|error| Trouble::Failed(Failure::Configuration(error.to_string())))?;
        let response = client.request(request).await.map_err(|error| {
            let unsent = error.is_connect();
            let source = Arc::new(error);
            match unsent {
                true => Trouble::Later(Failure::Unreachable(source)),
                false => Trouble::Failed(Failure::Lost(source)),
            }
        })?;
        let status = response.status();
        let answer = Limited::new(response.into_body(), LONGEST_ANSWER).collect();
        let answer = answer.await.map_err(|error| {
            Trouble::Failed(match error.downcast::<LengthLimitError>() {
                Ok(_) => Failure::Protocol(format!(
                    "the answer has more than {LONGEST_ANSWER} bytes; read less at once"
                )),
                Err(error) => Failure::Lost(Arc::from(error)),
            })
        })?;
        let answer = answer.to_bytes();
        match status {
            StatusCode::OK => replies(&answer).map_err(Trouble::Failed),
            _ => Err(refused(status, refusal(&answer))),
        }
    }
}

fn refused(status: StatusCode, reason: ServerError) -> Trouble {
    let with = |code: &str| {
        Failure::Server(ServerError {
            code: code.to_owned(),
            message: format!("{status}: {reason}; the token of the REST API is the login"),
        })
    };
    match status {
        StatusCode::UNAUTHORIZED => Trouble::Failed(with("NOAUTH")),
        StatusCode::FORBIDDEN => Trouble::Failed(with("NOPERM")),
        StatusCode::TOO_MANY_REQUESTS => Trouble::Later(busy(status, &reason)),
        _ if status.is_server_error() => Trouble::Failed(Failure::Lost(Arc::new(
            std::io::Error::other(format!("{status}: {reason}")),
        ))),
        _ if status.is_client_error() => Trouble::Failed(Failure::Server(reason)),
        _ => Trouble::Failed(Failure::Protocol(format!("the service answered {status}"))),
    }
}

/// The limit of requests is reached.
fn busy(status: StatusCode, reason: &ServerError) -> Failure {
    Failure::Server(ServerError {
        code: "BUSY".to_owned(),
        message: format!("{status}: {reason}"),
    })
}

fn connector(ca_pem: Option<&[u8]>, timeout: Duration) -> Result<HttpClient, Failure> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(timeout));
    // Named, so that it does not matter what else the application has chosen.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::Configuration(error.to_string()))?
        .with_root_certificates(authorities(ca_pem)?)
        .with_no_client_auth();
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .build(connector))
}

/// Who may vouch for the service: the authorities in `pem`, or those of the system.
fn authorities(pem: Option<&[u8]>) -> Result<RootCertStore, Failure> {
    let mut store = RootCertStore::empty();
    match pem {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                certificate
                    .ok()
                    .and_then(|certificate| store.add(certificate).ok())
                    .ok_or_else(|| unreadable("the certificate authorities cannot be read"))?;
            }
        }
        None => {
            let system = rustls_native_certs::load_native_certs();
            store.add_parsable_certificates(system.certs);
        }
    }
    match store.is_empty() {
        true => Err(unreadable(
            "there are no certificate authorities; install those of the system, or name some",
        )),
        false => Ok(store),
    }
}

fn unreadable(message: &str) -> Failure {
    Failure::Configuration(message.to_owned())
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("address", &self.address)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
