//! The topics of a bus, and what keeps them within their limits.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use tokio::runtime::Handle;

use super::append::{Appendable, Appended};
use super::builder::Settings;
use super::topic::TopicState;
use crate::{Error, InProcessLeases, Result, Timestamp, Topic, TopicMap};

/// How often retention is applied to topics where nothing is published.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) topics: RwLock<TopicMap<Arc<TopicState>>>,
    /// Bytes kept in all topics.
    pub(super) bytes: Arc<AtomicUsize>,
    pub(super) closed: AtomicBool,
    pub(super) sweeping: AtomicBool,
    pub(super) leases: Arc<InProcessLeases>,
    /// Where timers run, for deliveries that are dropped outside of a runtime.
    pub(super) runtime: OnceLock<Handle>,
}

impl Shared {
    pub(super) fn read_topics(&self) -> RwLockReadGuard<'_, TopicMap<Arc<TopicState>>> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn with_topic<R>(
        &self,
        topic: &Topic,
        act: impl FnOnce(&Arc<TopicState>) -> R,
    ) -> Option<R> {
        let state = self.read_topics().get(topic).cloned();
        state.map(|state| act(&state))
    }

    /// The state of `topic`, made when it is new.
    pub(super) fn topic(self: &Arc<Self>, topic: &Topic) -> Arc<TopicState> {
        if let Some(state) = self.read_topics().get(topic) {
            return Arc::clone(state);
        }
        self.start_sweeper();
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        let state = topics.entry(topic.clone()).or_insert_with(|| {
            Arc::new(TopicState::new(
                topic.clone(),
                self.settings.log_config(topic.family()),
                self,
            ))
        });
        Arc::clone(state)
    }

    /// Whether an event of `topic` would be dropped at once: the bus is open, nobody reads, and nothing is to be kept.
    pub(super) fn has_no_use_for(&self, topic: &Topic) -> bool {
        self.settings.keeps_nothing(topic.family())
            && !self.closed.load(Relaxed)
            && !self.read_topics().contains_key(topic)
    }

    /// Appends, and wakes whom it concerns. `None` when nobody reads and nothing is to be kept.
    pub(super) fn append(
        self: &Arc<Self>,
        topic: &Topic,
        event: Appendable,
    ) -> Result<Option<Appended>> {
        if self.closed.load(Relaxed) {
            return Err(Error::closed("publish", topic));
        }
        let topics = self.read_topics();
        let appended = match topics.get(topic) {
            Some(state) => state.append(event),
            None if self.settings.keeps_nothing(topic.family()) => return Ok(None),
            None => Err(event),
        };
        drop(topics);
        let mut appended = match appended {
            Ok(appended) => appended?,
            Err(event) => self.append_to_new(topic, event)?,
        };
        std::mem::take(&mut appended.wakes).fire();
        if self.bytes.load(Relaxed) > self.settings.max_bytes {
            self.evict();
        }
        Ok(Some(appended))
    }

    fn append_to_new(self: &Arc<Self>, topic: &Topic, mut event: Appendable) -> Result<Appended> {
        loop {
            match self.topic(topic).append(event) {
                Ok(appended) => return appended,
                Err(back) => event = back,
            }
        }
    }

    /// Applies retention to topics where nothing is published any more, for as long as the bus lives.
    fn start_sweeper(self: &Arc<Self>) {
        let Some(runtime) = self.runtime() else {
            return;
        };
        if self.sweeping.swap(true, Relaxed) {
            return;
        }
        let bus = Arc::downgrade(self);
        runtime.spawn(async move {
            loop {
                tokio::time::sleep(SWEEP_EVERY).await;
                let Some(bus) = bus.upgrade() else { return };
                bus.sweep();
            }
        });
    }

    fn sweep(&self) {
        let now = Timestamp::now();
        let states: Vec<_> = self.read_topics().values().cloned().collect();
        for state in states {
            if state.expire(now) {
                self.remove_if_idle(state.topic());
            }
        }
    }

    /// Makes room when all topics together hold too much: first what is too old, then whole histories that nobody reads, the
    /// longest untouched first.
    fn evict(&self) {
        let goal = self.settings.max_bytes - self.settings.max_bytes / 10;
        self.sweep();
        let mut states: Vec<_> = self.read_topics().values().cloned().collect();
        states.sort_by_cached_key(|state| state.last_touched());
        for state in states {
            if self.bytes.load(Relaxed) <= goal {
                return;
            }
            if state.drop_history() {
                self.remove_if_idle(state.topic());
            }
        }
    }

    /// Forgets a topic that nobody uses.
    pub(super) fn remove_if_idle(&self, topic: &Topic) {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        if topics.get(topic).is_some_and(|state| state.is_idle()) {
            topics.remove(topic);
        }
    }

    pub(super) fn runtime(&self) -> Option<Handle> {
        Handle::try_current()
            .ok()
            .or_else(|| self.runtime.get().cloned())
    }
}
