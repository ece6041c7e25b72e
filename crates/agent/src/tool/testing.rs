//! Calling a tool in a test.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tokio::sync::watch;

use super::context::Call;
use super::{Tool, ToolContext, ToolError, ToolSink};
use crate::{BoxFuture, Data};

/// Calls a tool in a test, without an agent and a run: what it is resumed with is set here, and what it wrote can be looked at.
///
/// ```
/// use bowline_agent::tool::{IntoTool, TestTool, ToolContext, ToolError};
///
/// async fn now(ctx: ToolContext) -> Result<u64, ToolError> {
///     ctx.write("looking at the clock").await?;
///     Ok(12)
/// }
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let test = TestTool::new(now.into_tool().build()?);
/// assert_eq!(test.call(&()).await?.as_str(), "12");
/// assert_eq!(test.written().len(), 1);
/// # Ok::<(), ToolError>(())
/// # }).map_err(|error| std::io::Error::other(error.to_string()))?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Panics
/// The methods that take a value panic when it has no JSON: the test is wrong then.
pub struct TestTool {
    tool: Tool,
    resume: Option<Data>,
    suspended_with: Option<Data>,
    sink: Arc<Sink>,
}

struct Sink {
    written: Mutex<Vec<Data>>,
    aborted: watch::Sender<bool>,
}

impl ToolSink for Sink {
    fn write(&self, chunk: Data) -> BoxFuture<'_, ()> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.push(chunk);
        Box::pin(std::future::ready(()))
    }

    fn aborted(&self) -> BoxFuture<'_, ()> {
        let mut aborted = self.aborted.subscribe();
        Box::pin(async move {
            // The sender lives as long as this sink.
            let _ = aborted.wait_for(|aborted| *aborted).await;
        })
    }

    fn is_aborted(&self) -> bool {
        *self.aborted.borrow()
    }
}

impl TestTool {
    /// Calls `tool`.
    pub fn new(tool: Tool) -> Self {
        Self {
            tool,
            resume: None,
            suspended_with: None,
            sink: Arc::new(Sink {
                written: Mutex::default(),
                aborted: watch::Sender::new(false),
            }),
        }
    }

    /// The next calls are resumed with `answer` after they suspended with `payload`.
    #[must_use]
    pub fn resumed<S: Serialize, R: Serialize>(mut self, payload: &S, answer: &R) -> Self {
        self.suspended_with = Some(json(payload));
        self.resume = Some(json(answer));
        self
    }

    /// Aborts the run of the calls that are under way and of all later ones.
    pub fn abort(&self) {
        self.sink.aborted.send_replace(true);
    }

    /// Calls it as the call `test-call` of the run `test-run`.
    ///
    /// # Errors
    /// What the tool says; `ToolNotFoundError` when it is client-side.
    pub async fn call<A: Serialize + ?Sized>(&self, args: &A) -> Result<Data, ToolError> {
        let context = ToolContext::new(Call {
            tool: self.tool.name().clone(),
            call_id: "test-call".into(),
            run_id: "test-run".into(),
            agent_id: "test-agent".into(),
            thread_id: None,
            resource_id: None,
            resume: self.resume.clone(),
            suspended_with: self.suspended_with.clone(),
            sink: Arc::clone(&self.sink) as Arc<dyn ToolSink>,
        });
        match self.tool.call(context, json(args)) {
            Some(work) => work.await,
            None => Err(ToolError::fail(
                "ToolNotFoundError",
                "the client executes this tool, so that there is nothing to call here",
            )),
        }
    }

    /// The chunks that were written, in order.
    pub fn written(&self) -> Vec<Data> {
        let written = self.sink.written.lock();
        written.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[expect(
    clippy::expect_used,
    reason = "a value without JSON is a mistake in the test"
)]
fn json<T: Serialize + ?Sized>(value: &T) -> Data {
    Data::of(value).expect("the value has no JSON")
}

impl fmt::Debug for TestTool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestTool")
            .field("tool", &self.tool)
            .finish_non_exhaustive()
    }
}
