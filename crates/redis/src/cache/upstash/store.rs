//! The REST API as a store.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use super::body::{encode, join};
use super::http::{Http, Trouble};
use super::queue::Queue;
use crate::cache::store::Store;
use crate::history::{PAGE, escape_glob};
use crate::wire::{BoxFuture, Command, Failure, Repeat, Reply, backoff};

/// Reads under way at once.
const READS: usize = 8;

/// Executes commands over HTTP: single ones in their order, those that came while a request was on its way together; groups of
/// reads beside them.
#[derive(Debug)]
pub(super) struct RestStore {
    http: Arc<Http>,
    queue: Arc<Queue>,
    reads: Semaphore,
    patience: Duration,
}

impl RestStore {
    pub(super) fn new(http: Http, patience: Duration) -> Self {
        let http = Arc::new(http);
        Self {
            queue: Queue::new(Arc::clone(&http), patience),
            http,
            reads: Semaphore::new(READS),
            patience,
        }
    }

    async fn execute(&self, command: &Command, repeat: Repeat) -> Result<Reply, Failure> {
        let deadline = Instant::now() + self.patience;
        let encoded = encode(command);
        let mut failed = 0;
        loop {
            let failure = match self.queue.run(encoded.clone()).await {
                Err(failure @ Failure::Lost(_)) if repeat == Repeat::Yes => failure,
                result => return result,
            };
            failed += 1;
            pause(failed, deadline, failure).await?;
        }
    }

    async fn read(&self, commands: &[Command]) -> Result<Vec<Reply>, Failure> {
        // The semaphore is never closed.
        let _permit = self.reads.acquire().await;
        let deadline = Instant::now() + self.patience;
        let encoded: Vec<_> = commands.iter().map(encode).collect();
        let body = join(encoded.iter().map(Vec::as_slice));
        let mut failed = 0;
        loop {
            let failure = match self.http.pipeline(body.clone()).await {
                Ok(replies) if replies.len() == commands.len() => return Ok(replies),
                Ok(_) => return Err(Failure::Protocol("a reply is missing".to_owned())),
                Err(Trouble::Later(failure) | Trouble::Failed(failure @ Failure::Lost(_))) => {
                    failure
                }
                Err(Trouble::Failed(failure)) => return Err(failure),
            };
            failed += 1;
            pause(failed, deadline, failure).await?;
        }
    }
}

/// Waits before the next attempt; the failure, when that would be too late.
async fn pause(failed: u32, deadline: Instant, failure: Failure) -> Result<(), Failure> {
    let pause = backoff(failed);
    if Instant::now() + pause >= deadline {
        return Err(failure);
    }
    sleep(pause).await;
    Ok(())
}

impl Store for RestStore {
    fn run<'a>(
        &'a self,
        command: &'a Command,
        repeat: Repeat,
    ) -> BoxFuture<'a, Result<Reply, Failure>> {
        Box::pin(self.execute(command, repeat))
    }

    fn run_all<'a>(
        &'a self,
        commands: &'a [Command],
    ) -> BoxFuture<'a, Result<Vec<Reply>, Failure>> {
        Box::pin(self.read(commands))
    }

    fn lists<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, Failure>> {
        Box::pin(async move {
            let pattern = format!("{}*", escape_glob(prefix));
            let mut keys = Vec::new();
            let mut cursor = "0".to_owned();
            loop {
                let scan = Command::new("SCAN")
                    .arg(&cursor)
                    .arg("MATCH")
                    .arg(&pattern)
                    .arg("COUNT")
                    .number(PAGE)
                    .arg("TYPE")
                    .arg("list");
                let replies = self.read(std::slice::from_ref(&scan)).await?;
                let reply = replies.into_iter().next().unwrap_or(Reply::Nil);
                let mut reply = reply.into_array()?.into_iter();
                cursor = reply.next().unwrap_or(Reply::Nil).into_text()?;
                for key in reply.next().unwrap_or(Reply::Nil).into_array()? {
                    keys.push(key.into_text()?);
                }
                if cursor == "0" {
                    return Ok(keys);
                }
            }
        })
    }
}
