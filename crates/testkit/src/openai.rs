//! A local server that speaks the protocol of OpenAI, and answers as it is told.

mod answer;
mod body;
mod serve;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use answer::OpenAiAnswer;

use serve::Service;

use crate::{Error, PATIENCE, Result};

/// A request that an [`OpenAiServer`] was sent.
#[derive(Clone, Debug)]
pub struct OpenAiRequest {
    /// The path, such as `/v1/chat/completions`.
    pub path: String,
    /// The headers with lower-case names, invalid ones left out.
    pub headers: Vec<(String, String)>,
    /// The body; `null` when it is no JSON.
    pub body: Value,
}

impl OpenAiRequest {
    /// The header `name`, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(own, _)| own == name);
        header.map(|(_, value)| value.as_str())
    }
}

/// Speaks the streamed chat completions of OpenAI on a loopback port. Answers are given in the order in which they were listed,
/// one for each request; without one a request fails with status 500.
///
/// It lives on the runtime that started it and ends with its handle.
///
/// ```
/// # use bowline_testkit::{OpenAiAnswer, OpenAiServer};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), bowline_testkit::Error> {
/// let server = OpenAiServer::start().await?;
/// server.answer(OpenAiAnswer::status(429).header("retry-after", "1"));
/// server.answer(OpenAiAnswer::new().text(["Hel", "lo"]));
/// // POST a chat completion with `"stream": true` to this URL and `/chat/completions`.
/// println!("{}", server.base_url());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct OpenAiServer {
    address: SocketAddr,
    service: Arc<Service>,
    accepting: JoinHandle<()>,
}

impl OpenAiServer {
    /// Listens.
    ///
    /// # Errors
    ///
    /// When there is no port to listen on.
    pub async fn start() -> Result<Self> {
        let failed = |error| Error::io("the OpenAI stand-in cannot listen", error);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let service = Arc::new(Service::default());
        let accepting = tokio::spawn(serve::accept(listener, Arc::clone(&service)));
        Ok(Self {
            address,
            service,
            accepting,
        })
    }

    /// What comes before `/chat/completions`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Lists one more answer.
    pub fn answer(&self, answer: OpenAiAnswer) {
        self.service.list(answer);
    }

    /// The requests since the last time, in order.
    pub fn take_requests(&self) -> Vec<OpenAiRequest> {
        self.service.take_requests()
    }

    /// Waits until `count` answers were abandoned: the client went away before their end.
    ///
    /// # Errors
    ///
    /// When it does not happen in time.
    pub async fn abandoned(&self, count: usize) -> Result<()> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while self.service.abandoned() < count {
            if tokio::time::Instant::now() > deadline {
                return Err(Error::new(format!(
                    "{count} answers were to be abandoned, and {} were",
                    self.service.abandoned()
                )));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }
}

impl Drop for OpenAiServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
