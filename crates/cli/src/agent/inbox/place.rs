//! The inbox that a command looks into.

use std::sync::Arc;

use bowline_agent::threads::{Inbox, Threads};
use bowline_events::{InProcessPubSub, OpFuture};
use bowline_runtime::Stores;

use crate::agent::args::ThreadArgs;
use crate::agent::place::settings;
use crate::args::StoreArgs;
use crate::bus::within;
use crate::outcome::Failure;
use crate::store::{check, require};

/// The inbox of a thread, in a store that is there.
pub(super) struct Place {
    pub(super) inbox: Inbox,
    stores: Stores,
}

impl Place {
    pub(super) async fn open(store: &StoreArgs, thread: &ThreadArgs) -> Result<Self, Failure> {
        let settings = settings(store)?;
        let config = require(&settings)?;
        check(config).await?;
        let stores = Stores::new();
        let store = stores.open(config).await?;
        let threads = Threads::builder(store, Arc::new(InProcessPubSub::new())).start();
        // Who looks delivers nothing and removes nothing; an inbox needs no more than the store.
        threads.close().await;
        Ok(Self {
            inbox: threads.inbox(&thread.id()),
            stores,
        })
    }

    /// Closes the store, but does not wait for ever.
    pub(super) async fn close(&self) -> Result<(), Failure> {
        within(OpFuture::new(self.stores.close()), "close the store").await
    }
}

/// There is no such notification.
pub(super) fn missing(thread: &ThreadArgs, id: &str) -> Failure {
    let (place, remedy) = match &thread.resource {
        Some(resource) => (format!("{:?} with {resource:?}", thread.thread), ""),
        None => (
            format!("{:?} with nobody", thread.thread),
            ", name whom the thread is with by --resource,",
        ),
    };
    Failure::failed(format!(
        "the inbox of the thread {place} has no notification {id:?}; check the id{remedy} or look with bowline agent inbox list"
    ))
}
