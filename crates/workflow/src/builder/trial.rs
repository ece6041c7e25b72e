//! Trying a workflow out without an engine.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bowline_events::{Text, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::{CancelSource, ChunkSink, Fence, RunServices, SinkFuture};
use crate::definition::{Entry, LoopKind, Until, Width, invalid};
use crate::machine::{At, Command, Completion, Fact, Failure, Machine, Mismatch, Spot};
use crate::{
    Clock, Data, Error, ErrorKind, Result, Resume, RunStatus, StepContext, StepResult,
    SuspendedStep, Workflow,
};

/// A run of a workflow in memory, for tests: steps run one after the other, and pauses pass at once. Nothing is stored.
///
/// ```
/// use bowline_workflow::builder::Trial;
/// use bowline_workflow::{RunStatus, StepError, Workflow};
///
/// async fn double(n: u32) -> Result<u32, StepError> { Ok(n * 2) }
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let workflow = Workflow::builder("quadruple").input::<u32>()
///     .step(double)
///     .map(|n: u32| async move { Ok::<_, StepError>(n * 2) })
///     .build()?;
/// let mut trial = Trial::of(&workflow);
/// assert_eq!(trial.start(&5).await?, RunStatus::Success);
/// assert_eq!(trial.result::<u32>()?, Some(20));
/// # Ok::<(), bowline_workflow::Error>(())
/// # }).unwrap();
/// ```
pub struct Trial {
    machine: Machine,
    services: Arc<RunServices>,
    watched: Arc<Watched>,
    state: Option<Data>,
    request_context: Option<Data>,
    /// What the clock of the run says; pauses move it.
    clock: Arc<TrialClock>,
    commands: VecDeque<Command>,
    /// What happened, in order.
    #[cfg(test)]
    pub(crate) facts: Vec<Fact>,
}

#[derive(Default)]
struct Watched(Mutex<Vec<Data>>);

/// The time of day of a trial: pauses pass at once, and nothing else takes time.
#[derive(Debug, Default)]
struct TrialClock(AtomicI64);

impl Clock for TrialClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

impl ChunkSink for Watched {
    fn write<'a>(&'a self, _: &'a Text, json: String) -> SinkFuture<'a> {
        self.push(json);
        Box::pin(std::future::ready(()))
    }
}

impl Watched {
    fn push(&self, json: String) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(Data::made(json));
    }
}

impl Trial {
    /// A run of `workflow` that has not begun.
    pub fn of(workflow: &Workflow) -> Self {
        let watched = Arc::new(Watched::default());
        let clock = Arc::<TrialClock>::default();
        let run_id = Text::from("trial");
        let cancel = CancelSource::default().token();
        let services = RunServices {
            run_id: run_id.clone(),
            workflow_id: workflow.id().clone(),
            resource_id: None,
            sink: Arc::clone(&watched) as Arc<dyn ChunkSink>,
            fence: Fence::open(cancel.clone()),
            cancel,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
        };
        Self {
            machine: Machine::new(run_id, workflow.clone()),
            services: Arc::new(services),
            watched,
            state: None,
            request_context: None,
            clock,
            commands: VecDeque::new(),
            #[cfg(test)]
            facts: Vec::new(),
        }
    }

    /// The state at the start.
    ///
    /// # Errors
    /// `InvalidInput` when it has no JSON, or is not what the workflow declares.
    pub fn with_state<T: Serialize + ?Sized>(mut self, state: &T) -> Result<Self> {
        let state = Data::of(state)?;
        self.machine.workflow().check_state(&state)?;
        self.state = Some(state);
        Ok(self)
    }

    /// The request context.
    ///
    /// # Errors
    /// `InvalidInput` when it has no JSON.
    pub fn with_request_context<T: Serialize + ?Sized>(mut self, context: &T) -> Result<Self> {
        self.request_context = Some(Data::of(context)?);
        Ok(self)
    }

    /// Runs it until it ends or is suspended. A loop that does not end does not end here either.
    ///
    /// # Errors
    /// `InvalidInput` when `input` has no JSON or is not what the workflow declares, `WrongState` when it was started before.
    pub async fn start<T: Serialize + ?Sized>(&mut self, input: &T) -> Result<RunStatus> {
        let input = Data::of(input)?;
        self.machine.workflow().check_input(&input)?;
        let fact = Fact::Started {
            at: At(self.clock.now()),
            input,
            state: self.state.take(),
            context: self.request_context.take(),
            per_step: false,
        };
        self.run(fact).await
    }

    /// Goes on with a suspended step until it ends or is suspended again.
    ///
    /// # Errors
    /// `WrongState` or `NotFound` when there is no such step that waits.
    pub async fn resume(&mut self, resume: Resume) -> Result<RunStatus> {
        let spots = self.machine.select(&resume)?;
        let fact = Fact::Resumed {
            at: At(self.clock.now()),
            spots,
            data: resume.data,
            context: resume.context,
            per_step: resume.per_step,
        };
        self.run(fact).await
    }

    /// How it is.
    pub fn status(&self) -> RunStatus {
        self.machine.status()
    }

