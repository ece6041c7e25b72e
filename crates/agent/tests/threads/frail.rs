//! What becomes of signals when the store fails, and when it does what it is told without anybody hearing of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bowline_agent::threads::{SendOptions, Signal, ThreadEvent};
use bowline_events::{Text, Timestamp};
use bowline_store::{
    BlobHash, Claim, Commit, Committed, Error, ErrorKind, Filter, LogName, LogPage, MemoryStore,
    Page, Query, Record, Stats, Store, StoreFuture, Table, Watch,
};
use bytes::Bytes;

use crate::world::{AGENT, World, thread};

/// A store of which every few operations go wrong, as a seed says, until it is healed.
#[derive(Debug)]
struct Frail {
    inner: MemoryStore,
    dice: AtomicU64,
    healed: AtomicBool,
}

impl Frail {
    fn roll(&self) -> u64 {
        if self.healed.load(Ordering::SeqCst) {
            return u64::MAX;
        }
        let next = |dice: u64| Some(dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        let dice = self
            .dice
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, next);
        (dice.unwrap() >> 33) % 12
    }

    fn read<'a, T: Send + 'a>(&self, found: StoreFuture<'a, T>) -> StoreFuture<'a, T> {
        match self.roll() {
            0 => StoreFuture::ready(Err(failure(ErrorKind::Unavailable))),
            _ => found,
        }
    }
}

fn failure(kind: ErrorKind) -> Error {
    Error::new(kind, "test", "the test wants a failure")
}

impl Store for Frail {
    fn id(&self) -> &Text {
        self.inner.id()
    }

    fn commit(&self, commit: Commit) -> StoreFuture<'_, Committed> {
        match self.roll() {
            0 => StoreFuture::ready(Err(failure(ErrorKind::Unavailable))),
            1 | 2 => StoreFuture::new(async {
                self.inner.commit(commit).await?;
                Err(failure(ErrorKind::Timeout))
            }),
            _ => self.inner.commit(commit),
        }
    }

    fn get<'a>(&'a self, table: Table, key: &'a str) -> StoreFuture<'a, Option<Record>> {
        self.read(self.inner.get(table, key))
    }

    fn get_many<'a>(
        &'a self,
        table: Table,
        keys: &'a [Text],
    ) -> StoreFuture<'a, Vec<Option<Record>>> {
        self.read(self.inner.get_many(table, keys))
    }

    fn list<'a>(&'a self, table: Table, query: &'a Query) -> StoreFuture<'a, Page> {
        self.read(self.inner.list(table, query))
    }

    fn count<'a>(&'a self, table: Table, filter: &'a Filter) -> StoreFuture<'a, u64> {
        self.read(self.inner.count(table, filter))
    }

    fn due(&self, table: Table, at: Timestamp, limit: usize) -> StoreFuture<'_, Vec<Record>> {
        self.read(self.inner.due(table, at, limit))
    }

    fn claim_due(&self, table: Table, claim: Claim) -> StoreFuture<'_, Vec<Record>> {
        self.read(self.inner.claim_due(table, claim))
    }

    fn read_log<'a>(
        &'a self,
        log: &'a LogName,
        from: u64,
        limit: usize,
    ) -> StoreFuture<'a, LogPage> {
        self.read(self.inner.read_log(log, from, limit))
    }

    fn logs<'a>(
        &'a self,
        table: Table,
        after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<(Text, bowline_store::LogInfo)>> {
        self.read(self.inner.logs(table, after, limit))
    }

    fn blob(&self, hash: BlobHash) -> StoreFuture<'_, Option<Bytes>> {
        self.read(self.inner.blob(hash))
    }

    fn stats(&self) -> StoreFuture<'_, Stats> {
        self.inner.stats()
    }

    fn watch(&self, table: Table) -> Watch {
        self.inner.watch(table)
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        self.inner.close()
    }
}

/// Signals that are sent until they are taken, with a store that fails as `seed` says.
async fn sent_again_and_again(seed: u64) {
    let store = Arc::new(Frail {
        inner: MemoryStore::new(),
        dice: AtomicU64::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        healed: AtomicBool::new(true),
    });
    let mut world = World::new();
    world.store = store.clone();
    let processes = [world.process().await, world.process().await];
    let mut reader = processes[0].read().await;
    store.healed.store(false, Ordering::SeqCst);
    let texts: Vec<String> = (0..8).map(|n| format!("signal-{n}.")).collect();
    for (n, text) in texts.iter().enumerate() {
        let signal = Signal::user(text.as_str());
        let threads = &processes[n % 2].threads;
        let sent = async || match n % 3 {
            2 => {
                let options = Default::default();
                let signal = signal.clone();
                threads
                    .queue_message(AGENT, thread(), signal, options)
                    .await
            }
            _ => {
                let options = SendOptions::new();
                threads
                    .send_signal(AGENT, thread(), signal.clone(), options)
                    .await
            }
        };
        while sent().await.is_err() {
            tokio::task::yield_now().await;
        }
    }
    store.healed.store(true, Ordering::SeqCst);
    processes[0].queue("last").await;
    let mut heard = String::new();
    while !heard.contains("last") {
        let (said, end) = reader.said().await;
        if end == ThreadEvent::Completed {
            heard.push_str(&said);
        }
    }
    for text in &texts {
        let times = heard.matches(text.as_str()).count();
        assert_eq!(times, 1, "{text} with the seed {seed}: {heard}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_until_it_is_taken_is_heard_once_however_the_store_fails() {
    futures_util::future::join_all((1..30).map(sent_again_and_again)).await;
}
