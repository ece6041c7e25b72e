//! What is to become of a notification.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bowline_events::{Text, Timestamp};

use super::record::NotificationRecord;
use crate::RunOptions;
use crate::threads::notification::Priority;

/// What is to become of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeliveryAction {
    /// Its signal is given to the agent at once, which wakes unless it is at work.
    Deliver,
    /// Its signal waits for the end of the run that is at work, and has a run of its own.
    Queue,
    /// Its signal is given when it is time.
    Defer,
    /// It is told in a summary, together with others.
    Summarize,
    /// It stays in the inbox; nobody is told.
    Persist,
    /// It is marked as discarded.
    Discard,
}

/// An instant, or a time from when the decision is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeliveryTime {
    /// Then.
    At(Timestamp),
    /// After this time.
    After(Duration),
}

impl From<Timestamp> for DeliveryTime {
    fn from(at: Timestamp) -> Self {
        Self::At(at)
    }
}

impl From<Duration> for DeliveryTime {
    fn from(wait: Duration) -> Self {
        Self::After(wait)
    }
}

impl DeliveryTime {
    pub(super) fn resolve(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::After(wait) => later(now, wait),
        }
    }
}

/// The instant `wait` after `now`.
pub(super) fn later(now: Timestamp, wait: Duration) -> Timestamp {
    let wait = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(now.as_millis().saturating_add(wait))
}

/// A decision on what is to become of a notification.
///
/// ```
/// use std::time::Duration;
/// use bowline_agent::threads::{Delivery, DeliveryAction};
///
/// let at_noon = Delivery::defer(Duration::from_secs(3600)).reason("lunch");
/// assert_eq!(at_noon.action(), DeliveryAction::Defer);
/// // Told in brief now, and in full when the agent has nothing else to do.
/// let both = Delivery::summarize().and_deliver(Duration::ZERO);
/// # drop(both);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Delivery {
    action: DeliveryAction,
    pub(super) deliver: Option<DeliveryTime>,
    pub(super) summary: Option<DeliveryTime>,
    pub(super) reason: Option<Text>,
}

impl Delivery {
    fn new(action: DeliveryAction) -> Self {
        Self {
            action,
            deliver: None,
            summary: None,
            reason: None,
        }
    }

    /// The agent is given its signal at once.
    pub fn deliver() -> Self {
        let at_once = Some(DeliveryTime::After(Duration::ZERO));
        Self {
            deliver: at_once,
            ..Self::new(DeliveryAction::Deliver)
        }
    }

    /// It has a run of its own when that at work has ended.
    pub fn queue() -> Self {
        Self {
            action: DeliveryAction::Queue,
            ..Self::deliver()
        }
    }

    /// The agent is given its signal then.
    pub fn defer(until: impl Into<DeliveryTime>) -> Self {
        Self {
            deliver: Some(until.into()),
            ..Self::new(DeliveryAction::Defer)
        }
    }

    /// It is told in the next summary.
    pub fn summarize() -> Self {
        Self::summarize_at(Duration::ZERO)
    }

    /// It is told in the summary of that time.
    pub fn summarize_at(at: impl Into<DeliveryTime>) -> Self {
        Self {
            summary: Some(at.into()),
            ..Self::new(DeliveryAction::Summarize)
        }
    }

    /// It stays in the inbox.
    pub fn persist() -> Self {
        Self::new(DeliveryAction::Persist)
    }

    /// Nobody wants it.
    pub fn discard() -> Self {
        Self::new(DeliveryAction::Discard)
    }

    /// Of one that is summarized: its signal is given as well, then at the earliest; if it is high, when the agent is not at work.
    pub fn and_deliver(mut self, at: impl Into<DeliveryTime>) -> Self {
        self.deliver = Some(at.into());
        self
    }

