//! Working on one run until it ends, waits, or is somebody else's.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bowline_events::{Text, Timestamp, Topic};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::execute::{Task, answer};
use super::launch;
use super::publish::Progress;
use super::record::{Replayed, RunRecord};
use super::shared::{Active, Settled, Shared};
use crate::context::RunServices;
use crate::machine::{At, Command, Fact, Machine, Notice, RunStatus, Spot};

/// Facts that are committed together at most.
const BATCH: usize = 256;

/// Works on one run.
pub(super) struct Driver {
    pub(super) shared: Arc<Shared>,
    pub(super) active: Arc<Active>,
    services: Arc<RunServices>,
    pub(super) machine: Machine,
    pub(super) record: RunRecord,
    /// The position that the next fact gets.
    pub(super) end: u64,
    /// The note in the outbox of what is told last.
    pub(super) to_tell: Option<Text>,
    topic: Topic,
    progress: Progress,
    tasks: FuturesUnordered<Task>,
    /// Steps that run beside each other, by the frame that they belong to.
    beside: Vec<(usize, AbortHandle)>,
    aborted: Vec<usize>,
    timers: BinaryHeap<Reverse<(Timestamp, Spot)>>,
}

/// What a driver does next.
enum Next {
    Apply(Vec<Fact>),
    /// The run may have been taken away.
    Doubt,
    /// It sleeps, until this instant.
    Park(Timestamp),
    /// The engine is closed.
    Release,
}

/// Why a driver stopped working on a run.
pub(super) enum Left {
    /// It is settled, as the machine says.
    Settled,
    /// Somebody else has it, or nobody needs to.
    Gone,
}

impl Driver {
    pub(super) fn new(
        shared: Arc<Shared>,
        active: Arc<Active>,
        record: RunRecord,
        replayed: Replayed,
    ) -> Self {
        let services = Arc::new(RunServices {
            run_id: record.id.clone(),
            workflow_id: record.workflow.clone(),
            resource_id: record.resource.clone(),
            sink: Arc::clone(&shared.publisher) as _,
            cancel: active.cancel.token(),
        });
        Self {
            topic: Topic::workflow_events(&record.id),
            shared,
            active,
            services,
            machine: replayed.machine,
            record,
            end: replayed.end,
            to_tell: None,
            progress: Arc::new(AtomicU64::new(replayed.published)),
            tasks: FuturesUnordered::new(),
            beside: Vec::new(),
            aborted: Vec::new(),
            timers: BinaryHeap::new(),
        }
    }

    /// Works on the run, beginning with what the machine wants now.
    pub(super) async fn drive(mut self) {
        let run = self.record.id.clone();
        let commands = self.machine.take_commands();
        self.obey(commands);
        let left = self.work().await;
        self.stop();
        if matches!(left, Left::Settled) {
            launch::record_outcome(&self.shared, &self.record).await;
        }
        let settled = matches!(left, Left::Settled).then(|| Settled {
            record: self.record,
            machine: self.machine,
        });
        self.shared.leave(&run, settled);
    }

    async fn work(&mut self) -> Left {
        loop {
            let facts = match self.next().await {
                Next::Apply(facts) => facts,
                Next::Doubt => match self.is_ours().await {
                    true => continue,
                    false => return Left::Gone,
                },
                Next::Park(until) => return self.park(until).await,
                Next::Release => return self.release().await,
            };
            if !self.advance(facts).await {
                return Left::Gone;
            }
            if !self.machine.status().is_active() {
                return Left::Settled;
            }
        }
    }

    /// Lets facts happen: commits them, then tells of them, then does what follows. `false` when the run is not ours any more.
    pub(super) async fn advance(&mut self, facts: Vec<Fact>) -> bool {
        for fact in &facts {
            if let Err(mismatch) = self.machine.apply(fact) {
                tracing::error!(run = %self.record.id, fact = ?fact, "a fact does not fit: {}", mismatch.0);
                return self.break_off(&mismatch.0).await;
            }
        }
        if !self.commit(&facts).await {
            return false;
        }
        let notices = self.machine.take_notices();
        self.tell(notices).await;
        if let Some(key) = self.to_tell.take() {
            self.shared.told(key, self.record.version);
        }
        let commands = self.machine.take_commands();
        // An engine that is being closed begins nothing; who goes on with the run asks the machine again.
        if !self.shared.is_closing() {
            self.obey(commands);
        }
        true
    }

    pub(super) async fn tell(&mut self, notices: Vec<Notice>) {
        for notice in notices {
            let publisher = &self.shared.publisher;
            if notice.run_id == self.record.id {
                publisher
                    .tell(&self.topic, &notice.run_id, notice.json, &self.progress)
                    .await;
            } else {
                let topic = Topic::workflow_events(&notice.run_id);
                publisher
                    .tell(&topic, &notice.run_id, notice.json, &self.progress)
                    .await;
            }
        }
    }

