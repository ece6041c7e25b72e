//! The step that calls a tool.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::Text;
use bowline_workflow::{Data, StepContext, StepError};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::stop::Ear;
use super::transcript::{Call, Failure, Outcome, Transcript, given, outcome_key};
use super::workflow::{CallRef, Services};
use super::{bus_failure, store_failure};
use crate::chunk::{Chunk, Denial, Encoder, ToolFailure, ToolResult};
use crate::message::{Approval, NOT_APPROVED};
use crate::model::ToolInput;
use crate::tool::{ToolContext, ToolError, ToolRun, ToolSink};
use crate::{BoxFuture, Tool};

/// How long a tool may go on after the run was stopped.
const GRACE: Duration = Duration::from_secs(5);

/// What a call waits for, as the run keeps it and readers are told.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Waiting {
    #[serde(rename = "type")]
    pub(crate) kind: WaitKind,
    pub(crate) tool_call_id: Text,
    pub(crate) tool_name: Text,
    pub(crate) args: Data,
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) tool_call_suspended: Option<Data>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resume_schema: Option<Data>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum WaitKind {
    Approval,
    Suspension,
}

/// The answer to a question for approval.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Decision {
    approved: bool,
    #[serde(default)]
    reason: Option<Text>,
}

impl Decision {
    /// What is no decision is none in favour.
    fn of(answer: &Data) -> Self {
        answer.parse().unwrap_or_default()
    }
}

/// Calls a tool, or waits until somebody allows it or says what it asks for.
pub(crate) async fn call(
    services: Arc<Services>,
    ctx: StepContext,
    which: CallRef,
) -> Result<(), StepError> {
    let transcript = Transcript::of_step(&ctx)?;
    let answer = transcript.answers.get(&which.n);
    let Some(call) = answer.and_then(|answer| answer.calls().nth(which.k)) else {
        let message = format!("round {} has no call {}", which.n, which.k);
        return Err(StepError::fail("Error", message).no_retry());
    };
    if call.provider_executed {
        return Ok(());
    }
    let calling = Calling {
        services: &services,
        ctx: &ctx,
        transcript: &transcript,
        call,
        ear: services
            .ear(&transcript.run.run_id)
            .await
            .map_err(store_failure)?,
    };
    let outcome = match calling.outcome().await {
        Ok(outcome) => outcome,
        Err(error) => {
            if error.suspension().is_some() {
                // While it waits nobody here has to hear that it is to stop.
                services.ears.forget(&transcript.run.run_id);
            }
            return Err(error);
        }
    };
    calling.tell(&outcome).await?;
    let key = outcome_key(which.n, call.id);
    ctx.set_state(&serde_json::json!({ key: outcome }))?;
    Ok(())
}

struct Calling<'a> {
    services: &'a Arc<Services>,
    ctx: &'a StepContext,
    transcript: &'a Transcript,
    call: Call<'a>,
    ear: Ear,
}

