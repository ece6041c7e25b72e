//! An HTTP server for steps.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::step_server::too_large;
use super::token::Token;
use super::{StepResponse, StepServer, route};
use crate::{Error, ErrorKind, Result};

/// How long a client may take to send the head of a request, and then its body.
const HEAD: Duration = Duration::from_secs(30);
const BODY: Duration = Duration::from_secs(60);
/// The pause when the system gives out no more connections.
const PAUSE: Duration = Duration::from_millis(100);
/// How long connections have to send their last answers.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// An HTTP server for a [`StepServer`]: `POST {prefix}/workflows/{workflowId}/runs/{runId}/steps/execute`, HTTP/1.1 without
/// TLS. Made by [`StepEndpoint::builder`]; [`close`](Self::close) ends it, dropping it ends it without waiting for anybody.
///
/// Callers show the token as `authorization: Bearer <token>` or `x-worker-api-key: <token>`, and send `application/json`.
/// Beside the statuses of [`StepResponse`] it answers 401 without the token, 404 for any other path, 405 for any other method,
/// 408 for a body that does not come within a minute, and 415 for any other content type.
///
/// ```no_run
/// # use bowline_workflow::bridge::{StepEndpoint, StepServer};
/// # async fn serve(workflow: bowline_workflow::Workflow) -> bowline_workflow::Result<()> {
/// let steps = StepServer::builder().workflow(workflow).build()?;
/// let endpoint = StepEndpoint::builder(steps)
///     .token("a secret of the deployment")
///     .bind("127.0.0.1:4111".parse().expect("an address"))
///     .await?;
/// println!("MASTRA_STEP_EXECUTION_URL={}", endpoint.base_url());
/// # endpoint.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct StepEndpoint {
    steps: StepServer,
    address: SocketAddr,
    prefix: String,
    stop: watch::Sender<bool>,
    accepting: Mutex<Option<JoinHandle<JoinSet<()>>>>,
}

/// Sets up a [`StepEndpoint`].
#[derive(Debug)]
#[must_use = "it listens after `bind`"]
pub struct StepEndpointBuilder {
    steps: StepServer,
    token: Option<Token>,
    prefix: String,
    connections: usize,
}

/// What every connection needs.
#[derive(Debug)]
struct Shared {
    steps: StepServer,
    token: Option<Token>,
    prefix: String,
}

