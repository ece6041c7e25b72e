//! Executing steps for a run that another program orchestrates.

use std::collections::HashMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bowline_events::{PubSub, Text, Timestamp};
use futures_util::FutureExt;
use tokio::time::Instant;

use super::chunks::{Nowhere, OnBus};
use super::executions::{Executions, Found, Limits, Ticket, Waiter};
use super::members::Members;
use super::step_request::{Place, StepRequest};
use super::step_response::StepResponse;
use super::step_result::{Executed, suspended_with};
use crate::context::{CancelSource, ChunkSink, Fence, RunServices};
use crate::machine::{Completion, Failure, Outcome, View};
use crate::{Data, Error, ErrorKind, Result, StepContext, SystemClock, Workflow};

const MIB: usize = 1024 * 1024;
/// How long steps have to notice that the server is being closed, when its drain is over.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// Executes steps of its workflows for runs that another program orchestrates: what a Node worker with
/// `MASTRA_STEP_EXECUTION_URL` asks for. It knows nothing of HTTP; a server hands it the bodies of
/// `POST {base}/workflows/{workflowId}/runs/{runId}/steps/execute`.
///
/// A request that comes again does not execute the step again. While the first is being worked on, the second waits for the same
/// result; afterwards it gets the stored one. Requests are the same when workflow, run, execution path and attempt are, and with
/// them the input, what the step is resumed with, and what is known of it from before. The memory of that is the server's own:
/// it ends with the process, after the retention, and with the limits of the builder. A caller that goes away stops nothing,
/// because it may come again.
///
/// The graph of the workflow has to be the same on both sides, as to ids and places. Conditions are not asked for: the
/// orchestrator has its own. Cheap to clone.
///
/// ```
/// use bowline_workflow::bridge::StepServer;
/// use bowline_workflow::{StepError, Workflow};
///
/// async fn double(n: u32) -> Result<u32, StepError> { Ok(n * 2) }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let workflow = Workflow::builder("sums").input::<u32>().step(double).build()?;
/// let server = StepServer::builder().workflow(workflow).build()?;
/// let request = r#"{"stepId":"double","executionPath":[0],"stepResults":{"input":21},"state":{},"requestContext":{},"input":21}"#;
/// let response = server.execute("sums", "run-1", request.as_bytes()).await;
/// assert_eq!(response.status(), 200);
/// assert!(response.body().contains(r#""output":42"#));
/// # Ok::<(), bowline_workflow::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct StepServer(Arc<Inner>);

struct Inner {
    workflows: HashMap<Text, Workflow>,
    executions: Arc<Executions>,
    body_limit: usize,
    drain: Duration,
    sink: Arc<dyn ChunkSink>,
    cancel: CancelSource,
    closing: AtomicBool,
}

/// Sets up a [`StepServer`].
#[derive(Debug)]
#[must_use = "a server is made by `build`"]
pub struct StepServerBuilder {
    workflows: Vec<Workflow>,
    bus: Option<Arc<dyn PubSub>>,
    limits: Limits,
    body_limit: usize,
    drain: Duration,
}

impl StepServer {
    /// Sets up a server.
    pub fn builder() -> StepServerBuilder {
        StepServerBuilder {
            workflows: Vec::new(),
            bus: None,
            limits: Limits {
                running: 1024,
                running_bytes: 256 * MIB,
                results: 4096,
                result_bytes: 64 * MIB,
                retention: Duration::from_secs(10 * 60),
            },
            body_limit: 16 * MIB,
            drain: Duration::from_secs(5),
        }
    }

    /// Executes the step that `body` asks for, or waits for the execution of it that runs, or gives back what it returned. Must
    /// be called in a Tokio runtime. Dropping the future does not stop the step.
    pub async fn execute(&self, workflow: &str, run: &str, body: &[u8]) -> StepResponse {
        let mut waiter = match self.begin(workflow, run, body) {
            Ok(waiter) => waiter,
            Err(response) => return response,
        };
        let ended = waiter.wait_for(Option::is_some).await;
        let response = ended.ok().and_then(|response| response.clone());
        response.unwrap_or_else(closed)
    }

