//! Giving an answer, piece by piece.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bowline_events::{Text, Timestamp};
use futures_core::Stream;
use tokio::time::Sleep;

use super::answer::{Answer, Line};
use crate::model::{ModelPart, ResponseMetadata, ToolInput};
use crate::{Error, Result};

/// An answer that is being given.
pub(super) struct Play {
    answer: Arc<Answer>,
    /// Where the answer is in the conversation.
    position: usize,
    model_id: Text,
    place: Place,
    /// How many texts, reasonings and calls came before the line.
    texts: usize,
    reasonings: usize,
    calls: usize,
    sleep: Option<Pin<Box<Sleep>>>,
    /// Whether the pause at the place is over.
    rested: bool,
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
enum Place {
    Metadata,
    /// A line, the part of it, and how far its text is.
    Line(usize, Stage, usize),
    Finish,
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Start,
    Middle,
    End,
    After,
}

/// What a line has to say.
enum Said {
    Part(ModelPart),
    /// To be asked again, for the next thing.
    Nothing,
    Wait(Duration),
    Error(Error),
    Never,
    Over,
}

impl Play {
    pub(super) fn new(answer: Arc<Answer>, position: usize, model_id: Text) -> Self {
        Self {
            answer,
            position,
            model_id,
            place: Place::Metadata,
            texts: 0,
            reasonings: 0,
            calls: 0,
            sleep: None,
            rested: false,
        }
    }

    fn metadata(&self) -> Option<ModelPart> {
        if self
            .answer
            .has(|part| matches!(part, ModelPart::ResponseMetadata(_)))
        {
            return None;
        }
        let id = self.answer.response_id.clone();
        Some(ModelPart::ResponseMetadata(ResponseMetadata {
            id: Some(id.unwrap_or_else(|| format!("resp-{}", self.position).into())),
            model_id: Some(self.model_id.clone()),
            timestamp: Some(Timestamp::from_millis(0)),
            headers: self.answer.headers.clone(),
        }))
    }

    fn finish(&self) -> Option<ModelPart> {
        if self
            .answer
            .has(|part| matches!(part, ModelPart::Finish { .. }))
        {
            return None;
        }
        Some(ModelPart::Finish {
            reason: self.answer.reason(),
            usage: self.answer.usage.clone(),
            metadata: None,
        })
    }

    /// What comes at the place, which is moved behind it.
    fn advance(&mut self) -> Said {
        let part = match self.place {
            Place::Metadata => {
                self.place = Place::Line(0, Stage::Start, 0);
                self.metadata()
            }
            Place::Line(index, stage, at) => return self.line(index, stage, at),
            Place::Finish => {
                self.place = Place::Over;
                self.finish()
            }
            Place::Over => return Said::Over,
        };
        part.map_or(Said::Nothing, Said::Part)
    }

    fn line(&mut self, index: usize, stage: Stage, at: usize) -> Said {
        let answer = Arc::clone(&self.answer);
        let Some(line) = answer.lines.get(index) else {
            self.place = Place::Finish;
            return Said::Nothing;
        };
        match line {
            Line::Text(_) | Line::Reasoning(..) => self.words(&answer, line, index, stage, at),
            Line::Call { .. } => self.call(line, index, stage),
            Line::Part(part) => {
                self.next_line(index);
                Said::Part(part.clone())
            }
            Line::Pause(time) => {
                if self.rested {
                    self.next_line(index);
                    return Said::Nothing;
                }
                Said::Wait(*time)
            }
            Line::Error(kind, message) => {
                self.place = Place::Over;
                Said::Error(failure(*kind, message, &self.model_id))
            }
            Line::Cut => {
                self.place = Place::Over;
                Said::Over
            }
            Line::Hang => Said::Never,
        }
    }

    fn next_line(&mut self, index: usize) {
        self.rested = false;
        self.place = Place::Line(index + 1, Stage::Start, 0);
    }

