//! What lies between a process and the rest of the world. When the process is dead, nothing passes any more.

use std::future::pending;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;

/// What was begun has happened after that time.
const UNHEARD: Duration = Duration::from_millis(500);

/// When a process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    /// Before its n-th operation took effect.
    Before(u64),
    /// After it did, and before anybody heard of it.
    After(u64),
}

/// The connections of one process.
#[derive(Debug)]
pub(crate) struct Line {
    death: Option<Death>,
    passed: AtomicU64,
    /// Bytes of commits, without the signs of life of the engine.
    written: AtomicUsize,
    dead: watch::Sender<bool>,
    /// Operations that are happening, of a dead process too.
    busy: watch::Sender<u64>,
}

impl Line {
    pub(crate) fn new(death: Option<Death>) -> Self {
        Self {
            death,
            passed: AtomicU64::new(0),
            written: AtomicUsize::new(0),
            dead: watch::channel(false).0,
            busy: watch::channel(0).0,
        }
    }

    /// How many operations there were.
    pub(crate) fn passed(&self) -> u64 {
        self.passed.load(Ordering::SeqCst)
    }

    /// How many bytes it has committed.
    pub(crate) fn written(&self) -> usize {
        self.written.load(Ordering::SeqCst)
    }

    pub(crate) fn writes(&self, bytes: usize) {
        self.written.fetch_add(bytes, Ordering::SeqCst);
    }

    pub(crate) fn die(&self) {
        self.dead.send_replace(true);
    }

    pub(crate) async fn died(&self) {
        let mut dead = self.dead.subscribe();
        // The sender is in `self`.
        let _ = dead.wait_for(|dead| *dead).await;
    }

    /// Waits until what a process began before it died has happened.
    pub(crate) async fn quiet(&self) {
        let mut busy = self.busy.subscribe();
        // The sender is in `self`. What a task has begun that hangs elsewhere now happens without anybody hearing of it.
        let quiet = busy.wait_for(|busy| *busy == 0);
        let _ = tokio::time::timeout(UNHEARD, quiet).await;
    }

    /// Does something to the world at once, unless the process is dead. Whether it did.
    pub(crate) fn acts(&self, act: impl FnOnce()) -> bool {
        // Nobody dies while this is held.
        let dead = self.dead.borrow();
        if !*dead {
            act();
        }
        !*dead
    }

    /// Nothing of a dead process happens any more.
    pub(crate) async fn alive(&self) {
        if *self.dead.borrow() {
            pending::<()>().await;
        }
    }

    /// Lets an operation happen, or not.
    pub(crate) async fn pass<T>(&self, operation: impl Future<Output = T>) -> T {
        self.alive().await;
        let n = self.passed.fetch_add(1, Ordering::SeqCst);
        if self.death == Some(Death::Before(n)) {
            self.die();
        }
        let mut happening = None;
        self.acts(|| happening = Some(Happening::of(self)));
        self.alive().await;
        let outcome = operation.await;
        drop(happening);
        if self.death == Some(Death::After(n)) {
            self.die();
        }
        self.alive().await;
        outcome
    }
}

/// Something that a process does to the world.
#[derive(Debug)]
struct Happening<'a>(&'a Line);

impl<'a> Happening<'a> {
    fn of(line: &'a Line) -> Self {
        line.busy.send_modify(|busy| *busy += 1);
        Self(line)
    }
}

impl Drop for Happening<'_> {
    fn drop(&mut self) {
        self.0.busy.send_modify(|busy| *busy -= 1);
    }
}
