//! Writing down a workflow: what a [`WorkflowBuilder`] is made of.

mod branches;
mod function;
mod plan;
#[cfg(feature = "schema")]
mod schema;
mod trial;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use bowline_events::{Text, Timestamp};
use serde::de::DeserializeOwned;

pub use branches::{Branches, IntoBranches, IntoCondition, Test, When, when};
pub use function::{Answer, Function, IntoFunction};
use plan::Plan;
pub use trial::Trial;

use crate::definition::{Check, LoopKind, Until, Width};
use crate::outlet::Outlet;
use crate::step::{Any, Feeds, FeedsEach, IntoStep, Shape, Typed, TypedStep, Undeclared};
use crate::{Data, Dispatch, Result, RetryPolicy, Workflow};

/// A workflow that is being written down: entries, one after the other, each of which gets what the one before returned.
///
/// What it takes has the shape `I`, what it is to return `O`, and what the last entry so far returns `C`. A step that takes
/// something else than what comes before it does not compile. `L` is what the last entry is.
///
/// ```
/// use std::time::Duration;
/// use bowline_workflow::{StepContext, StepError, Workflow, when};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Ticket { text: String }
/// #[derive(Serialize, Deserialize)]
/// struct Class { bug: bool }
///
/// async fn classify(ticket: Ticket) -> Result<Class, StepError> {
///     Ok(Class { bug: ticket.text.contains("panic") })
/// }
/// async fn file_bug(_: Class) -> Result<Vec<u32>, StepError> { Ok(vec![1, 2]) }
/// async fn answer(_: Class) -> Result<Vec<u32>, StepError> { Ok(vec![]) }
/// async fn flatten(ctx: StepContext) -> Result<Vec<u32>, StepError> {
///     Ok(ctx.output_of("file_bug")?.unwrap_or_default())
/// }
/// async fn enrich(id: u32) -> Result<String, StepError> { Ok(format!("#{id}")) }
/// async fn approve(ctx: StepContext, all: Vec<String>) -> Result<String, StepError> {
///     match ctx.resumed::<bool>()? {
///         Some(_) => Ok(all.join(", ")),
///         None => Err(ctx.suspend(&all)),
///     }
/// }
///
/// let triage = Workflow::builder("triage")
///     .input::<Ticket>().output::<String>()
///     .step(classify)
///     .branch([when(|class: &Class| class.bug, file_bug), when(|class: &Class| !class.bug, answer)])
///     .map(flatten)
///     .foreach(enrich).concurrency(10)
///     .sleep(Duration::from_secs(3600))
///     .step(approve)
///     .build()?;
/// assert_eq!(triage.id(), "triage");
/// # Ok::<(), bowline_workflow::Error>(())
/// ```
///
/// What a step returns has to be what the next one takes:
///
/// ```compile_fail,E0631
/// use bowline_workflow::{StepError, Workflow};
///
/// async fn name(n: u32) -> Result<String, StepError> { Ok(n.to_string()) }
/// async fn double(n: u32) -> Result<u32, StepError> { Ok(n * 2) }
///
/// Workflow::builder("mixed").input::<u32>().step(name).step(double);
/// ```
///
/// and what the last one returns has to be what the workflow is to return:
///
/// ```compile_fail,E0277
/// use bowline_workflow::{StepError, Workflow};
///
/// async fn name(n: u32) -> Result<String, StepError> { Ok(n.to_string()) }
///
/// Workflow::builder("mixed").input::<u32>().output::<u32>().step(name).build();
/// ```
///
/// A condition has to take what its step takes, a `foreach` needs an array, and only that has a width:
///
/// ```compile_fail,E0277
/// # use bowline_workflow::{StepError, Workflow, when};
/// # async fn double(n: u32) -> Result<u32, StepError> { Ok(n * 2) }
/// Workflow::builder("mixed").input::<u32>().branch([when(|text: &String| text.is_empty(), double)]);
/// ```
///
/// ```compile_fail,E0277
/// # use bowline_workflow::{StepError, Workflow};
/// # async fn double(n: u32) -> Result<u32, StepError> { Ok(n * 2) }
/// Workflow::builder("mixed").input::<u32>().foreach(double);
/// ```
///
/// ```compile_fail,E0599
/// # use bowline_workflow::{StepError, Workflow};
/// # async fn double(n: u32) -> Result<u32, StepError> { Ok(n * 2) }
/// Workflow::builder("mixed").input::<u32>().step(double).concurrency(2);
/// ```
///
/// The body of a loop gets its own output:
///
/// ```compile_fail,E0271
/// # use bowline_workflow::{StepError, Workflow};
/// # async fn name(n: u32) -> Result<String, StepError> { Ok(n.to_string()) }
/// Workflow::builder("mixed").input::<u32>().do_while(name, |text: &String| text.is_empty());
/// ```
pub struct WorkflowBuilder<I = Undeclared, O = Undeclared, C = Undeclared, L = ()> {
    plan: Plan,
    shapes: Shapes<I, O, C, L>,
}

