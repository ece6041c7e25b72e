//! The histories of topics in lists on a server, whatever the way to it.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bowline_events::{Error, Result, Topic, TopicInfo};
use tokio::sync::Mutex;

use super::layout::{Keys, Layout};
use super::script::{APPEND, Script, TRIM};
use super::store::Store;
use crate::history::escape_glob;
use crate::wire::{Command, Failure, Repeat, Reply};

/// Locks that appends without script take by topic.
const TURNS: usize = 64;

/// Keys that one step of a listing looks at.
const SCAN: u64 = 512;

/// The cached histories of all topics.
#[derive(Debug)]
pub(crate) struct Histories {
    pub(super) store: Box<dyn Store>,
    pub(super) layout: Layout,
    pub(super) append: Script,
    pub(super) trim: Script,
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
            Err(failure) if failure.code() == Some("CROSSSLOT") => {
                let one_by_one = keys.both().map(|key| Command::new("DEL").key(key));
                let replies = self.store.run_all(&one_by_one, false).await;
                replies.and_then(|replies| {
                    replies
                        .into_iter()
                        .try_for_each(|r| r.into_result().map(drop))
                })
            }
            result => result.map(drop),
        };
        cleared.map_err(|failure| failure.into_error("cache clear", "DEL", Some(&keys.list)))
    }

    /// Forgets the events of `topic` before index `before`.
    pub(crate) async fn trim(&self, topic: &Topic, before: u64) -> Result<()> {
        let keys = self.layout.keys(topic);
        self.trim_list(&keys, before)
            .await
            .map_err(|failure| failure.into_error("cache trim", "EVALSHA", Some(&keys.list)))
    }

    pub(super) async fn trim_list(&self, keys: &Keys, before: u64) -> Result<(), Failure> {
        let before = before.to_string();
        self.trim
            .run(&*self.store, &[&keys.list], &[before], Repeat::Yes)
            .await
            .map(drop)
    }

    /// The topics with a history, and how many events each has.
    pub(crate) async fn topics(&self) -> Result<Vec<TopicInfo>> {
        let prefix = self.layout.prefix();
        let listed = async {
            let mut infos = Vec::new();
            let mut cursor = "0".to_owned();
            loop {
                let (next, keys) = self.scan(&prefix, &cursor).await?;
                infos.extend(self.lengths(&prefix, &keys).await?);
                if next == "0" {
                    return Ok(infos);
                }
                cursor = next;
            }
        };
        let mut infos: Vec<TopicInfo> = listed.await.map_err(|failure: Failure| {
            failure.into_error("cache topics", "SCAN", Some(&prefix))
        })?;
        infos.sort_by(|a, b| a.topic.cmp(&b.topic));
        infos.dedup_by(|a, b| a.topic == b.topic);
        Ok(infos)
    }

    async fn scan(&self, prefix: &str, cursor: &str) -> Result<(String, Vec<String>), Failure> {
        let scan = Command::new("SCAN")
            .arg(cursor)
            .arg("MATCH")
            .arg(format!("{}*", escape_glob(prefix)))
            .arg("COUNT")
            .number(SCAN)
            .arg("TYPE")
            .arg("list");
        let mut reply = self
            .store
            .run(&scan, Repeat::Yes)
            .await?
            .into_array()?
            .into_iter();
        let next = reply.next().unwrap_or(Reply::Nil).into_text()?;
        let keys = reply.next().unwrap_or(Reply::Nil).into_array()?;
        let keys = keys.into_iter().map(Reply::into_text);
        Ok((next, keys.collect::<Result<_, _>>()?))
    }

    async fn lengths(&self, prefix: &str, keys: &[String]) -> Result<Vec<TopicInfo>, Failure> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let asked: Vec<_> = keys
            .iter()
            .map(|key| Command::new("LLEN").key(key))
            .collect();
        let lengths = self.store.run_all(&asked, false).await?;
        let infos = keys.iter().zip(lengths).filter_map(|(key, length)| {
            // A key may have vanished, or become something else, since it was found.
            let length = u64::try_from(length.into_int().ok()?).ok()?;
            let mut info = TopicInfo::new(Topic::from(key.strip_prefix(prefix)?));
            info.events = Some(length);
            (length > 0).then_some(info)
        });
        Ok(infos.collect())
    }
}

/// The error of an operation on one key.
pub(super) fn failed(failure: Failure, operation: &'static str, command: &str, key: &str) -> Error {
    failure.into_error(operation, command, Some(key))
}
