//! The step that asks the model.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::codec::date;
use bowline_events::{PubSub, Text, Timestamp, Topic};
use bowline_workflow::{StepContext, StepError};
use futures_util::StreamExt;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::report::is_call;
use super::stop::Ear;
use super::transcript::{Answer, Failure, Said, Transcript, answer_key, said_key};
use super::workflow::{CallRef, Round, Services};
use super::writer::Writer;
use super::{bus_failure, mailbox, request, store_failure};
use crate::chunk::{Chunk, Encoder, Failure as ToldFailure, Start, StepStart};
use crate::message::AssistantDraft;
use crate::model::{
    Attempts, ChatModel, ChatRequest, FinishReason, ModelPart, ModelStream, NextAttempt,
    ResponseMetadata, Usage,
};
use crate::processor::Tripwire;
use crate::{Error, ErrorKind, random_id};

/// Asks the model once, whatever that takes, and says which tools it wants.
pub(crate) async fn ask(
    services: Arc<Services>,
    ctx: StepContext,
    round: Round,
) -> Result<Vec<CallRef>, StepError> {
    let transcript = Transcript::of_step(&ctx)?;
    let run_id = transcript.run.run_id.clone();
    let ear = services.fresh_ear(&run_id).await.map_err(store_failure)?;
    if ear.is_stopped() || ctx.is_cancelled() {
        let answer = Answer::none(FinishReason::Abort);
        ctx.set_state(&serde_json::json!({ answer_key(round.n): answer }))?;
        return Ok(Vec::new());
    }
    let topic = Topic::agent_stream(&run_id);
    let mut asking = Asking {
        services: &services,
        ctx: &ctx,
        ear: &ear,
        writer: Writer::new(&*services.bus, &ctx, &topic),
        encoder: Encoder::new(run_id.clone()),
        round: round.n,
        message_id: transcript.run.message_id.clone(),
        announced: false,
        draft: AssistantDraft::new(),
        at: ctx.now(),
    };
    let again = ctx.crashes() > 0 || ctx.attempt() > 0;
    let begun = match round.n {
        1 if services.begun.take(&run_id) && !again => Some(false),
        1 => has_begun(&*services.bus, &topic).await,
        _ => Some(true),
    };
    if begun.unwrap_or(again) {
        asking.message_id = random_id();
    }
    if begun != Some(true) {
        asking.begin(&transcript).await;
    }
    let said = asking.listen(&transcript).await?;
    let mut step = request::step(&services.agent, &transcript, &said.messages, round.n);
    let tripwire = match transcript.run.tripwire.clone() {
        Some(tripwire) => Some(tripwire),
        None => services.look_at_step(&mut step).await?,
    };
    let answer = match tripwire {
        Some(tripwire) => asking.trip(tripwire).await,
        None => {
            let request = request::of(&services.agent, &transcript, step);
            asking.answer(&transcript, request).await
        }
    };
    asking.writer.flush().await.map_err(bus_failure)?;
    let calls = answer.calls().enumerate();
    let calls = calls.map(|(k, _)| CallRef { n: round.n, k }).collect();
    let mut changes = serde_json::Map::new();
    if !said.messages.is_empty() {
        changes.insert(said_key(round.n), serde_json::to_value(&said)?);
    }
    changes.insert(answer_key(round.n), serde_json::to_value(&answer)?);
    ctx.set_state(&changes)?;
    Ok(calls)
}

/// Whether somebody has told that the run begins; `None` when the bus does not know.
async fn has_begun(bus: &dyn PubSub, topic: &Topic) -> Option<bool> {
    if !bus.capabilities().replay {
        return None;
    }
    let first = bus.history(topic, 0, 1).await;
    first.ok().map(|events| !events.is_empty())
}

/// A call of the model that is under way.
struct Asking<'a> {
    services: &'a Services,
    ctx: &'a StepContext,
    ear: &'a Ear,
    writer: Writer<'a>,
    encoder: Encoder,
    round: u32,
    message_id: Text,
    /// Whether readers know that this attempt answers.
    announced: bool,
    draft: AssistantDraft,
    at: Timestamp,
}

