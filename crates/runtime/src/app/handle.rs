//! A handle on a workflow.

use bowline_workflow::{Engine, Error, ErrorKind, Result, Run, RunPage, RunQuery, Start, Workflow};
use serde::Serialize;

/// A handle on a workflow of an application. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WorkflowHandle {
    engine: Engine,
    workflow: Workflow,
}

impl WorkflowHandle {
    pub(super) fn find(engine: &Engine, id: &str) -> Result<Self> {
        let all = engine.workflows();
        if let Some(workflow) = all.iter().find(|workflow| workflow.id() == id) {
            return Ok(Self {
                engine: engine.clone(),
                workflow: workflow.clone(),
            });
        }
        let known: Vec<&str> = all.iter().map(|workflow| workflow.id().as_str()).collect();
        let message = format!(
            "the application has no such workflow, it has [{}]; give it to the builder",
            known.join(", ")
        );
        Err(Error::new(ErrorKind::NotFound, "find workflow", message).with_subject(id.to_owned()))
    }

    /// The workflow.
    pub fn workflow(&self) -> &Workflow {
        &self.workflow
    }

    /// Starts a run with `input`. When this returns, the run is in the store and will be done.
    ///
    /// # Errors
    /// `InvalidInput` when the input has no JSON or is not what the workflow takes, and as [`Engine::start`].
    pub async fn run<T: Serialize + ?Sized>(&self, input: &T) -> Result<Run> {
        self.start(Start::with(input)?).await
    }

    /// Starts a run.
    ///
    /// # Errors
    /// As [`Engine::start`].
    pub async fn start(&self, start: Start) -> Result<Run> {
        self.engine.start(self.workflow.id(), start).await
    }

    /// Its runs, the newest first.
    ///
    /// # Errors
    /// As [`Engine::runs`].
    pub async fn runs(&self, query: RunQuery) -> Result<RunPage> {
        self.engine
            .runs(&query.workflow(self.workflow.id().clone()))
            .await
    }
}
