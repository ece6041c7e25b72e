//! The tools that clauses are written with.

use std::future::Future;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bowline_events::{
    Capabilities, Dialect, Error, Event, NewEvent, Payload, PubSub, PublishOptions, Published,
    StartFrom, SubscribeOptions, Subscription, Topic,
};

use crate::reader::Reader;
use crate::verdict::ensure;
use crate::{ClauseResult, Fixture, Need, Participants, Unmet};

/// One clause at work on one fresh bus.
pub(crate) struct Session {
    pub(crate) publisher: Arc<dyn PubSub>,
    pub(crate) subscriber: Arc<dyn PubSub>,
    pub(crate) capabilities: Capabilities,
    pub(crate) settle: Duration,
    deadline: Duration,
    participants: Participants,
}

impl Session {
    /// Connects, unless the backend does not declare one of `needs`.
    pub(crate) async fn open(fixture: &dyn Fixture, needs: &[Need]) -> Result<Self, Unmet> {
        let deadline = fixture.deadline();
        let participants = within(deadline, "connect", fixture.connect()).await??;
        let capabilities = participants.subscriber.capabilities();
        if let Some(missing) = needs.iter().find(|need| !need.is_met_by(&capabilities)) {
            within(deadline, "close", close(&participants)).await??;
            return Err(Unmet::NotApplicable(missing.label().to_owned()));
        }
        Ok(Self {
            publisher: Arc::clone(&participants.publisher),
            subscriber: Arc::clone(&participants.subscriber),
            capabilities,
            settle: fixture.settle(),
            deadline,
            participants,
        })
    }

    /// Like [`open`](Self::open), for clauses that say nothing about a bus with one participant.
    pub(crate) async fn open_distinct(
        fixture: &dyn Fixture,
        needs: &[Need],
    ) -> Result<Self, Unmet> {
        let session = Self::open(fixture, needs).await?;
        if session.participants.are_distinct() {
            return Ok(session);
        }
        session.finish().await?;
        Err(Unmet::NotApplicable("two participants".to_owned()))
    }

    /// Closes both handles; the last step of every clause.
    pub(crate) async fn finish(&self) -> ClauseResult {
        within(self.deadline, "close", close(&self.participants)).await??;
        Ok(())
    }

    /// The result of `future`, or a violation when it hangs.
    pub(crate) async fn within<T>(
        &self,
        what: &str,
        future: impl Future<Output = T>,
    ) -> Result<T, Unmet> {
        within(self.deadline, what, future).await
    }

    pub(crate) async fn publish(&self, topic: &str, event: NewEvent) -> Result<Published, Unmet> {
        self.publish_on(&self.publisher, topic, event).await
    }

    pub(crate) async fn publish_on(
        &self,
        bus: &Arc<dyn PubSub>,
        topic: &str,
        event: NewEvent,
    ) -> Result<Published, Unmet> {
        let topic = Topic::from(topic);
        let publish = bus.publish_with(&topic, event, PublishOptions::default());
        Ok(self.within("publish", publish).await??)
    }

    /// Publishes the numbers of `range`, one after the other.
    pub(crate) async fn publish_numbers(
        &self,
        topic: &str,
        range: std::ops::Range<u64>,
    ) -> ClauseResult {
        for number in range {
            self.publish(topic, numbered(number)).await?;
        }
        Ok(())
    }

    /// A live-only subscription without a group.
    pub(crate) async fn listen(&self, topic: &str) -> Result<Reader, Unmet> {
        self.subscribe(topic, SubscribeOptions::new()).await
    }

    pub(crate) async fn join(&self, topic: &str, group: &'static str) -> Result<Reader, Unmet> {
        self.subscribe(topic, SubscribeOptions::new().group(group))
            .await
    }

    pub(crate) async fn read_from(&self, topic: &str, start: StartFrom) -> Result<Reader, Unmet> {
        self.subscribe(topic, SubscribeOptions::new().start(start))
            .await
    }

    pub(crate) async fn subscribe(
        &self,
        topic: &str,
        options: SubscribeOptions,
    ) -> Result<Reader, Unmet> {
        self.subscribe_on(&self.subscriber, topic, options).await
    }

    pub(crate) async fn subscribe_on(
        &self,
        bus: &Arc<dyn PubSub>,
        topic: &str,
        options: SubscribeOptions,
    ) -> Result<Reader, Unmet> {
        let topic = Topic::from(topic);
        let subscribe = bus.subscribe_with(&topic, options);
        Ok(self.reader(self.within("subscribe", subscribe).await??))
    }

