//! A model that says what a test, or a demonstration, wants it to say.

mod answer;
mod play;
mod words;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bowline_events::Text;

pub use answer::Answer;

use answer::Line;
use play::{Play, failure};

use crate::model::{ChatModel, ChatRequest, ModelStream, PromptMessage};
use crate::{BoxFuture, Error, ErrorKind, Result};

/// Requests that are kept to be looked at, unless told otherwise.
const KEPT: usize = 100;

/// A model that gives answers which were written before. Cheap to clone; clones are one model.
///
/// Which answer it gives depends on the conversation, not on what was asked before: on how often the assistant has spoken in it.
/// So a run that goes on in another process, with a model of the same script, goes on as if nothing had happened.
///
/// ```
/// use bowline_agent::scripted::{Answer, ScriptedModel};
/// use serde_json::json;
///
/// let listed = ScriptedModel::listed([
///     Answer::calls("weather", &json!({"city": "Oslo"})),
///     Answer::says("It is 21 degrees in Oslo."),
/// ]);
/// let computed = ScriptedModel::new(|request| match ScriptedModel::position(request) {
///     0 => Answer::calls("weather", &json!({"city": "Oslo"})),
///     _ => Answer::says(format!("I was told {} things.", request.prompt.len())),
/// });
/// # drop((listed, computed));
/// ```
#[derive(Clone)]
pub struct ScriptedModel {
    script: Arc<Script>,
    provider: Text,
    model_id: Text,
    record: Arc<Record>,
}

enum Script {
    Listed {
        turns: Vec<Turn>,
        /// Whether the last turn is taken for all that come after it.
        repeats: bool,
    },
    Computed(Box<Compute>),
}

type Compute = dyn Fn(&ChatRequest) -> Answer + Send + Sync;

/// The attempts to give one answer; all but the last break off.
type Turn = Vec<Arc<Answer>>;

#[derive(Default)]
struct Record {
    calls: AtomicUsize,
    requests: Mutex<VecDeque<ChatRequest>>,
    kept: AtomicUsize,
    /// How often turns of several attempts were asked for.
    attempts: Mutex<HashMap<usize, usize>>,
}

impl ScriptedModel {
    /// A model whose answers `script` makes from the requests. It should depend on nothing else, where runs are to be recovered.
    pub fn new(script: impl Fn(&ChatRequest) -> Answer + Send + Sync + 'static) -> Self {
        Self::of(Script::Computed(Box::new(script)))
    }

    /// A model with these answers: the first for a conversation in which the assistant has not spoken, and so on. An answer that
    /// breaks off belongs to the one after it, as an attempt that failed: it is given once in this process, and when the model is
    /// asked the same again, the next one.
    pub fn listed(answers: impl IntoIterator<Item = Answer>) -> Self {
        let mut turns: Vec<Turn> = Vec::new();
        let mut whole = true;
        for answer in answers {
            let breaks_off = answer.breaks_off();
            match turns.last_mut() {
                Some(turn) if !whole => turn.push(Arc::new(answer)),
                _ => turns.push(vec![Arc::new(answer)]),
            }
            whole = !breaks_off;
        }
        let repeats = false;
        Self::of(Script::Listed { turns, repeats })
    }

    /// A model that gives `answer` whatever it is asked.
    pub fn always(answer: Answer) -> Self {
        Self::of(Script::Listed {
            turns: vec![vec![Arc::new(answer)]],
            repeats: true,
        })
    }

    /// A model that says `text` whatever it is asked.
    pub fn says(text: impl Into<String>) -> Self {
        Self::always(Answer::says(text))
    }

    fn of(script: Script) -> Self {
        let record = Record {
            kept: AtomicUsize::new(KEPT),
            ..Record::default()
        };
        Self {
            script: Arc::new(script),
            provider: "mock-provider".into(),
            model_id: "mock-model".into(),
            record: Arc::new(record),
        }
    }