/// How an attempt ended.
enum Ended {
    Answered,
    Stopped,
    /// `true`: after the model had begun to answer.
    Failed(Error, bool),
}

impl Asking<'_> {
    async fn begin(&mut self, transcript: &Transcript) {
        let start = Chunk::Start(Start {
            agent_id: self.services.agent.id().clone(),
            message_id: transcript.run.message_id.clone(),
        });
        let event = self.encoder.event(self.encoder.chunk(&start));
        self.writer.write(event).await;
    }

    /// Reads what was said to the run meanwhile, and shows it to the readers.
    async fn listen(&mut self, transcript: &Transcript) -> Result<Said, StepError> {
        let read = transcript.read();
        if !transcript.run.has_mailbox() {
            return Ok(Said::default());
        }
        let store = &*self.services.store;
        let mail = mailbox::unread(store, &transcript.run.run_id, read).await;
        let mail = mail.map_err(store_failure)?;
        let mut said = Said {
            messages: Vec::with_capacity(mail.letters.len()),
            read: mail.read,
        };
        for letter in mail.letters {
            if let Some(echo) = &letter.echo {
                let chunk = echo.as_str().to_owned().into_bytes();
                let event = self.encoder.event(chunk.into());
                self.writer.write(event).await;
            }
            said.messages.push(letter.message);
        }
        Ok(said)
    }

    /// Asks until a model answers, or all have failed.
    async fn answer(&mut self, transcript: &Transcript, request: ChatRequest) -> Answer {
        let models = &self.services.agent.0.models;
        let retries = request.settings.max_retries;
        let each = models.iter().map(|it| retries.unwrap_or(it.max_retries));
        let mut attempts = Attempts::new(each);
        let mut model = 0;
        loop {
            let candidate = Arc::clone(&models[model].model);
            let ended = self.attempt(&*candidate, request.clone()).await;
            let (error, opened) = match ended {
                Ended::Answered => return self.end(None),
                Ended::Stopped => return self.end(Some(FinishReason::Abort)),
                Ended::Failed(error, opened) => (error, opened),
            };
            tracing::warn!(run = %transcript.run.run_id, %error, "a model failed");
            match attempts.next(&error, opened) {
                NextAttempt::Retry { model: next, wait } => {
                    model = next;
                    if self.pause(wait).await {
                        return self.end(Some(FinishReason::Abort));
                    }
                    self.forget();
                }
                NextAttempt::GiveUp => return self.fail(&error).await,
            }
        }
    }

    /// Waits. `true` when the run is to stop.
    async fn pause(&mut self, wait: Duration) -> bool {
        tokio::select! {
            () = sleep(wait) => false,
            () = self.ear.stopped() => true,
            () = self.ctx.cancelled() => true,
        }
    }

    /// What was said so far was in vain.
    fn forget(&mut self) {
        if self.announced {
            self.message_id = random_id();
        }
        self.announced = false;
        self.draft = AssistantDraft::new();
    }

    async fn attempt(&mut self, model: &dyn ChatModel, request: ChatRequest) -> Ended {
        let silence = self.services.agent.0.model_silence;
        self.at = self.ctx.now();
        let opening = tokio::select! {
            opening = timeout(silence, model.stream(request)) => opening,
            () = self.ear.stopped() => return Ended::Stopped,
            () = self.ctx.cancelled() => return Ended::Stopped,
        };
        match opening {
            Ok(Ok(parts)) => self.read(model, parts, silence).await,
            Ok(Err(error)) => Ended::Failed(error, false),
            Err(_) => Ended::Failed(silent(model, silence), false),
        }
    }

    async fn read(
        &mut self,
        model: &dyn ChatModel,
        mut parts: ModelStream,
        silence: Duration,
    ) -> Ended {
        let mut heard = Instant::now();
        let mut alarm = std::pin::pin!(sleep_until(heard + silence));
        let ear = self.ear;
        let mut stopped = std::pin::pin!(ear.stopped());
        let ctx = self.ctx;
        let mut cancelled = std::pin::pin!(ctx.cancelled());
        loop {
            if ear.is_stopped() {
                return Ended::Stopped;
            }
            let part = tokio::select! {
                biased;
                part = parts.next() => part,
                () = &mut stopped => return Ended::Stopped,
                () = &mut cancelled => return Ended::Stopped,
                () = self.writer.drive(), if self.writer.is_busy() => continue,
                () = &mut alarm => {
                    if heard.elapsed() >= silence {
                        return Ended::Failed(silent(model, silence), true);
                    }
                    alarm.as_mut().reset(heard + silence);
                    continue;
                }
            };
            heard = Instant::now();
            match part {
                Some(Ok(part)) => {
                    self.announce().await;
                    self.tell(&part).await;
                    self.draft.push(part);
                }
                Some(Err(error)) => return Ended::Failed(error, true),
                None if self.draft.finish_reason().is_some() => return Ended::Answered,
                None => return Ended::Failed(cut(model), true),
            }
        }
    }

    async fn tell(&mut self, part: &ModelPart) {
        let chunk = match part {
            // Readers learn of headers when the run has ended, as with core 1.71.
            ModelPart::ResponseMetadata(metadata) if metadata.headers.is_some() => {
                let metadata = ResponseMetadata {
                    headers: None,
                    ..metadata.clone()
                };
                self.encoder.part(&ModelPart::ResponseMetadata(metadata))
            }
            part => self.encoder.part(part),
        };
        if let Some(chunk) = chunk {
            self.writer.write(self.encoder.event(chunk)).await;
        }
    }

    /// Tells that an answer begins.
    async fn announce(&mut self) {
        if self.announced {
            return;
        }
        self.announced = true;
        let start = StepStart {
            message_id: self.message_id.clone(),
            started_at: Some(self.at),
            iteration: Some(self.round),
        };
        let event = self.encoder.step_start_event(&start);
        self.writer.write(event).await;
    }

    /// All models have failed: the error goes to the readers, and the run ends with it.
    async fn fail(&mut self, error: &Error) -> Answer {
        self.announce().await;
        let told = Chunk::Error(Box::new(ToldFailure::new("Error", error.message())));
        let event = self.encoder.event(self.encoder.chunk(&told));
        self.writer.write(event).await;
        let mut answer = self.end(Some(FinishReason::Error));
        answer.error = Some(Failure {
            name: "Error".into(),
            message: error.to_string(),
        });
        answer
    }

    /// A processor does not let the model be asked.
    async fn trip(&mut self, tripwire: Tripwire) -> Answer {
        let told = Chunk::Tripwire(Box::new(tripwire.into()));
        let event = self.encoder.event(self.encoder.chunk(&told));
        self.writer.write(event).await;
        self.end(Some(FinishReason::Tripwire))
    }

    fn end(&mut self, broken: Option<FinishReason>) -> Answer {
        let draft = std::mem::take(&mut self.draft);
        let mut parts = draft.parts();
        let mut reason = draft.finish_reason().unwrap_or_default();
        let mut usage = draft.usage();
        if let Some(broken) = broken {
            parts.retain(|part| !is_call(part));
            (reason, usage) = (broken, Usage::default());
        }
        Answer {
            message_id: self.message_id.clone(),
            at: date::format_iso(self.at.as_millis()).into(),
            parts,
            reason,
            usage,
            headers: draft.response().headers.clone(),
            provider_metadata: draft.metadata().cloned(),
            error: None,
            unasked: false,
        }
    }
}

fn silent(model: &dyn ChatModel, silence: Duration) -> Error {
    let message = format!(
        "it has said nothing for {} s; raise `model_silence` if it takes longer",
        silence.as_secs()
    );
    Error::new(ErrorKind::ModelUnavailable, "ask model", message).with_subject(name(model))
}

fn cut(model: &dyn ChatModel) -> Error {
    let message = "the answer ended before the model was done";
    Error::new(ErrorKind::ModelUnavailable, "ask model", message).with_subject(name(model))
}

fn name(model: &dyn ChatModel) -> String {
    format!("{}/{}", model.provider(), model.model_id())
}