    /// Why; it is kept with the record.
    pub fn reason(mut self, reason: impl Into<Text>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// What is to become of it.
    pub fn action(&self) -> DeliveryAction {
        self.action
    }
}

type Decide = dyn Fn(&NotificationRecord, bool) -> Option<Delivery> + Send + Sync;

/// What is to become of notifications: what a function says, then by source, then by priority, then
/// [otherwise](Self::otherwise), and what none of these says is [usual](Self::usual).
///
/// ```
/// use std::time::Duration;
/// use bowline_agent::threads::{Delivery, NotificationPolicy, Priority};
///
/// let policy = NotificationPolicy::new()
///     .of_source("ci", Delivery::summarize_at(Duration::from_secs(600)))
///     .on(Priority::Low, Delivery::persist())
///     .decide(|record, active| (active && record.kind == "chat").then(Delivery::queue));
/// # drop(policy);
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct NotificationPolicy {
    decide: Option<Arc<Decide>>,
    sources: HashMap<Text, Delivery>,
    priorities: [Option<Delivery>; 4],
    otherwise: Option<Delivery>,
    pub(super) run: RunOptions,
}

impl NotificationPolicy {
    /// Everything as [usual](Self::usual).
    pub fn new() -> Self {
        Self::default()
    }

    /// What becomes of those of a priority.
    pub fn on(mut self, priority: Priority, delivery: Delivery) -> Self {
        self.priorities[priority as usize] = Some(delivery);
        self
    }

    /// What becomes of those of a source.
    pub fn of_source(mut self, source: impl Into<Text>, delivery: Delivery) -> Self {
        self.sources.insert(source.into(), delivery);
        self
    }

    /// What becomes of those of which nothing else is said.
    pub fn otherwise(mut self, delivery: Delivery) -> Self {
        self.otherwise = Some(delivery);
        self
    }

    /// Decides on each as it is in the inbox with what it was joined to, and whether its agent is at work in the thread; `None` leaves
    /// it to the rest of the policy. It is asked again when somebody else changes the inbox meanwhile.
    pub fn decide(
        mut self,
        decide: impl Fn(&NotificationRecord, bool) -> Option<Delivery> + Send + Sync + 'static,
    ) -> Self {
        self.decide = Some(Arc::new(decide));
        self
    }

    /// How a run is that a notification wakes. What is delivered later has the run of the policy of the process that delivers it.
    pub fn run(mut self, options: RunOptions) -> Self {
        self.run = options;
        self
    }

    /// What becomes of `record`, if its agent is at work in the thread or not.
    pub fn decision(&self, record: &NotificationRecord, active: bool) -> Delivery {
        let decided = self.decide.as_ref().and_then(|it| it(record, active));
        let said = || {
            let of_source = self.sources.get(&record.source);
            let on = self.priorities[record.priority as usize].as_ref();
            of_source.or(on).or(self.otherwise.as_ref()).cloned()
        };
        let decided = decided.or_else(said);
        decided.unwrap_or_else(|| Self::usual(record.priority, active))
    }

    /// What becomes of one of a priority unless a policy says something else, as in the reference: what is urgent is delivered, and
    /// what is not low is, too, to an agent that is not at work. The rest is summarized; of what is high the agent at work hears in
    /// full when its run has ended.
    pub fn usual(priority: Priority, active: bool) -> Delivery {
        let summary = Delivery::summarize;
        match (priority, active) {
            (Priority::Urgent, _) => Delivery::deliver().reason("urgent"),
            (Priority::High, true) => summary()
                .and_deliver(Duration::ZERO)
                .reason("active-high-summary-then-full"),
            (Priority::High, false) => Delivery::deliver().reason("idle-high"),
            (Priority::Medium, false) => Delivery::deliver().reason("idle-medium"),
            (Priority::Medium | Priority::Low, true) => summary().reason("active-batch-summary"),
            (Priority::Low, false) => summary().reason("idle-low-summary"),
        }
    }
}

impl fmt::Debug for NotificationPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotificationPolicy")
            .field("decides", &self.decide.is_some())
            .field("sources", &self.sources)
            .field("priorities", &self.priorities)
            .field("otherwise", &self.otherwise)
            .finish_non_exhaustive()
    }
}
