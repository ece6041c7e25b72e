//! A run as a stream of chunks, in the form that clients of the reference get over HTTP.

use std::future::Future;
use std::pin::Pin;

use bowline_events::Text;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Run, RunResult, RunWatch, WatchEvent};
use crate::json::Writer;
use crate::{Data, Result, RunStatus};

/// The chunks of a run, made by [`Run::stream`]: from its beginning until it has ended or halted.
pub struct RunStream {
    run: Run,
    watch: RunWatch,
    result: Pin<Box<dyn Future<Output = Result<RunResult>> + Send>>,
    stage: Stage,
    /// Events of the run itself that were seen; what steps write is not counted.
    seen: usize,
    usage: Usage,
}

/// How far a stream is.
#[derive(Debug)]
enum Stage {
    Begin,
    /// The result is known once the run has ended or halted; until then that many events come.
    Events(Option<(RunResult, usize)>),
    End,
}

/// The tokens that the models of all steps have used.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Usage {
    input_tokens: i64,
    output_tokens: i64,
    total_tokens: i64,
    cached_input_tokens: i64,
    cache_creation_input_tokens: i64,
    reasoning_tokens: i64,
}

impl Run {
    /// The chunks of the run, as core 1.71 streams them: `{type, runId, from, payload}`. The stream ends when the run has ended
    /// or halted; its last chunk says how, also of a run that failed (the reference says `success` then).
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use bowline_events::InProcessPubSub;
    /// # use bowline_store::MemoryStore;
    /// # use bowline_workflow::{Engine, Start, StepError, Workflow};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> bowline_workflow::Result<()> {
    /// # async fn double(n: u32) -> Result<u32, StepError> { Ok(n * 2) }
    /// # let doubling = Workflow::builder("doubling").input::<u32>().step(double).build()?;
    /// # let (store, bus) = (Arc::new(MemoryStore::new()), Arc::new(InProcessPubSub::new()));
    /// # let engine = Engine::builder(store, bus).workflow(doubling).start().await?;
    /// let run = engine.start("doubling", Start::with(&21)?).await?;
    /// let mut stream = run.stream().await?;
    /// let mut last = String::new();
    /// while let Some(chunk) = stream.next().await {
    ///     last = chunk?.to_string();
    /// }
    /// assert!(last.contains(r#""workflowStatus":"success""#));
    /// # engine.close().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Bus` when the bus fails.
    pub async fn stream(&self) -> Result<RunStream> {
        let run = self.clone();
        Ok(RunStream {
            watch: self.watch().await?,
            result: Box::pin(async move { run.result().await }),
            run: self.clone(),
            stage: Stage::Begin,
            seen: 0,
            usage: Usage::default(),
        })
    }
}

impl RunStream {
    /// The next chunk; `None` after the last. An error that the watch reports (a gap) is passed on, and the stream goes on;
    /// one of the result ends it. Cancel safe.
    pub async fn next(&mut self) -> Option<Result<Data>> {
        loop {
            match &self.stage {
                Stage::End => return None,
                Stage::Begin => {
                    self.stage = Stage::Events(None);
                    return Some(self.opening().await);
                }
                Stage::Events(Some((_, wanted))) if self.seen >= *wanted => {
                    return Some(Ok(self.closing()));
                }
                Stage::Events(_) => {}
            }
            let known = matches!(self.stage, Stage::Events(Some(_)));
            tokio::select! {
                biased;
                event = self.watch.next() => match event {
                    None => return Some(self.end().await),
                    Some(Err(gap)) => return Some(Err(gap)),
                    Some(Ok(event)) => if let Some(chunk) = self.chunk(&event) {
                        return Some(Ok(chunk));
                    },
                },
                result = &mut self.result, if !known => if let Err(error) = self.settle(result).await {
                    self.stage = Stage::End;
                    return Some(Err(error));
                },
            }
        }
    }

    async fn opening(&self) -> Result<Data> {
        let record = self.run.engine().record("stream", self.run.id()).await?;
        Ok(chunk("workflow-start", self.run.id(), |json| {
            json.text("workflowId", &record.workflow);
        }))
    }

    /// The run has ended or halted: so many events belong to it.
    async fn settle(&mut self, result: Result<RunResult>) -> Result<()> {
        let result = result?;
        let mut history = self.run.history().await?;
        let events = history.take_events();
        let own = events.iter().filter(|event| event.run_id == *self.run.id());
        // A bus without history shows only what came after the stream began.
        let wanted = match self.watch.is_whole() {
            true => own.count(),
            false => 0,
        };
        self.stage = Stage::Events(Some((result, wanted)));
        Ok(())
    }