type Shapes<I, O, C, L> = PhantomData<fn(I) -> (O, C, L)>;

/// The last entry of a builder is a `foreach`.
#[derive(Debug)]
pub struct AfterForeach(());

/// The last entry of a builder is a sleep.
#[derive(Debug)]
pub struct AfterSleep(());

impl Workflow {
    /// Begins to write down the workflow `id`. The id is that of its runs in the store, so it must not change while there are
    /// some; 1 to 256 bytes without control characters.
    pub fn builder(id: impl Into<Text>) -> WorkflowBuilder {
        WorkflowBuilder {
            plan: Plan::new(id.into()),
            shapes: PhantomData,
        }
    }
}

impl<O, L> WorkflowBuilder<Undeclared, O, Undeclared, L> {
    /// What it takes, before the first step is added. Without it the first step says, and nothing is checked at the start.
    pub fn input<T: DeserializeOwned + 'static>(
        mut self,
    ) -> WorkflowBuilder<Typed<T>, O, Typed<T>, L> {
        self.plan.options.input = Some(check::<T>());
        self.shaped()
    }
}

impl<I, C, L> WorkflowBuilder<I, Undeclared, C, L> {
    /// What it is to return; the last step has to.
    pub fn output<T: 'static>(self) -> WorkflowBuilder<I, Typed<T>, C, L> {
        self.shaped()
    }
}

/// What is set for the workflow as a whole.
impl<I, O, C, L> WorkflowBuilder<I, O, C, L> {
    /// What its state is. A run cannot start with something else.
    #[must_use]
    pub fn state<T: DeserializeOwned + 'static>(mut self) -> Self {
        self.plan.options.state = Some(check::<T>());
        self
    }

    /// How often failed steps are tried again that say nothing themselves: never, unless this is called.
    #[must_use]
    pub fn retries(mut self, policy: RetryPolicy) -> Self {
        self.plan.retry = policy;
        self
    }

    /// What it does, for people.
    #[must_use]
    pub fn description(mut self, description: impl Into<Text>) -> Self {
        self.plan.options.description = Some(description.into());
        self
    }

    /// How often the process may die while one step runs before the step counts as failed: 5 unless this is called.
    #[must_use]
    pub fn max_crashes(mut self, crashes: u32) -> Self {
        self.plan.options.max_crashes = crashes;
        self
    }

    /// What its runs tell on topics of their own. Nested in another workflow it has no effect.
    #[must_use]
    pub fn outlet(mut self, outlet: impl Outlet) -> Self {
        self.plan.options.outlet = Some(Arc::new(outlet));
        self
    }

    /// Its runs tell their watchers nothing: there are no watch events. For workflows with an [`outlet`](Self::outlet), or with
    /// steps that publish themselves.
    #[must_use]
    pub fn quiet(mut self) -> Self {
        self.plan.options.quiet = true;
        self
    }

    /// How much of a run a worker takes at a time: the whole run, unless this is called. The process that works on a run decides by
    /// what its own workflow says, so processes that differ in this share runs. Nested in another workflow it has no effect.
    #[must_use]
    pub fn dispatch(mut self, dispatch: Dispatch) -> Self {
        self.plan.options.dispatch = dispatch;
        self
    }

    fn shaped<I2, O2, C2, L2>(self) -> WorkflowBuilder<I2, O2, C2, L2> {
        WorkflowBuilder {
            plan: self.plan,
            shapes: PhantomData,
        }
    }
}

