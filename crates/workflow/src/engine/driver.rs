//! Working on one run until it ends, waits, or is somebody else's.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::{Text, Timestamp};
use tokio::time::{Instant, sleep_until};

use super::execute::answer;
use super::launch;
use super::outbox;
use super::publish::{Chunks, Voice};
use super::record::{RUNS, Replayed, RunRecord};
use super::shared::{Active, Settled, Shared};
use super::tasks::Tasks;
use crate::context::RunServices;
use crate::definition::Dispatch;
use crate::machine::{Command, Fact, Machine, Notice, RunStatus, Spot};

/// How long a run that others are to have waits for its events to be published; then it stays for another step.
const PATIENCE: Duration = Duration::from_millis(250);

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
    tasks: Tasks,
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
    /// The same, at once: they are to be told.
    Offered,
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
            voice: Arc::clone(&voice),
            fence: active.fence.clone(),
        };
        let services = Arc::new(RunServices {
            run_id: record.id.clone(),
            workflow_id: record.workflow.clone(),
            resource_id: record.resource.clone(),
            sink: Arc::new(chunks),
            cancel: active.cancel.token(),
            fence: active.fence.clone(),
            clock: Arc::clone(&shared.options.clock),
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
            tasks: Tasks::default(),
        }
    }

    /// Works on the run, beginning with what the machine wants now. `ask`: more of it may be told than its journal says.
    pub(super) async fn drive(mut self, ask: bool) {
        let run = self.record.id.clone();
        let before = std::mem::take(&mut self.before);
        if ask {
            let publisher = &self.shared.publisher;
            publisher.tell_rest(&self.voice, before, ask).await;
        } else {
            let first = self.machine.noted() - before.len() as u64;
            let told = self.voice.published().saturating_sub(first);
            let told = usize::try_from(told).unwrap_or(usize::MAX);
            self.tell(before.into_iter().skip(told).collect()).await;
        }
        let left = self.work().await;
        self.stop().await;
        if matches!(left, Left::Settled) {
            launch::record_outcome(&self.shared, &self.record).await;
        }
        let behind = matches!(left, Left::Gone) && self.farewell().await;
        let offered = matches!(left, Left::Offered).then(|| self.record.workflow.clone());
        let shared = Arc::clone(&self.shared);
        let settled = self.remains(&left);
        shared.leave(&run, settled);
        if behind {
            shared.leave_behind();
        }
        // This engine is one of those that may take it.
        if let Some(workflow) = offered {
            shared.offer(&run, &workflow).await;
        }
    }

    /// What whoever waits for the end of the run gets; what is given back is kept.
    fn remains(mut self, left: &Left) -> Option<Settled> {
        if matches!(left, Left::Offered) {
            let replayed = Replayed {
                published: self.voice.published(),
                machine: self.machine,
                end: self.end,
                last: None,
            };
            self.shared.kept.put(&self.record, replayed);
            return None;
        }
        if self.record.body.large {
            self.record.body.fill(&self.machine);
        }
        matches!(left, Left::Settled).then_some(Settled {
            record: self.record,
            machine: self.machine,
        })
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
            if let Some(left) = self.advance(facts).await {
                return left;
            }
        }
    }

    /// Lets facts happen: commits them, then tells of them, then does what follows. Why this driver has to stop then, if it has to.
    pub(super) async fn advance(&mut self, facts: Vec<Fact>) -> Option<Left> {
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
                self.break_off(&mismatch.0).await;
                return Some(Left::Gone);
            }
            happened.push(fact);
            let new = self.machine.take_commands();
            given_up.extend(new.iter().filter_map(|command| match command {
                Command::Abort { frame } => Some(*frame),
                _ => None,
            }));
            commands.extend(new);
        }
        if self.lets_go().await {
            return Some(self.let_go(&happened).await);
        }
        if !self.commit_and_tell(&happened).await {
            return Some(Left::Gone);
        }
        if !self.machine.status().is_active() {
            return Some(Left::Settled);
        }
        // An engine that is being closed begins nothing; who goes on with the run asks the machine again.
        if self.shared.is_closing() {
            commands.retain(|command| matches!(command, Command::Abort { .. }));
        }
        self.obey(commands);
        None
    }

    /// Whether others are to have the run now: a step is next, nothing goes on here, and what was said is told, so that who goes on
    /// knows how much that is.
    async fn lets_go(&mut self) -> bool {
        let options = &self.machine.workflow().definition().options;
        options.dispatch == Dispatch::Step
            && !self.shared.is_closing()
            && self.tasks.is_idle()
            && self.machine.is_at_step()
            && self.shared.publisher.is_done(&self.voice, PATIENCE).await
    }

    async fn commit_and_tell(&mut self, facts: &[Fact]) -> bool {
        if !self.commit(facts).await {
            return false;
        }
        let notices = self.machine.take_notices();
        self.tell(notices).await;
        if let Some(key) = self.to_tell.take() {
            let publisher = &self.shared.publisher;
            publisher.note(&self.voice, key, self.record.version).await;
        }
        true
    }

    pub(super) async fn tell(&mut self, notices: Vec<Notice>) {
        for notice in notices {
            let publisher = &self.shared.publisher;
            publisher.tell(&self.voice, notice).await;
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
                publisher.tell_rest(&self.voice, notices, false).await;
                let key = outbox::key(&found.id, replayed.end);
                publisher.note(&self.voice, key, found.version).await;
            }
            Err(error) => {
                tracing::warn!(run = %found.id, %error, "that a run was cancelled is told later");
            }
        }
    }

    fn obey(&mut self, commands: Vec<Command>) {
        let work = commands.iter().filter(|command| spot_of(command).is_some());
        let alone = self.tasks.is_empty() && work.count() < 2;
        for command in commands {
            match command {
                Command::Wake { spot, at } => {
                    let wait = self.shared.until(at);
                    self.tasks.wake(spot, at, wait);
                }
                Command::Abort { frame: 0 } => self.abort_all(),
                Command::Abort { frame } => self.tasks.abort(frame),
                command => {
                    let task = answer(
                        &self.machine,
                        &self.services,
                        &self.shared.options.clock,
                        &command,
                    );
                    if let (Some(spot), Some(task)) = (spot_of(&command), task) {
                        self.tasks.begin(spot.frame, task, alone);
                    }
                }
            }
        }
    }

    fn abort_all(&mut self) {
        self.active.cancel.cancel();
        self.tasks.abort_all();
    }

    /// Ends everything that this driver has begun, and waits for that as long as can be expected of steps. What ended by
    /// itself is returned.
    pub(super) async fn stop(&mut self) -> Vec<Fact> {
        self.abort_all();
        self.tasks.ended(&self.record.id).await
    }

    async fn next(&mut self) -> Next {
        loop {
            let facts = self.take_ready(Vec::new());
            if !facts.is_empty() {
                return Next::Apply(facts);
            }
            if self.active.take_doubt() {
                return Next::Doubt;
            }
            let idle = self.tasks.is_empty();
            if self.shared.is_closing() && (idle || self.shared.is_abandoning()) {
                return Next::Release;
            }
            let wakes = match self.tasks.first_timer() {
                Some(timer) if idle && timer.left() >= self.shared.options.park_after => {
                    return Next::Park(timer.at);
                }
                None if idle => return Next::Stuck,
                timer => timer.map(|timer| timer.fires),
            };
            tokio::select! {
                biased;
                fact = self.tasks.next(), if !idle => {
                    let facts = self.take_ready(fact.into_iter().collect());
                    if !facts.is_empty() {
                        return Next::Apply(facts);
                    }
                }
                () = self.active.doubted.notified() => {}
                () = wake(wakes), if wakes.is_some() => {}
            }
        }
    }

    /// Adds to `facts` what has happened by now.
    fn take_ready(&mut self, facts: Vec<Fact>) -> Vec<Fact> {
        self.tasks.take_ready(facts, &*self.shared.options.clock)
    }

    pub(super) fn run_id(&self) -> &Text {
        &self.record.id
    }
}

/// Waits until `at`; for ever without one.
async fn wake(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Where the work is that a command asks for.
fn spot_of(command: &Command) -> Option<Spot> {
    match *command {
        Command::Execute { spot, .. }
        | Command::Decide { spot }
        | Command::Test { spot }
        | Command::Measure { spot }
        | Command::Time { spot } => Some(spot),
        Command::Wake { .. } | Command::Abort { .. } => None,
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
