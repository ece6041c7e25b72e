//! Histories of topics in a store.

mod name;
mod record;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use bowline_events::{
    CachePage, CachePosition, Event, EventCache, OpFuture, Reach, Retention, Text, Timestamp,
    Topic, TopicFamily, TopicInfo,
};

use crate::{Commit, ErrorKind, Keep, LogInfo, LogName, Result, Store, Table, limits};

/// The logs of the cache.
const HISTORIES: Table = Table::new("histories");

/// How often old histories are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Keeps the histories of topics in a [`Store`], so that streams survive a restart.
///
/// # Guarantees
/// - A cached event is as safe as any commit of the store. Appends that wait at the same time share one transaction.
/// - Indices of a topic are contiguous; a history that begins anew has another generation, also after a restart.
/// - Several processes may share one store; readers see what any of them has appended.
///
/// # Limits
/// Each topic keeps what the [`Retention`] of its family says (plain topics as long as streams): oldest events go first. A
/// history whose last event is older than its retention goes as a whole, about a minute later. An event larger than
/// [`MAX_ENTRY`](limits::MAX_ENTRY) is refused and so not cached.
///
/// ```
/// use std::sync::Arc;
/// use bowline_events::{CachingPubSub, InProcessPubSub, NewEvent, PubSubExt, Topic};
/// use bowline_store::{SqliteStore, StoreCache};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("app.db");
/// let store = Arc::new(SqliteStore::open(&path).await?);
/// let bus = InProcessPubSub::builder().no_replay().build();
/// let bus = CachingPubSub::new(Arc::new(bus), Arc::new(StoreCache::new(store)));
/// bus.publish(Topic::agent_stream("run-1"), NewEvent::new("chunk", "run-1")).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct StoreCache {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    retention: Vec<(TopicFamily, Retention)>,
    /// When old histories were looked for, in milliseconds.
    swept: AtomicI64,
}

impl StoreCache {
    /// Keeps histories in `store`, each as long as its family says.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self::with_retention(store, [])
    }

    /// The same, with another retention for some families.
    pub fn with_retention(
        store: Arc<dyn Store>,
        changed: impl IntoIterator<Item = (TopicFamily, Retention)>,
    ) -> Self {
        let retention = TopicFamily::ALL.into_iter().map(|family| match family {
            TopicFamily::Plain => (family, TopicFamily::Stream.retention()),
            other => (other, other.retention()),
        });
        let mut retention: Vec<_> = retention.collect();
        for (family, limits) in changed {
            retention.retain(|(other, _)| *other != family);
            retention.push((family, limits));
        }
        Self {
            inner: Arc::new(Inner {
                store,
                retention,
                swept: AtomicI64::new(0),
            }),
        }
    }

    /// The store that the histories are in.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }

    /// Forgets the histories whose last event is older than their retention, and returns their number. It happens by itself
    /// about once a minute while events are appended.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn sweep(&self) -> Result<u64> {
        self.inner.sweep(Timestamp::now()).await
    }
}

impl Inner {
    fn log(topic: &str) -> LogName {
        HISTORIES.log(name::key_of(topic))
    }

    fn retention(&self, family: TopicFamily) -> Retention {
        let found = self.retention.iter().find(|(other, _)| *other == family);
        found.map_or_else(|| family.retention(), |(_, retention)| *retention)
    }

    fn keep(&self, family: TopicFamily) -> Keep {
        let Retention {
            bytes, events, age, ..
        } = self.retention(family);
        Keep::default()
            .bytes(bytes as u64)
            .entries(events as u64)
            .age(age)
    }

    /// The name of the history that the log of `born` keeps: of this store, of this incarnation.
    fn generation(&self, born: u64) -> Text {
        let id = self.store.id();
        let short = id.get(..13).unwrap_or(id);
        format!("{short}.{born}").into()
    }

    async fn append(&self, topic: &Topic, event: Event) -> bowline_events::Result<CachePosition> {
        let entry = record::encode(topic, event)?;
        let log = Self::log(topic);
        let commit = Commit::new().append_within(log, [entry], self.keep(topic.family()));
        let committed = self.store.commit(commit).await?;
        // One append, one receipt.
        let landed = committed.appended.first().copied();
        Ok(CachePosition {
            index: landed.map_or(0, |landed| landed.first),
            generation: landed.map(|landed| self.generation(landed.born)),
        })
    }

