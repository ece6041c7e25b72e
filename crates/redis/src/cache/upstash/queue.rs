//! Commands that wait while a request is on its way, and go together with the next one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::body::join;
use super::http::{Http, Trouble};
use crate::wire::{Failure, Reply, backoff};

/// Commands of one request at most.
const MOST_COMMANDS: usize = 1_000;

/// Bytes of one request, unless a single command has more.
const MOST_BYTES: usize = 768 * 1024;

/// The last pause before a request is sent again.
const LONGEST_BACKOFF: u32 = 6;

type Outcome = Result<Reply, Failure>;

/// A command that waits.
struct Waiting {
    command: Vec<u8>,
    deadline: Instant,
    /// Closed when nobody waits for the reply any more; the command is sent nevertheless.
    reply: oneshot::Sender<Outcome>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    /// A task sends what waits.
    sending: bool,
}

/// Sends commands in the order in which they came, one request at a time.
pub(super) struct Queue {
    http: Arc<Http>,
    /// How long a command may wait while the service takes none.
    patience: Duration,
    state: Mutex<State>,
}

impl Queue {
    pub(super) fn new(http: Arc<Http>, patience: Duration) -> Arc<Self> {
        Arc::new(Self {
            http,
            patience,
            state: Mutex::default(),
        })
    }

    /// Has `command` executed once at most.
    pub(super) async fn run(self: &Arc<Self>, command: Vec<u8>) -> Outcome {
        let (reply, outcome) = oneshot::channel();
        let deadline = Instant::now() + self.patience;
        let idle = {
            let mut state = self.lock();
            state.waiting.push_back(Waiting {
                command,
                deadline,
                reply,
            });
            !std::mem::replace(&mut state.sending, true)
        };
        if idle {
            // A task of its own: the caller may go away while the commands of others are on their way.
            tokio::spawn(Sender(Arc::clone(self)).send());
        }
        outcome
            .await
            .unwrap_or_else(|gone| Err(Failure::Lost(Arc::new(gone))))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The commands of the next request; `None` when nothing waits.
    fn batch(&self) -> Option<Vec<Waiting>> {
        let mut state = self.lock();
        let mut bytes = 0;
        let mut batch = Vec::new();
        while let Some(next) = state.waiting.front() {
            bytes += next.command.len();
            if batch.len() == MOST_COMMANDS || !batch.is_empty() && bytes > MOST_BYTES {
                break;
            }
            batch.extend(state.waiting.pop_front());
        }
        if batch.is_empty() {
            state.sending = false;
            return None;
        }
        Some(batch)
    }

    fn put_back(&self, batch: Vec<Waiting>) {
        let mut state = self.lock();
        for waiting in batch.into_iter().rev() {
            state.waiting.push_front(waiting);
        }
    }
}

/// The task that sends. When it ends before its time, whoever waits is told.
struct Sender(Arc<Queue>);

impl Sender {
    async fn send(self) {
        let queue = &self.0;
        let mut failed = 0;
        while let Some(batch) = queue.batch() {
            let body = join(batch.iter().map(|waiting| waiting.command.as_slice()));
            match queue.http.pipeline(body).await {
                Ok(replies) => {
                    failed = 0;
                    answer(batch, replies);
                }
                Err(Trouble::Failed(failure)) => {
                    for waiting in batch {
                        let _ = waiting.reply.send(Err(failure.clone()));
                    }
                }
                Err(Trouble::Later(failure)) => {
                    failed += 1;
                    let pause = backoff(failed.min(LONGEST_BACKOFF));
                    queue.put_back(patient(batch, &failure, Instant::now() + pause));
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if state.sending {
            state.sending = false;
            state.waiting.clear();
        }
    }
}

/// Nobody listens when the caller has gone away.
fn answer(batch: Vec<Waiting>, replies: Vec<Reply>) {
    let mut replies = replies.into_iter();
    for waiting in batch {
        let outcome = match replies.next() {
            Some(reply) => reply.into_result(),
            None => Err(Failure::Protocol("a reply is missing".to_owned())),
        };
        let _ = waiting.reply.send(outcome);
    }
}

/// Those that can wait until `then`; the others are told.
fn patient(batch: Vec<Waiting>, failure: &Failure, then: Instant) -> Vec<Waiting> {
    let (patient, late): (Vec<_>, Vec<_>) = batch
        .into_iter()
        .partition(|waiting| waiting.deadline > then);
    for waiting in late {
        let _ = waiting.reply.send(Err(failure.clone()));
    }
    patient
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.lock();
        f.debug_struct("Queue")
            .field("waiting", &state.waiting.len())
            .field("sending", &state.sending)
            .finish()
    }
}
