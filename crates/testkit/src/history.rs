//! What publishers and readers saw, and whether a bus may have done that.

mod check;
mod report;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use report::{Report, Violation};

/// Records publishes and deliveries from many tasks, and checks them when all is over.
///
/// A message is `n`, counted upwards by its publisher on a topic. Clones record into the same history.
///
/// ```
/// # use bowline_testkit::{Audience, History};
/// let history = History::new();
/// history.expect("jobs", Audience::group("workers"));
/// let publish = history.publishing("p", "jobs", 1);
/// // Await the publish here, and then:
/// publish.resolved();
/// // A member of the group is handed the message:
/// let hand = history.taken("w1", Some("workers"), "jobs", "p", 1, 1);
/// // Before it acknowledges:
/// hand.acked();
/// let report = history.check();
/// assert!(report.violations.is_empty(), "{report}");
/// ```
#[derive(Clone, Debug, Default)]
pub struct History {
    events: Arc<Mutex<Events>>,
}

#[derive(Debug, Default)]
struct Events {
    clock: u64,
    publishes: Vec<Publish>,
    deliveries: Vec<Delivery>,
    expectations: Vec<(String, Audience)>,
    allows_duplicates: bool,
    allows_losses: bool,
}

/// One message: the publisher counts `n` upwards on the topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Message {
    /// The topic.
    pub topic: String,
    /// Who published it.
    pub publisher: String,
    /// Its number among the messages of this publisher on this topic.
    pub n: u64,
}

/// Who has to be handed every message of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Audience {
    /// A reader without a group.
    Reader(String),
    /// Some member of a group.
    Group(String),
}

impl Audience {
    /// The reader `name`.
    pub fn reader(name: impl Into<String>) -> Self {
        Self::Reader(name.into())
    }

    /// The group `name`.
    pub fn group(name: impl Into<String>) -> Self {
        Self::Group(name.into())
    }
}

/// What became of a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Resolved,
    Failed,
    Unknown,
}

#[derive(Debug)]
struct Publish {
    message: Message,
    outcome: Outcome,
}

#[derive(Debug)]
struct Delivery {
    message: Message,
    reader: String,
    audience: Audience,
    attempt: u32,
    taken: u64,
    // The end of the hold; none is a hold to the end of the history.
    settled: Option<u64>,
    acked: bool,
}

impl History {
    /// Nothing has happened yet; everything resolved must arrive, and nothing may arrive twice with the same attempt.
    pub fn new() -> Self {
        Self::default()
    }

    /// `audience` must be handed every message on `topic` whose publish was resolved; a group must also acknowledge it.
    pub fn expect(&self, topic: &str, audience: Audience) {
        self.events()
            .expectations
            .push((topic.to_owned(), audience));
    }

    /// The first attempt of a message may be delivered several times, as after a publish that was repeated or a cursor that
    /// went back. They are counted, and do not disturb the order.
    pub fn allow_duplicates(&self) {
        self.events().allows_duplicates = true;
    }

    /// Resolved messages may be lost, as under a failover to a replica that lags behind. They are counted.
    pub fn allow_losses(&self) {
        self.events().allows_losses = true;
    }

    /// A publish begins. Its outcome is unknown until it is told, and stays so if this is dropped.
    pub fn publishing(&self, publisher: &str, topic: &str, n: u64) -> Publishing {
        let mut events = self.events();
        let index = events.publishes.len();
        events.publishes.push(Publish {
            message: message(topic, publisher, n),
            outcome: Outcome::Unknown,
        });
        Publishing {
            history: self.clone(),
            index,
        }
    }

    /// `reader`, a member of `group` if there is one, has been handed a message. To be called after the fact, so that no hold
    /// is longer here than it was.
    ///
    /// `attempt` begins at 1.
    pub fn taken(
        &self,
        reader: &str,
        group: Option<&str>,
        topic: &str,
        publisher: &str,
        n: u64,
        attempt: u32,
    ) -> Hand {
        let mut events = self.events();
        let taken = events.tick();
        let index = events.deliveries.len();
        events.deliveries.push(Delivery {
            message: message(topic, publisher, n),
            reader: reader.to_owned(),
            audience: group.map_or_else(|| Audience::reader(reader), Audience::group),
            attempt,
            taken,
            settled: None,
            acked: false,
        });
        Hand {
            history: self.clone(),
            index,
        }
    }

    /// `reader` is about to be killed or closed: what it holds is in no live hand any more.
    pub fn gone(&self, reader: &str) {
        let mut events = self.events();
        let now = events.tick();
        for delivery in &mut events.deliveries {
            if delivery.reader == reader && delivery.settled.is_none() {
                delivery.settled = Some(now);
            }
        }
    }

    /// Checks everything recorded so far.
    pub fn check(&self) -> Report {
        check::check(&self.events())
    }

    fn settle(&self, index: usize, acked: bool) {
        let mut events = self.events();
        let now = events.tick();
        let delivery = &mut events.deliveries[index];
        delivery.settled.get_or_insert(now);
        delivery.acked |= acked;
    }

    fn events(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Events {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }
}

/// A publish that has begun; made by [`History::publishing`].
#[derive(Debug)]
#[must_use = "a publish whose outcome is not told is unknown"]
pub struct Publishing {
    history: History,
    index: usize,
}

impl Publishing {
    /// The publish was confirmed: the message must arrive.
    pub fn resolved(self) {
        self.tell(Outcome::Resolved);
    }

    /// The publish was refused for certain: the message must not arrive.
    pub fn failed(self) {
        self.tell(Outcome::Failed);
    }

    /// Nobody knows: the message may arrive, once or several times.
    pub fn unknown(self) {
        self.tell(Outcome::Unknown);
    }

    fn tell(self, outcome: Outcome) {
        self.history.events().publishes[self.index].outcome = outcome;
    }
}

/// A message in the hand of a reader; made by [`History::taken`]. Dropped, it stays there until the reader is
/// [gone](History::gone).
#[derive(Debug)]
#[must_use = "a hand that is not settled holds its message"]
pub struct Hand {
    history: History,
    index: usize,
}

impl Hand {
    /// The message is done. To be called before the acknowledgement is given.
    pub fn acked(self) {
        self.history.settle(self.index, true);
    }

    /// The message is given back. To be called before it is.
    pub fn released(self) {
        self.history.settle(self.index, false);
    }
}

fn message(topic: &str, publisher: &str, n: u64) -> Message {
    Message {
        topic: topic.to_owned(),
        publisher: publisher.to_owned(),
        n,
    }
}