    /// Appends all in one commit; one by one, if one of them is what the store does not take.
    async fn append_all(
        &self,
        topic: &Topic,
        events: Vec<Event>,
    ) -> Vec<bowline_events::Result<CachePosition>> {
        match self.append_together(topic, &events).await {
            Ok(positions) => positions.into_iter().map(Ok).collect(),
            Err(error) if error.kind() == bowline_events::ErrorKind::TooLarge => {
                let mut positions = Vec::with_capacity(events.len());
                for event in events {
                    positions.push(self.append(topic, event).await);
                }
                positions
            }
            Err(error) => {
                let each = |_: Event| {
                    Err(bowline_events::Error::new(
                        error.kind(),
                        "append",
                        error.message().to_owned(),
                    )
                    .with_subject(topic))
                };
                events.into_iter().map(each).collect()
            }
        }
    }

    async fn append_together(
        &self,
        topic: &Topic,
        events: &[Event],
    ) -> bowline_events::Result<Vec<CachePosition>> {
        let entries = events
            .iter()
            .map(|event| record::encode(topic, event.clone()));
        let entries = entries.collect::<bowline_events::Result<Vec<_>>>()?;
        let keep = self.keep(topic.family());
        let commit = Commit::new().append_within(Self::log(topic), entries, keep);
        let committed = self.store.commit(commit).await?;
        let landed = committed.appended.first().copied();
        let generation = landed.map(|landed| self.generation(landed.born));
        let first = landed.map_or(0, |landed| landed.first);
        let positions = (first..).take(events.len()).map(|index| CachePosition {
            index,
            generation: generation.clone(),
        });
        Ok(positions.collect())
    }

    async fn read(
        &self,
        topic: &Topic,
        from: u64,
        limit: usize,
    ) -> bowline_events::Result<CachePage> {
        let log = Self::log(topic);
        let mut page = CachePage::default();
        let mut born = None;
        let mut next = from;
        loop {
            let left = limit - page.events.len();
            let part = self.store.read_log(&log, next, left).await?;
            let Some(info) = part.info else {
                // Forgotten meanwhile: what was read before is no history any more.
                return Ok(CachePage::default());
            };
            if self.is_old(topic, part.entries.first().map(|entry| entry.at)) {
                let trim = Commit::new().trim(log.clone(), self.keep(topic.family()));
                self.store.commit(trim).await?;
                continue;
            }
            let first_part = born.is_none();
            if !first_part && born != Some(info.born) {
                // Another history has begun in between; the next read of the caller begins with it.
                return Ok(page);
            }
            born = Some(info.born);
            page.generation = Some(self.generation(info.born));
            page.end = info.end;
            if first_part {
                page.first = info.first;
            }
            next = part
                .entries
                .last()
                .map_or(u64::MAX, |entry| entry.position + 1);
            for entry in part.entries {
                let generation = page.generation.clone();
                page.events
                    .push(Arc::new(record::decode(topic, &entry, generation)));
            }
            if page.events.len() >= limit || next >= info.end {
                return Ok(page);
            }
        }
    }

    /// Whether an entry of `topic` has outlived its retention.
    fn is_old(&self, topic: &Topic, at: Option<Timestamp>) -> bool {
        let oldest = self.keep(topic.family()).oldest(Timestamp::now());
        matches!((at, oldest), (Some(at), Some(oldest)) if at < oldest)
    }

    async fn sweep(&self, now: Timestamp) -> Result<u64> {
        let mut forgotten = 0;
        let mut after = None;
        loop {
            let page = self
                .store
                .logs(HISTORIES, after.as_deref(), limits::MAX_PAGE)
                .await?;
            let Some((last, _)) = page.last() else {
                return Ok(forgotten);
            };
            after = Some(last.to_string());
            for (key, info) in page {
                forgotten += u64::from(self.forget_if_old(key, info, now).await?);
            }
        }
    }