/// Entries.
impl<I: Shape, O: Shape, C: Shape, L> WorkflowBuilder<I, O, C, L> {
    /// A step, or another workflow as one.
    pub fn step<M, S: IntoStep<M>>(mut self, step: S) -> WorkflowBuilder<I, O, S::Output>
    where
        C: Feeds<S::Input>,
    {
        self.plan.step(step.into_step().into_draft());
        self.shaped()
    }

    /// The same as [`step`](Self::step).
    pub fn then<M, S: IntoStep<M>>(self, step: S) -> WorkflowBuilder<I, O, S::Output>
    where
        C: Feeds<S::Input>,
    {
        self.step(step)
    }

    /// Several steps at once, all with the same input: a tuple of them, or an array or vector of one kind. It returns an
    /// object with what they returned, by their ids.
    pub fn parallel<M, B: IntoBranches<C, M>>(mut self, steps: B) -> WorkflowBuilder<I, O, Any> {
        self.plan.parallel(steps.into_branches().0);
        self.shaped()
    }

    /// At once every step whose condition holds, all with the same input. It returns an object with what they returned, by
    /// their ids; those that were not taken are not in it.
    pub fn branch(
        mut self,
        branches: impl IntoIterator<Item = When<C>>,
    ) -> WorkflowBuilder<I, O, Any> {
        let branches = branches.into_iter();
        self.plan
            .branch(branches.map(|when| (when.condition, when.draft)));
        self.shaped()
    }

    /// A step for every element of the array that the entry before returned, one at a time unless
    /// [`concurrency`](WorkflowBuilder::concurrency) follows. It returns an array in the same order.
    pub fn foreach<M, S: IntoStep<M>>(
        mut self,
        step: S,
    ) -> WorkflowBuilder<I, O, <S::Output as Shape>::List, AfterForeach>
    where
        C: FeedsEach<S::Input>,
    {
        self.plan.foreach(step.into_step().into_draft());
        self.shaped()
    }

    /// A step, and again with what it returned while `condition` holds for that. It runs at least once.
    pub fn do_while<M, N, S, T>(self, step: S, condition: T) -> WorkflowBuilder<I, O, S::Output>
    where
        S: IntoStep<M>,
        C: Feeds<S::Input>,
        S::Output: Feeds<S::Input> + Feeds<T::Input>,
        T: IntoCondition<N>,
    {
        self.repeat(step, condition, LoopKind::DoWhile)
    }

    /// A step, and again with what it returned until `condition` holds for that. It runs at least once.
    pub fn do_until<M, N, S, T>(self, step: S, condition: T) -> WorkflowBuilder<I, O, S::Output>
    where
        S: IntoStep<M>,
        C: Feeds<S::Input>,
        S::Output: Feeds<S::Input> + Feeds<T::Input>,
        T: IntoCondition<N>,
    {
        self.repeat(step, condition, LoopKind::DoUntil)
    }

    fn repeat<M, N, S: IntoStep<M>, T: IntoCondition<N>>(
        mut self,
        step: S,
        condition: T,
        kind: LoopKind,
    ) -> WorkflowBuilder<I, O, S::Output> {
        let condition = condition.into_condition().0;
        let draft = step.into_step().into_draft();
        self.plan.repeat(draft, condition, kind);
        self.shaped()
    }

