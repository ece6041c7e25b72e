//! Conversations, on every store and from two processes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod deletion;
mod messages;
mod stores;
mod threads;

use std::sync::Arc;

use bowline_agent::Memory;
use bowline_agent::memory::ThreadDetails;
use bowline_agent::message::Message;
use bowline_store::Store;
use stores::{Handles, every_store};
use tempfile::TempDir;

/// The memories of two processes on one store.
struct Two {
    name: &'static str,
    one: Memory,
    other: Memory,
    store: Arc<dyn Store>,
    _folder: Option<TempDir>,
}

/// On every store that the tests run on, new and empty.
async fn stores() -> Vec<Two> {
    let memories = |it: Handles| Two {
        name: it.name,
        store: it.one.clone(),
        one: Memory::new(it.one),
        other: Memory::new(it.other),
        _folder: it.folder,
    };
    every_store().await.into_iter().map(memories).collect()
}

impl Two {
    /// With the thread `t` of the user `u`.
    async fn with_thread(self) -> Self {
        open(&self.one, "t", "u").await;
        self
    }

    /// Records, logs, and entries of logs in the store.
    async fn left(&self) -> (u64, u64, u64) {
        let stats = self.store.stats().await.unwrap();
        let sum =
            |count: fn(&bowline_store::TableStats) -> u64| stats.tables.iter().map(count).sum();
        (
            sum(|it| it.records),
            sum(|it| it.logs),
            sum(|it| it.entries),
        )
    }
}

async fn open(memory: &Memory, thread: &'static str, resource: &'static str) {
    let details = ThreadDetails::default();
    memory.open(thread, resource, details).await.unwrap();
}

/// Messages with these numbers as ids and texts.
fn numbered(numbers: impl IntoIterator<Item = usize>) -> Vec<Message> {
    let named = |n: usize| Message::user(n.to_string()).with_id(n.to_string());
    numbers.into_iter().map(named).collect()
}

fn texts(messages: &[Message]) -> Vec<String> {
    messages.iter().map(Message::text).collect()
}

fn numbers(numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    numbers.into_iter().map(|n| n.to_string()).collect()
}