    /// Finds or begins an execution to wait for; the error is what can be answered at once.
    fn begin(&self, workflow: &str, run: &str, body: &[u8]) -> Result<Waiter, StepResponse> {
        if self.0.closing.load(Ordering::SeqCst) {
            return Err(closed());
        }
        if body.len() > self.0.body_limit {
            return Err(too_large(self.0.body_limit));
        }
        let workflow = self.0.workflows.get(workflow).ok_or_else(|| {
            let message = format!("there is no workflow {workflow:?} here; give it to the server");
            StepResponse::error(404, &message)
        })?;
        check_run(run)?;
        let request = StepRequest::read(body)?;
        let place = request.place(workflow)?;
        let execution = request.execution(workflow.id(), run);
        match self.0.executions.find(execution, body.len()) {
            Found::Ended(response) => Err(response),
            Found::Running(waiter) => Ok(waiter),
            Found::Nothing(ticket, waiter) => {
                self.spawn(workflow.clone(), request, place, ticket);
                Ok(waiter)
            }
            Found::Full => {
                let message = "as many steps run as may run at once; try again later";
                Err(StepResponse::error(503, message))
            }
        }
    }

    fn spawn(&self, workflow: Workflow, request: StepRequest, place: Place, ticket: Ticket) {
        let execution = ticket.execution().clone();
        let server = self.clone();
        let task = tokio::spawn(async move {
            let run = Text::from(ticket.execution().run.clone());
            if let Some(response) = server.run(&workflow, run, &request, &place).await {
                ticket.end(response);
            }
        });
        self.0.executions.abort_by(&execution, task.abort_handle());
    }

    /// `None` when the step gave up because the server is being closed: another one may execute it.
    async fn run(
        &self,
        workflow: &Workflow,
        run: Text,
        request: &StepRequest,
        place: &Place,
    ) -> Option<StepResponse> {
        let began = Timestamp::now();
        let context = self.context(workflow, &run, request, place);
        let call = AssertUnwindSafe(async { place.step.function.call(context).await });
        // Functions catch the panics of the application themselves; this is for whatever else panics.
        let completion = call.catch_unwind().await.unwrap_or_else(|_| {
            Outcome::Failed(Failure::new("Panic", "the step could not be called")).into()
        });
        if completion.outcome == Outcome::Canceled && self.0.cancel.token().is_cancelled() {
            return None;
        }
        let executed = Executed {
            run: &run,
            request,
            place,
            began,
        };
        let ended = Timestamp::now();
        let result = executed.result(&completion, ended);
        if result.as_str().len() <= self.0.body_limit {
            return Some(StepResponse::result(result.as_str().to_owned()));
        }
        let message = format!(
            "the result of the step has {} bytes, the limit is {}; keep large values elsewhere and return where",
            result.as_str().len(),
            self.0.body_limit
        );
        let failed: Completion = Outcome::Failed(Failure::new("TooLarge", &message).last()).into();
        let result = executed.result(&failed, ended);
        Some(StepResponse::result(result.as_str().to_owned()))
    }

    fn context(
        &self,
        workflow: &Workflow,
        run: &Text,
        request: &StepRequest,
        place: &Place,
    ) -> StepContext {
        let iterations = iterations(request);
        let view = View {
            workflow: workflow.clone(),
            run_id: run.clone(),
            step: place.step.id.clone(),
            input: request.element(),
            initial: request.initial(),
            state: request.state.to_data(),
            request_context: request.request_context.to_data(),
            outputs: Arc::default(),
            resume: request.resume_data.clone(),
            suspended_with: suspended_with(request, place),
            iterations,
            // The reference counts the iterations of a loop among the retries.
            crashes: 0,
            attempt: request.retries().saturating_sub(iterations),
            index: place.index,
        };
        let services = RunServices {
            run_id: run.clone(),
            workflow_id: workflow.id().clone(),
            resource_id: None,
            sink: Arc::clone(&self.0.sink),
            cancel: self.0.cancel.token(),
            // Whose run it is, is for the orchestrator to say.
            fence: Fence::open(self.0.cancel.token()),
            clock: Arc::new(SystemClock),
        };
        StepContext::with_outputs(view, Arc::new(services), outputs(workflow, request))
    }

    /// Steps that are being executed.
    pub fn running(&self) -> usize {
        self.0.executions.running()
    }

    /// Bytes of a request, and of a result, at most.
    pub fn body_limit(&self) -> usize {
        self.0.body_limit
    }

    /// Takes no further request, and lets steps that run end for a while (the drain of the builder). Those that have not ended
    /// then are told by their context, and given up a second later; who waits for them is answered with 503. Closing again is
    /// fine.
    pub async fn close(&self) {
        self.0.closing.store(true, Ordering::SeqCst);
        let executions = &self.0.executions;
        executions.idle(Instant::now() + self.0.drain).await;
        self.0.cancel.cancel();
        executions.idle(Instant::now() + LAST_MOMENT).await;
        executions.abort();
    }
}