    /// A function that makes the input of what follows, from the output of the entry before or from all that the run knows.
    /// Its id is `mapping_<workflow>_<n>`, counted from 0.
    pub fn map<M, S: IntoStep<M>>(mut self, function: S) -> WorkflowBuilder<I, O, S::Output>
    where
        C: Feeds<S::Input>,
    {
        self.plan.map(function.into_step().into_draft());
        self.shaped()
    }

    /// Nothing for a time, in whole milliseconds. It survives restarts; what follows gets what the entry before returned. The
    /// id is `sleep_<workflow>_<n>`, counted from 0, unless [`named`](WorkflowBuilder::named) follows.
    pub fn sleep(self, duration: Duration) -> WorkflowBuilder<I, O, C, AfterSleep> {
        self.rest(Until::Duration(duration))
    }

    /// Nothing for a time that a function computes when the run gets there.
    pub fn sleep_by<M, F>(self, duration: F) -> WorkflowBuilder<I, O, C, AfterSleep>
    where
        F: IntoFunction<M, Duration>,
        C: Feeds<F::Input>,
    {
        self.rest(Until::Function(Arc::new(duration.into_function())))
    }

    /// Nothing until an instant. If it has passed, the run goes on at once.
    pub fn sleep_until(self, instant: Timestamp) -> WorkflowBuilder<I, O, C, AfterSleep> {
        self.rest(Until::Instant(instant))
    }

    /// Nothing until an instant that a function computes when the run gets there.
    pub fn sleep_until_by<M, F>(self, instant: F) -> WorkflowBuilder<I, O, C, AfterSleep>
    where
        F: IntoFunction<M, Timestamp>,
        C: Feeds<F::Input>,
    {
        self.rest(Until::Function(Arc::new(instant.into_function())))
    }

    fn rest(mut self, until: Until) -> WorkflowBuilder<I, O, C, AfterSleep> {
        self.plan.sleep(until);
        self.shaped()
    }

    /// Takes what the last entry returns as a value of any type: whether it fits what follows is found out by the run.
    pub fn untyped(self) -> WorkflowBuilder<I, O, Any, L> {
        self.shaped()
    }

    /// The workflow.
    ///
    /// # Errors
    /// `InvalidDefinition` when it has no entries, two steps have one id, an id is not acceptable, a closure has none, a
    /// group of branches is empty, something that was set for a step does not apply to it, or no value fits the schemas of two
    /// steps one after the other. The message names the step.
    pub fn build(self) -> Result<Workflow>
    where
        C: Feeds<O>,
    {
        self.plan.build()
    }

    /// The workflow as a step of another one, with its types.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn build_step(self) -> Result<TypedStep<I, O>>
    where
        C: Feeds<O>,
    {
        self.plan.build().map(TypedStep::nested)
    }
}

impl<I: Shape, O: Shape, C: Shape> WorkflowBuilder<I, O, C, AfterForeach> {
    /// How many elements are worked on at once: at least 1.
    pub fn concurrency(mut self, width: usize) -> WorkflowBuilder<I, O, C> {
        self.plan.set_width(Width::Fixed(width));
        self.shaped()
    }

    /// How many elements are worked on at once, computed when the run gets there. 0 counts as 1, and so does
    /// a function that fails.
    pub fn concurrency_by<M, F>(mut self, width: F) -> WorkflowBuilder<I, O, C>
    where
        F: IntoFunction<M, usize>,
    {
        let width = Arc::new(width.into_function());
        self.plan.set_width(Width::Function(width));
        self.shaped()
    }
}

impl<I: Shape, O: Shape, C: Shape> WorkflowBuilder<I, O, C, AfterSleep> {
    /// Gives the sleep another id.
    pub fn named(mut self, id: impl Into<Text>) -> WorkflowBuilder<I, O, C> {
        self.plan.name_sleep(id.into());
        self.shaped()
    }
}

fn check<T: DeserializeOwned>() -> Check {
    |data: &Data| data.parse::<T>().map(|_| ())
}

impl<I, O, C, L> fmt::Debug for WorkflowBuilder<I, O, C, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkflowBuilder")
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}
