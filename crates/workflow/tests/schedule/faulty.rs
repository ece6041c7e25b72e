//! A store that fails, loses answers and takes its time, as a seed says.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bowline_events::{Text, Timestamp};
use bowline_store::{
    Commit, Committed, Error, ErrorKind, Filter, Page, Query, Record, Result, Store, StoreFuture,
    StoreLayer, Table,
};

/// Numbers out of a seed.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// A number below `sides`.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
}

/// Does what `inner` does, unless the dice say otherwise.
#[derive(Debug)]
pub(crate) struct Faulty {
    inner: Arc<dyn Store>,
    dice: Mutex<Dice>,
    healed: AtomicBool,
}

/// What happens to an operation.
enum Fate {
    Happens,
    Fails,
    HappensInSilence,
}

impl Faulty {
    pub(crate) fn new(inner: Arc<dyn Store>, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            inner,
            dice: Mutex::new(Dice::new(seed)),
            healed: AtomicBool::new(false),
        })
    }

    /// From now on, nothing goes wrong.
    pub(crate) fn heal(&self) {
        self.healed.store(true, Ordering::SeqCst);
    }

    fn fate(&self) -> Fate {
        if self.healed.load(Ordering::SeqCst) {
            return Fate::Happens;
        }
        match self.dice.lock().unwrap().roll(10) {
            0 => Fate::Fails,
            1 | 2 => Fate::HappensInSilence,
            _ => Fate::Happens,
        }
    }

    async fn pause(&self) {
        let yields = self.dice.lock().unwrap().roll(3);
        for _ in 0..yields {
            tokio::task::yield_now().await;
        }
    }

    /// Reads, or fails.
    fn read<'a, T>(&'a self, result: StoreFuture<'a, T>) -> StoreFuture<'a, T>
    where
        T: Send + 'a,
    {
        StoreFuture::new(async move {
            self.pause().await;
            match self.fate() {
                Fate::Fails => Err(unavailable()),
                Fate::Happens | Fate::HappensInSilence => result.await,
            }
        })
    }
}

fn unavailable() -> Error {
    Error::new(ErrorKind::Unavailable, "test", "the test wants a failure")
}

fn lost() -> Error {
    Error::new(ErrorKind::Timeout, "test", "the test has lost the answer")
}

impl StoreLayer for Faulty {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    fn commit(&self, commit: Commit) -> StoreFuture<'_, Committed> {
        StoreFuture::new(async move {
            self.pause().await;
            let result: Result<Committed> = match self.fate() {
                Fate::Fails => Err(unavailable()),
                Fate::Happens => self.inner.commit(commit).await,
                Fate::HappensInSilence => self.inner.commit(commit).await.and_then(|_| Err(lost())),
            };
            self.pause().await;
            result
        })
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
}
