//! The inbox that a command looks into.

use bowline_agent::threads::Inbox;
use bowline_events::OpFuture;
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
        Ok(Self {
            inbox: Inbox::new(store, &thread.id()),
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