    /// The watch is at its end, and so is the run.
    async fn end(&mut self) -> Result<Data> {
        if let Stage::Events(None) = self.stage {
            let result = (&mut self.result).await;
            if let Err(error) = self.settle(result).await {
                self.stage = Stage::End;
                return Err(error);
            }
        }
        Ok(self.closing())
    }

    fn closing(&mut self) -> Data {
        let stage = std::mem::replace(&mut self.stage, Stage::End);
        let Stage::Events(Some((result, _))) = stage else {
            return Data::null();
        };
        let status = result.status();
        chunk("workflow-finish", self.run.id(), |json| {
            json.text("workflowStatus", status.as_str())
                .nested("metadata", |json| {
                    if let Some(error) = result.error() {
                        json.data("error", error)
                            .text("errorMessage", &message(error));
                    }
                });
            let usage = self.usage;
            json.nested("output", |json| {
                json.nested("usage", |json| usage.write(json));
            });
            if status == RunStatus::Success {
                json.optional("finalWorkflowResult", result.result());
            }
            json.optional("tripwire", result.tripwire());
        })
    }

    /// The chunk of an event; `None` for what clients do not get.
    fn chunk(&mut self, event: &WatchEvent) -> Option<Data> {
        #[derive(Deserialize)]
        struct Parts<'a> {
            #[serde(borrow)]
            payload: Option<&'a RawValue>,
        }
        if !event.kind.starts_with("workflow-") {
            return Some(event.data.clone());
        }
        let written = event.kind == "workflow-step-output";
        if written {
            self.usage.add(&event.data);
        } else {
            self.seen += 1;
        }
        if event.kind == "workflow-step-finish" {
            return None;
        }
        let parts: Parts<'_> = serde_json::from_str(event.data.as_str()).ok()?;
        let Some(payload) = parts
            .payload
            .map(RawValue::get)
            .filter(|it| it.starts_with('{'))
        else {
            return Some(event.data.clone());
        };
        let mut json = Writer::object();
        json.text("type", &event.kind)
            .text("runId", self.run.id())
            .text("from", "WORKFLOW");
        match &event.step {
            // What a step writes names the step already.
            Some(step) if !written => {
                let mut named = Writer::object();
                named.text("stepName", step);
                let named = named.end();
                let members = payload.get(1..).unwrap_or("}").trim_start();
                let comma = if members == "}" { "" } else { "," };
                json.raw(
                    "payload",
                    &format!("{}{comma}{members}", &named[..named.len() - 1]),
                );
            }
            _ => {
                json.raw("payload", payload);
            }
        }
        Some(Data::made(json.end()))
    }
}

fn chunk(kind: &str, run: &Text, fill: impl FnOnce(&mut Writer)) -> Data {
    let mut json = Writer::object();
    json.text("type", kind)
        .text("runId", run)
        .text("from", "WORKFLOW")
        .nested("payload", fill);
    Data::made(json.end())
}

fn message(error: &Data) -> String {
    #[derive(Deserialize, Default)]
    struct Message {
        #[serde(default)]
        message: String,
    }
    error.parse::<Message>().unwrap_or_default().message
}

impl Usage {
    /// Adds what a model that is done has used, if this is the chunk in which a step tells of it.
    fn add(&mut self, event: &Data) {
        if !event.as_str().contains("\"finish\"") {
            return;
        }
        let Ok(event) = event.parse::<serde_json::Value>() else {
            return;
        };
        let output = &event["payload"]["output"];
        if output["type"] != "finish" {
            return;
        }
        let places = ["/payload/output/usage", "/payload/usage", "/usage"];
        let usage = places.into_iter().find_map(|place| output.pointer(place));
        let usage = usage
            .and_then(|usage| Self::deserialize(usage).ok())
            .unwrap_or_default();
        self.input_tokens += usage.input_tokens;
        self.output_tokens += usage.output_tokens;
        self.total_tokens += usage.total_tokens;
        self.cached_input_tokens += usage.cached_input_tokens;
        self.cache_creation_input_tokens += usage.cache_creation_input_tokens;
        self.reasoning_tokens += usage.reasoning_tokens;
    }

    fn write(self, json: &mut Writer) {
        json.number("inputTokens", self.input_tokens)
            .number("outputTokens", self.output_tokens)
            .number("totalTokens", self.total_tokens)
            .number("cachedInputTokens", self.cached_input_tokens)
            .number("cacheCreationInputTokens", self.cache_creation_input_tokens)
            .number("reasoningTokens", self.reasoning_tokens);
    }
}

impl std::fmt::Debug for RunStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunStream")
            .field("run", self.run.id())
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}
