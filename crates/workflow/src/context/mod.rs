//! What a step sees.

mod cancel;
mod control;
mod fence;
mod services;
mod testing;
mod values;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bowline_events::{Text, Timestamp};

pub(crate) use cancel::CancelSource;
pub(crate) use fence::{Fence, Hold};
pub(crate) use services::{ChunkSink, RunServices, SinkFuture};
pub use testing::TestContext;

use crate::Data;
use crate::data::Fields;
use crate::machine::View;

/// What a step, a condition or another function of a workflow sees of its run. Cheap to clone; clones are the same attempt.
///
/// ```
/// use bowline_workflow::{StepContext, StepError};
///
/// async fn greet(ctx: StepContext, name: String) -> Result<String, StepError> {
///     ctx.set_state(&serde_json::json!({ "greeted": name }))?;
///     Ok(format!("Hello, {name}!"))
/// }
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let test = StepContext::test();
/// let output = greet(test.context(), "Ada".into()).await;
/// assert_eq!(output.ok().as_deref(), Some("Hello, Ada!"));
/// assert_eq!(test.changes().as_str(), r#"{"greeted":"Ada"}"#);
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct StepContext(Arc<Attempt>);

struct Attempt {
    view: View,
    services: Arc<RunServices>,
    /// What it has set of the state.
    changes: Mutex<Fields>,
    /// Outputs of steps that are not in the view: of a test, or of a run that another program orchestrates.
    given: Vec<(Text, Data)>,
}

impl StepContext {
    /// The context of one attempt of a step.
    pub(crate) fn new(view: View, services: Arc<RunServices>) -> Self {
        Self::with_outputs(view, services, Vec::new())
    }

    /// As [`new`](Self::new), with outputs of steps that come from elsewhere.
    pub(crate) fn with_outputs(
        view: View,
        services: Arc<RunServices>,
        given: Vec<(Text, Data)>,
    ) -> Self {
        Self(Arc::new(Attempt {
            view,
            services,
            changes: Mutex::default(),
            given,
        }))
    }

    /// A context without a run behind it, to call a step in a test.
    pub fn test() -> TestContext {
        TestContext::new()
    }

    /// The id of the run. In a nested workflow it is that of the nested run, whose watchers see what the step writes;
    /// [`root_run_id`](Self::root_run_id) is the one to resume or cancel.
    pub fn run_id(&self) -> &Text {
        &self.0.view.run_id
    }

    /// The id of the run that was started, whatever is nested in it.
    pub fn root_run_id(&self) -> &Text {
        &self.0.services.run_id
    }

    /// The id of the workflow that the step belongs to.
    pub fn workflow_id(&self) -> &Text {
        self.0.view.workflow.id()
    }

    /// The id of the workflow that was started, whatever is nested in it.
    pub fn root_workflow_id(&self) -> &Text {
        &self.0.services.workflow_id
    }

    /// The id of the step.
    pub fn step_id(&self) -> &Text {
        &self.0.view.step
    }

    /// Whom the run is for, if whoever started it said so.
    pub fn resource_id(&self) -> Option<&Text> {
        self.0.services.resource_id.as_ref()
    }

    /// How many attempts of this step failed before: 0 at first.
    pub fn attempt(&self) -> u32 {
        self.0.view.attempt
    }

    /// The time of day, by the clock of the engine that runs it.
    pub fn now(&self) -> Timestamp {
        self.0.services.clock.now()
    }

    /// How often the process died while this step ran: 0 unless it runs again after a crash.
    pub fn crashes(&self) -> u32 {
        self.0.view.crashes
    }

    /// How often the body of the loop has run before; in the condition of the loop, this time included.
    pub fn iteration_count(&self) -> u32 {
        self.0.view.iterations
    }

    /// Which element of the array it is, in a `foreach`.
    pub fn index(&self) -> Option<usize> {
        self.0.view.index
    }

    /// All that the attempt sees of its run.
    #[cfg(feature = "bridge-client")]
    pub(crate) fn view(&self) -> &View {
        &self.0.view
    }

    /// The members of the state that were set; `None` when none were.
    pub(crate) fn take_changes(&self) -> Option<Data> {
        let mut changes = self.changes();
        (!changes.is_empty()).then(|| std::mem::take(&mut *changes).to_data())
    }

    fn changes(&self) -> std::sync::MutexGuard<'_, Fields> {
        let changes = self.0.changes.lock();
        changes.unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for StepContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepContext")
            .field("run", self.run_id())
            .field("step", self.step_id())
            .field("attempt", &self.attempt())
            .finish_non_exhaustive()
    }
}
