//! What lies between a process and the rest of the world, and everything that happens to it there.

use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use crate::clocks::JumpyClock;

/// When a process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    /// Before its n-th operation took effect.
    Before(u64),
    /// After it did, and before anybody heard of it.
    After(u64),
}

/// Where an operation goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Store,
    Bus,
}

/// The connections of one process. When it is dead, every operation hangs for ever.
#[derive(Debug)]
pub(crate) struct Line {
    death: Option<Death>,
    passed: AtomicU64,
    dead: watch::Sender<bool>,
    /// Operations that are happening, of a dead process too.
    busy: watch::Sender<u64>,
    held: watch::Sender<bool>,
    /// Operations in a thousand that fail, half of them after they took effect.
    store_faults: AtomicU32,
    bus_faults: AtomicU32,
    bus_cut: AtomicBool,
    store_cut: AtomicBool,
    /// New subscriptions end at once.
    deaf: AtomicBool,
    /// Milliseconds that an operation takes, and a step, at most.
    latency: AtomicU32,
    /// How much longer one of the bus takes.
    bus_latency: AtomicU32,
    step_time: AtomicU32,
    /// Records of runs that lists have had.
    listed: AtomicU64,
    /// Entries of logs that were read.
    read: AtomicU64,
    /// Times that the bus was asked what was published.
    asked: AtomicU64,
    dice: Mutex<Dice>,
    clock: Arc<JumpyClock>,
}

