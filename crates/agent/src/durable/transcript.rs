//! What has happened in a run so far, as the state of its workflow keeps it: every message and every outcome once.
//!
//! The state is a flat object, to which each step adds members and changes none: `run`, what the run began with; `g<i>`, what was
//! said to it before its round `i`; `s<i>`, what the model answered in that round; `t<i>.<call>`, what came of a tool. So what is
//! written grows with what happened, and not with its square.

use std::collections::{BTreeMap, HashMap};

use bowline_events::Text;
use bowline_workflow::{Data, StepContext, StepError};
use serde::{Deserialize, Deserializer, Serialize};

use super::input::RunInput;
use crate::Message;
use crate::message::{Approval, Part, Role, ToolOutcome};
use crate::model::{FinishReason, Usage};

/// An answer of the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer {
    pub(crate) message_id: Text,
    /// When it began.
    pub(crate) at: Text,
    pub(crate) parts: Vec<Part>,
    pub(crate) reason: FinishReason,
    pub(crate) usage: Usage,
    /// Headers of the response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) headers: Option<Data>,
    /// What only the provider knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) provider_metadata: Option<Data>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<Failure>,
    /// Whether the model was asked at all, or the run was over before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) unasked: bool,
}

/// A failure, as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) name: Text,
    pub(crate) message: String,
}

/// What came of a call of a tool.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) result: Option<Data>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<Failure>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) approval: Option<Approval>,
    /// Whether whoever started the run is to make the call.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) client: bool,
}

/// What is there, also when it is `null`: a tool that returns nothing has returned.
pub(super) fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Data>, D::Error> {
    Data::deserialize(from).map(Some)
}

/// A call that the model asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) id: &'a Text,
    pub(crate) name: &'a Text,
    pub(crate) args: &'a Data,
    pub(crate) provider_executed: bool,
}

/// What has happened in a run so far.
#[derive(Debug)]
pub(crate) struct Transcript {
    pub(crate) run: RunInput,
    /// By round, counted from 1.
    pub(crate) answers: BTreeMap<u32, Answer>,
    outcomes: HashMap<(u32, Text), Outcome>,
    said: BTreeMap<u32, Said>,
}

/// What was said to a run before one of its rounds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Said {
    pub(crate) messages: Vec<Message>,
    /// How much of what was said to the run is read so far.
    pub(crate) read: u64,
}

/// The member of the state that has what the run began with.
pub(crate) const RUN: &str = "run";

pub(crate) fn answer_key(round: u32) -> String {
    format!("s{round}")
}

pub(crate) fn outcome_key(round: u32, call: &str) -> String {
    format!("t{round}.{call}")
}

pub(crate) fn said_key(round: u32) -> String {
    format!("g{round}")
}

impl Transcript {
    pub(crate) fn of_step(ctx: &StepContext) -> Result<Self, StepError> {
        let state = ctx.state().map_err(super::damaged)?;
        Self::of_state(state).map_err(super::damaged)
    }

    /// # Errors
    /// When it is the state of something else.
    pub(crate) fn of_state(
        mut state: HashMap<String, Data>,
    ) -> Result<Self, bowline_workflow::Error> {
        let run = state.remove(RUN).unwrap_or_default().parse()?;
        let mut this = Self {
            run,
            answers: BTreeMap::new(),
            outcomes: HashMap::new(),
            said: BTreeMap::new(),
        };
        for (key, value) in state {
            this.take(&key, &value)?;
        }
        Ok(this)
    }

    fn take(&mut self, key: &str, value: &Data) -> Result<(), bowline_workflow::Error> {
        let (Some(kind), Some(rest)) = (key.get(..1), key.get(1..)) else {
            return Ok(());
        };
        match (kind, rest.split_once('.')) {
            ("t", Some((round, call))) => {
                if let Ok(round) = round.parse() {
                    let call = Text::from(call.to_owned());
                    self.outcomes.insert((round, call), value.parse()?);
                }
            }
            (_, Some(_)) => {}
            ("s", None) => {
                if let Ok(round) = rest.parse() {
                    self.answers.insert(round, value.parse()?);
                }
            }
            ("g", None) => {
                if let Ok(round) = rest.parse() {
                    self.said.insert(round, value.parse()?);
                }
            }
            _ => {}
        }
        Ok(())
    }

