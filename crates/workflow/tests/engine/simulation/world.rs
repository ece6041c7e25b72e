//! A store, a bus and three processes, and what happens to them.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::Reach;
use bowline_store::SqliteStore;
use bowline_workflow::schedule::Scheduler;
use bowline_workflow::{Clock, Dispatch, Engine};

use crate::clocks::{JumpyClock, Origin};
use crate::house::House;
use crate::line::{Dice, Line};
use crate::scenes::{Effects, Hands, Scene};
use crate::wires::Hints;

pub(crate) const ENGINES: usize = 3;
/// Longer than any simulation: what was told is looked at when everything is over.
const KEPT: Duration = Duration::from_secs(1_000_000);

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weather {
    /// Nothing but clocks that are set, go too fast and too slow.
    Clocks,
    /// Processes die and are closed, too.
    Deaths,
    /// They freeze, and the store and the bus fail, too.
    Storm,
}

/// How long things take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Milliseconds of an operation of the store or the bus, at most, and of a step.
    operation: u32,
    step: u32,
    lease: Duration,
    poll: Duration,
    drain: Duration,
    /// What is between one disturbance and the next, at most.
    pub(crate) pause: u64,
    freeze: u64,
    /// How far a clock is set, in milliseconds.
    set: [i64; 3],
    /// How often somebody looks who waits for something.
    pub(crate) look: Duration,
    /// What everything ends in.
    pub(crate) soon: Duration,
}

impl Pace {
    /// Whether nothing depends on how fast this machine is.
    pub(crate) fn flies(self) -> bool {
        self.operation > 0
    }

    /// On real threads and in real time, so that nothing may take long.
    pub(crate) const REAL: Self = Self {
        operation: 0,
        step: 0,
        lease: Duration::from_millis(100),
        poll: Duration::from_millis(20),
        drain: Duration::from_millis(20),
        pause: 15,
        freeze: 200,
        set: [50, 500, 2000],
        look: Duration::from_millis(10),
        soon: Duration::from_secs(60),
    };

    /// In time that passes when there is nothing else to do, as it does in practice.
    pub(crate) const FLYING: Self = Self {
        operation: 20,
        step: 3000,
        lease: Duration::from_secs(10),
        poll: Duration::from_secs(1),
        drain: Duration::from_secs(2),
        pause: 20_000,
        freeze: 25_000,
        set: [2000, 60_000, 3_600_000],
        look: Duration::from_secs(1),
        // A timer of a clock that was an hour ahead may be an hour late, and the clock of another process an hour behind.
        soon: Duration::from_secs(4 * 3600),
    };
}

/// A process, and what it is called.
pub(crate) struct Process {
    pub(crate) engine: Engine,
    scheduler: Option<Scheduler>,
    pub(crate) line: Arc<Line>,
}

pub(crate) struct World {
    pub(crate) house: House,
    pub(crate) effects: Effects,
    pub(crate) dice: Dice,
    pub(crate) pace: Pace,
    pub(crate) weather: Weather,
    pub(crate) processes: Vec<Process>,
    /// Deaths, freezes and closings so far.
    pub(crate) disturbances: usize,
    scenes: &'static [Scene],
    origin: Origin,
    pub(crate) reach: Reach,
    /// How much of a run workers take at a time; `None` where that differs from process to process.
    pub(crate) dispatch: Option<Dispatch>,
}

impl World {
    pub(crate) async fn new(
        seed: u64,
        pace: Pace,
        weather: Weather,
        scenes: &'static [Scene],
    ) -> Self {
        let mut dice = Dice::new(seed);
        // A database works on threads of its own, which time that flies would not wait for.
        let database = dice.below(4) == 0 && !pace.flies();
        let house = match database {
            true => House::on(Arc::new(SqliteStore::in_memory().await.unwrap())),
            false => House::new(),
        };
        let reach = [Reach::Process, Reach::Host][usize::from(dice.below(2) == 1)];
        let dispatch = [Some(Dispatch::Run), Some(Dispatch::Step), None];
        let dispatch = dispatch[usize::try_from(dice.below(3)).unwrap()];
        Self {
            house,
            effects: Effects::default(),
            dice,
            pace,
            weather,
            processes: Vec::new(),
            disturbances: 0,
            scenes,
            origin: Origin::now(),
            reach,
            dispatch,
        }
    }

