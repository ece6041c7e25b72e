//! Asking the broker which topics it knows.
//!
//! An extension of ours: a client sends `{"type":"topics","topic":""}`, a Rust broker answers with one `listed` frame per topic
//! and group that somebody subscribed, and then repeats the question. Other brokers ignore the frame, so nothing may depend
//! on an answer.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bowline_events::Result;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use crate::broker::Membership;
use crate::frame::{Kind, write_membership};
use crate::participant::{Participant, Role, copy};

/// How long an answer is waited for; a Node broker gives none.
const ANSWER_WAIT: Duration = Duration::from_millis(500);

/// Rows of one answer that are kept at most.
const MAX_ROWS: usize = 100_000;

/// The answer that is being read, and who waits for it.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    rows: Vec<Membership>,
    waiting: Vec<oneshot::Sender<Vec<Membership>>>,
}

impl Directory {
    pub(crate) fn row(&mut self, row: Membership) {
        if !self.waiting.is_empty() && self.rows.len() < MAX_ROWS {
            self.rows.push(row);
        }
    }

    /// The answer is complete.
    pub(crate) fn end(&mut self) {
        let rows = std::mem::take(&mut self.rows);
        for waiting in self.waiting.drain(..) {
            // Who stopped waiting does not need the answer.
            let _ = waiting.send(rows.clone());
        }
    }

    /// The connection is gone, and the answer with it.
    pub(crate) fn disconnected(&mut self) {
        self.rows.clear();
        self.waiting.clear();
    }
}

/// What the broker knows, if it is another process and answers in time.
pub(crate) async fn ask(participant: &Arc<Participant>) -> Result<Vec<Membership>> {
    let start = {
        let mut link = participant.link();
        participant.ensure_started(&mut link, "topics")?
    };
    if !takes_part(participant, start).await? {
        return Ok(Vec::new());
    }
    let answer = {
        let mut link = participant.link();
        if !matches!(link.role, Role::Client(_)) {
            return Ok(Vec::new());
        }
        let (waiting, answer) = oneshot::channel();
        if link.directory.waiting.is_empty() {
            let mut frame = Vec::new();
            write_membership(Kind::Topics, "", None, &mut frame);
            link.window.control(frame);
            participant.wake_writer(&mut link);
        }
        link.directory.waiting.push(waiting);
        answer
    };
    // No answer, late or lost, means that only our own topics are known.
    Ok(timeout(ANSWER_WAIT, answer)
        .await
        .ok()
        .and_then(std::result::Result::ok)
        .unwrap_or_default())
}

/// Waits until this process is broker or client; false when it takes too long.
async fn takes_part(participant: &Participant, start: u64) -> Result<bool> {
    let deadline = Instant::now() + participant.options.membership_ack_timeout;
    loop {
        let mut changed = pin!(participant.changed.notified());
        changed.as_mut().enable();
        {
            let link = participant.link();
            match (&link.role, &link.failure) {
                (Role::Broker | Role::Client(_), _) => return Ok(true),
                (Role::Idle | Role::Closed, Some((failed, error))) if *failed == start => {
                    return Err(copy(error));
                }
                _ if link.closing => return Err(participant.closed("topics")),
                _ => {}
            }
        }
        if timeout_at(deadline, changed).await.is_err() {
            return Ok(false);
        }
    }
}
