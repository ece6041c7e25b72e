//! Inboxes of threads: what has happened elsewhere, kept until somebody has dealt with it.

mod dispatch;
mod entry;
mod iso;
mod list;
mod notify;
mod plan;
mod policy;
mod record;
mod shelf;
mod summary;
#[cfg(test)]
mod tests;
mod tool;

use std::sync::Arc;
use std::time::Duration;

use bowline_events::Text;
use bowline_store::{BlobHash, Store};
use serde::Serialize;
use tokio::sync::Notify;

pub(super) use dispatch::run;
pub use list::{Inbox, NotificationFilter, NotificationPage};
pub use notify::Notified;
pub use policy::{Delivery, DeliveryAction, DeliveryTime, NotificationPolicy};
pub use record::{NotificationRecord, NotificationStatus};
pub use tool::inbox_tool;

use super::notification::MAX_NOTIFICATION_PAYLOAD;
use crate::message::Extra;
use crate::{Data, Error, ErrorKind, Result};
use shelf::Shelf;

/// Notifications that are pending in a thread.
pub const MAX_PENDING: usize = 1000;

/// How long a notification is kept after the last that was done with it, unless it is pending.
pub const NOTIFICATION_RETENTION: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What a process has to look after inboxes.
#[derive(Debug)]
pub(super) struct Inboxes {
    pub(super) shelf: Shelf,
    pub(super) policy: NotificationPolicy,
    /// Something may be due earlier than the dispatcher expects.
    pub(super) stir: Arc<Notify>,
}

impl Inboxes {
    pub(super) fn new(
        store: Arc<dyn Store>,
        policy: NotificationPolicy,
        retention: Duration,
    ) -> Self {
        Self {
            shelf: Shelf { store, retention },
            policy,
            stir: Arc::default(),
        }
    }
}

/// A name of fixed length for some texts.
fn digest(texts: &impl Serialize) -> Text {
    // Texts: their JSON cannot fail.
    let whole = serde_json::to_vec(texts).unwrap_or_default();
    BlobHash::of(&whole).to_string().into()
}

/// # Errors
/// `TooLarge` for what is kept with a notification and is too large.
pub(super) fn limit_of(
    id: &Text,
    payload: Option<&Data>,
    attributes: &Extra,
    metadata: Option<&Data>,
) -> Result<()> {
    let bytes = |data: Option<&Data>| data.map_or(0, |it| it.as_str().len());
    let attributes = attributes.to_data();
    let together = attributes.as_str().len() + bytes(metadata);
    for (what, bytes) in [
        ("its payload", bytes(payload)),
        ("its attributes and metadata", together),
    ] {
        if bytes > MAX_NOTIFICATION_PAYLOAD {
            let error = too_large(what, bytes, MAX_NOTIFICATION_PAYLOAD);
            return Err(error.with_subject(id.clone()));
        }
    }
    Ok(())
}

pub(super) fn too_large(what: &str, bytes: usize, limit: usize) -> Error {
    let message =
        format!("{what} has {bytes} bytes, the limit is {limit}; keep it elsewhere and say where");
    Error::new(ErrorKind::TooLarge, "notify", message)
}
