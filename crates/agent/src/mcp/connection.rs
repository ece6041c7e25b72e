//! A connection that is made again when it is lost.

use std::time::Duration;

use rmcp::model::{PaginatedRequestParams, Tool as Listed};
use rmcp::service::RoleClient;
use rmcp::{Peer, ServiceError};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::endpoint::{Endpoint, Live};
use crate::{Error, ErrorKind, Result};

/// Tools of a server, at most.
const MOST_TOOLS: usize = 1000;

/// The wait before a second attempt to start; it doubles with every failure.
const SHORTEST: Duration = Duration::from_millis(100);

/// The longest such wait.
const LONGEST: Duration = Duration::from_secs(30);

/// A server, reached or not.
pub(super) struct Connection {
    endpoint: Endpoint,
    start_timeout: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    live: Option<Live>,
    failures: u32,
    /// No attempt before.
    rest_until: Option<Instant>,
}

impl Connection {
    pub(super) fn new(endpoint: Endpoint, start_timeout: Duration) -> Self {
        Self {
            endpoint,
            start_timeout,
            state: Mutex::default(),
        }
    }

    /// The server, which is started when it is not there. Those who come meanwhile wait.
    pub(super) async fn peer(&self) -> Result<Peer<RoleClient>> {
        let mut state = self.state.lock().await;
        if let Some(live) = state.live.as_ref().filter(|live| !live.is_closed()) {
            return Ok(live.peer().clone());
        }
        state.live = None;
        if let Some(until) = state.rest_until {
            tokio::time::sleep_until(until).await;
        }
        // Set first, because this future may be dropped.
        state.failures = state.failures.saturating_add(1);
        let factor = 2_u32.saturating_pow(state.failures - 1);
        state.rest_until = Some(Instant::now() + SHORTEST.saturating_mul(factor).min(LONGEST));
        let live = match tokio::time::timeout(self.start_timeout, self.endpoint.connect()).await {
            Ok(connected) => connected?,
            Err(_) => return Err(self.late("start")),
        };
        let peer = live.peer().clone();
        state.live = Some(live);
        state.failures = 0;
        Ok(peer)
    }

    /// What the server has.
    pub(super) async fn list(&self) -> Result<Vec<Listed>> {
        let peer = self.peer().await?;
        let mut tools = Vec::new();
        let mut cursor = None;
        loop {
            let page =
                cursor.map(|cursor| PaginatedRequestParams::default().with_cursor(Some(cursor)));
            let page = tokio::time::timeout(self.start_timeout, peer.list_tools(page)).await;
            let page = match page {
                Ok(page) => page.map_err(|error| self.failed(error))?,
                Err(_) => return Err(self.late("list its tools")),
            };
            let more = !page.tools.is_empty();
            tools.extend(page.tools);
            if tools.len() > MOST_TOOLS {
                let message = format!("it has more than {MOST_TOOLS} tools; use one that has less");
                return Err(self.endpoint.error(ErrorKind::TooLarge, message));
            }
            match page.next_cursor {
                // Pages without tools could go on for ever.
                Some(next) if more => cursor = Some(next),
                _ => return Ok(tools),
            }
        }
    }

    fn failed(&self, error: ServiceError) -> Error {
        let message = format!("it does not list its tools: {error}");
        self.endpoint
            .error(ErrorKind::Tool, message)
            .with_source(error)
    }

    fn late(&self, what: &str) -> Error {
        let message = format!(
            "it did not {what} within {:?}; give it more time with .start_timeout(..)",
            self.start_timeout
        );
        self.endpoint.error(ErrorKind::Timeout, message)
    }
}
