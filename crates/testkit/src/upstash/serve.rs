//! HTTP around the commands.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::UpstashRequest;
use super::answer::{Encoding, entry};
use super::execute::{Outcome, execute};
use super::request::{Asked, token};
use crate::Reply;

/// What the connections share.
#[derive(Debug)]
pub(super) struct Service {
    redis: SocketAddr,
    token: Vec<u8>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    requests: Vec<UpstashRequest>,
    failures: usize,
    failure: (StatusCode, String),
}

type Answer = (StatusCode, Value);

impl Service {
    pub(super) fn new(redis: SocketAddr, token: &str) -> Self {
        Self {
            redis,
            token: token.as_bytes().to_vec(),
            state: Mutex::default(),
        }
    }

    pub(super) fn take_requests(&self) -> Vec<UpstashRequest> {
        std::mem::take(&mut self.state().requests)
    }

    pub(super) fn fail_next(&self, count: usize, status: u16, error: &str) {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut state = self.state();
        state.failures = count;
        state.failure = (status, error.to_owned());
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The failure that this request was to meet.
    fn failure(&self) -> Option<Answer> {
        let mut state = self.state();
        state.failures = state.failures.checked_sub(1)?;
        let (status, error) = &state.failure;
        Some((*status, json!({ "error": error })))
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        let allowed = [Method::HEAD, Method::GET, Method::POST, Method::PUT];
        if !allowed.contains(&head.method) {
            return refuse(StatusCode::METHOD_NOT_ALLOWED, "ERR method not allowed");
        }
        let query = head.uri.query().unwrap_or_default();
        if !self.authorizes(&head.headers, query) {
            return refuse(
                StatusCode::UNAUTHORIZED,
                "WRONGPASS invalid or missing auth token",
            );
        }
        let encoding = match encoding(&head.headers) {
            Ok(encoding) => encoding,
            Err(error) => return refuse(StatusCode::BAD_REQUEST, error),
        };
        let Ok(body) = body.collect().await else {
            return refuse(StatusCode::BAD_REQUEST, "ERR failed to read the request");
        };
        let asked = match Asked::read(&head.method, head.uri.path(), query, &body.to_bytes()) {
            Ok(asked) => asked,
            Err(error) => return refuse(StatusCode::BAD_REQUEST, error),
        };
        if let Some(failure) = self.failure() {
            return failure;
        }
        self.record(head.uri.path(), &asked);
        match execute(self.redis, &asked).await {
            Ok(Outcome::One(reply)) => one(&reply, encoding),
            Ok(Outcome::Each(replies)) => {
                let entries = replies.iter().map(|reply| entry(reply, encoding));
                (StatusCode::OK, entries.collect())
            }
            Err(error) => refuse(
                StatusCode::SERVICE_UNAVAILABLE,
                &format!("ERR the database is not available: {error}"),
            ),
        }
    }

    fn authorizes(&self, headers: &HeaderMap, query: &str) -> bool {
        let header = headers.get(AUTHORIZATION).and_then(|value| {
            let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
            scheme
                .eq_ignore_ascii_case("bearer")
                .then(|| token.trim().as_bytes().to_vec())
        });
        header.or_else(|| token(query)) == Some(self.token.clone())
    }

    fn record(&self, path: &str, asked: &Asked) {
        let text = |argument: &Vec<u8>| String::from_utf8_lossy(argument).into_owned();
        self.state().requests.push(UpstashRequest {
            path: path.to_owned(),
            commands: asked
                .commands()
                .iter()
                .map(|command| command.iter().map(text).collect())
                .collect(),
        });
    }
}

fn one(reply: &Reply, encoding: Encoding) -> Answer {
    let status = match reply {
        Reply::Error(_) => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    };
    (status, entry(reply, encoding))
}

fn refuse(status: StatusCode, error: &str) -> Answer {
    (status, json!({ "error": error }))
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, &'static str> {
    let format = headers.get("upstash-response-format");
    if format.is_some_and(|format| format != "json") {
        return Err("ERR unsupported response format");
    }
    match headers.get("upstash-encoding") {
        None => Ok(Encoding::Text),
        Some(encoding) if encoding == "base64" => Ok(Encoding::Base64),
        Some(_) => Err("ERR unsupported encoding"),
    }
}

/// Serves every connection that comes, until this future is dropped.
pub(super) async fn accept(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    service: Arc<Service>,
) {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(secure(stream, acceptor.clone(), Arc::clone(&service)));
            }
            // The connection is gone already, or there are too many open files.
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn secure(stream: TcpStream, acceptor: Option<TlsAcceptor>, service: Arc<Service>) {
    // Only a matter of speed.
    let _ = stream.set_nodelay(true);
    match acceptor {
        None => serve(stream, service).await,
        Some(acceptor) => {
            // A client that does not trust the certificate goes away.
            if let Ok(stream) = acceptor.accept(stream).await {
                serve(stream, service).await;
            }
        }
    }
}

async fn serve<S>(stream: S, service: Arc<Service>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handler = service_fn(|request| {
        let service = Arc::clone(&service);
        async move { Ok::<_, Infallible>(respond(service.answer(request).await)) }
    });
    // How a connection ends is the client's affair.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), handler)
        .await;
}

fn respond((status, body): Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        hyper::header::HeaderValue::from_static("application/json"),
    );
    response
}
