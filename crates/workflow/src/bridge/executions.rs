//! Which steps were executed lately, so that a request that comes again gets the result instead of an execution.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::step_request::Execution;
use super::step_response::StepResponse;

/// How much is kept at most.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    /// Steps that run at a time, and the bytes of their requests.
    pub(super) running: usize,
    pub(super) running_bytes: usize,
    /// Results that are kept, their bytes, and for how long.
    pub(super) results: usize,
    pub(super) result_bytes: usize,
    pub(super) retention: Duration,
}

/// Executions that run, and results of those that have ended.
#[derive(Debug)]
pub(super) struct Executions {
    limits: Limits,
    table: Mutex<Table>,
    /// One has ended.
    ended: Notify,
}

#[derive(Debug, Default)]
struct Table {
    entries: HashMap<Execution, Entry>,
    /// Those that have ended, the first first.
    order: VecDeque<(Instant, Execution)>,
    running: usize,
    running_bytes: usize,
    result_bytes: usize,
}

#[derive(Debug)]
enum Entry {
    Running(Waiter, Option<AbortHandle>),
    Ended(StepResponse),
}

/// Has the response when there is one; closed when there will be none.
pub(super) type Waiter = watch::Receiver<Option<StepResponse>>;

/// What a request finds.
#[derive(Debug)]
pub(super) enum Found {
    /// The result.
    Ended(StepResponse),
    /// The same is being executed: this waits for it.
    Running(Waiter),
    /// Nothing: the caller executes it.
    Nothing(Ticket, Waiter),
    /// Nothing, and there is no room for it.
    Full,
}

/// The right, and the duty, to execute a step. Dropping it without an end frees the place for another execution.
#[derive(Debug)]
pub(super) struct Ticket {
    executions: Arc<Executions>,
    execution: Execution,
    bytes: usize,
    sender: watch::Sender<Option<StepResponse>>,
    ended: bool,
}

impl Executions {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            table: Mutex::default(),
            ended: Notify::new(),
        })
    }

    /// Looks `execution` up, whose request has `bytes` bytes, and enters it when it is not there.
    pub(super) fn find(self: &Arc<Self>, execution: Execution, bytes: usize) -> Found {
        let mut table = self.table();
        table.expire(&self.limits, Instant::now());
        match table.entries.get(&execution) {
            Some(Entry::Ended(response)) => return Found::Ended(response.clone()),
            Some(Entry::Running(waiter, _)) => return Found::Running(waiter.clone()),
            None => {}
        }
        let full = table.running >= self.limits.running
            || table.running_bytes.saturating_add(bytes) > self.limits.running_bytes;
        if full && table.running > 0 {
            return Found::Full;
        }
        let (sender, waiter) = watch::channel(None);
        table.running += 1;
        table.running_bytes += bytes;
        let entry = Entry::Running(waiter.clone(), None);
        table.entries.insert(execution.clone(), entry);
        let ticket = Ticket {
            executions: Arc::clone(self),
            execution,
            bytes,
            sender,
            ended: false,
        };
        Found::Nothing(ticket, waiter)
    }

    /// Says how to stop an execution that runs.
    pub(super) fn abort_by(&self, execution: &Execution, handle: AbortHandle) {
        if let Some(Entry::Running(_, place)) = self.table().entries.get_mut(execution) {
            *place = Some(handle);
        }
    }

    pub(super) fn running(&self) -> usize {
        self.table().running
    }

    /// Stops all that run.
    pub(super) fn abort(&self) {
        for entry in self.table().entries.values() {
            if let Entry::Running(_, Some(handle)) = entry {
                handle.abort();
            }
        }
    }

    /// Waits until nothing runs, or until `deadline`.
    pub(super) async fn idle(&self, deadline: Instant) {
        loop {
            let mut ended = std::pin::pin!(self.ended.notified());
            // Listening begins before the look, so that nothing is missed between the two.
            ended.as_mut().enable();
            if self.running() == 0 || tokio::time::timeout_at(deadline, ended).await.is_err() {
                return;
            }
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Forgets results that are too old, or too many.
    fn expire(&mut self, limits: &Limits, now: Instant) {
        while let Some((at, _)) = self.order.front() {
            let old = now.saturating_duration_since(*at) >= limits.retention;
            let many = self.order.len() > limits.results || self.result_bytes > limits.result_bytes;
            if !old && !many {
                return;
            }
            let Some((_, execution)) = self.order.pop_front() else {
                return;
            };
            if let Some(Entry::Ended(response)) = self.entries.remove(&execution) {
                self.result_bytes = self.result_bytes.saturating_sub(response.body().len());
            }
        }
    }

    fn leave(&mut self, bytes: usize) {
        self.running = self.running.saturating_sub(1);
        self.running_bytes = self.running_bytes.saturating_sub(bytes);
    }
}

impl Ticket {
    pub(super) fn execution(&self) -> &Execution {
        &self.execution
    }

    /// The step has ended; whoever waits gets `response`, and whoever asks later.
    pub(super) fn end(mut self, response: StepResponse) {
        self.ended = true;
        let now = Instant::now();
        {
            let mut table = self.executions.table();
            table.leave(self.bytes);
            table.result_bytes = table.result_bytes.saturating_add(response.body().len());
            let entry = Entry::Ended(response.clone());
            table.entries.insert(self.execution.clone(), entry);
            table.order.push_back((now, self.execution.clone()));
            table.expire(&self.executions.limits, now);
        }
        self.sender.send_replace(Some(response));
        self.executions.ended.notify_waiters();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        {
            let mut table = self.executions.table();
            table.leave(self.bytes);
            table.entries.remove(&self.execution);
        }
        self.executions.ended.notify_waiters();
    }
}