    pub(crate) fn outcome(&self, round: u32, call: &Text) -> Option<&Outcome> {
        self.outcomes.get(&(round, call.clone()))
    }

    /// How much of what was said to the run is read.
    pub(crate) fn read(&self) -> u64 {
        self.said.values().next_back().map_or(0, |said| said.read)
    }

    pub(crate) fn usage(&self) -> Usage {
        let mut sum = Usage::default();
        for answer in self.answers.values() {
            sum.add(&answer.usage);
        }
        sum
    }

    /// The messages of the run itself: what was said to it, and what it answered.
    pub(crate) fn own_messages(&self) -> Vec<Message> {
        let last = self.answers.keys().next_back().copied().unwrap_or(0);
        let rounds = (1..=last + 1).map(|round| self.messages_of(round));
        rounds.flatten().collect()
    }

    /// What was said before a round and in it.
    pub(crate) fn messages_of(&self, round: u32) -> Vec<Message> {
        let mut messages = match round {
            1 => self.run.messages.clone(),
            _ => Vec::new(),
        };
        if let Some(said) = self.said.get(&round) {
            messages.extend(said.messages.iter().cloned());
        }
        if let Some(answer) = self.answers.get(&round)
            && !answer.parts.is_empty()
        {
            messages.push(self.message(round, answer));
        }
        messages
    }

    /// The whole conversation.
    pub(crate) fn messages(&self) -> Vec<Message> {
        let mut messages = self.run.remembered.clone();
        messages.extend(self.own_messages());
        messages
    }

    fn message(&self, round: u32, answer: &Answer) -> Message {
        let parts = answer.parts.iter().cloned().map(|mut part| {
            if let Part::Tool { invocation, .. } = &mut part
                && let Some(outcome) = self.outcome(round, &invocation.tool_call_id)
            {
                outcome.apply(invocation);
            }
            part
        });
        let mut message = Message::new(Role::Assistant, parts.collect());
        message.id = answer.message_id.clone();
        message.created_at = answer.at.clone();
        message.thread_id.clone_from(&self.run.thread_id);
        message.resource_id.clone_from(&self.run.resource_id);
        message
    }
}

impl Answer {
    /// That of a model that was not asked.
    pub(crate) fn none(reason: FinishReason) -> Self {
        Self {
            message_id: Text::default(),
            at: Text::default(),
            parts: Vec::new(),
            reason,
            usage: Usage::default(),
            headers: None,
            provider_metadata: None,
            error: None,
            unasked: true,
        }
    }

    /// What the model said.
    pub(crate) fn text(&self) -> String {
        let texts = self.parts.iter().map(|part| match part {
            Part::Text { text, .. } => text.as_str(),
            _ => "",
        });
        texts.collect()
    }

    /// The calls that it asked for, in order.
    pub(crate) fn calls(&self) -> impl Iterator<Item = Call<'_>> {
        self.parts.iter().filter_map(|part| match part {
            Part::Tool {
                invocation,
                provider_executed,
                ..
            } => Some(Call {
                id: &invocation.tool_call_id,
                name: &invocation.tool_name,
                args: &invocation.args,
                provider_executed: *provider_executed,
            }),
            _ => None,
        })
    }
}

impl Outcome {
    /// Writes down what came of `invocation`.
    fn apply(&self, invocation: &mut crate::message::ToolInvocation) {
        invocation.approval.clone_from(&self.approval);
        let came = match (&self.error, &self.result) {
            (Some(error), _) => ToolOutcome::Error {
                name: error.name.clone(),
                message: error.message.clone(),
            },
            _ if self.is_denied() => ToolOutcome::Denied {
                reason: self.approval.as_ref().and_then(|it| it.reason.clone()),
            },
            (None, Some(result)) => ToolOutcome::Result(result.clone()),
            (None, None) => ToolOutcome::Pending,
        };
        invocation.settle(&came);
    }

    pub(crate) fn is_denied(&self) -> bool {
        self.approval.as_ref().is_some_and(|it| !it.approved)
    }
}
