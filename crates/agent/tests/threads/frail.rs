//! What becomes of signals when the store fails, and when it does what it is told without anybody hearing of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bowline_agent::threads::{Accepted, QueueOptions, SendOptions, Signal, StateSignal};
use bowline_store::{
    Commit, Committed, Error, ErrorKind, MemoryStore, Stats, Store, StoreFuture, StoreLayer,
};

use crate::world::{AGENT, Process, World, heard_once, thread};

/// A store of which every few operations go wrong, as a seed says, until it is healed.
#[derive(Debug)]
pub(crate) struct Frail {
    inner: MemoryStore,
    dice: AtomicU64,
    pub(crate) healed: AtomicBool,
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
}

fn failure(kind: ErrorKind) -> Error {
    Error::new(kind, "test", "the test wants a failure")
}

impl StoreLayer for Frail {
    fn inner(&self) -> &dyn Store {
        &self.inner
    }

    fn around<'a, T: Send + 'a>(
        &'a self,
        operation: impl FnOnce(&'a dyn Store) -> StoreFuture<'a, T> + Send + 'a,
    ) -> StoreFuture<'a, T> {
        match self.roll() {
            0 => StoreFuture::ready(Err(failure(ErrorKind::Unavailable))),
            _ => operation(&self.inner),
        }
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

    fn stats(&self) -> StoreFuture<'_, Stats> {
        self.inner.stats()
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        self.inner.close()
    }
}

/// A store that fails as `seed` says when it is no longer healed.
pub(crate) fn frail(seed: u64) -> (Arc<Frail>, World) {
    let store = Arc::new(Frail {
        inner: MemoryStore::new(),
        dice: AtomicU64::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        healed: AtomicBool::new(true),
    });
    let mut world = World::new();
    world.store = store.clone();
    (store, world)
}

/// Signals that are sent until they are taken, with a store that fails as `seed` says.
async fn sent_again_and_again(seed: u64) {
    let (store, world) = frail(seed);
    let processes = [world.process().await, world.process().await];
    let mut reader = processes[0].read().await;
    store.healed.store(false, Ordering::SeqCst);
    let texts: Vec<String> = (0..8).map(|n| format!("signal-{n}.")).collect();
    for (n, text) in texts.iter().enumerate() {
        let signal = Signal::user(text.as_str());
        let threads = &processes[n % 2].threads;
        let sent = async || match n % 3 {
            2 => {
                let options = QueueOptions::new();
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
    heard_once(
        &processes[0],
        &mut reader,
        &texts,
        format!("with the seed {seed}"),
    )
    .await;
}

/// States that two processes say until the thread knows them.
async fn said_again_and_again(seed: u64) {
    let (store, world) = frail(seed);
    let processes = [world.process().await, world.process().await];
    let mut reader = processes[0].read().await;
    store.healed.store(false, Ordering::SeqCst);
    let texts: Vec<String> = (0..6).map(|n| format!("state-{n}.")).collect();
    for text in &texts {
        let say = async |process: &Process| {
            loop {
                let state = StateSignal::new("tide", text.clone(), text.as_str());
                let options = SendOptions::new();
                let said = process
                    .threads
                    .send_state_signal(AGENT, thread(), state, options);
                match said.await {
                    Ok(Accepted::Blocked { .. } | Accepted::Discard) | Err(_) => {
                        tokio::task::yield_now().await;
                    }
                    Ok(_) => return,
                }
            }
        };
        tokio::join!(say(&processes[0]), say(&processes[1]));
    }
    store.healed.store(true, Ordering::SeqCst);
    heard_once(
        &processes[0],
        &mut reader,
        &texts,
        format!("with the seed {seed}"),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_is_said_until_it_is_known_is_heard_once_however_the_store_fails() {
    futures_util::future::join_all((1..20).map(said_again_and_again)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_until_it_is_taken_is_heard_once_however_the_store_fails() {
    futures_util::future::join_all((1..30).map(sent_again_and_again)).await;
}
