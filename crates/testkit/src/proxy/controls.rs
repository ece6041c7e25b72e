//! What a proxy has been told, and what it has counted.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::{Direction, ProxyStats};

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Not yet.
    None,
    /// After everything that has passed.
    Close,
    /// At once.
    Reset,
}

/// The state of one direction.
#[derive(Debug, Default)]
pub(super) struct Lane {
    bytes: AtomicU64,
    rules: Mutex<Rules>,
}

#[derive(Debug, Default)]
struct Rules {
    delay: Duration,
    allowance: Option<u64>,
    pattern: Option<Vec<u8>>,
}

impl Lane {
    pub(super) fn delay(&self) -> Duration {
        lock(&self.rules).delay
    }

    pub(super) fn set_delay(&self, delay: Duration) {
        lock(&self.rules).delay = delay;
    }

    pub(super) fn set_allowance(&self, bytes: u64) {
        lock(&self.rules).allowance = Some(bytes);
    }

    pub(super) fn set_pattern(&self, pattern: Vec<u8>) {
        lock(&self.rules).pattern = Some(pattern).filter(|pattern| !pattern.is_empty());
    }

    /// Whether what is looked for is in `bytes`, or begins in `tail`, the end of the bytes before; it is not looked for any
    /// more then.
    pub(super) fn finds(&self, tail: &mut Vec<u8>, bytes: &[u8]) -> bool {
        let wanted = &mut lock(&self.rules).pattern;
        let Some(pattern) = wanted else {
            tail.clear();
            return false;
        };
        tail.extend_from_slice(bytes);
        let found = tail.windows(pattern.len()).any(|window| window == *pattern);
        tail.drain(..(tail.len() + 1).saturating_sub(pattern.len()));
        if found {
            *wanted = None;
        }
        found
    }

    /// How many of `wanted` bytes may pass, and whether the connections are to be cut behind them.
    pub(super) fn pass(&self, wanted: usize) -> (usize, bool) {
        let allowance = &mut lock(&self.rules).allowance;
        match allowance {
            Some(left) if *left <= wanted as u64 => {
                // It is no more than `wanted`, so it fits.
                let last = usize::try_from(*left).unwrap_or(wanted);
                *allowance = None;
                (last, true)
            }
            Some(left) => {
                *left -= wanted as u64;
                (wanted, false)
            }
            None => (wanted, false),
        }
    }

    pub(super) fn count(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }
}

/// Shared by the handle of a proxy and its connections.
#[derive(Debug)]
pub(super) struct Controls {
    upstream: Mutex<SocketAddr>,
    // The connections since the last cut hold its receivers.
    cut: Mutex<watch::Sender<Cut>>,
    refusing: AtomicBool,
    half_open: AtomicBool,
    slice: AtomicUsize,
    open: AtomicUsize,
    accepted: AtomicU64,
    refused: AtomicU64,
    to_server: Lane,
    to_client: Lane,
}

impl Controls {
    pub(super) fn new(upstream: SocketAddr) -> Self {
        Self {
            upstream: Mutex::new(upstream),
            cut: Mutex::new(watch::Sender::new(Cut::None)),
            refusing: AtomicBool::new(false),
            half_open: AtomicBool::new(false),
            slice: AtomicUsize::new(usize::MAX),
            open: AtomicUsize::new(0),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            to_server: Lane::default(),
            to_client: Lane::default(),
        }
    }

    pub(super) fn lane(&self, direction: Direction) -> &Lane {
        match direction {
            Direction::ToServer => &self.to_server,
            Direction::ToClient => &self.to_client,
        }
    }

    /// Ends every connection that was made before; the sender returned is closed when all have ended.
    pub(super) fn cut(&self, how: Cut) -> watch::Sender<Cut> {
        let former = std::mem::replace(&mut *lock(&self.cut), watch::Sender::new(Cut::None));
        former.send_replace(how);
        former
    }

    /// Counts a connection; the receiver tells of its cut.
    pub(super) fn connect(self: &Arc<Self>) -> (Open, watch::Receiver<Cut>) {
        self.accepted.fetch_add(1, Relaxed);
        self.open.fetch_add(1, Relaxed);
        let cut = lock(&self.cut).subscribe();
        (Open(Arc::clone(self)), cut)
    }

    pub(super) fn count_refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    pub(super) fn stats(&self) -> ProxyStats {
        ProxyStats {
            open: self.open.load(Relaxed),
            accepted: self.accepted.load(Relaxed),
            refused: self.refused.load(Relaxed),
            to_server: self.to_server.bytes.load(Relaxed),
            to_client: self.to_client.bytes.load(Relaxed),
        }
    }

    pub(super) fn upstream(&self) -> SocketAddr {
        *lock(&self.upstream)
    }

    pub(super) fn set_upstream(&self, upstream: SocketAddr) {
        *lock(&self.upstream) = upstream;
    }

    pub(super) fn is_refusing(&self) -> bool {
        self.refusing.load(Relaxed)
    }

    pub(super) fn set_refusing(&self, refusing: bool) {
        self.refusing.store(refusing, Relaxed);
    }

    pub(super) fn is_half_open(&self) -> bool {
        self.half_open.load(Relaxed)
    }

    pub(super) fn set_half_open(&self, half_open: bool) {
        self.half_open.store(half_open, Relaxed);
    }

    /// How many bytes are written at once; at least 1.
    pub(super) fn slice(&self) -> usize {
        self.slice.load(Relaxed)
    }

    pub(super) fn set_slice(&self, bytes: Option<usize>) {
        self.slice
            .store(bytes.map_or(usize::MAX, |bytes| bytes.max(1)), Relaxed);
    }
}

/// One open connection, counted as long as it lives.
#[derive(Debug)]
pub(super) struct Open(Arc<Controls>);

impl std::ops::Deref for Open {
    type Target = Controls;

    fn deref(&self) -> &Controls {
        &self.0
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