    /// Calls it something else than `mock-model` of `mock-provider`.
    #[must_use]
    pub fn named(mut self, provider: impl Into<Text>, model_id: impl Into<Text>) -> Self {
        self.provider = provider.into();
        self.model_id = model_id.into();
        self
    }

    /// Keeps the last `count` requests, instead of 100, to be looked at; also in the clones.
    #[must_use]
    pub fn keep_requests(self, count: usize) -> Self {
        self.record.kept.store(count, Ordering::Relaxed);
        self
    }

    /// How often it was asked.
    pub fn calls(&self) -> usize {
        self.record.calls.load(Ordering::Relaxed)
    }

    /// What it was asked, the oldest first.
    pub fn requests(&self) -> Vec<ChatRequest> {
        locked(&self.record.requests).iter().cloned().collect()
    }

    /// How often the assistant has spoken in the conversation of `request`: the number of the answer that comes next, from 0.
    pub fn position(request: &ChatRequest) -> usize {
        let spoken = |message: &&PromptMessage| matches!(message, PromptMessage::Assistant(_));
        request.prompt.iter().filter(spoken).count()
    }

    fn answer(&self, request: &ChatRequest, position: usize) -> Result<Arc<Answer>> {
        let (turns, repeats) = match &*self.script {
            Script::Computed(compute) => return Ok(Arc::new(compute(request))),
            Script::Listed { turns, repeats } => (turns, *repeats),
        };
        let place = match turns.len().checked_sub(1) {
            Some(last) if repeats => position.min(last),
            _ => position,
        };
        let Some(turn) = turns.get(place) else {
            let message = format!(
                "the script has {} answers and is asked for number {}; list more of them",
                turns.len(),
                position + 1
            );
            return Err(Error::new(ErrorKind::Model, "call model", message)
                .with_subject(self.model_id.clone()));
        };
        let attempt = match turn.len() {
            0 | 1 => 0,
            attempts => self.record.attempt(place).min(attempts - 1),
        };
        Ok(Arc::clone(&turn[attempt]))
    }
}

impl Record {
    fn keep(&self, request: ChatRequest) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let kept = self.kept.load(Ordering::Relaxed);
        if kept == 0 {
            return;
        }
        let mut requests = locked(&self.requests);
        while requests.len() >= kept {
            requests.pop_front();
        }
        requests.push_back(request);
    }

    /// How often the turn at `place` was asked for before.
    fn attempt(&self, place: usize) -> usize {
        let mut attempts = locked(&self.attempts);
        let count = attempts.entry(place).or_default();
        *count += 1;
        *count - 1
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ChatModel for ScriptedModel {
    fn provider(&self) -> &str {
        &self.provider
    }

    fn model_id(&self) -> &str {
        &self.model_id
    }

    fn stream(&self, request: ChatRequest) -> BoxFuture<'_, Result<ModelStream>> {
        Box::pin(async move {
            let position = Self::position(&request);
            let answer = self.answer(&request, position);
            self.record.keep(request);
            let answer = answer?;
            for line in &answer.lines {
                match line {
                    Line::Pause(time) if answer.fails_first() => tokio::time::sleep(*time).await,
                    Line::Error(kind, message) => {
                        return Err(failure(*kind, message, &self.model_id));
                    }
                    _ => break,
                }
            }
            let play = Play::new(answer, position, self.model_id.clone());
            Ok(Box::pin(play) as ModelStream)
        })
    }
}

impl Answer {
    /// Whether it is an error before it is anything else.
    fn fails_first(&self) -> bool {
        let mut lines = self.lines.iter();
        let first = lines.find(|line| !matches!(line, Line::Pause(_)));
        matches!(first, Some(Line::Error(..)))
    }
}

impl fmt::Debug for ScriptedModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedModel")
            .field("provider", &self.provider)
            .field("model_id", &self.model_id)
            .field("calls", &self.calls())
            .finish_non_exhaustive()
    }
}