    pub(super) fn published(&self) -> u64 {
        self.progress.load(Ordering::Relaxed)
    }

    fn obey(&mut self, commands: Vec<Command>) {
        let work =
            |command: &&Command| !matches!(command, Command::Wake { .. } | Command::Abort { .. });
        let alone = self.tasks.is_empty() && commands.iter().filter(work).count() < 2;
        for command in commands {
            match command {
                Command::Wake { spot, at } => self.timers.push(Reverse((at, spot))),
                Command::Abort { frame } => self.abort(frame),
                command => {
                    let Some(task) = answer(&self.machine, &self.services, &command) else {
                        continue;
                    };
                    let task = if alone {
                        task
                    } else {
                        self.spawn(&command, task)
                    };
                    self.tasks.push(task);
                }
            }
        }
    }

    /// Steps side by side run on tasks of their own, so that one that computes does not keep the others waiting.
    fn spawn(&mut self, command: &Command, task: Task) -> Task {
        let spot = match *command {
            Command::Execute { spot, .. }
            | Command::Decide { spot }
            | Command::Test { spot }
            | Command::Measure { spot }
            | Command::Time { spot }
            | Command::Wake { spot, .. } => spot,
            Command::Abort { .. } => return task,
        };
        let spawned = tokio::spawn(task);
        self.beside.push((spot.frame, spawned.abort_handle()));
        if self.beside.len() > 2 * BATCH {
            self.beside.retain(|(_, task)| !task.is_finished());
        }
        Box::pin(async move {
            match spawned.await {
                Ok(done) => done,
                // It was aborted, so nobody waits for it; functions of the application do not panic out of their task.
                Err(_) => std::future::pending().await,
            }
        })
    }

    fn abort(&mut self, frame: usize) {
        if frame == 0 {
            self.stop();
            return;
        }
        self.aborted.push(frame);
        self.beside.retain(|(of, task)| {
            if *of == frame {
                task.abort();
            }
            *of != frame
        });
        self.timers.retain(|Reverse((_, spot))| spot.frame != frame);
    }

    /// Ends everything that this driver has begun.
    fn stop(&mut self) {
        self.active.cancel.cancel();
        for (_, task) in self.beside.drain(..) {
            task.abort();
        }
        self.tasks.clear();
        self.timers.clear();
    }

    async fn next(&mut self) -> Next {
        loop {
            let mut facts = Vec::new();
            self.take_ready(&mut facts);
            if !facts.is_empty() {
                return Next::Apply(facts);
            }
            if self.active.take_doubt() {
                return Next::Doubt;
            }
            if self.shared.is_closing() && (self.tasks.is_empty() || self.shared.is_abandoning()) {
                return Next::Release;
            }
            let wait = self.timers.peek().map(|Reverse((at, _))| until(*at));
            if let (Some(wait), true) = (wait, self.tasks.is_empty())
                && wait >= self.shared.options.park_after
            {
                let at = self.timers.peek().map(|Reverse((at, _))| *at);
                return Next::Park(at.unwrap_or_else(Timestamp::now));
            }
            tokio::select! {
                biased;
                Some((frame, fact)) = self.tasks.next(), if !self.tasks.is_empty() => {
                    if !self.aborted.contains(&frame) {
                        let mut facts = vec![fact];
                        self.take_ready(&mut facts);
                        return Next::Apply(facts);
                    }
                }
                () = self.active.doubted.notified() => {}
                () = sleep(wait.unwrap_or(Duration::MAX)), if wait.is_some() => {}
                () = std::future::ready(()), if self.tasks.is_empty() && wait.is_none() => return Next::Release,
            }
        }
    }

    /// Takes what has happened by now.
    fn take_ready(&mut self, facts: &mut Vec<Fact>) {
        while facts.len() < BATCH {
            match self.tasks.next().now_or_never() {
                Some(Some((frame, fact))) if !self.aborted.contains(&frame) => facts.push(fact),
                Some(Some(_)) => {}
                Some(None) | None => break,
            }
        }
        let now = Timestamp::now();
        while facts.len() < BATCH {
            match self.timers.peek() {
                Some(Reverse((at, spot))) if *at <= now => {
                    facts.push(Fact::Woke {
                        at: At(now),
                        spot: *spot,
                    });
                    self.timers.pop();
                }
                _ => break,
            }
        }
    }

    pub(super) fn run_id(&self) -> &Text {
        &self.record.id
    }

    /// The status to write for a run that is not settled.
    pub(super) fn status(&self) -> RunStatus {
        self.machine.status()
    }
}

/// How long it is until `at`.
pub(super) fn until(at: Timestamp) -> Duration {
    let millis = at.as_millis().saturating_sub(Timestamp::now().as_millis());
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}