    /// What it returned; `None` when it did not.
    ///
    /// # Errors
    /// `InvalidInput` when that is no `T`.
    pub fn result<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        self.machine.result().map(Data::parse).transpose()
    }

    /// Why it failed: an object with `message` and `name`.
    pub fn error(&self) -> Option<&Data> {
        self.machine.error()
    }

    /// The results of its steps in the order of the definition, those of nested workflows as `outer.inner`.
    pub fn steps(&self) -> Vec<(String, StepResult)> {
        self.machine.steps()
    }

    /// The steps that wait to be resumed.
    pub fn suspended(&self) -> Vec<SuspendedStep> {
        self.machine.suspended()
    }

    /// The state of the workflow.
    pub fn state(&self) -> Data {
        self.machine.state()
    }

    /// What watchers were told, in order.
    pub fn watched(&self) -> Vec<Data> {
        let watched = self.watched.0.lock();
        watched.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How much time the pauses took so far.
    pub fn elapsed(&self) -> std::time::Duration {
        std::time::Duration::from_millis(u64::try_from(self.clock.now().as_millis()).unwrap_or(0))
    }

    async fn run(&mut self, fact: Fact) -> Result<RunStatus> {
        self.apply(&fact)?;
        while let Some(command) = self.next() {
            let fact = self.perform(&command).await?;
            self.apply(&fact)?;
        }
        Ok(self.status())
    }

    fn apply(&mut self, fact: &Fact) -> Result<()> {
        #[cfg(test)]
        self.facts.push(fact.clone());
        self.machine.apply(fact).map_err(|Mismatch(problem)| {
            Error::new(ErrorKind::WrongState, "try", problem)
                .with_subject(self.machine.workflow().id().clone())
        })?;
        for notice in self.machine.take_notices() {
            self.watched.push(notice.json);
        }
        for command in self.machine.take_commands() {
            match command {
                Command::Abort { frame } => self
                    .commands
                    .retain(|queued| spot(queued).is_none_or(|spot| spot.frame != frame)),
                command => self.commands.push_back(command),
            }
        }
        if self.status().is_final() {
            self.commands.clear();
        }
        Ok(())
    }

    /// The oldest command; pauses come when there is nothing else, the shortest first.
    fn next(&mut self) -> Option<Command> {
        let pause = |command: &Command| match command {
            Command::Wake { at, .. } => *at,
            _ => Timestamp::from_millis(i64::MIN),
        };
        let all = self.commands.iter().enumerate();
        let (first, _) = all.min_by_key(|(_, command)| pause(command))?;
        self.commands.remove(first)
    }

    async fn perform(&mut self, command: &Command) -> Result<Fact> {
        let at = At(self.clock.now());
        let fact = match *command {
            Command::Execute { spot, attempt } => Fact::Ended {
                at,
                spot,
                attempt,
                completion: self.execute(spot).await?,
            },
            Command::Wake { spot, at } => {
                self.clock.0.fetch_max(at.as_millis(), Ordering::SeqCst);
                let at = At(self.clock.now());
                Fact::Woke { at, spot }
            }
            Command::Abort { .. } => return Err(self.lost()),
            Command::Decide { spot }
            | Command::Test { spot }
            | Command::Measure { spot }
            | Command::Time { spot } => {
                let answered = self.answer(spot, at).await;
                answered.unwrap_or_else(|error| Fact::Broke {
                    at,
                    error: Failure::new("Error", &error.to_string()).error,
                })
            }
        };
        Ok(fact)
    }

    async fn execute(&self, spot: Spot) -> Result<Completion> {
        let view = self.machine.view(spot);
        let entry = view.workflow.entry(spot.entry);
        let step = entry.and_then(|entry| entry.step(spot.branch)).cloned();
        let step = step.ok_or_else(|| self.lost())?;
        let context = StepContext::new(view, Arc::clone(&self.services));
        Ok(step.function.call(context).await)
    }

    /// Calls the function of the entry at `spot`.
    async fn answer(&self, spot: Spot, at: At) -> Result<Fact> {
        let mut view = self.machine.view(spot);
        let workflow = view.workflow.clone();
        if let Some(Entry::Loop(_)) = workflow.entry(spot.entry) {
            // The run of a body is counted when the next one begins, but the condition in between counts it already.
            view.iterations = view.iterations.saturating_add(1);
        }
        let context = StepContext::new(view, Arc::clone(&self.services));
        match workflow.entry(spot.entry) {
            Some(Entry::Branch(branches)) => {
                let mut taken = Vec::with_capacity(branches.len());
                for branch in branches {
                    taken.push(branch.condition.holds(context.clone()).await?);
                }
                Ok(Fact::Decided { at, spot, taken })
            }
            Some(Entry::Loop(repeated)) => {
                let holds = repeated.condition.holds(context).await?;
                let again = holds == (repeated.kind == LoopKind::DoWhile);
                Ok(Fact::Looped { at, spot, again })
            }
            Some(Entry::Foreach(foreach)) => {
                let width = match &foreach.width {
                    Width::Fixed(width) => *width,
                    // As in the reference: a width that cannot be computed is 1.
                    Width::Function(function) => function.call(context).await.unwrap_or(1),
                };
                Ok(Fact::Measured { at, spot, width })
            }
            Some(Entry::Sleep(sleep)) => match &sleep.until {
                Until::Function(function) => {
                    let until = At(function.call(context).await?);
                    Ok(Fact::Slept { at, spot, until })
                }
                _ => Err(self.lost()),
            },
            _ => Err(self.lost()),
        }
    }

    fn lost(&self) -> Error {
        invalid(
            self.machine.workflow().id(),
            "an entry was asked for what it does not have",
        )
    }
}

fn spot(command: &Command) -> Option<Spot> {
    match command {
        Command::Execute { spot, .. }
        | Command::Decide { spot }
        | Command::Test { spot }
        | Command::Measure { spot }
        | Command::Time { spot }
        | Command::Wake { spot, .. } => Some(*spot),
        Command::Abort { .. } => None,
    }
}

impl fmt::Debug for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trial")
            .field("workflow", self.machine.workflow())
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}
