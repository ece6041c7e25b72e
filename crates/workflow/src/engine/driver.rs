//! Working on one run until it ends, waits, or is somebody else's.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use bowline_events::{Text, Timestamp};
use futures_util::future::abortable;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, sleep, timeout_at};

use super::execute::{Task, answer};
use super::launch;
use super::outbox;
use super::publish::{Chunks, Voice};
use super::record::{RUNS, Replayed, RunRecord};
use super::shared::{Active, Settled, Shared};
use crate::context::RunServices;
use crate::definition::BoxFuture;
use crate::machine::{At, Command, Fact, Machine, Notice, Outcome, RunStatus, Spot};

/// Facts that are committed together at most, and bytes of them after which no more are.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 16 * 1024 * 1024;
/// How long steps that were aborted are waited for before the run is given back: they end where they wait next.
const ENDING: Duration = Duration::from_secs(1);

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
    pub(super) voice: Arc<Voice>,
    /// What it had to tell before this driver took it.
    before: Vec<Notice>,
    tasks: FuturesUnordered<Begun>,
    /// How to abort what was begun, by the frame that it belongs to.
    begun: Vec<(usize, Handle)>,
    aborted: Vec<usize>,
    timers: BinaryHeap<Reverse<(Timestamp, Spot)>>,
}

/// What will have happened; `None` when it was aborted.
type Begun = BoxFuture<Option<(usize, Fact)>>;

/// What aborts something that was begun.
enum Handle {
    /// On a task of its own.
    Beside(tokio::task::AbortHandle),
    /// On the task of the driver.
    Here(futures_util::future::AbortHandle),
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
    /// It is active and waits for nothing, which no run of ours does.
    Stuck,
}