    pub(crate) fn reader(&self, subscription: Subscription) -> Reader {
        Reader {
            subscription,
            settle: self.settle,
            deadline: self.deadline,
        }
    }

    pub(crate) async fn history(
        &self,
        topic: &str,
        offset: u64,
        limit: usize,
    ) -> Result<Vec<Arc<Event>>, Unmet> {
        let topic = Topic::from(topic);
        let history = self.subscriber.history(&topic, offset, limit);
        Ok(self.within("history", history).await??)
    }

    pub(crate) async fn clear(&self, topic: &str) -> ClauseResult {
        let topic = Topic::from(topic);
        Ok(self
            .within("clear_topic", self.subscriber.clear_topic(&topic))
            .await??)
    }

    pub(crate) async fn trim(&self, topic: &str, before: u64) -> ClauseResult {
        let topic = Topic::from(topic);
        Ok(self
            .within("trim_topic", self.subscriber.trim_topic(&topic, before))
            .await??)
    }

    /// Waits until what was published is where late readers find it.
    pub(crate) async fn kept(&self, topic: &str, events: usize) -> ClauseResult {
        let topic = Topic::from(topic);
        let mut patience = self.patience("the published events in the history");
        while self.subscriber.history(&topic, 0, usize::MAX).await?.len() < events {
            patience.spend().await?;
        }
        Ok(())
    }

    /// What a clause has while it asks again and again for `what`.
    pub(crate) fn patience(&self, what: &'static str) -> Patience {
        Patience {
            what,
            ends: Instant::now() + self.deadline,
        }
    }
}

async fn close(participants: &Participants) -> Result<(), Error> {
    participants.publisher.close().await?;
    participants.subscriber.close().await
}

pub(crate) async fn within<T>(
    deadline: Duration,
    what: &str,
    future: impl Future<Output = T>,
) -> Result<T, Unmet> {
    tokio::time::timeout(deadline, future)
        .await
        .map_err(|_| Unmet::violated(format!("{what}: nothing happened for {deadline:?}")))
}

/// What `work` returns on a thread of its own, which is left behind when it takes longer than `deadline`. `None` also when it panics.
pub(crate) fn on_a_thread<T: Send + 'static>(
    deadline: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        // Nobody listens any more after the deadline.
        let _ = tell.send(work());
    });
    told.recv_timeout(deadline).ok()
}

/// The outcome of `tasks`, which run in parallel where the runtime has several threads.
pub(crate) async fn all<T: Send + 'static>(
    tasks: impl IntoIterator<Item = impl Future<Output = Result<T, Unmet>> + Send + 'static>,
) -> Result<Vec<T>, Unmet> {
    // All are started before the first is waited for. A task that is left behind by a failure ends with its own deadlines.
    let tasks: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
    let mut outcomes = Vec::with_capacity(tasks.len());
    for (n, task) in tasks.into_iter().enumerate() {
        let outcome = task
            .await
            .map_err(|panic| Unmet::violated(panic.to_string()));
        let outcome = outcome.and_then(|outcome| outcome);
        outcomes.push(outcome.map_err(|unmet| unmet.within(format!("task {n}")))?);
    }
    Ok(outcomes)
}

/// Repeats a question until the deadline.
pub(crate) struct Patience {
    what: &'static str,
    ends: Instant,
}

impl Patience {
    /// Waits a little before the next try.
    pub(crate) async fn spend(&mut self) -> ClauseResult {
        ensure!(
            Instant::now() < self.ends,
            "waited in vain for {}",
            self.what
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
        Ok(())
    }
}

/// An event that carries `number` as its data.
pub(crate) fn numbered(number: u64) -> NewEvent {
    NewEvent::new("conformance.event", "run-1").with_data(json(number.to_string()))
}

/// The number that [`numbered`] put into an event.
pub(crate) fn number(event: &Event) -> Result<u64, Unmet> {
    Ok(event.data.parse::<u64>()?)
}

/// Whether two subscribers got the same event: by its id, or by the index that a caching layer gave it, whose history keeps
/// copies with ids of their own.
pub(crate) fn is_same(one: &Event, other: &Event) -> bool {
    one.id == other.id || one.index.is_some() && one.index == other.index
}

/// Data of which the clause knows that it is JSON.
pub(crate) fn json(text: impl Into<bytes::Bytes>) -> Payload {
    Payload::from_valid_json(text.into(), Dialect::Tagged)
}