impl StepEndpoint {
    /// Sets up a server for `steps`.
    pub fn builder(steps: StepServer) -> StepEndpointBuilder {
        StepEndpointBuilder {
            steps,
            token: None,
            prefix: "/api".to_owned(),
            connections: 1024,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a Node worker gets as `MASTRA_STEP_EXECUTION_URL`, when it reaches this address.
    pub fn base_url(&self) -> String {
        format!("http://{}{}", self.address, self.prefix)
    }

    /// Takes no further connection, closes the [`StepServer`], and ends when the last answers are sent. Closing again is fine.
    pub async fn close(&self) {
        self.stop.send_replace(true);
        self.steps.close().await;
        let Some(accepting) = self.accepting.lock().await.take() else {
            return;
        };
        if let Ok(mut connections) = accepting.await {
            let ended = async { while connections.join_next().await.is_some() {} };
            // Those that are left are aborted as the set is dropped.
            let _ = tokio::time::timeout(LAST_ANSWERS, ended).await;
        }
    }
}

impl Drop for StepEndpoint {
    fn drop(&mut self) {
        if let Some(accepting) = self.accepting.get_mut() {
            accepting.abort();
        }
    }
}

impl StepEndpointBuilder {
    /// The token that callers show: what a Node worker has as `MASTRA_WORKER_AUTH_TOKEN`.
    pub fn token(mut self, token: &str) -> Self {
        self.token = Some(Token::new(token));
        self
    }

    /// What paths begin with; `/api` unless set, as in the reference. Without a slash at its end; empty for nothing.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Connections at a time, at least 1; 1024 unless set. Others wait.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.connections = connections.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// Listens at `address`; port 0 is any that is free. Must be called in a Tokio runtime.
    ///
    /// # Errors
    /// `InvalidInput` when the address can be reached from elsewhere and there is no token, or the system refuses it.
    pub async fn bind(self, address: SocketAddr) -> Result<StepEndpoint> {
        let refuse = |message: String| {
            let error = Error::new(ErrorKind::InvalidInput, "listen", message);
            error.with_subject(address.to_string())
        };
        if self.token.is_none() && !address.ip().is_loopback() {
            let message = "anybody who reaches the address could execute steps; give it a token";
            return Err(refuse(message.to_owned()));
        }
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|error| refuse(error.to_string()).with_source(error))?;
        let address = listener.local_addr();
        let address = address.map_err(|error| refuse(error.to_string()).with_source(error))?;
        let shared = Arc::new(Shared {
            steps: self.steps.clone(),
            token: self.token,
            prefix: self.prefix.clone(),
        });
        let (stop, stopped) = watch::channel(false);
        let accepting = accept(listener, shared, self.connections, stopped);
        Ok(StepEndpoint {
            steps: self.steps,
            address,
            prefix: self.prefix,
            stop,
            accepting: Mutex::new(Some(tokio::spawn(accepting))),
        })
    }
}

/// Takes connections until it is stopped; those that are left are returned.
async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    limit: usize,
    mut stopped: watch::Receiver<bool>,
) -> JoinSet<()> {
    let room = Arc::new(Semaphore::new(limit));
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            // The semaphore is never closed.
            let permit = Arc::clone(&room).acquire_owned().await;
            (listener.accept().await, permit)
        };
        let (accepted, permit) = tokio::select! {
            next = next => next,
            _ = stopped.wait_for(|stopped| *stopped) => return connections,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                let connection = talk(stream, Arc::clone(&shared), stopped.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Answers the requests of one connection.
async fn talk(stream: TcpStream, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    // Without it answers wait for acknowledgements of others.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(shared.answer(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let stop = async { drop(stopped.wait_for(|stopped| *stopped).await) };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}

impl Shared {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        match self.execute(request).await {
            Ok(response) | Err(response) => respond(&response),
        }
    }

    async fn execute(&self, request: Request<Incoming>) -> Result<StepResponse, StepResponse> {
        let Some((workflow, run)) = route::parse(&self.prefix, request.uri().path()) else {
            let message = "there is nothing at this path; see POST {prefix}/workflows/{workflowId}/runs/{runId}/steps/execute";
            return Err(StepResponse::error(404, message));
        };
        if !self.is_allowed(request.headers()) {
            let message = "the token is missing or wrong; send authorization: Bearer <token>";
            return Err(StepResponse::error(401, message));
        }
        if request.method() != Method::POST {
            let message = "only POST executes a step";
            return Err(StepResponse::error(405, message));
        }
        if !is_json(request.headers()) {
            let message = "the content type is not application/json";
            return Err(StepResponse::error(415, message));
        }
        let body = self.body(request.into_body()).await?;
        Ok(self.steps.execute(&workflow, &run, &body).await)
    }

    fn is_allowed(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else {
            return true;
        };
        let bearer = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        let bearer = bearer.and_then(|value| {
            let (scheme, shown) = value.split_at_checked(7)?;
            scheme.eq_ignore_ascii_case(b"bearer ").then_some(shown)
        });
        let key = headers.get("x-worker-api-key").map(HeaderValue::as_bytes);
        bearer.or(key).is_some_and(|shown| token.is(shown))
    }

    async fn body(&self, body: Incoming) -> Result<Bytes, StepResponse> {
        let limit = self.steps.body_limit();
        if usize::try_from(body.size_hint().lower()).map_or(true, |size| size > limit) {
            return Err(too_large(limit));
        }
        let read = Limited::new(body, limit).collect();
        match tokio::time::timeout(BODY, read).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(limit)),
            Ok(Err(_)) => Err(StepResponse::error(400, "the body did not arrive")),
            Err(_) => Err(StepResponse::error(408, "the body did not arrive in time")),
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind.map(|kind| kind.split(';').next().unwrap_or(kind).trim());
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"))
}

fn respond(answer: &StepResponse) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(answer.bytes()));
    let status = StatusCode::from_u16(answer.status());
    *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    let more = match answer.status() {
        401 => Some((WWW_AUTHENTICATE, "Bearer")),
        405 => Some((ALLOW, "POST")),
        _ => None,
    };
    if let Some((name, value)) = more {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}
