//! The settings of a bus.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bowline_events::{Error, ErrorKind, Result};

use crate::UnixSocketPubSub;
use crate::broker::Limits;
use crate::election::SocketPath;

const MIB: usize = 1024 * 1024;

/// Sets up a [`UnixSocketPubSub`].
///
/// ```
/// use std::time::Duration;
/// use bowline_unix::UnixSocketPubSub;
/// let bus = UnixSocketPubSub::builder("/tmp/app/events.sock")
///     .max_frame_bytes(8 * 1024 * 1024)
///     .publish_deadline(Duration::from_secs(2))
///     .build()?;
/// assert!(!bus.is_broker(), "nothing happens before the first use");
/// # Ok::<(), bowline_events::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "call build"]
pub struct UnixSocketBuilder {
    pub(crate) path: PathBuf,
    pub(crate) max_frame_bytes: usize,
    pub(crate) max_client_queue_bytes: usize,
    pub(crate) high_watermark: Option<usize>,
    pub(crate) send_window_bytes: usize,
    pub(crate) membership_ack_timeout: Duration,
    pub(crate) publish_deadline: Duration,
    pub(crate) path_check_interval: Duration,
    pub(crate) flush_timeout: Duration,
    pub(crate) recovery_horizon: Duration,
    pub(crate) allow_group: Option<u32>,
    pub(crate) reclaim_plain_file: bool,
}

impl UnixSocketBuilder {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            max_frame_bytes: 64 * MIB,
            max_client_queue_bytes: 64 * MIB,
            high_watermark: None,
            send_window_bytes: MIB,
            membership_ack_timeout: Duration::from_secs(5),
            publish_deadline: Duration::from_secs(5),
            path_check_interval: Duration::from_secs(1),
            flush_timeout: Duration::from_secs(1),
            recovery_horizon: Duration::from_millis(500),
            allow_group: None,
            reclaim_plain_file: true,
        }
    }

    /// Bytes of one frame at most, the newline not counted; 64 MiB by default. A peer that sends more is cut off, a larger event
    /// of our own is refused.
    pub fn max_frame_bytes(mut self, bytes: usize) -> Self {
        self.max_frame_bytes = bytes;
        self
    }

    /// Bytes that may wait for one client; 64 MiB by default. A client that lets more pile up is cut off.
    pub fn max_client_queue_bytes(mut self, bytes: usize) -> Self {
        self.max_client_queue_bytes = bytes;
        self
    }

    /// Bytes waiting for one client from which on publishers are slowed, by at most 25 ms for each publish or read; 8 MiB by
    /// default, and never more than half of what may wait.
    pub fn high_watermark(mut self, bytes: usize) -> Self {
        self.high_watermark = Some(bytes);
        self
    }

    /// Bytes of frames that may wait in this process for the broker to take them; 1 MiB by default. Publishers then wait.
    pub fn send_window_bytes(mut self, bytes: usize) -> Self {
        self.send_window_bytes = bytes;
        self
    }

    /// How long a subscribe waits for the broker to confirm it; 5 s by default. After that it is taken for granted.
    pub fn membership_ack_timeout(mut self, timeout: Duration) -> Self {
        self.membership_ack_timeout = timeout;
        self
    }

    /// How long a publish waits for a broker, or for room in the send window; 5 s by default.
    pub fn publish_deadline(mut self, deadline: Duration) -> Self {
        self.publish_deadline = deadline;
        self
    }

    /// How often a broker checks that its socket is still the one at the path; 1 s by default.
    pub fn path_check_interval(mut self, interval: Duration) -> Self {
        self.path_check_interval = interval;
        self
    }

    /// How long `flush` and `close` wait for what is queued; 1 s by default.
    pub fn flush_timeout(mut self, timeout: Duration) -> Self {
        self.flush_timeout = timeout;
        self
    }

    /// How long a broker that took over from another one keeps what it publishes for peers that are not back yet; 500 ms by
    /// default, zero switches it off. At most 8 MiB are kept.
    pub fn recovery_horizon(mut self, span: Duration) -> Self {
        self.recovery_horizon = span;
        self
    }

    /// Lets processes take part whose group id is `gid`: the socket becomes 0660 and a new folder 0770, both of that group.
    /// By default only the own user may.
    pub fn allow_group(mut self, gid: u32) -> Self {
        self.allow_group = Some(gid);
        self
    }

    /// Whether a small plain file (up to 1 KiB) at the path is taken for a leftover and removed, as the reference does; on by
    /// default. Otherwise only an empty one is. Larger files are never removed.
    pub fn reclaim_plain_file(mut self, reclaim: bool) -> Self {
        self.reclaim_plain_file = reclaim;
        self
    }

    /// Makes the bus. Nothing touches the file system before the first use.
    ///
    /// # Errors
    /// `InvalidInput` for a path over 107 bytes, one that names no file, or a limit or time of zero.
    pub fn build(self) -> Result<UnixSocketPubSub> {
        UnixSocketPubSub::from_builder(self)
    }

    pub(crate) fn check(&self) -> Result<SocketPath> {
        let positive = [
            ("max_frame_bytes", self.max_frame_bytes > 0),
            ("max_client_queue_bytes", self.max_client_queue_bytes > 0),
            ("send_window_bytes", self.send_window_bytes > 0),
            (
                "membership_ack_timeout",
                !self.membership_ack_timeout.is_zero(),
            ),
            ("publish_deadline", !self.publish_deadline.is_zero()),
            ("path_check_interval", !self.path_check_interval.is_zero()),
        ];
        if let Some((name, _)) = positive.into_iter().find(|(_, positive)| !positive) {
            let message = "the value is zero; pass a positive one";
            return Err(Error::new(ErrorKind::InvalidInput, "build", message).with_subject(name));
        }
        SocketPath::new(
            Path::new(&self.path),
            self.allow_group,
            self.reclaim_plain_file,
        )
    }

    pub(crate) fn limits(&self) -> Limits {
        let half = self.max_client_queue_bytes / 2;
        Limits {
            frame: self.max_frame_bytes,
            queue: self.max_client_queue_bytes,
            high_watermark: self.high_watermark.unwrap_or(8 * MIB).min(half),
        }
    }

    /// Bytes of an event of our own at most, in the form in which receivers get it.
    pub(crate) fn max_event_bytes(&self) -> usize {
        self.max_frame_bytes.min(self.max_client_queue_bytes)
    }
}
