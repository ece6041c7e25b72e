//! A server that executes steps, as a client sees it.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::route;
use crate::{Error, ErrorKind, Result, StepError};

/// How often a connection is tried, and the pause after the first time; each further one is twice as long.
const ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const CONNECT: Duration = Duration::from_secs(10);
/// How long a connection is kept for the next request.
const IDLE: Duration = Duration::from_secs(30);
/// Characters of an answer that are kept in an error.
const EXCERPT: usize = 512;

type HttpClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// A server that executes steps of its workflows for us: a Node server of the reference, or a [`StepServer`](super::StepServer)
/// of another process. The steps on it are [`RemoteStep`](super::RemoteStep)s. Cheap to clone; clones share connections.
///
/// ```
/// use std::time::Duration;
/// use bowline_workflow::bridge::StepClient;
///
/// let node = StepClient::new("http://127.0.0.1:4111/api")?
///     .token("a secret of the deployment")?
///     .timeout(Duration::from_secs(600));
/// # Ok::<(), bowline_workflow::Error>(())
/// ```
#[derive(Clone)]
pub struct StepClient {
    base: String,
    authorization: Option<HeaderValue>,
    timeout: Duration,
    answer_limit: usize,
    authorities: Option<Arc<[u8]>>,
    /// Made at the first request: the certificates are read then.
    client: Arc<OnceLock<Result<HttpClient, String>>>,
}

impl StepClient {
    /// The server at `base_url`, which includes what its paths begin with: `http://api:4111/api`. The same as
    /// `MASTRA_STEP_EXECUTION_URL` of a Node worker.
    ///
    /// # Errors
    /// `InvalidInput` when it is no URL of `http` or `https`, or has a user, a query or a fragment.
    pub fn new(base_url: &str) -> Result<Self> {
        let base = base_url.trim().trim_end_matches('/');
        Ok(Self {
            base: checked(base).map_err(|why| {
                let message = format!("it is no base URL of a server: {why}");
                Error::new(ErrorKind::InvalidInput, "step client", message)
            })?,
            authorization: None,
            timeout: Duration::from_secs(60 * 60),
            answer_limit: 16 * 1024 * 1024,
            authorities: None,
            client: Arc::default(),
        })
    }

    /// The token that the server asks for, sent as a bearer token. Over `http` everybody on the way can read it.
    ///
    /// # Errors
    /// `InvalidInput` when it is empty, or has characters that a header cannot have.
    pub fn token(mut self, token: &str) -> Result<Self> {
        let value = match token {
            "" => None,
            token => HeaderValue::from_str(&format!("Bearer {token}")).ok(),
        };
        let mut value = value.ok_or_else(|| {
            let message = "the token is empty, or has characters that a header cannot have";
            Error::new(ErrorKind::InvalidInput, "step client", message)
        })?;
        value.set_sensitive(true);
        self.authorization = Some(value);
        Ok(self)
    }

    /// How long a step may take, connecting and both transfers included; 1 hour unless set.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Bytes of an answer at most; 16 MiB unless set.
    #[must_use]
    pub fn answer_limit(mut self, bytes: usize) -> Self {
        self.answer_limit = bytes;
        self
    }

    /// Who may vouch for the server, as certificates in PEM; those of the system unless set.
    #[must_use]
    pub fn authorities(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authorities = Some(pem.into().into());
        self.client = Arc::default();
        self
    }

    /// Has a step executed; the JSON of its result.
    pub(super) async fn execute(
        &self,
        workflow: &str,
        run: &str,
        body: String,
    ) -> Result<Bytes, StepError> {
        let exchange = self.exchange(workflow, run, body.into());
        match tokio::time::timeout(self.timeout, exchange).await {
            Ok(answer) => answer,
            Err(_) => {
                let message = format!(
                    "{} did not answer within {:?} and may still execute the step; allow it more time",
                    self.base, self.timeout
                );
                Err(StepError::fail("TimeoutError", message))
            }
        }
    }

    async fn exchange(&self, workflow: &str, run: &str, body: Bytes) -> Result<Bytes, StepError> {
        let uri = format!("{}{}", self.base, route::format(workflow, run));
        let mut pause = FIRST_PAUSE;
        let mut attempt = 1;
        let response = loop {
            let request = self.request(&uri, body.clone())?;
            match self.client()?.request(request).await {
                Ok(response) => break response,
                // Nothing was sent yet: trying again executes nothing twice.
                Err(error) if error.is_connect() && attempt < ATTEMPTS => {
                    tracing::debug!(server = %self.base, %error, attempt, "the server was not reached");
                }
                Err(error) => return Err(self.lost(error)),
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
            attempt += 1;
        };
        let status = response.status();
        let answer = Limited::new(response.into_body(), self.answer_limit).collect();
        let answer = match answer.await {
            Ok(answer) => answer.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => return Err(self.too_large()),
            Err(error) => {
                let message = format!("the answer of {} broke off", self.base);
                return Err(StepError::fail("ConnectionError", message).cause(error));
            }
        };
        match status.is_success() {
            true => Ok(answer),
            false => Err(self.refused(status, &answer)),
        }
    }

    fn request(&self, uri: &str, body: Bytes) -> Result<Request<Full<Bytes>>, StepError> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(uri)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let made = request.body(Full::new(body));
        made.map_err(|error| {
            let message = format!("no request can be made for {uri}");
            StepError::fail("Error", message).no_retry().cause(error)
        })
    }

