//! The model of the workload: text deltas that are made when they are pulled, each with its number and its instant.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bowline_agent::model::{
    ChatModel, ChatRequest, FinishReason, ModelPart, ModelStream, ResponseMetadata, Usage,
};
use bowline_agent::{BoxFuture, Result};
use bowline_events::Timestamp;
use futures_util::Stream;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::clock::now_ns;

/// Digits of the number of a delta, and behind them those of the instant at which it was made.
const NUMBER: usize = 6;
const INSTANT: usize = 16;

/// Answers with `deltas` deltas, as fast as they are pulled or one every `gap`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamping {
    pub(super) deltas: u64,
    pub(super) gap: Option<Duration>,
}

/// What a delta tells of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) number: u64,
    /// Of the monotonic clock, in nanoseconds.
    pub(super) made: u64,
}

impl Stamp {
    fn write(self) -> String {
        let Self { number, made } = self;
        format!("{number:0NUMBER$}{made:0INSTANT$}")
    }

    /// `None` when it is not a text of this model.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (number, made) = text.split_at_checked(NUMBER)?;
        Some(Self {
            number: number.parse().ok()?,
            made: made.parse().ok()?,
        })
    }
}

impl ChatModel for Stamping {
    fn provider(&self) -> &str {
        "mock"
    }

    fn model_id(&self) -> &str {
        "mock"
    }

    fn stream(&self, _: ChatRequest) -> BoxFuture<'_, Result<ModelStream>> {
        let answer = Answer {
            model: *self,
            next: Piece::Metadata,
            begun: Instant::now(),
            pause: None,
        };
        Box::pin(async move { Ok(Box::pin(answer) as ModelStream) })
    }
}

/// An answer that is being given.
struct Answer {
    model: Stamping,
    next: Piece,
    begun: Instant,
    /// Until the next delta is due.
    pause: Option<Pin<Box<Sleep>>>,
}

#[derive(Clone, Copy)]
enum Piece {
    Metadata,
    Start,
    Delta(u64),
    End,
    Finish,
    Nothing,
}

impl Answer {
    fn poll_pause(&mut self, number: u64, cx: &mut Context<'_>) -> Poll<()> {
        let Some(gap) = self.model.gap else {
            return Poll::Ready(());
        };
        let due = self.begun + gap * u32::try_from(number).unwrap_or(u32::MAX);
        let pause = self.pause.get_or_insert_with(|| Box::pin(sleep_until(due)));
        ready!(pause.as_mut().poll(cx));
        self.pause = None;
        Poll::Ready(())
    }

    fn delta_or_end(&self, number: u64) -> Piece {
        match number < self.model.deltas {
            true => Piece::Delta(number),
            false => Piece::End,
        }
    }
}

impl Stream for Answer {
    type Item = Result<ModelPart>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let (part, next) = match self.next {
            Piece::Metadata => (metadata(), Piece::Start),
            Piece::Start => {
                let (id, metadata) = ("t".into(), None);
                (ModelPart::TextStart { id, metadata }, self.delta_or_end(0))
            }
            Piece::Delta(number) => {
                ready!(self.poll_pause(number, cx));
                let made = now_ns();
                let text = Stamp { number, made }.write();
                let (id, metadata) = ("t".into(), None);
                let delta = ModelPart::TextDelta { id, text, metadata };
                (delta, self.delta_or_end(number + 1))
            }
            Piece::End => {
                let (id, metadata) = ("t".into(), None);
                (ModelPart::TextEnd { id, metadata }, Piece::Finish)
            }
            Piece::Finish => {
                let finish = ModelPart::Finish {
                    reason: FinishReason::Stop,
                    usage: Usage::new(1, self.model.deltas),
                    metadata: None,
                };
                (finish, Piece::Nothing)
            }
            Piece::Nothing => return Poll::Ready(None),
        };
        self.next = next;
        Poll::Ready(Some(Ok(part)))
    }
}

fn metadata() -> ModelPart {
    ModelPart::ResponseMetadata(ResponseMetadata {
        id: Some("id-0".into()),
        model_id: Some("mock".into()),
        timestamp: Some(Timestamp::from_millis(0)),
        headers: None,
    })
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn deltas_are_numbered_and_come_in_time() {
        let gap = Some(Duration::from_millis(5));
        let model = Stamping { deltas: 3, gap };
        let begun = Instant::now();
        let stream = model.stream(ChatRequest::default()).await;
        let mut stream = stream.unwrap_or_else(|error| panic!("{error}"));
        let (mut numbers, mut kinds) = (Vec::new(), 0);
        while let Some(part) = stream.next().await {
            kinds += 1;
            if let Ok(ModelPart::TextDelta { text, .. }) = part {
                assert_eq!(text.len(), NUMBER + INSTANT);
                numbers.extend(Stamp::read(&text).map(|stamp| stamp.number));
            }
        }
        assert_eq!((numbers, kinds), (vec![0, 1, 2], 7));
        assert_eq!(begun.elapsed(), Duration::from_millis(10));
        assert_eq!(Stamp::read("later"), None);
    }
}