    async fn forget_if_old(&self, key: Text, info: LogInfo, now: Timestamp) -> Result<bool> {
        let family = name::topic_of(&key).map_or(TopicFamily::Plain, |name| TopicFamily::of(&name));
        let oldest = self.keep(family).oldest(now);
        if oldest.is_none_or(|oldest| info.updated >= oldest) {
            return Ok(false);
        }
        // Not if somebody appends right now.
        let commit = Commit::new().drop_log_at(HISTORIES.log(key), info.end);
        match self.store.commit(commit).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Looks for old histories in the background, if nobody has for a while.
    fn sweep_sometimes(self: &Arc<Self>) {
        let now = Timestamp::now();
        let last = self.swept.load(Relaxed);
        // A minute in milliseconds fits.
        let pause = SWEEP_EVERY.as_millis() as i64;
        let mine = now.as_millis().saturating_sub(last) >= pause
            && self
                .swept
                .compare_exchange(last, now.as_millis(), Relaxed, Relaxed)
                .is_ok();
        if !mine {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let inner = Arc::clone(self);
            runtime.spawn(async move {
                if let Err(error) = inner.sweep(now).await {
                    tracing::warn!(%error, "old histories stay in the store for now");
                }
            });
        }
    }

    async fn topics(&self) -> Result<Vec<TopicInfo>> {
        let mut infos = Vec::new();
        let mut after = None;
        loop {
            let page = self
                .store
                .logs(HISTORIES, after.as_deref(), limits::MAX_PAGE)
                .await?;
            let Some((last, _)) = page.last() else {
                return Ok(infos);
            };
            after = Some(last.to_string());
            for (key, info) in page {
                let Some(topic) = self.topic_of(key, info.first).await? else {
                    continue;
                };
                let mut topic = TopicInfo::new(topic);
                topic.events = Some(info.end - info.first);
                topic.bytes = Some(info.bytes);
                infos.push(topic);
            }
        }
    }

    /// The topic of a log: its key, or what the oldest entry says where the name did not fit into a key.
    async fn topic_of(&self, key: Text, first: u64) -> Result<Option<Topic>> {
        if let Some(name) = name::topic_of(&key) {
            return Ok(Some(Topic::new(name)));
        }
        let page = self.store.read_log(&HISTORIES.log(key), first, 1).await?;
        let name = page
            .entries
            .first()
            .and_then(|entry| record::topic_of(&entry.body));
        Ok(name.map(Topic::new))
    }
}

impl EventCache for StoreCache {
    fn append<'a>(&'a self, topic: &'a Topic, event: Event) -> OpFuture<'a, CachePosition> {
        self.inner.sweep_sometimes();
        OpFuture::new(self.inner.append(topic, event))
    }

    fn append_all<'a>(
        &'a self,
        topic: &'a Topic,
        events: Vec<Event>,
    ) -> OpFuture<'a, Vec<bowline_events::Result<CachePosition>>> {
        if events.is_empty() {
            return OpFuture::ready(Ok(Vec::new()));
        }
        self.inner.sweep_sometimes();
        OpFuture::new(async move { Ok(self.inner.append_all(topic, events).await) })
    }

    fn read(&self, topic: &Topic, from: u64, limit: usize) -> OpFuture<'static, CachePage> {
        let (inner, topic) = (Arc::clone(&self.inner), topic.clone());
        OpFuture::new(async move { inner.read(&topic, from, limit).await })
    }

    fn clear<'a>(&'a self, topic: &'a Topic) -> OpFuture<'a, ()> {
        OpFuture::new(async move {
            let commit = Commit::new().drop_log(Inner::log(topic));
            self.inner.store.commit(commit).await?;
            Ok(())
        })
    }

    fn trim<'a>(&'a self, topic: &'a Topic, before: u64) -> OpFuture<'a, ()> {
        OpFuture::new(async move {
            let commit = Commit::new().trim(Inner::log(topic), Keep::starting_at(before));
            self.inner.store.commit(commit).await?;
            Ok(())
        })
    }

    fn reach(&self) -> Reach {
        self.inner.store.reach()
    }

    fn topics(&self) -> OpFuture<'_, Vec<TopicInfo>> {
        OpFuture::new(async { Ok(self.inner.topics().await?) })
    }
}

impl fmt::Debug for StoreCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreCache")
            .field("store", &self.inner.store)
            .finish_non_exhaustive()
    }
}
