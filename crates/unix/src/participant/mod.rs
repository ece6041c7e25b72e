//! One participant of the bus: its role, its send window, its memberships.

mod publish;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bowline_events::{Error, ErrorKind, Result};
use tokio::net::UnixStream;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::broker;
use crate::client::{Memberships, Window};
use crate::directory::Directory;
use crate::election::SocketPath;
use crate::hub::Hub;
use crate::local::Local;
use crate::options::UnixSocketBuilder;
use crate::pending::Pending;
use crate::stats::{Counters, add};
use crate::supervise;

/// The part that this process plays. Only the supervisor changes it, and always under the lock.
#[derive(Debug, Clone)]
pub(crate) enum Role {
    /// Nobody has used the bus yet, or starting it failed.
    Idle,
    /// Looking for a broker, or becoming one.
    Starting,
    Client(Arc<UnixStream>),
    Broker,
    Closed,
}

/// What the role decides about, under one lock.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) role: Role,
    /// `close` was called.
    pub(crate) closing: bool,
    pub(crate) window: Window,
    /// Publishes that wait for a role, or for room in the window, in order.
    pub(crate) pending: Pending,
    pub(crate) memberships: Memberships,
    /// An answer of the broker about its topics.
    pub(crate) directory: Directory,
    /// Which start of the supervisor this is.
    pub(crate) start: u64,
    /// Why that start, or the last attempt of it, failed.
    pub(crate) failure: Option<(u64, Error)>,
    /// A frame was written at once, and the connection's task has not run since.
    pub(crate) wrote_inline: bool,
    /// The connection's task was told that there is something to write.
    pub(crate) woken: bool,
    /// When the present connection was made.
    pub(crate) connected_at: Option<Instant>,
    /// The present broker does not acknowledge unsubscribing.
    pub(crate) no_unsubscribe_acks: bool,
}

/// Everything that the handles of one bus share.
#[derive(Debug)]
pub(crate) struct Participant {
    pub(crate) options: UnixSocketBuilder,
    pub(crate) path: SocketPath,
    /// Whose numbers the publish frames bear.
    pub(crate) publisher: Uuid,
    link: Mutex<Link>,
    pub(crate) hub: Hub,
    pub(crate) local: Local,
    pub(crate) counters: Counters,
    /// The role changed, or something was acknowledged.
    pub(crate) changed: Notify,
    /// The connection's task has something to write.
    pub(crate) outgoing: Notify,
    /// The supervisor is to end.
    pub(crate) shutdown: Notify,
    /// Goes up with every change of the memberships.
    pub(crate) membership_version: AtomicU64,
}

impl Participant {
    pub(crate) fn new(options: UnixSocketBuilder) -> Result<Arc<Self>> {
        let path = options.check()?;
        let window = Window::new(options.send_window_bytes);
        Ok(Arc::new(Self {
            options,
            path,
            publisher: Uuid::new_v4(),
            link: Mutex::new(Link {
                role: Role::Idle,
                closing: false,
                window,
                pending: Pending::default(),
                memberships: Memberships::default(),
                start: 0,
                failure: None,
                wrote_inline: false,
                woken: false,
                connected_at: None,
                no_unsubscribe_acks: false,
                directory: Directory::default(),
            }),
            hub: Hub::default(),
            local: Local::new(),
            counters: Counters::default(),
            changed: Notify::new(),
            outgoing: Notify::new(),
            shutdown: Notify::new(),
            membership_version: AtomicU64::new(0),
        }))
    }

    pub(crate) fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.link().closing
    }

    /// Starts the supervisor unless it runs. Returns which start this is.
    ///
    /// # Errors
    /// `Closed`, also inside of a runtime that is shutting down; `InvalidInput` outside of one.
    pub(crate) fn ensure_started(
        self: &Arc<Self>,
        link: &mut Link,
        operation: &'static str,
    ) -> Result<u64> {
        if link.closing {
            return Err(self.closed(operation));
        }
        if matches!(link.role, Role::Idle) {
            let runtime = Handle::try_current().map_err(|error| {
                let message = "the bus needs a Tokio runtime; call it inside of one";
                Error::new(ErrorKind::InvalidInput, operation, message).with_source(error)
            })?;
            let supervisor = runtime.spawn(supervise::run(Arc::clone(self)));
            // It cannot have run to its end: that takes the lock. A runtime that is shutting down drops it at once.
            if supervisor.is_finished() {
                let message = "the Tokio runtime is shutting down; use the bus in one that is not";
                return Err(Error::new(ErrorKind::Closed, operation, message));
            }
            link.role = Role::Starting;
            link.start += 1;
        }
        Ok(link.start)
    }

    pub(crate) fn closed(&self, operation: &'static str) -> Error {
        Error::new(
            ErrorKind::Closed,
            operation,
            "the bus was closed; make a new one",
        )
        .with_subject(&self.path.socket.to_string_lossy())
    }

    pub(crate) fn wake_writer(&self, link: &mut Link) {
        if !std::mem::replace(&mut link.woken, true) {
            self.outgoing.notify_one();
        }
    }

    /// Adds what a broker counted.
    pub(crate) fn count(&self, counts: broker::Counters) {
        add(&self.counters.malformed_frames, counts.malformed);
        add(&self.counters.rejected_events, counts.rejected);
        add(&self.counters.kicked_clients, counts.kicked);
        add(&self.counters.recovered_events, counts.recovered);
    }

    /// Counts a change of the memberships, so that readers look them up anew.
    pub(crate) fn memberships_changed(&self) {
        self.membership_version.fetch_add(1, Relaxed);
    }
}

/// The same error for another caller.
pub(crate) fn copy(error: &Error) -> Error {
    let copy = Error::new(error.kind(), error.operation(), error.message().to_owned());
    match error.subject() {
        Some(subject) => copy.with_subject(subject),
        None => copy,
    }
}
