//! Controlling runs: approving, answering, stopping, finding.

use bowline_events::Text;
use bowline_workflow::{Data, Resume, Run, RunPage, RunQuery, RunStatus};
use serde::{Deserialize, Serialize};

use super::AgentHandle;
use crate::durable::stop;
use crate::{Error, ErrorKind, Result};

/// A call of a tool that waits for somebody.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SuspendedCall {
    /// The id of the call, by which it is answered.
    pub tool_call_id: Text,
    /// The name of the tool.
    pub tool_name: Text,
    /// The arguments.
    pub args: Data,
    /// `approval`, or `suspension` when the tool asks for something.
    #[serde(rename = "type")]
    pub kind: Text,
    /// What the tool waits for.
    #[serde(default, rename = "toolCallSuspended")]
    pub payload: Option<Data>,
    /// The JSON schema of the answer.
    #[serde(default)]
    pub resume_schema: Option<Data>,
}

impl AgentHandle {
    /// Answers a call of a tool that waits: with what the tool asked for, or `{"approved": ...}`. `tool_call` may be left out when
    /// only one waits. When this returns, the answer is in the store and the run goes on; of two answers one wins.
    ///
    /// # Errors
    /// `NotFound` for an unknown run and a call that does not wait, `WrongState` when the run does not wait, `Conflict` when
    /// somebody else has answered, `Store`.
    pub async fn resume<T: Serialize + ?Sized>(
        &self,
        run_id: &str,
        tool_call: Option<&str>,
        data: &T,
    ) -> Result<()> {
        self.own_run("resume", run_id).await?;
        let failed = |error| Error::engine("resume", error);
        let mut resume = Resume::with(data).map_err(failed)?;
        if let Some(call) = tool_call {
            resume = resume.label(call);
        }
        self.engine.resume(run_id, resume).await.map_err(failed)?;
        Ok(())
    }

    /// Allows a call of a tool.
    ///
    /// # Errors
    /// As [`resume`](Self::resume).
    pub async fn approve(&self, run_id: &str, tool_call: &str) -> Result<()> {
        let answer = serde_json::json!({ "approved": true });
        self.resume(run_id, Some(tool_call), &answer).await
    }

    /// Refuses a call of a tool; the model is told why, and goes on.
    ///
    /// # Errors
    /// As [`resume`](Self::resume).
    pub async fn decline(&self, run_id: &str, tool_call: &str, reason: Option<&str>) -> Result<()> {
        let answer = match reason {
            Some(reason) => serde_json::json!({ "approved": false, "reason": reason }),
            None => serde_json::json!({ "approved": false }),
        };
        self.resume(run_id, Some(tool_call), &answer).await
    }

    /// Stops a run, wherever it runs: a model is asked no further, tools are told, and the run ends with the reason `abort` and
    /// what was said so far. It holds when the process that works on the run dies now. A run that has ended stays as it is.
    ///
    /// # Errors
    /// `NotFound`, `Store`.
    pub async fn abort(&self, run_id: &str) -> Result<()> {
        let run = self.own_run("abort", run_id).await?;
        let run_id = run.id().clone();
        let services = &self.services;
        let failed = |error| Error::engine("abort", error);
        stop::request(&*services.store, &*services.bus, &run_id).await?;
        if run.status().await.map_err(failed)? == RunStatus::Suspended {
            // Nobody works on it who could end it.
            match run.cancel().await {
                Err(error) if error.kind() != bowline_workflow::ErrorKind::WrongState => {
                    return Err(failed(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The runs of the agent, the newest first.
    ///
    /// # Errors
    /// `Store`.
    pub async fn runs(&self, query: RunQuery) -> Result<RunPage> {
        let query = query.workflow(self.workflow_id());
        let page = self.engine.runs(&query).await;
        page.map_err(|error| Error::engine("list runs", error))
    }

    /// How a run is.
    ///
    /// # Errors
    /// `NotFound` for a run that is unknown, of another agent, or past its retention; `Store`.
    pub async fn status(&self, run_id: &str) -> Result<RunStatus> {
        let run = self.own_run("status", run_id).await?;
        let status = run.status().await;
        status.map_err(|error| Error::engine("status", error))
    }

    /// The calls of a run that wait for somebody.
    ///
    /// # Errors
    /// As [`status`](Self::status).
    pub async fn suspended(&self, run_id: &str) -> Result<Vec<SuspendedCall>> {
        let run = self.own_run("suspended", run_id).await?;
        let failed = |error| Error::engine("suspended", error);
        let info = run.info().await.map_err(failed)?;
        let calls = info.suspended.iter().map(|step| step.payload.parse());
        calls.map(|call| call.map_err(failed)).collect()
    }

    /// A run of this agent.
    pub(super) async fn own_run(&self, operation: &'static str, run_id: &str) -> Result<Run> {
        let run = self.engine.run(run_id).await;
        let run = run.map_err(|error| Error::engine(operation, error))?;
        let info = run.info().await;
        let info = info.map_err(|error| Error::engine(operation, error))?;
        if info.workflow == self.workflow_id() {
            return Ok(run);
        }
        let message = format!("it is a run of {}, not of this agent", info.workflow);
        Err(Error::new(ErrorKind::NotFound, operation, message).with_subject(run_id.to_owned()))
    }
}