impl Line {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            death: None,
            passed: AtomicU64::new(0),
            dead: watch::channel(false).0,
            busy: watch::channel(0).0,
            held: watch::channel(false).0,
            store_faults: AtomicU32::new(0),
            bus_faults: AtomicU32::new(0),
            bus_cut: AtomicBool::new(false),
            store_cut: AtomicBool::new(false),
            deaf: AtomicBool::new(false),
            latency: AtomicU32::new(0),
            bus_latency: AtomicU32::new(0),
            step_time: AtomicU32::new(0),
            listed: AtomicU64::new(0),
            read: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            dice: Mutex::new(Dice::new(seed)),
            clock: Arc::new(JumpyClock::right()),
        }
    }

    /// A line whose process has this clock.
    pub(crate) fn with_clock(seed: u64, clock: JumpyClock) -> Self {
        Self {
            clock: Arc::new(clock),
            ..Self::new(seed)
        }
    }

    /// The clock of the process.
    pub(crate) fn clock(&self) -> &Arc<JumpyClock> {
        &self.clock
    }

    /// How many milliseconds operations take from now on, and steps, at most.
    pub(crate) fn slow_down(&self, operation: u32, step: u32) {
        self.latency.store(operation, Ordering::SeqCst);
        self.step_time.store(step, Ordering::SeqCst);
    }

    /// How many milliseconds more operations of the bus take from now on, at most.
    pub(crate) fn slow_bus(&self, operation: u32) {
        self.bus_latency.store(operation, Ordering::SeqCst);
    }

    /// How many records of runs lists have had.
    pub(crate) fn listed(&self) -> u64 {
        self.listed.load(Ordering::SeqCst)
    }

    /// A list of runs had this many records.
    pub(crate) fn lists(&self, records: usize) {
        self.listed.fetch_add(records as u64, Ordering::SeqCst);
    }

    /// How many entries of logs were read.
    pub(crate) fn read(&self) -> u64 {
        self.read.load(Ordering::SeqCst)
    }

    /// So many entries of a log were read.
    pub(crate) fn reads(&self, entries: usize) {
        self.read.fetch_add(entries as u64, Ordering::SeqCst);
    }

    /// How often the bus was asked what was published.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }

    /// The bus is asked what was published.
    pub(crate) fn asks(&self) {
        self.asked.fetch_add(1, Ordering::SeqCst);
    }

    /// Takes the time of a step.
    pub(crate) async fn works(&self) {
        self.takes(&self.step_time).await;
        self.alive().await;
    }

    async fn takes(&self, at_most: &AtomicU32) {
        let at_most = at_most.load(Ordering::SeqCst);
        if at_most > 0 {
            let millis = self.roll(at_most + 1);
            tokio::time::sleep(Duration::from_millis(millis.into())).await;
        }
    }

    /// A line whose process dies at an operation.
    pub(crate) fn with_death(death: Option<Death>) -> Self {
        Self {
            death,
            ..Self::new(1)
        }
    }

    /// How many operations there were.
    pub(crate) fn passed(&self) -> u64 {
        self.passed.load(Ordering::SeqCst)
    }

    pub(crate) fn is_dead(&self) -> bool {
        *self.dead.borrow()
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
        // The sender is in `self`.
        let _ = busy.wait_for(|busy| *busy == 0).await;
    }

    /// Something happens until this is dropped, which it does not when the process is dead.
    pub(crate) async fn happens(&self) -> Happening<'_> {
        self.busy.send_modify(|busy| *busy += 1);
        let happening = Happening(self);
        if self.is_dead() {
            drop(happening);
            pending::<()>().await;
            unreachable!("a dead process does nothing");
        }
        happening
    }

    /// Nothing of a dead process happens any more.
    pub(crate) async fn alive(&self) {
        if self.is_dead() {
            pending::<()>().await;
        }
    }

    /// Operations wait until it is released.
    pub(crate) fn hold(&self) {
        self.held.send_replace(true);
    }

    pub(crate) fn release(&self) {
        self.held.send_replace(false);
    }

    pub(crate) fn store_faults(&self, in_a_thousand: u32) {
        self.store_faults.store(in_a_thousand, Ordering::SeqCst);
    }

    pub(crate) fn bus_faults(&self, in_a_thousand: u32) {
        self.bus_faults.store(in_a_thousand, Ordering::SeqCst);
    }

    /// Every operation of the bus fails from now on, or does not any more.
    pub(crate) fn cut_bus(&self, cut: bool) {
        self.bus_cut.store(cut, Ordering::SeqCst);
    }

    /// Every operation of the store fails from now on, or does not any more.
    pub(crate) fn cut_store(&self, cut: bool) {
        self.store_cut.store(cut, Ordering::SeqCst);
    }

    /// New subscriptions end at once, or do not any more.
    pub(crate) fn deafen(&self, deaf: bool) {
        self.deaf.store(deaf, Ordering::SeqCst);
    }

    pub(crate) fn is_deaf(&self) -> bool {
        self.deaf.load(Ordering::SeqCst)
    }

    /// A number below `end`.
    pub(crate) fn roll(&self, end: u32) -> u32 {
        let rolled = self.dice.lock().unwrap().below(u64::from(end));
        u32::try_from(rolled).unwrap()
    }

    /// Lets an operation happen, or not. `fault` makes its error; it is told what kind to make.
    pub(crate) async fn pass<T, E>(
        &self,
        way: Way,
        operation: impl Future<Output = Result<T, E>>,
        fault: impl Fn(u64) -> E,
    ) -> Result<T, E> {
        self.alive().await;
        let mut held = self.held.subscribe();
        // The sender is in `self`.
        let _ = held.wait_for(|held| !*held).await;
        self.takes(&self.latency).await;
        if way == Way::Bus {
            self.takes(&self.bus_latency).await;
        }
        self.alive().await;
        let n = self.passed.fetch_add(1, Ordering::SeqCst);
        if self.death == Some(Death::Before(n)) {
            self.die();
        }
        self.alive().await;
        let cut = match way {
            Way::Store => &self.store_cut,
            Way::Bus => &self.bus_cut,
        };
        if cut.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
            return Err(fault(n));
        }
        let chance = match way {
            Way::Store => &self.store_faults,
            Way::Bus => &self.bus_faults,
        };
        let chance = u64::from(chance.load(Ordering::SeqCst));
        let (fails, after, kind) = {
            let mut dice = self.dice.lock().unwrap();
            (dice.below(1000) < chance, dice.below(2) == 1, dice.next())
        };
        if fails && !after {
            return Err(fault(kind));
        }
        let happening = self.happens().await;
        let outcome = operation.await;
        drop(happening);
        if self.death == Some(Death::After(n)) {
            self.die();
        }
        self.alive().await;
        match fails {
            true => Err(fault(kind)),
            false => outcome,
        }
    }
}

/// Something that a process does to the world.
#[derive(Debug)]
pub(crate) struct Happening<'a>(&'a Line);

impl Drop for Happening<'_> {
    fn drop(&mut self) {
        self.0.busy.send_modify(|busy| *busy -= 1);
    }
}

/// Numbers that look random and are the same for the same seed.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        dice.next();
        dice
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
