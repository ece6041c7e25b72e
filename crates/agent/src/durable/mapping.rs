//! The step that ends a round: tells it, keeps it in the memory, and decides whether there is another one.

use std::sync::Arc;

use bowline_events::Text;
use bowline_workflow::{StepContext, StepError};
use serde::{Deserialize, Serialize};

use super::transcript::{Answer, Outcome, Transcript};
use super::workflow::{Round, Services};
use super::{bus_failure, mailbox, store_failure};
use crate::agent::StepSummary;
use crate::chunk::{Chunk, Encoder};
use crate::model::FinishReason;

/// The member of the state that says how the run ended.
pub(crate) const END: &str = "end";

/// How a run ended.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct End {
    pub(crate) aborted: bool,
    /// Whether the model would have been asked again, had there been no limit.
    pub(crate) more: bool,
    /// What the model said at last, if a processor has changed that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
    /// Whether a processor did not let it pass.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) tripped: bool,
}

/// Ends the round.
pub(crate) async fn end_round(
    services: Arc<Services>,
    ctx: StepContext,
) -> Result<Round, StepError> {
    let round: Round = ctx.initial()?;
    let transcript = Transcript::of_step(&ctx)?;
    let Some(answer) = transcript.answers.get(&round.n) else {
        let message = format!("round {} has no answer", round.n);
        return Err(StepError::fail("Error", message).no_retry());
    };
    let run = &transcript.run;
    let ear = services.ear(&run.run_id).await.map_err(store_failure)?;
    let mut end = End {
        aborted: ear.is_stopped() || answer.reason == FinishReason::Abort,
        more: wants_more(&transcript, round.n, answer),
        ..End::default()
    };
    let room = round.n < run.max_steps(&services.agent.0);
    let mut more =
        end.more && !end.aborted && room && !services.stops(&transcript, round.n, answer);
    if !more && run.has_mailbox() {
        let asked = !matches!(answer.reason, FinishReason::Error | FinishReason::Tripwire);
        let room = room && asked && !end.aborted;
        more = has_mail(&services, &run.run_id, transcript.read(), room).await?;
    }
    if answer.reason != FinishReason::Abort {
        tell(&services, &ctx, &transcript, (round.n, answer), &end, more).await?;
    }
    services
        .keep(&ctx, &transcript, (round.n, answer), &mut end, more)
        .await?;
    if !more {
        services.ears.forget(&run.run_id);
        ctx.set_state(&serde_json::json!({ END: end }))?;
    }
    Ok(Round {
        n: round.n + 1,
        more,
    })
}

/// Whether the model has to be asked again, as it and the tools have it.
fn wants_more(transcript: &Transcript, round: u32, answer: &Answer) -> bool {
    let over = [
        FinishReason::Error,
        FinishReason::Abort,
        FinishReason::Tripwire,
    ];
    if over.contains(&answer.reason) {
        return false;
    }
    // Whatever the model says: some providers say `stop` although they want tools to be called.
    let calls = answer.calls().filter(|call| !call.provider_executed);
    let mut outcomes = calls
        .map(|call| transcript.outcome(round, call.id))
        .peekable();
    let waits = |it: Option<&Outcome>| it.is_none_or(|it| it.client);
    outcomes.peek().is_some() && !outcomes.any(waits)
}

impl Services {
    /// Keeps what was said in the memory of the thread: after each round, or, where processors are to look at it first, after the
    /// last one.
    async fn keep(
        &self,
        ctx: &StepContext,
        transcript: &Transcript,
        (round, answer): (u32, &Answer),
        end: &mut End,
        more: bool,
    ) -> Result<(), StepError> {
        if self.agent.0.processors.is_empty() {
            // Those of the rounds before are kept.
            let messages = transcript.messages_of(round);
            return self.remember(&transcript.run, &messages).await;
        }
        if more {
            return Ok(());
        }
        let processed = self.look_at_output(transcript, answer).await?;
        end.text = processed.text;
        if let Some(tripwire) = processed.tripwire {
            end.tripped = true;
            let run_id = &transcript.run.run_id;
            let encoder = Encoder::new(run_id.clone());
            let chunk = encoder.chunk(&Chunk::Tripwire(Box::new(tripwire.into())));
            let told = self.tell(ctx, run_id, [encoder.event(chunk)]).await;
            return told.map_err(bus_failure);
        }
        self.remember(&transcript.run, &processed.messages).await
    }

    /// Whether a condition of the agent stops the run.
    fn stops(&self, transcript: &Transcript, round: u32, answer: &Answer) -> bool {
        let names: Vec<Text> = answer.calls().map(|call| call.name.clone()).collect();
        let text = answer.text();
        let summary = StepSummary {
            steps: round,
            text: &text,
            tools: &names,
            total_tokens: transcript.usage().total_tokens,
        };
        self.agent.0.stop_when.iter().any(|stop| stop(&summary))
    }
}

/// Whether somebody has said something to the run. If not, or without `room` for an answer, nobody can any more.
async fn has_mail(
    services: &Services,
    run_id: &str,
    mut read: u64,
    room: bool,
) -> Result<bool, StepError> {
    loop {
        let mail = mailbox::unread(&*services.store, run_id, read).await;
        let mail = mail.map_err(store_failure)?;
        if mail.closed {
            return Ok(false);
        }
        if room && !mail.letters.is_empty() {
            return Ok(true);
        }
        read = mail.read;
        let closed = mailbox::close(&*services.store, run_id, read).await;
        if closed.map_err(store_failure)? {
            return Ok(false);
        }
    }
}

/// Tells that the round is over.
async fn tell(
    services: &Services,
    ctx: &StepContext,
    transcript: &Transcript,
    (round, answer): (u32, &Answer),
    end: &End,
    more: bool,
) -> Result<(), StepError> {
    let run_id = &transcript.run.run_id;
    let encoder = Encoder::new(run_id.clone());
    let step = Chunk::StepFinish(Box::new(transcript.step_finish(round, answer, end.more)));
    let step = encoder.event(encoder.chunk(&step));
    let complete = (!end.aborted).then(|| {
        let agent = &services.agent;
        let complete = transcript.iteration_complete(agent, round, answer, !more);
        complete.to_event(run_id)
    });
    let told = services.tell(ctx, run_id, std::iter::once(step).chain(complete));
    told.await.map_err(bus_failure)
}
