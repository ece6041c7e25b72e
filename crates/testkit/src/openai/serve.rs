//! HTTP around the answers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::body::{Answering, Cut};
use super::{OpenAiAnswer, OpenAiRequest};

/// What the connections share.
#[derive(Debug, Default)]
pub(super) struct Service(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    answers: VecDeque<OpenAiAnswer>,
    requests: Vec<OpenAiRequest>,
    given: usize,
    abandoned: usize,
}

type Answer = Response<BoxBody<Bytes, Cut>>;

impl Service {
    pub(super) fn list(&self, answer: OpenAiAnswer) {
        self.state().answers.push_back(answer);
    }

    pub(super) fn take_requests(&self) -> Vec<OpenAiRequest> {
        std::mem::take(&mut self.state().requests)
    }

    pub(super) fn abandon(&self) {
        self.state().abandoned += 1;
    }

    pub(super) fn abandoned(&self) -> usize {
        self.state().abandoned
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to `request`, and its number.
    fn next(&self, request: OpenAiRequest) -> Option<(usize, OpenAiAnswer)> {
        let mut state = self.state();
        state.requests.push(request);
        let answer = state.answers.pop_front()?;
        state.given += 1;
        Some((state.given, answer))
    }
}

async fn respond(service: Arc<Service>, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    let body = match body.collect().await {
        Ok(body) => serde_json::from_slice(&body.to_bytes()).unwrap_or(Value::Null),
        Err(_) => Value::Null,
    };
    let path = head.uri.path().to_owned();
    let streams = body["stream"] == true;
    let model = body["model"].clone();
    let headers = head.headers.iter();
    let headers = headers.filter_map(|(name, value)| {
        let value = value.to_str().ok()?;
        Some((name.as_str().to_owned(), value.to_owned()))
    });
    let known = path == "/v1/chat/completions";
    let next = service.next(OpenAiRequest {
        path,
        headers: headers.collect(),
        body,
    });
    let Some((number, answer)) = next else {
        return refuse(500, &error("no answer is listed"));
    };
    if !known && !answer.any_path {
        return refuse(404, &error("there are only chat completions"));
    }
    let headers = answer.headers.clone();
    let mut response = match &answer.refusal {
        Some((status, body)) => refuse(*status, body),
        None if !streams => refuse(400, &error("only streams are answered")),
        None => {
            let body = Answering::new(answer.script(number, &model), service);
            let mut response = Response::new(body.boxed());
            let kind = HeaderValue::from_static("text/event-stream");
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        }
    };
    for (name, value) in headers {
        let name = HeaderName::try_from(name);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn error(message: &str) -> Value {
    json!({"error": {"message": message, "type": "stand_in"}})
}

fn refuse(status: u16, body: &Value) -> Answer {
    let body = Full::from(body.to_string()).map_err(|never| match never {});
    let mut response = Response::new(body.boxed());
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// Serves every connection that comes, until this future is dropped.
pub(super) async fn accept(listener: TcpListener, service: Arc<Service>) {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(serve(stream, Arc::clone(&service)));
            }
            // The connection is gone already, or there are too many open files.
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, service: Arc<Service>) {
    // Only a matter of speed.
    let _ = stream.set_nodelay(true);
    let handler = service_fn(|request| {
        let service = Arc::clone(&service);
        async move { Ok::<_, Cut>(respond(service, request).await) }
    });
    // How a connection ends is the client's affair, or was wanted.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), handler)
        .await;
}