    fn words(
        &mut self,
        answer: &Answer,
        line: &Line,
        index: usize,
        stage: Stage,
        mut at: usize,
    ) -> Said {
        let (words, thought, signature) = match line {
            Line::Text(words) => (words, false, None),
            Line::Reasoning(words, signature) => (words, true, signature.clone()),
            _ => return Said::Nothing,
        };
        let id = if thought {
            numbered("r", "r1", self.reasonings + 1)
        } else {
            numbered("t", "t1", self.texts + 1)
        };
        let metadata = None;
        if stage == Stage::Start {
            self.place = Place::Line(index, Stage::Middle, 0);
            return Said::Part(if thought {
                ModelPart::ReasoningStart { id, metadata }
            } else {
                ModelPart::TextStart { id, metadata }
            });
        }
        if let Some(pace) = answer.pace
            && !self.rested
            && !words.is_over(at)
        {
            return Said::Wait(pace);
        }
        self.rested = false;
        if let Some(text) = words.next(&mut at) {
            self.place = Place::Line(index, Stage::Middle, at);
            return Said::Part(if thought {
                ModelPart::ReasoningDelta { id, text, metadata }
            } else {
                ModelPart::TextDelta { id, text, metadata }
            });
        }
        self.next_line(index);
        if stays_open(answer, index) {
            return Said::Nothing;
        }
        Said::Part(if thought {
            self.reasonings += 1;
            let metadata = signature;
            ModelPart::ReasoningEnd { id, metadata }
        } else {
            self.texts += 1;
            ModelPart::TextEnd { id, metadata }
        })
    }

    fn call(&mut self, line: &Line, index: usize, stage: Stage) -> Said {
        let Line::Call {
            id,
            name,
            written,
            args,
        } = line
        else {
            return Said::Nothing;
        };
        let id = id.clone().unwrap_or_else(|| self.call_id());
        let next = |stage| Place::Line(index, stage, 0);
        let call = |id| ToolInput {
            id,
            name: name.clone(),
            provider_executed: false,
            metadata: None,
        };
        match stage {
            Stage::Start => {
                self.place = next(Stage::Middle);
                Said::Part(ModelPart::ToolInputStart(call(id)))
            }
            Stage::Middle => {
                self.place = next(Stage::End);
                let delta = written.to_string();
                Said::Part(ModelPart::ToolInputDelta { id, delta })
            }
            Stage::End => {
                self.place = next(Stage::After);
                Said::Part(ModelPart::ToolInputEnd { id })
            }
            Stage::After => {
                self.calls += 1;
                self.next_line(index);
                Said::Part(ModelPart::ToolCall {
                    call: call(id),
                    args: args.clone(),
                })
            }
        }
    }

    fn call_id(&self) -> Text {
        let answer = self.position + 1;
        match self.calls {
            0 => format!("call-{answer}").into(),
            before => format!("call-{answer}-{}", before + 1).into(),
        }
    }
}

/// Whether the answer breaks off behind the line at `index`, so that what the line opened is never closed.
fn stays_open(answer: &Answer, index: usize) -> bool {
    let mut rest = answer.lines.iter().skip(index + 1);
    rest.find(|line| !matches!(line, Line::Pause(_)))
        .is_some_and(Line::breaks_off)
}

/// The `n`th id; the first is there already.
fn numbered(prefix: &str, first: &'static str, n: usize) -> Text {
    match n {
        1 => first.into(),
        _ => format!("{prefix}{n}").into(),
    }
}

pub(super) fn failure(kind: crate::ErrorKind, message: &Text, model_id: &Text) -> Error {
    Error::new(kind, "call model", message.clone()).with_subject(model_id.clone())
}

impl Stream for Play {
    type Item = Result<ModelPart>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(sleep) = &mut this.sleep {
                ready!(sleep.as_mut().poll(cx));
                this.sleep = None;
                this.rested = true;
            }
            match this.advance() {
                Said::Part(part) => return Poll::Ready(Some(Ok(part))),
                Said::Nothing => {}
                Said::Wait(time) => this.sleep = Some(Box::pin(tokio::time::sleep(time))),
                Said::Error(error) => return Poll::Ready(Some(Err(error))),
                // Whoever dropped it would not be told either.
                Said::Never => return Poll::Pending,
                Said::Over => return Poll::Ready(None),
            }
        }
    }
}