    fn client(&self) -> Result<&HttpClient, StepError> {
        let client = self
            .client
            .get_or_init(|| connector(self.authorities.as_deref()));
        client
            .as_ref()
            .map_err(|message| StepError::fail("Error", message.clone()).no_retry())
    }

    fn lost(&self, error: hyper_util::client::legacy::Error) -> StepError {
        let message = match error.is_connect() {
            true => format!("{} was not reached in {ATTEMPTS} attempts", self.base),
            false => format!(
                "the connection to {} was lost; nobody knows whether the step was executed",
                self.base
            ),
        };
        StepError::fail("ConnectionError", message).cause(error)
    }

    fn too_large(&self) -> StepError {
        let message = format!(
            "the answer of {} has more than {} bytes; keep large values elsewhere, or raise the limit",
            self.base, self.answer_limit
        );
        StepError::fail("TooLarge", message).no_retry()
    }

    /// The server did not execute the step, or not to its end. Faults of the request stay what they are.
    fn refused(&self, status: StatusCode, answer: &[u8]) -> StepError {
        let message = format!("{} answered {status}: {}", self.base, excerpt(answer));
        let error =
            StepError::fail("StepExecutionError", message).code(status.as_u16().to_string());
        let later = matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
        );
        match later || status.is_server_error() {
            true => error,
            false => error.no_retry(),
        }
    }

    /// Where it is.
    pub(super) fn base(&self) -> &str {
        &self.base
    }
}

fn checked(base: &str) -> Result<String, &'static str> {
    let uri: Uri = base.parse().map_err(|_| "write http://host:port/api")?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("the scheme is http or https");
    }
    let authority = uri.authority().ok_or("the host is missing")?;
    if authority.as_str().contains('@') {
        return Err("a user in it is not sent; only a token is");
    }
    if uri.query().is_some() || base.contains('#') {
        return Err("paths are put behind it, so it has no query and no fragment");
    }
    Ok(base.to_owned())
}

/// The beginning of an answer, on one line.
fn excerpt(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(&answer[..answer.len().min(4 * EXCERPT)]);
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let mut excerpt: String = text.chars().map(plain).take(EXCERPT).collect();
    if text.chars().nth(EXCERPT).is_some() {
        excerpt.push('…');
    }
    excerpt
}

fn connector(authorities: Option<&[u8]>) -> Result<HttpClient, String> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT));
    // Named, so that it does not matter what else the application has chosen.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots(authorities)?)
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

/// The certificates in `pem`, of which all must be good, or those of the system that are. A server without TLS needs none.
fn roots(pem: Option<&[u8]>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let Some(pem) = pem else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(roots);
    };
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let added = certificate
            .map_err(|error| error.to_string())
            .and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()));
        added.map_err(|error| format!("the certificate authorities cannot be read: {error}"))?;
    }
    Ok(roots)
}

impl fmt::Debug for StepClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepClient")
            .field("base", &self.base)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_are_checked() {
        for (url, base) in [
            ("http://h:1/api", "http://h:1/api"),
            (" https://h/api/ ", "https://h/api"),
            ("http://127.0.0.1", "http://127.0.0.1"),
        ] {
            assert_eq!(StepClient::new(url).unwrap().base(), base);
        }
        for url in [
            "",
            "h",
            "/api",
            "ftp://h",
            "http://",
            "http://u:p@h",
            "http://h?a=1",
            "http://h/#a",
            "http://h h",
        ] {
            let error = StepClient::new(url).expect_err(url);
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{url}");
        }
    }

    #[test]
    fn the_token_is_checked_and_never_printed() {
        let client = StepClient::new("http://h").unwrap();
        for token in ["", "a\nb", "a\u{0}b"] {
            assert!(client.clone().token(token).is_err(), "{token:?}");
        }
        let client = client.token("hunter2").unwrap();
        let printed = format!(
            "{client:?} {:?}",
            client.request("http://h", Bytes::new()).ok()
        );
        assert!(!printed.contains("hunter2"), "{printed}");
    }

    #[test]
    fn an_excerpt_is_short_and_on_one_line() {
        assert_eq!(excerpt(b"a\nb"), "a b");
        let long = excerpt("é".repeat(10_000).as_bytes());
        assert_eq!(long.chars().count(), EXCERPT + 1);
        assert_eq!(excerpt(&[0xff, 0xfe]).chars().count(), 2);
    }
}