    /// A process that nothing happens to yet.
    pub(crate) async fn process(&mut self, workers: bool) -> Process {
        let clock = JumpyClock::since(self.origin);
        let line = Arc::new(Line::with_clock(self.dice.next(), clock));
        line.slow_down(self.pace.operation, self.pace.step);
        let dispatch = match self.dispatch {
            Some(dispatch) => dispatch,
            None => [Dispatch::Run, Dispatch::Step][usize::from(self.dice.below(2) == 1)],
        };
        let hands = Hands::new(&self.effects, &line).dispatched(dispatch);
        let engine = self.house.far_with(&line, Hints::UpTo(2), self.reach);
        let engine = engine.workers(workers).max_runs(16);
        let engine = engine.lease(self.pace.lease).poll(self.pace.poll);
        let engine = engine.watch_retention(KEPT).run_retention(2 * KEPT);
        let engine = engine.drain(self.pace.drain);
        let engine = self.scenes.iter().fold(engine, |engine, scene| {
            engine.workflow((scene.make)(&hands))
        });
        let engine = engine.start().await.unwrap();
        let scheduler = workers.then(|| {
            let scheduler = Scheduler::builder(self.house.far_store(&line), engine.launcher());
            let clock = Arc::clone(line.clock()) as Arc<dyn Clock>;
            scheduler.clock(clock).poll(self.pace.poll).start().unwrap()
        });
        Process {
            engine,
            scheduler,
            line,
        }
    }

    pub(crate) async fn add(&mut self) {
        let process = self.process(true).await;
        // How bad it is differs from process to process.
        let bad = [0, 0, 20, 100];
        let faults = bad[usize::try_from(self.dice.below(4)).unwrap()];
        if self.weather == Weather::Storm {
            process.line.store_faults(faults);
            process.line.bus_faults(faults);
        }
        process.line.clock().set_ahead(self.away());
        let drift = i64::try_from(self.dice.below(20_001)).unwrap() - 10_000;
        process.line.clock().drifts(drift);
        self.processes.push(process);
    }

    /// How far a clock is set.
    fn away(&mut self) -> i64 {
        let far = self.pace.set[usize::try_from(self.dice.below(3)).unwrap()];
        let span = u64::try_from(2 * far + 1).unwrap();
        i64::try_from(self.dice.below(span)).unwrap() - far
    }

    /// Something happens to one of the processes.
    pub(crate) async fn disturb(&mut self) {
        let victim = usize::try_from(self.dice.below(ENGINES as u64)).unwrap();
        let freeze = Duration::from_millis(self.dice.below(self.pace.freeze));
        let what = self.dice.below(7);
        match what {
            0 if self.weather == Weather::Storm => {
                self.disturbances += 1;
                let line = Arc::clone(&self.processes[victim].line);
                line.hold();
                tokio::time::sleep(freeze).await;
                line.release();
            }
            1 | 2 if self.weather != Weather::Clocks => {
                self.disturbances += 1;
                let victim = self.processes.remove(victim);
                if what == 1 {
                    let _closing = tokio::time::timeout(freeze, victim.close()).await;
                }
                victim.line.die();
                self.add().await;
            }
            // Nobody reaches anything for a while, so nobody may take that for the death of the others.
            3 => {
                let hangs = self.dice.below(2) == 0;
                let lines = || self.processes.iter().map(|process| &process.line);
                match hangs {
                    true => lines().for_each(|line| line.hold()),
                    false => lines().for_each(|line| line.cut_store(true)),
                }
                tokio::time::sleep(freeze * 3).await;
                match hangs {
                    true => lines().for_each(|line| line.release()),
                    false => lines().for_each(|line| line.cut_store(false)),
                }
            }
            _ => {
                let away = self.away();
                self.processes[victim].line.clock().set_ahead(away);
            }
        }
    }

    /// Nothing happens any more, and the clocks are right.
    pub(crate) fn calm_down(&self) {
        for process in &self.processes {
            process.line.store_faults(0);
            process.line.bus_faults(0);
            process.line.clock().set_ahead(0);
            process.line.clock().drifts(0);
        }
    }
}

impl Process {
    pub(crate) async fn close(&self) {
        if let Some(scheduler) = &self.scheduler {
            scheduler.close().await;
        }
        self.engine.close().await;
    }
}