impl StepServerBuilder {
    /// A workflow whose steps it executes.
    pub fn workflow(mut self, workflow: Workflow) -> Self {
        self.workflows.push(workflow);
        self
    }

    /// Workflows whose steps it executes: those of an engine, for example.
    pub fn workflows(mut self, workflows: impl IntoIterator<Item = Workflow>) -> Self {
        self.workflows.extend(workflows);
        self
    }

    /// Where watchers see what steps write; without one it is dropped.
    pub fn bus(mut self, bus: Arc<dyn PubSub>) -> Self {
        self.bus = Some(bus);
        self
    }

    /// Bytes of a request, and of a result, at most; 16 MiB unless set.
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }

    /// Steps that are executed at a time, 1024 unless set, and the bytes of their requests, 256 MiB unless set. One is always
    /// executed, whatever its size.
    pub fn max_running(mut self, steps: usize, bytes: usize) -> Self {
        self.limits.running = steps;
        self.limits.running_bytes = bytes;
        self
    }

    /// Results that are kept for requests that come again: how many, 4096 unless set, and their bytes, 64 MiB unless set. The
    /// oldest go first.
    pub fn max_results(mut self, results: usize, bytes: usize) -> Self {
        self.limits.results = results;
        self.limits.result_bytes = bytes;
        self
    }

    /// How long a result is kept for requests that come again; 10 minutes unless set. It has to be longer than the orchestrator
    /// goes on trying: that is about two minutes for core 1.71.
    pub fn retention(mut self, retention: Duration) -> Self {
        self.limits.retention = retention;
        self
    }

    /// How long steps may take to end when the server is closed; 5 s unless set.
    pub fn drain(mut self, drain: Duration) -> Self {
        self.drain = drain;
        self
    }

    /// The server.
    ///
    /// # Errors
    /// `InvalidDefinition` for two workflows of one id.
    pub fn build(self) -> Result<StepServer> {
        let mut workflows = HashMap::with_capacity(self.workflows.len());
        for workflow in self.workflows {
            let id = workflow.id().clone();
            if workflows.insert(id.clone(), workflow).is_some() {
                let message = "two workflows have this id; give one of them another";
                let error = Error::new(ErrorKind::InvalidDefinition, "serve steps", message);
                return Err(error.with_subject(id));
            }
        }
        let sink: Arc<dyn ChunkSink> = match self.bus {
            Some(bus) => Arc::new(OnBus(bus)),
            None => Arc::new(Nowhere),
        };
        Ok(StepServer(Arc::new(Inner {
            workflows,
            executions: Executions::new(self.limits),
            body_limit: self.body_limit,
            drain: self.drain,
            sink,
            cancel: CancelSource::default(),
            closing: AtomicBool::new(false),
        })))
    }
}

/// How often the body of a loop has run before.
fn iterations(request: &StepRequest) -> u32 {
    let before = request.before().and_then(Members::of);
    let metadata = before.as_ref().and_then(|before| before.get("metadata"));
    let count = metadata
        .and_then(Members::of)
        .and_then(|metadata| metadata.get("iterationCount")?.parse().ok());
    count.unwrap_or(0)
}

/// What the steps of `workflow` have returned that were executed before.
fn outputs(workflow: &Workflow, request: &StepRequest) -> Vec<(Text, Data)> {
    let results = request.step_results.iter();
    results
        .filter(|(id, _)| workflow.index_of(id).is_some())
        .filter_map(|(id, result)| {
            let result = Members::of(result)?;
            let succeeded = result.text("status").as_deref() == Some("success");
            let output = result.get("output").cloned();
            succeeded.then(|| (id.to_owned().into(), output.unwrap_or_default()))
        })
        .collect()
}

fn check_run(run: &str) -> Result<(), StepResponse> {
    const MAX: usize = 256;
    if run.is_empty() || run.len() > MAX {
        let message = format!(
            "the id of a run has 1 to {MAX} bytes, this has {}",
            run.len()
        );
        return Err(StepResponse::error(400, &message));
    }
    Ok(())
}

fn closed() -> StepResponse {
    StepResponse::error(503, "the server is being closed; ask another one")
}

pub(super) fn too_large(limit: usize) -> StepResponse {
    let message = format!(
        "the request has more than {limit} bytes; keep large values elsewhere, or raise the limit"
    );
    StepResponse::error(413, &message)
}

impl fmt::Debug for StepServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepServer")
            .field("workflows", &self.0.workflows.len())
            .field("running", &self.running())
            .finish_non_exhaustive()
    }
}
