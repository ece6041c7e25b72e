//! Calling a step in a test.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bowline_events::Text;
use serde::Serialize;

use super::{CancelSource, ChunkSink, Fence, RunServices, SinkFuture, StepContext};
use crate::definition::Options;
use crate::machine::View;
use crate::{Data, RetryPolicy, SystemClock, Workflow};

/// A context for a test, without a run behind it: what the step is to see is set here, and what it did can be looked at.
///
/// ```
/// use bowline_workflow::{StepContext, StepError};
///
/// async fn total(ctx: StepContext, _: ()) -> Result<u32, StepError> {
///     ctx.write("adding").await?;
///     Ok(ctx.output_of::<u32>("first")?.unwrap_or(0) + 1)
/// }
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let test = StepContext::test().output("first", &41);
/// assert_eq!(total(test.context(), ()).await.ok(), Some(42));
/// assert_eq!(test.written().len(), 1);
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Panics
/// The methods that take a value panic when it has no JSON: the test is wrong then.
#[derive(Debug)]
pub struct TestContext {
    view: View,
    outputs: Vec<(Text, Data)>,
    cancel: CancelSource,
    written: Arc<Written>,
    made: OnceLock<StepContext>,
}

#[derive(Debug, Default)]
struct Written(Mutex<Vec<Data>>);

impl ChunkSink for Written {
    fn write<'a>(&'a self, _: &'a Text, json: String) -> SinkFuture<'a> {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        written.push(Data::made(json));
        Box::pin(std::future::ready(()))
    }
}

impl TestContext {
    pub(super) fn new() -> Self {
        let options = Options::default();
        let workflow = Workflow::new("test".into(), Vec::new(), RetryPolicy::NEVER, options);
        // Only ids can be wrong, and there are no entries to have some.
        #[expect(clippy::expect_used, reason = "it has no entries that could be wrong")]
        let workflow = workflow.expect("a workflow without entries");
        let view = View {
            workflow,
            run_id: "test-run".into(),
            step: "test-step".into(),
            input: Data::null(),
            initial: Data::null(),
            state: Data::object(),
            request_context: Data::object(),
            outputs: Arc::default(),
            resume: None,
            suspended_with: None,
            iterations: 0,
            attempt: 0,
            crashes: 0,
            index: None,
        };
        Self {
            view,
            outputs: Vec::new(),
            cancel: CancelSource::default(),
            written: Arc::default(),
            made: OnceLock::new(),
        }
    }

    /// The context as it was set. It is made at the first call; later ones return the same.
    pub fn context(&self) -> StepContext {
        let made = self.made.get_or_init(|| {
            let services = RunServices {
                run_id: self.view.run_id.clone(),
                workflow_id: self.view.workflow.id().clone(),
                resource_id: None,
                sink: Arc::clone(&self.written) as Arc<dyn ChunkSink>,
                cancel: self.cancel.token(),
                fence: Fence::open(self.cancel.token()),
                clock: Arc::new(SystemClock),
            };
            let outputs = self.outputs.clone();
            StepContext::with_outputs(self.view.clone(), Arc::new(services), outputs)
        });
        made.clone()
    }

    /// What the step gets.
    #[must_use]
    pub fn input<T: Serialize + ?Sized>(mut self, input: &T) -> Self {
        self.view.input = json(input);
        self
    }

    /// What the workflow got.
    #[must_use]
    pub fn initial<T: Serialize + ?Sized>(mut self, initial: &T) -> Self {
        self.view.initial = json(initial);
        self
    }

    /// The state of the workflow.
    #[must_use]
    pub fn state<T: Serialize + ?Sized>(mut self, state: &T) -> Self {
        self.view.state = json(state);
        self
    }

    /// The request context.
    #[must_use]
    pub fn request_context<T: Serialize + ?Sized>(mut self, context: &T) -> Self {
        self.view.request_context = json(context);
        self
    }

    /// What the step `id` returned before.
    #[must_use]
    pub fn output<T: Serialize + ?Sized>(mut self, id: impl Into<Text>, output: &T) -> Self {
        self.outputs.push((id.into(), json(output)));
        self
    }

    /// What the step is resumed with.
    #[must_use]
    pub fn resumed<T: Serialize + ?Sized>(mut self, data: &T) -> Self {
        self.view.resume = Some(json(data));
        self
    }

    /// What the step suspended with before.
    #[must_use]
    pub fn suspended_with<T: Serialize + ?Sized>(mut self, payload: &T) -> Self {
        self.view.suspended_with = Some(json(payload));
        self
    }

    /// The id of the step.
    #[must_use]
    pub fn step_id(mut self, id: impl Into<Text>) -> Self {
        self.view.step = id.into();
        self
    }

    /// The id of the run.
    #[must_use]
    pub fn run_id(mut self, id: impl Into<Text>) -> Self {
        self.view.run_id = id.into();
        self
    }

    /// How many attempts failed before.
    #[must_use]
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.view.attempt = attempt;
        self
    }

    /// How often the body of the loop ran before.
    #[must_use]
    pub fn iteration_count(mut self, count: u32) -> Self {
        self.view.iterations = count;
        self
    }

    /// Which element of a `foreach` it is.
    #[must_use]
    pub fn index(mut self, index: usize) -> Self {
        self.view.index = Some(index);
        self
    }

    /// Cancels the run.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// The watch events that the step wrote, in order.
    pub fn written(&self) -> Vec<Data> {
        let written = self.written.0.lock();
        written.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The members of the state that the step set.
    pub fn changes(&self) -> Data {
        self.context().changes().to_data()
    }
}

fn json<T: Serialize + ?Sized>(value: &T) -> Data {
    match Data::of(value) {
        Ok(data) => data,
        Err(error) => panic!("the value of the test has no JSON: {error}"),
    }
}
