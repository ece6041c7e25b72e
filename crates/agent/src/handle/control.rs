//! Controlling runs: approving, answering, stopping, finding.

use bowline_events::Text;
use bowline_workflow::{Data, Resume, Run, RunPage, RunQuery, RunStatus};
use serde::{Deserialize, Serialize};

use super::{AgentHandle, AgentRuns};
use crate::durable::{stop, workflow};
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

impl AgentRuns {
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
        let failed = |error| Error::engine("abort", error);
        stop::request(&*self.store, &*self.bus, &run_id).await?;
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

    /// The runs of the agent called `agent`, the newest first. An agent that nobody has ever heard of has none.
    ///
    /// # Errors
    /// `Store`.
    pub async fn list(&self, agent: &str, query: RunQuery) -> Result<RunPage> {
        let query = query.workflow(workflow::id(agent));
        let page = self.engine.runs(&query).await;
        page.map_err(|error| Error::engine("list runs", error))
    }

    /// The id of the agent of a run.
    ///
    /// # Errors
    /// As [`status`](Self::status).
    pub async fn agent_of(&self, run_id: &str) -> Result<Text> {
        let (_, agent) = self.find("find agent", run_id).await?;
        Ok(agent)
    }

    /// How a run is.
    ///
    /// # Errors
    /// `NotFound` for a run that is unknown, no run of an agent, or past its retention; `Store`.
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

    /// A run that these are the runs of.
    async fn own_run(&self, operation: &'static str, run_id: &str) -> Result<Run> {
        let (run, agent) = self.find(operation, run_id).await?;
        match &self.agent {
            Some(own) if *own != agent => {
                let message = format!("it is a run of the agent {agent}, not of {own}");
                Err(not_found(operation, run_id, message))
            }
            _ => Ok(run),
        }
    }

    /// A run of any agent, and the agent.
    async fn find(&self, operation: &'static str, run_id: &str) -> Result<(Run, Text)> {
        let failed = |error| Error::engine(operation, error);
        let run = self.engine.run(run_id).await.map_err(failed)?;
        let info = run.info().await.map_err(failed)?;
        match workflow::agent(&info.workflow) {
            Some(agent) => Ok((run, agent.to_owned().into())),
            None => {
                let message = format!(
                    "it is a run of the workflow {}, and not of an agent",
                    info.workflow
                );
                Err(not_found(operation, run_id, message))
            }
        }
    }
}

fn not_found(operation: &'static str, run_id: &str, message: String) -> Error {
    Error::new(ErrorKind::NotFound, operation, message).with_subject(run_id.to_owned())
}

impl AgentHandle {
    /// As [`AgentRuns::resume`].
    ///
    /// # Errors
    /// As there; a run of another agent is unknown.
    pub async fn resume<T: Serialize + ?Sized>(
        &self,
        run_id: &str,
        tool_call: Option<&str>,
        data: &T,
    ) -> Result<()> {
        self.runs.resume(run_id, tool_call, data).await
    }

    /// As [`AgentRuns::approve`].
    ///
    /// # Errors
    /// As [`resume`](Self::resume).
    pub async fn approve(&self, run_id: &str, tool_call: &str) -> Result<()> {
        self.runs.approve(run_id, tool_call).await
    }

    /// As [`AgentRuns::decline`].
    ///
    /// # Errors
    /// As [`resume`](Self::resume).
    pub async fn decline(&self, run_id: &str, tool_call: &str, reason: Option<&str>) -> Result<()> {
        self.runs.decline(run_id, tool_call, reason).await
    }

    /// As [`AgentRuns::abort`].
    ///
    /// # Errors
    /// As there; a run of another agent is unknown.
    pub async fn abort(&self, run_id: &str) -> Result<()> {
        self.runs.abort(run_id).await
    }

    /// The runs of the agent, the newest first.
    ///
    /// # Errors
    /// `Store`.
    pub async fn runs(&self, query: RunQuery) -> Result<RunPage> {
        self.runs.list(self.agent().id(), query).await
    }

    /// As [`AgentRuns::status`].
    ///
    /// # Errors
    /// As there; a run of another agent is unknown.
    pub async fn status(&self, run_id: &str) -> Result<RunStatus> {
        self.runs.status(run_id).await
    }

    /// As [`AgentRuns::suspended`].
    ///
    /// # Errors
    /// As [`status`](Self::status).
    pub async fn suspended(&self, run_id: &str) -> Result<Vec<SuspendedCall>> {
        self.runs.suspended(run_id).await
    }
}
