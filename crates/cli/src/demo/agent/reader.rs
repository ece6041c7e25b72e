//! A reader of the run, which keeps account of every index that it gets.

use std::collections::{BTreeSet, VecDeque};

use bowline_agent::chunk::Chunk;
use bowline_agent::stream::Fold;
use bowline_agent::{RunOutput, StreamEvent};
use bowline_events::{PubSub, StartFrom, SubscribeOptions, Subscription, Topic};
use serde::Serialize;

use crate::outcome::Failure;

/// A reader of the stream of a run.
pub(super) struct Reader {
    name: &'static str,
    topic: Topic,
    subscription: Option<Subscription>,
    /// As they came.
    indexes: Vec<u64>,
    fold: Fold,
    /// What the model has said in the step under way, put together from its pieces.
    said: String,
    /// Pieces of text in that step.
    pub(super) pieces: u64,
    /// Steps that were void.
    pub(super) discarded: u64,
    /// Where it came back.
    resumed_at: Option<u64>,
    ended: bool,
}

/// What one reader got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Account {
    pub(super) name: &'static str,
    /// Different events.
    pub(super) events: u64,
    pub(super) missing: u64,
    pub(super) doubled: u64,
    pub(super) misordered: u64,
    /// The index that it asked for when it came back.
    pub(super) resumed_at: Option<u64>,
    /// Whether the pieces that count make the text that the run ended with.
    pub(super) whole: bool,
}

impl Reader {
    pub(super) fn new(name: &'static str, topic: Topic) -> Self {
        Self {
            name,
            topic,
            subscription: None,
            indexes: Vec::new(),
            fold: Fold::new(),
            said: String::new(),
            pieces: 0,
            discarded: 0,
            resumed_at: None,
            ended: false,
        }
    }

    /// Begins to read where it was, or at the beginning.
    pub(super) async fn attach(&mut self, bus: &dyn PubSub) -> Result<(), Failure> {
        let from = self.fold.next_offset();
        if from > 0 {
            self.resumed_at = Some(from);
        }
        let options = SubscribeOptions::new().start(StartFrom::Offset(from));
        self.subscription = Some(bus.subscribe_with(&self.topic, options).await?);
        Ok(())
    }

    /// Stops to read; the index that it would ask for next.
    pub(super) fn detach(&mut self) -> u64 {
        self.subscription = None;
        self.fold.next_offset()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// The next event, and what is to be seen of it.
    pub(super) async fn next(&mut self) -> Result<Vec<StreamEvent>, Failure> {
        let Some(subscription) = &mut self.subscription else {
            return Ok(Vec::new());
        };
        let Some(delivery) = subscription.next().await else {
            return Err(Failure::failed("the bus was closed"));
        };
        let delivery = delivery?;
        self.indexes.extend(delivery.index);
        let mut items = VecDeque::new();
        self.fold
            .push(delivery.index, delivery.event(), &mut items)?;
        let events: Vec<_> = items.into_iter().map(|item| item.event).collect();
        for event in &events {
            self.see(event);
        }
        Ok(events)
    }

    fn see(&mut self, event: &StreamEvent) {
        match event {
            StreamEvent::StepDiscarded { .. } => self.discarded += 1,
            StreamEvent::Chunk {
                chunk: Chunk::StepStart(_),
                ..
            } => {
                self.said.clear();
                self.pieces = 0;
            }
            StreamEvent::Chunk {
                chunk: Chunk::TextDelta(delta),
                ..
            } => {
                self.said.push_str(&delta.text);
                self.pieces += 1;
            }
            _ => {}
        }
        self.ended |= event.is_last();
    }

    /// Events up to the last one that it got.
    pub(super) fn end(&self) -> u64 {
        self.indexes.last().map_or(0, |last| last + 1)
    }

    /// The account, when the stream has `events`; and what the run made.
    pub(super) fn account(self, events: u64, speech: Option<&str>) -> (Account, RunOutput) {
        let output = self.fold.into_output();
        let whole = self.said == output.text && speech.is_none_or(|speech| speech == output.text);
        let count = Count::of(&self.indexes, events);
        let account = Account {
            name: self.name,
            events: count.different,
            missing: count.missing,
            doubled: count.doubled,
            misordered: count.misordered,
            resumed_at: self.resumed_at,
            whole: whole && self.ended,
        };
        (account, output)
    }
}

/// What is right and wrong with indexes.
#[derive(Debug, PartialEq, Eq)]
struct Count {
    different: u64,
    missing: u64,
    doubled: u64,
    misordered: u64,
}

impl Count {
    /// Of those that came, when there are `events`.
    fn of(indexes: &[u64], events: u64) -> Self {
        let mut seen = BTreeSet::new();
        let mut doubled = 0;
        for index in indexes {
            doubled += u64::from(!seen.insert(*index));
        }
        let pairs = indexes.iter().zip(indexes.iter().skip(1));
        Self {
            different: seen.len() as u64,
            missing: (0..events).filter(|index| !seen.contains(index)).count() as u64,
            doubled,
            misordered: pairs.filter(|(one, next)| next < one).count() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Count;

    #[test]
    fn every_index_counts() {
        for (indexes, expected) in [
            (&[0, 1, 2, 3][..], (4, 0, 0, 0)),
            (&[0, 1, 3], (3, 1, 0, 0)),
            (&[0, 1, 1, 2, 3], (4, 0, 1, 0)),
            (&[0, 2, 1, 3], (4, 0, 0, 1)),
            (&[], (0, 4, 0, 0)),
            (&[2, 3, 2, 3], (2, 2, 2, 1)),
        ] {
            let count = Count::of(indexes, 4);
            let found = (
                count.different,
                count.missing,
                count.doubled,
                count.misordered,
            );
            assert_eq!(found, expected, "{indexes:?}");
        }
    }
}
