//! Controlling runs: approving, answering, stopping, finding.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::Text;
use bowline_store::Store;
use bowline_workflow::{Data, Resume, Run, RunInfo, RunPage, RunQuery, RunStatus};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::runs::is_unknown;
use super::{AgentHandle, AgentRuns};
use crate::chunk::event::SuspendKind;
use crate::durable::tool_call::Decision;
use crate::durable::{stop, workflow};
use crate::{Error, ErrorKind, Result};

/// How long it is looked whether a run that is to stop begins to wait: longer than what goes on in it takes to hear of it.
const HALTS: Duration = Duration::from_secs(60);

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
    /// What it waits for.
    #[serde(rename = "type")]
    pub kind: SuspendKind,
    /// What the tool says about it.
    #[serde(default, rename = "toolCallSuspended")]
    pub payload: Option<Data>,
    /// The JSON schema of the answer.
    #[serde(default)]
    pub resume_schema: Option<Data>,
}

/// The calls that wait.
fn waiting(
    info: &RunInfo,
) -> impl Iterator<Item = bowline_workflow::Result<SuspendedCall>> + use<'_> {
    info.suspended.iter().map(|step| step.payload.parse())
}

/// Whether `answer` can be one to the call that is meant, as far as it waits to be approved.
fn check_answer(info: &RunInfo, tool_call: Option<&str>, answer: &Data) -> Result<()> {
    let refused = |message| {
        Err(Error::new(ErrorKind::InvalidInput, "resume", message).with_subject(info.id.clone()))
    };
    if tool_call.is_none() && info.suspended.len() > 1 {
        return refused("several calls wait; name the one that is answered");
    }
    let is_meant = |call: &SuspendedCall| tool_call.is_none_or(|id| call.tool_call_id == id);
    let mut meant = waiting(info)
        .filter_map(bowline_workflow::Result::ok)
        .filter(is_meant);
    let asks = meant
        .next()
        .is_some_and(|call| call.kind == SuspendKind::Approval);
    if !asks || answer.parse::<Decision>().is_ok() {
        return Ok(());
    }
    let message =
        "the call waits to be approved; answer {\"approved\": true} or {\"approved\": false}";
    refused(message)
}

/// Ends a run that waits for somebody: nobody works on it who could.
async fn end_waiting(store: &dyn Store, run: &Run) -> bowline_workflow::Result<()> {
    match run.cancel().await {
        Err(error) if error.kind() != bowline_workflow::ErrorKind::WrongState => return Err(error),
        _ => {}
    }
    stop::forget(store, run.id()).await;
    Ok(())
}

impl AgentRuns {
    /// Answers a call of a tool that waits: with what the tool asked for, or `{"approved": ...}`. `tool_call` may be left out when
    /// only one waits. When this returns, the answer is in the store and the run goes on; of two answers one wins.
    ///
    /// # Errors
    /// `NotFound` for an unknown run and a call that does not wait, `WrongState` when the run does not wait, `InvalidInput` when
    /// several calls wait and none is named, and when one waits to be approved and the answer is no decision, `Conflict` when
    /// somebody else has answered, `Store`.
    pub async fn resume<T: Serialize + ?Sized>(
        &self,
        run_id: &str,
        tool_call: Option<&str>,
        data: &T,
    ) -> Result<()> {
        let (_, info) = self.own_run("resume", run_id).await?;
        let failed = |error| Error::engine("resume", error);
        let data = Data::of(data).map_err(failed)?;
        check_answer(&info, tool_call, &data)?;
        let mut resume = Resume::with_data(data);
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
    /// what was said so far. It holds when the process that works on the run dies now. A run that has ended stays as it is. A run of a
    /// Node process is told, which holds only if it listens.
    ///
    /// # Errors
    /// `NotFound`, `Store`.
    pub async fn abort(&self, run_id: &str) -> Result<()> {
        let (run, info) = match self.own_run("abort", run_id).await {
            Ok(own) => own,
            // A run of a Node process: the word is all there is.
            Err(error) if is_unknown(&error) && self.is_told_of(run_id).await? => {
                let told = stop::tell(&*self.bus, &run_id.to_owned().into()).await;
                return told.map_err(|error| Error::bus("abort", error));
            }
            Err(error) => return Err(error),
        };
        if info.status.is_final() {
            return Ok(());
        }
        let failed = |error| Error::engine("abort", error);
        stop::request(&*self.store, &*self.bus, run.id()).await?;
        if run.status().await.map_err(failed)? == RunStatus::Suspended {
            return end_waiting(&*self.store, &run).await.map_err(failed);
        }
        // It may have begun to wait before it has heard of it.
        let store = Arc::clone(&self.store);
        tokio::spawn(async move {
            let halted = timeout(HALTS, run.result()).await;
            if let Ok(Ok(result)) = halted
                && result.status() == RunStatus::Suspended
                && let Err(error) = end_waiting(&*store, &run).await
            {
                tracing::warn!(run = %run.id(), %error, "a run that is to stop waits; stop it again");
            }
        });
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
        let (_, _, agent) = self.find("find agent", run_id).await?;
        Ok(agent)
    }

    /// How a run is.
    ///
    /// # Errors
    /// `NotFound` for a run that is unknown, no run of an agent, or past its retention; `Store`.
    pub async fn status(&self, run_id: &str) -> Result<RunStatus> {
        let (_, info) = self.own_run("status", run_id).await?;
        Ok(info.status)
    }

    /// The calls of a run that wait for somebody.
    ///
    /// # Errors
    /// As [`status`](Self::status).
    pub async fn suspended(&self, run_id: &str) -> Result<Vec<SuspendedCall>> {
        let (_, info) = self.own_run("suspended", run_id).await?;
        let calls = waiting(&info);
        let calls = calls.map(|call| call.map_err(|error| Error::engine("suspended", error)));
        calls.collect()
    }

    /// A run that these are the runs of.
    pub(super) async fn own_run(
        &self,
        operation: &'static str,
        run_id: &str,
    ) -> Result<(Run, RunInfo)> {
        let (run, info, agent) = self.find(operation, run_id).await?;
        match &self.agent {
            Some(own) if *own != agent => {
                let message = format!("it is a run of the agent {agent}, not of {own}");
                Err(not_found(operation, run_id, message))
            }
            _ => Ok((run, info)),
        }
    }

    /// A run of any agent, and the agent.
    async fn find(&self, operation: &'static str, run_id: &str) -> Result<(Run, RunInfo, Text)> {
        let failed = |error| Error::engine(operation, error);
        let (run, info) = self.engine.find(run_id).await.map_err(failed)?;
        let Some(agent) = workflow::agent(&info.workflow) else {
            let message = format!(
                "it is a run of the workflow {}, and not of an agent",
                info.workflow
            );
            return Err(not_found(operation, run_id, message));
        };
        let agent = agent.to_owned().into();
        Ok((run, info, agent))
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
