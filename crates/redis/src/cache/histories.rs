//! The histories of topics in lists on a server, whatever the way to it.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bowline_events::{Error, Result, Topic, TopicInfo};
use tokio::sync::Mutex;

use super::health::Health;
use super::layout::{Keys, Layout};
use super::read::DISORDER;
use super::script::{APPEND, Script, TRIM};
use super::store::Store;
use crate::wire::{Command, Failure, Repeat};

/// Locks that appends without script take by topic.
const TURNS: usize = 64;

/// Lists whose lengths are asked for in one piece.
const TOGETHER: usize = 512;

/// The cached histories of all topics.
#[derive(Debug)]
pub(crate) struct Histories {
    pub(super) store: Box<dyn Store>,
    pub(super) layout: Layout,
    pub(super) append: Script,
    pub(super) trim: Script,
    pub(super) health: Health,
    /// The append script cannot be used here; see [`Histories::append`].
    pub(super) unscripted: AtomicBool,
    /// The server is a cluster, on which other processes may have to append without script.
    cluster: bool,
    turns: [Mutex<()>; TURNS],
    hasher: RandomState,
}

impl Histories {
    pub(crate) fn new(store: Box<dyn Store>, layout: Layout, cluster: bool) -> Arc<Self> {
        Arc::new(Self {
            store,
            layout,
            append: Script::new(&APPEND),
            trim: Script::new(&TRIM),
            health: Health::default(),
            unscripted: AtomicBool::new(false),
            cluster,
            turns: std::array::from_fn(|_| Mutex::new(())),
            hasher: RandomState::new(),
        })
    }

    /// Whether records may stand in another order than that of their indices.
    pub(super) fn is_unordered(&self) -> bool {
        self.cluster || self.unscripted.load(Relaxed)
    }

    pub(super) fn is_cluster(&self) -> bool {
        self.cluster
    }

    /// Where the appends of a topic wait for each other.
    pub(super) fn turn(&self, keys: &Keys) -> &Mutex<()> {
        let hash = self.hasher.hash_one(&keys.list) as usize;
        &self.turns[hash % TURNS]
    }

    /// Forgets the history of `topic`.
    pub(crate) async fn clear(&self, topic: &Topic) -> Result<()> {
        let keys = self.layout.keys(topic);
        let both = Command::new("DEL").key(&keys.list).arg(&keys.counter);
        let cleared = match self.store.run(&both, Repeat::Yes).await {
            Err(failure) if failure.code() == Some("CROSSSLOT") => self
                .delete(&keys.list)
                .await
                .and(self.delete(&keys.counter).await),
            result => result.map(drop),
        };
        cleared.map_err(|failure| failure.into_error("cache clear", "DEL", Some(&keys.list)))
    }

    async fn delete(&self, key: &str) -> Result<(), Failure> {
        let delete = Command::new("DEL").key(key);
        self.store.run(&delete, Repeat::Yes).await.map(drop)
    }

    /// Forgets the events of `topic` before index `before`.
    pub(crate) async fn trim(&self, topic: &Topic, before: u64) -> Result<()> {
        let keys = self.layout.keys(topic);
        self.trim_list(&keys, before)
            .await
            .map_err(|failure| failure.into_error("cache trim", "EVALSHA", Some(&keys.list)))
    }

    pub(super) async fn trim_list(&self, keys: &Keys, before: u64) -> Result<(), Failure> {
        let disorder = if self.is_unordered() { DISORDER } else { 0 };
        let arguments = [before.to_string(), disorder.to_string()];
        self.trim
            .run(&*self.store, &[&keys.list], &arguments, Repeat::Yes)
            .await
            .map(drop)
    }

    /// The topics with a history, and how many events each has.
    pub(crate) async fn topics(&self) -> Result<Vec<TopicInfo>> {
        let prefix = self.layout.prefix();
        let listed = async {
            let keys = self.store.lists(&prefix).await?;
            self.lengths(&keys).await
        };
        let mut infos = listed.await.map_err(|failure: Failure| {
            failure.into_error("cache topics", "SCAN", Some(&prefix))
        })?;
        infos.sort_by(|a: &TopicInfo, b: &TopicInfo| a.topic.cmp(&b.topic));
        infos.dedup_by(|a, b| a.topic == b.topic);
        Ok(infos)
    }

    async fn lengths(&self, keys: &[String]) -> Result<Vec<TopicInfo>, Failure> {
        let mut infos = Vec::new();
        // Commands on different nodes of a cluster do not go in one piece.
        let together = if self.cluster { 1 } else { TOGETHER };
        for keys in keys.chunks(together) {
            let asked = keys.iter().map(|key| Command::new("LLEN").key(key));
            let asked: Vec<_> = asked.collect();
            let lengths = self.store.run_all(&asked).await?;
            infos.extend(keys.iter().zip(lengths).filter_map(|(key, length)| {
                // A key may have vanished, or become something else, since it was found.
                let length = u64::try_from(length.into_int().ok()?).ok()?;
                let mut info = TopicInfo::new(Topic::from(self.layout.topic(key)?));
                info.events = Some(length);
                (length > 0).then_some(info)
            }));
        }
        Ok(infos)
    }
}

/// The error of an operation on one key.
pub(super) fn failed(failure: Failure, operation: &'static str, command: &str, key: &str) -> Error {
    failure.into_error(operation, command, Some(key))
}