impl Calling<'_> {
    async fn outcome(&self) -> Result<Outcome, StepError> {
        let Some(tool) = self.tool() else {
            return Ok(failed(self.not_found()));
        };
        if self.ear.is_stopped() {
            return Ok(failed(aborted()));
        }
        let waited = self.ctx.suspended_with::<Waiting>()?;
        let kind = waited.as_ref().map(|waited| waited.kind);
        let mut approval = None;
        let asked = self
            .transcript
            .run
            .asks_for_approval(&self.services.agent.0);
        if kind != Some(WaitKind::Suspension) && tool.needs_approval(self.call.args, asked) {
            match self.ctx.resumed::<Data>()? {
                Some(answer) => approval = Some(self.approval(Decision::of(&answer))),
                None => return Err(self.wait(WaitKind::Approval, None, None)),
            }
        }
        if approval.as_ref().is_some_and(|it| !it.approved) {
            return Ok(Outcome {
                approval,
                ..Outcome::default()
            });
        }
        if tool.is_client_side() {
            return Ok(Outcome {
                client: true,
                approval,
                ..Outcome::default()
            });
        }
        let mut outcome = self.run(tool, waited, kind).await?;
        outcome.approval = approval;
        Ok(outcome)
    }

    fn tool(&self) -> Option<&Tool> {
        let name = self.call.name;
        let tool = self.services.agent.tool(name);
        tool.filter(|_| self.transcript.run.is_active(name))
    }

    fn not_found(&self) -> Failure {
        let tools = self.services.agent.tools().iter().map(Tool::name);
        let tools: Vec<&str> = tools
            .filter(|name| self.transcript.run.is_active(name))
            .map(Text::as_str)
            .collect();
        let message = format!(
            "Tool \"{}\" not found. Available tools: {}. Call tools by their exact name only \u{2014} never add prefixes, namespaces, or colons.",
            self.call.name,
            tools.join(", ")
        );
        Failure {
            name: "ToolNotFoundError".into(),
            message,
        }
    }

    fn approval(&self, decision: Decision) -> Approval {
        let reason = match decision.approved {
            true => decision.reason,
            false => Some(decision.reason.unwrap_or_else(|| NOT_APPROVED.into())),
        };
        Approval {
            id: self.call.id.clone(),
            approved: decision.approved,
            reason,
        }
    }

    fn wait(&self, kind: WaitKind, payload: Option<Data>, schema: Option<Data>) -> StepError {
        let waiting = Waiting {
            kind,
            tool_call_id: self.call.id.clone(),
            tool_name: self.call.name.clone(),
            args: self.call.args.clone(),
            tool_call_suspended: payload,
            resume_schema: schema,
        };
        self.ctx
            .suspend_with(&waiting, [self.call.id.as_str().to_owned()])
    }

    /// Calls the function of the tool.
    async fn run(
        &self,
        tool: &Tool,
        waited: Option<Waiting>,
        kind: Option<WaitKind>,
    ) -> Result<Outcome, StepError> {
        let resume = match kind {
            Some(WaitKind::Suspension) => self.ctx.resumed::<Data>()?,
            _ => None,
        };
        let run = &self.transcript.run;
        let context = ToolContext::new(ToolRun {
            tool: tool.name().clone(),
            call_id: self.call.id.clone(),
            run_id: run.run_id.clone(),
            agent_id: self.services.agent.id().clone(),
            thread_id: run.thread_id.clone(),
            resource_id: run.resource_id.clone(),
            resume,
            suspended_with: waited.and_then(|waited| waited.tool_call_suspended),
            sink: Arc::new(Sink {
                services: Arc::clone(self.services),
                ctx: self.ctx.clone(),
                run_id: run.run_id.clone(),
                ear: self.ear.clone(),
                one_at_a_time: Mutex::new(()),
            }),
        });
        let Some(mut work) = tool.call(context, self.call.args.clone()) else {
            return Ok(failed(self.not_found()));
        };
        let returned = tokio::select! {
            returned = &mut work => Some(returned),
            () = self.ear.stopped() => timeout(GRACE, work).await.ok(),
        };
        match returned {
            Some(Ok(result)) => Ok(Outcome {
                result: Some(result),
                ..Outcome::default()
            }),
            // Nobody would wake it up any more.
            Some(Err(ToolError::Suspended(_))) if self.ear.is_stopped() => Ok(failed(aborted())),
            Some(Err(ToolError::Suspended(payload))) => {
                let schema = tool.resume_schema().cloned();
                Err(self.wait(WaitKind::Suspension, Some(payload), schema))
            }
            Some(Err(ToolError::Failed { name, message, .. })) => {
                Ok(failed(Failure { name, message }))
            }
            Some(Err(ToolError::Aborted)) | None => Ok(failed(aborted())),
        }
    }

    /// Tells the readers what came of the call.
    async fn tell(&self, outcome: &Outcome) -> Result<(), StepError> {
        let run_id = &self.transcript.run.run_id;
        let Some(chunk) = self.chunk(outcome) else {
            return Ok(());
        };
        let encoder = Encoder::new(run_id.clone());
        let event = encoder.event(encoder.chunk(&chunk));
        let told = self.services.tell(self.ctx, run_id, [event]).await;
        told.map_err(bus_failure)
    }

    fn chunk(&self, outcome: &Outcome) -> Option<Chunk> {
        let call = || ToolInput {
            id: self.call.id.clone(),
            name: self.call.name.clone(),
            ..ToolInput::default()
        };
        let args = self.call.args.clone();
        if let Some(error) = &outcome.error {
            return Some(Chunk::ToolError(Box::new(ToolFailure {
                call: call(),
                args: Some(args),
                error: error.into(),
            })));
        }
        if outcome.result.is_some() {
            return Some(Chunk::ToolResult(Box::new(ToolResult {
                call: call(),
                args: Some(args),
                result: outcome.result.clone(),
                is_error: false,
            })));
        }
        let approval = outcome.approval.clone().filter(|it| !it.approved)?;
        Some(Chunk::ToolOutputDenied(Box::new(Denial {
            id: self.call.id.clone(),
            name: self.call.name.clone(),
            args,
            approval,
        })))
    }
}

fn failed(error: Failure) -> Outcome {
    Outcome {
        error: Some(error),
        ..Outcome::default()
    }
}

fn aborted() -> Failure {
    Failure {
        name: "AbortError".into(),
        message: "the run was stopped".into(),
    }
}

/// Where a tool writes.
struct Sink {
    services: Arc<Services>,
    ctx: StepContext,
    run_id: Text,
    ear: Ear,
    one_at_a_time: Mutex<()>,
}

impl ToolSink for Sink {
    fn write(&self, chunk: Data) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let encoder = Encoder::new(self.run_id.clone());
            let event = encoder.event(chunk.as_str().to_owned().into_bytes().into());
            let _turn = self.one_at_a_time.lock().await;
            // What a tool tells on its way is not worth its failure.
            if let Err(error) = self.services.tell(&self.ctx, &self.run_id, [event]).await {
                tracing::warn!(run = %self.run_id, %error, "what a tool wrote was not published");
            }
        })
    }

    fn aborted(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.ear.stopped())
    }

    fn is_aborted(&self) -> bool {
        self.ear.is_stopped()
    }
}
