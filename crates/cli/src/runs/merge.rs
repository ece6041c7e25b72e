//! The journal of a run and its bus, put together: every event once, and what steps write where it belongs.

use std::collections::VecDeque;

use bowline_events::{Event, Timestamp};
use bowline_workflow::Data;
use serde::Deserialize;

/// What the types of the events of the engine begin with, and the one of what a step shows.
pub(super) const ENGINE: &str = "workflow-";
const OUTPUT: &str = "workflow-step-output";

/// Printed events that are remembered, so that the bus can tell them late.
const REMEMBERED: usize = 1000;

/// What the bus told.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Told {
    /// An event of the engine, which is in the journal, or will be in a moment.
    Engine(Data),
    /// What a step wrote, which is on the bus only.
    Chunk(Chunk),
}

/// What a step wrote.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chunk {
    pub(super) at: Timestamp,
    pub(super) kind: String,
    pub(super) step: Option<String>,
    pub(super) data: Data,
}

/// What is to be printed.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item<E> {
    Event(E),
    Chunk(Chunk),
}

/// What was not printed yet. `E` is what the journal has of an event.
#[derive(Debug)]
pub(super) struct Merge<E> {
    journal: VecDeque<(Data, E)>,
    bus: VecDeque<Told>,
    printed: VecDeque<Data>,
}

impl Told {
    /// What `event` tells; `None` for what is no event of a run.
    pub(super) fn read(event: &Event) -> Option<Self> {
        #[derive(Deserialize)]
        struct Head {
            #[serde(rename = "type", default)]
            kind: String,
            #[serde(default)]
            payload: Option<serde_json::Value>,
        }
        let json = event.data.to_json().ok()?;
        let data = Data::from_json(String::from_utf8(json.to_vec()).ok()?).ok()?;
        let Head { kind, payload } = data.parse().ok()?;
        if kind != OUTPUT && kind.starts_with(ENGINE) {
            return Some(Self::Engine(data));
        }
        let step = payload
            .as_ref()
            .and_then(|payload| payload["stepName"].as_str());
        Some(Self::Chunk(Chunk {
            at: event.created_at,
            step: step.map(str::to_owned),
            kind,
            data,
        }))
    }
}

impl<E> Merge<E> {
    /// Nothing was printed yet.
    pub(super) fn new() -> Self {
        Self {
            journal: VecDeque::new(),
            bus: VecDeque::new(),
            printed: VecDeque::new(),
        }
    }

    /// Something has happened that the journal tells: the events, as they are on the wire.
    pub(super) fn happened(&mut self, events: impl Iterator<Item = (Data, E)>) {
        self.journal.extend(events);
    }

    /// The bus told something.
    pub(super) fn told(&mut self, told: Told) {
        self.bus.push_back(told);
    }

    /// Whether something is held back until the other side has it, too.
    pub(super) fn waits(&self) -> bool {
        !self.journal.is_empty() || !self.bus.is_empty()
    }

    /// What both sides agree on, in its order.
    pub(super) fn agreed(&mut self) -> Vec<Item<E>> {
        let mut items = Vec::new();
        while let Some(told) = self.bus.pop_front() {
            let data = match told {
                Told::Chunk(chunk) => {
                    items.push(Item::Chunk(chunk));
                    continue;
                }
                Told::Engine(data) => data,
            };
            let twin = self.journal.iter().position(|(twin, _)| *twin == data);
            match twin {
                Some(place) => {
                    let upto: Vec<_> = self.journal.drain(..=place).collect();
                    items.extend(upto.into_iter().map(|event| self.take(event)));
                }
                None if self.printed.contains(&data) => {}
                None => {
                    self.bus.push_front(Told::Engine(data));
                    break;
                }
            }
        }
        items
    }

    /// All that is held back: the journal as it is, then what steps wrote.
    pub(super) fn all(&mut self) -> Vec<Item<E>> {
        let events: Vec<_> = self.journal.drain(..).collect();
        let mut items: Vec<Item<E>> = events.into_iter().map(|event| self.take(event)).collect();
        for told in self.bus.drain(..) {
            if let Told::Chunk(chunk) = told {
                items.push(Item::Chunk(chunk));
            }
        }
        items
    }

    fn take(&mut self, (data, event): (Data, E)) -> Item<E> {
        if self.printed.len() == REMEMBERED {
            self.printed.pop_front();
        }
        self.printed.push_back(data);
        Item::Event(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(n: u32) -> Data {
        Data::of(&n).unwrap()
    }

    fn chunk(n: u32) -> Chunk {
        Chunk {
            at: Timestamp::from_millis(0),
            kind: OUTPUT.to_owned(),
            step: None,
            data: data(n),
        }
    }

    /// What comes out, `n` for an event of the journal and `-n` for what a step wrote.
    fn numbers(items: Vec<Item<i64>>) -> Vec<i64> {
        let number = |item| match item {
            Item::Event(n) => n,
            Item::Chunk(chunk) => -chunk.data.parse::<i64>().unwrap(),
        };
        items.into_iter().map(number).collect()
    }

    /// Feeds `journal` and `bus`, in which a negative number is what a step wrote.
    fn feed(merge: &mut Merge<i64>, journal: &[u32], bus: &[i64]) {
        merge.happened(journal.iter().map(|n| (data(*n), i64::from(*n))));
        for n in bus {
            let told = u32::try_from(n.abs()).unwrap();
            merge.told(match *n < 0 {
                true => Told::Chunk(chunk(told)),
                false => Told::Engine(data(told)),
            });
        }
    }

    #[test]
    fn what_a_step_wrote_stands_where_the_bus_has_it() {
        for (journal, bus, agreed, rest) in [
            (
                &[1, 2, 3][..],
                &[1, -9, 2, 3][..],
                &[1, -9, 2, 3][..],
                &[][..],
            ),
            // Events that the bus does not tell, such as those of nested workflows, come with those that it does.
            (&[1, 2, 3, 4], &[-9, 3], &[-9, 1, 2, 3], &[4]),
            // The journal is behind, or the bus is.
            (&[1], &[1, 2, -9], &[1], &[-9]),
            (&[1, 2], &[], &[], &[1, 2]),
            (&[], &[-9], &[-9], &[]),
        ] {
            let mut merge = Merge::new();
            feed(&mut merge, journal, bus);
            assert_eq!(numbers(merge.agreed()), agreed, "{journal:?} {bus:?}");
            assert_eq!(merge.waits(), !rest.is_empty());
            assert_eq!(numbers(merge.all()), rest, "{journal:?} {bus:?}");
            assert!(!merge.waits());
        }
    }

    #[test]
    fn a_bus_that_is_late_doubles_nothing() {
        let mut merge = Merge::new();
        feed(&mut merge, &[1, 2], &[]);
        assert_eq!(numbers(merge.all()), [1, 2]);
        feed(&mut merge, &[3], &[1, 2, -9, 3]);
        assert_eq!(numbers(merge.agreed()), [-9, 3]);
        assert!(!merge.waits());
    }
}