/// Why a driver stopped working on a run.
pub(super) enum Left {
    /// It is settled, as the machine says.
    Settled,
    /// Others may go on with it.
    Handed,
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
        let mut machine = replayed.machine;
        let before = machine.take_notices();
        let voice = Voice::new(&record.id, replayed.published);
        let chunks = Chunks {
            publisher: Arc::clone(&shared.publisher),
            run: record.id.clone(),
            voice: Arc::clone(&voice),
        };
        let services = Arc::new(RunServices {
            run_id: record.id.clone(),
            workflow_id: record.workflow.clone(),
            resource_id: record.resource.clone(),
            sink: Arc::new(chunks),
            cancel: active.cancel.token(),
        });
        Self {
            shared,
            active,
            services,
            machine,
            record,
            end: replayed.end,
            to_tell: None,
            voice,
            before,
            tasks: FuturesUnordered::new(),
            begun: Vec::new(),
            aborted: Vec::new(),
            timers: BinaryHeap::new(),
        }
    }

    /// Works on the run, beginning with what the machine wants now. `ask`: more of it may be told than its journal says.
    pub(super) async fn drive(mut self, ask: bool) {
        let run = self.record.id.clone();
        let before = std::mem::take(&mut self.before);
        let publisher = &self.shared.publisher;
        publisher.tell_rest(&run, &self.voice, before, ask).await;
        let left = self.work().await;
        self.stop().await;
        if matches!(left, Left::Settled) {
            launch::record_outcome(&self.shared, &self.record).await;
        }
        let behind = matches!(left, Left::Gone) && self.farewell().await;
        let shared = Arc::clone(&self.shared);
        if self.record.body.large {
            self.record.body.fill(&self.machine);
        }
        let settled = matches!(left, Left::Settled).then(|| Settled {
            record: self.record,
            machine: self.machine,
        });
        shared.leave(&run, settled);
        if behind {
            shared.leave_behind();
        }
    }

    async fn work(&mut self) -> Left {
        let commands = self.machine.take_commands();
        // What happened before may have ended it, without anybody having written that down.
        if !self.machine.status().is_active() {
            return match self.commit_and_tell(&[]).await {
                true => Left::Settled,
                false => Left::Gone,
            };
        }
        self.obey(commands);
        loop {
            let facts = match self.next().await {
                Next::Apply(facts) => facts,
                Next::Doubt => match self.is_ours().await {
                    true => continue,
                    false => return Left::Gone,
                },
                Next::Park(until) => return self.park(until).await,
                Next::Release => return self.release().await,
                Next::Stuck => {
                    tracing::error!(run = %self.record.id, "an active run waits for nothing");
                    self.break_off("the run waits for nothing and has not ended")
                        .await;
                    return Left::Gone;
                }
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
        let mut commands = Vec::new();
        let mut happened = Vec::with_capacity(facts.len());
        let mut given_up: Vec<usize> = Vec::new();
        for fact in facts {
            // What happened at the same time as the end of its frame came too late.
            let late = frame_of(&fact).is_some_and(|frame| given_up.contains(&frame));
            if late || !self.machine.status().is_active() {
                continue;
            }
            if let Err(mismatch) = self.machine.apply(&fact) {
                tracing::error!(run = %self.record.id, fact = ?fact, "a fact does not fit: {}", mismatch.0);
                return self.break_off(&mismatch.0).await;
            }
            happened.push(fact);
            let new = self.machine.take_commands();
            given_up.extend(new.iter().filter_map(|command| match command {
                Command::Abort { frame } => Some(*frame),
                _ => None,
            }));
            commands.extend(new);
        }
        if !self.commit_and_tell(&happened).await {
            return false;
        }
        // An engine that is being closed begins nothing; who goes on with the run asks the machine again.
        if self.shared.is_closing() {
            commands.retain(|command| matches!(command, Command::Abort { .. }));
        }
        self.obey(commands);
        true
    }

    async fn commit_and_tell(&mut self, facts: &[Fact]) -> bool {
        if !self.commit(facts).await {
            return false;
        }
        let notices = self.machine.take_notices();
        self.tell(notices).await;
        if let Some(key) = self.to_tell.take() {
            let (run, version) = (&self.record.id, self.record.version);
            let publisher = &self.shared.publisher;
            publisher.note(run, &self.voice, key, version).await;
        }
        true
    }

    pub(super) async fn tell(&mut self, notices: Vec<Notice>) {
        for notice in notices {
            let publisher = &self.shared.publisher;
            publisher.tell(&self.record.id, &self.voice, notice).await;
        }
    }

    /// The run is not ours any more. If it was cancelled, who worked on it knows best what is left to tell. Whether it may
    /// be that nobody works on it now.
    async fn farewell(&mut self) -> bool {
        let found = self.shared.store.get(RUNS, &self.record.id).await;
        let Ok(found) = found else {
            self.voice.silence();
            return true;
        };
        let Some(Ok(found)) = found.map(|record| RunRecord::read(&record)) else {
            self.voice.silence();
            return false;
        };
        match found.status {
            RunStatus::Canceled => self.tell_of_cancel(&found).await,
            // This driver has broken it off, or somebody has given it up: nothing else follows.
            RunStatus::Failed => {}
            _ => self.voice.silence(),
        }
        found.body.worker.as_deref() == Some(self.shared.worker().as_str())
    }

    async fn tell_of_cancel(&mut self, found: &RunRecord) {
        let workflow = self.machine.workflow();
        match self.shared.replay(&found.id, workflow).await {
            Ok(mut replayed) => {
                let notices = replayed.machine.take_notices();
                let publisher = &self.shared.publisher;
                publisher
                    .tell_rest(&found.id, &self.voice, notices, false)
                    .await;
                let key = outbox::key(&found.id, replayed.end);
                publisher
                    .note(&found.id, &self.voice, key, found.version)
                    .await;
            }
            Err(error) => {
                tracing::warn!(run = %found.id, %error, "that a run was cancelled is told later");
            }
        }
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
                    self.begin(&command, task, alone);
                }
            }
        }
    }

    /// Steps side by side run on tasks of their own, so that one that computes does not keep the others waiting.
    fn begin(&mut self, command: &Command, task: Task, alone: bool) {
        const MANY: usize = 2 * BATCH;
        let (Command::Execute { spot, .. }
        | Command::Decide { spot }
        | Command::Test { spot }
        | Command::Measure { spot }
        | Command::Time { spot }
        | Command::Wake { spot, .. }) = *command
        else {
            return;
        };
        let (begun, handle): (Begun, Handle) = if alone {
            let (task, handle) = abortable(task);
            (Box::pin(task.map(Result::ok)), Handle::Here(handle))
        } else {
            let spawned = tokio::spawn(task);
            let handle = spawned.abort_handle();
            // Functions of the application do not panic out of their task.
            (Box::pin(spawned.map(Result::ok)), Handle::Beside(handle))
        };
        if self.tasks.is_empty() {
            self.begun.clear();
        } else if self.begun.len() > MANY {
            self.begun.retain(|(_, handle)| !handle.is_finished());
        }
        self.begun.push((spot.frame, handle));
        self.tasks.push(begun);
    }

    fn abort(&mut self, frame: usize) {
        if frame == 0 {
            self.abort_all();
            return;
        }
        self.aborted.push(frame);
        self.begun.retain(|(of, task)| {
            if *of == frame {
                task.abort();
            }
            *of != frame
        });
        self.timers.retain(|Reverse((_, spot))| spot.frame != frame);
    }

    fn abort_all(&mut self) {
        self.active.cancel.cancel();
        for (_, task) in self.begun.drain(..) {
            task.abort();
        }
        self.timers.clear();
    }

    /// Ends everything that this driver has begun, and waits for that as long as can be expected of steps. What ended by
    /// itself is returned.
    pub(super) async fn stop(&mut self) -> Vec<Fact> {
        self.abort_all();
        let mut facts = Vec::new();
        let ended = async {
            while let Some(done) = self.tasks.next().await {
                if let Some((frame, fact)) = done
                    && !self.aborted.contains(&frame)
                {
                    facts.push(fact);
                }
            }
        };
        if timeout_at(Instant::now() + ENDING, ended).await.is_err() {
            tracing::warn!(run = %self.record.id, "a step does not let itself be aborted; it may still run");
        }
        self.tasks.clear();
        facts
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
                Some(done) = self.tasks.next(), if !self.tasks.is_empty() => {
                    if let Some((frame, fact)) = done && !self.aborted.contains(&frame) {
                        let mut facts = vec![fact];
                        self.take_ready(&mut facts);
                        return Next::Apply(facts);
                    }
                }
                () = self.active.doubted.notified() => {}
                () = sleep(wait.unwrap_or(Duration::MAX)), if wait.is_some() => {}
                () = std::future::ready(()), if self.tasks.is_empty() && wait.is_none() => return Next::Stuck,
            }
        }
    }

    /// Takes what has happened by now.
    fn take_ready(&mut self, facts: &mut Vec<Fact>) {
        let mut bytes = facts.iter().map(size).sum::<usize>();
        while facts.len() < BATCH && bytes < BATCH_BYTES {
            match self.tasks.next().now_or_never() {
                Some(Some(Some((frame, fact)))) if !self.aborted.contains(&frame) => {
                    bytes += size(&fact);
                    facts.push(fact);
                }
                Some(Some(_)) => {}
                Some(None) | None => break,
            }
        }
        if self.timers.is_empty() {
            return;
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
}

impl Handle {
    fn abort(&self) {
        match self {
            Self::Beside(handle) => handle.abort(),
            Self::Here(handle) => handle.abort(),
        }
    }

    fn is_finished(&self) -> bool {
        match self {
            Self::Beside(handle) => handle.is_finished(),
            Self::Here(_) => false,
        }
    }
}

/// The frame that a fact happens in.
fn frame_of(fact: &Fact) -> Option<usize> {
    match fact {
        Fact::Ended { spot, .. }
        | Fact::Decided { spot, .. }
        | Fact::Looped { spot, .. }
        | Fact::Measured { spot, .. }
        | Fact::Slept { spot, .. }
        | Fact::Woke { spot, .. } => Some(spot.frame),
        _ => None,
    }
}

/// About how many bytes a fact has.
fn size(fact: &Fact) -> usize {
    let Fact::Ended { completion, .. } = fact else {
        return 0;
    };
    let state = completion
        .state
        .as_ref()
        .map_or(0, |state| state.as_str().len());
    state
        + match &completion.outcome {
            Outcome::Success(data) | Outcome::Bailed(data) => data.as_str().len(),
            Outcome::Suspended(suspension) => suspension.payload.as_str().len(),
            Outcome::Failed(failure) => failure.error.as_str().len(),
            Outcome::Canceled => 0,
        }
}

/// How long it is until `at`.
pub(super) fn until(at: Timestamp) -> Duration {
    let millis = at.as_millis().saturating_sub(Timestamp::now().as_millis());
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}
