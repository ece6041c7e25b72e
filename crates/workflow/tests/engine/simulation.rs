//! Engines that die, freeze and are closed at random, on a store and a bus that fail at random, with all kinds of runs.
//!
//! Every case has a seed, which is printed; `BOWLINE_SEED` runs that one alone and `BOWLINE_LONG` a few hundred of them.
//! Tasks run in the order that the machine likes, so a seed gives the same disturbances and not the same interleaving.

#![allow(clippy::print_stdout, reason = "a seed is printed")]

use std::sync::Arc;
use std::time::Duration;

use bowline_events::Reach;
use bowline_store::SqliteStore;
use bowline_workflow::{Engine, Resume, Run, RunStatus, Start};

use crate::boundaries::normal;
use crate::house::{House, count};
use crate::line::{Dice, Line};
use crate::scenes::{Effects, Hands, SCENES, Scene};
use crate::wires::Hints;

const RUNS: usize = 40;
const ENGINES: usize = 3;
const SOON: Duration = Duration::from_secs(60);

/// What a scene is like when nothing happens.
#[derive(Debug)]
struct Undisturbed {
    result: Option<String>,
    ended: usize,
    told: Vec<String>,
}

/// A process, and what it is called.
struct Process {
    engine: Engine,
    line: Arc<Line>,
}

struct World {
    house: House,
    effects: Effects,
    dice: Dice,
    reach: Reach,
    processes: Vec<Process>,
    /// Processes only die and are closed, and the bus answers.
    gentle: bool,
    /// Deaths, freezes and closings so far.
    disturbances: usize,
}

impl World {
    async fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let house = match dice.below(4) {
            0 => House::on(Arc::new(SqliteStore::in_memory().await.unwrap())),
            _ => House::new(),
        };
        let reach = [Reach::Process, Reach::Host][usize::from(dice.below(2) == 1)];
        Self {
            house,
            effects: Effects::default(),
            gentle: dice.below(2) == 0,
            dice,
            reach,
            processes: Vec::new(),
            disturbances: 0,
        }
    }

    /// A process that nothing happens to yet.
    async fn process(&mut self, workers: bool) -> Process {
        let line = Arc::new(Line::new(self.dice.next()));
        let hands = Hands {
            effects: self.effects.clone(),
            line: Arc::clone(&line),
        };
        let engine = self.house.far_with(&line, Hints::UpTo(2), self.reach);
        let engine = engine.workers(workers).max_runs(16);
        let engine = engine.drain(Duration::from_millis(20));
        let engine = SCENES.iter().fold(engine, |engine, scene| {
            engine.workflow((scene.make)(&hands))
        });
        Process {
            engine: engine.start().await.unwrap(),
            line,
        }
    }

    async fn add(&mut self) {
        let process = self.process(true).await;
        // How bad it is differs from process to process.
        let bad = [0, 0, 20, 100];
        let faults = bad[usize::try_from(self.dice.below(4)).unwrap()];
        process.line.store_faults(faults);
        process
            .line
            .bus_faults(if self.gentle { 0 } else { faults });
        self.processes.push(process);
    }

    /// Something happens to one of the processes.
    async fn disturb(&mut self) {
        let victim = usize::try_from(self.dice.below(ENGINES as u64)).unwrap();
        self.disturbances += 1;
        let freeze = Duration::from_millis(self.dice.below(200));
        match self.dice.below(4) {
            0 if !self.gentle => {
                let line = Arc::clone(&self.processes[victim].line);
                line.hold();
                tokio::time::sleep(freeze).await;
                line.release();
            }
            1 => {
                let closed = self.processes.remove(victim);
                let _closing = tokio::time::timeout(freeze, closed.engine.close()).await;
                closed.line.die();
                self.add().await;
            }
            _ => {
                let dead = self.processes.remove(victim);
                dead.line.die();
                self.add().await;
            }
        }
    }
}

async fn undisturbed(scene: &Scene) -> Undisturbed {
    let mut world = World::new(1).await;
    let process = world.process(true).await;
    let start = Start::with(&2_u64).unwrap().run_id("r");
    process.engine.start(scene.name, start).await.unwrap();
    let run = process.engine.run("r").await.unwrap();
    let result = bring_to_an_end(&process.engine, &run).await;
    let undisturbed = Undisturbed {
        result,
        ended: count(&world.house.journal("r").await, "ended"),
        told: told(&world.house, "r", scene).await,
    };
    process.engine.close().await;
    undisturbed
}

/// Resumes a run as often as it halts.
async fn bring_to_an_end(engine: &Engine, run: &Run) -> Option<String> {
    loop {
        let result = run.result().await.unwrap();
        if result.status().is_final() {
            assert_eq!(result.status(), RunStatus::Success, "{:?}", result.error());
            return result.result().map(ToString::to_string);
        }
        // Somebody else may be faster.
        let _ = engine.resume(run.id(), Resume::with(&7_u64).unwrap()).await;
    }
}

/// What was told of a run, once each; waits until its end was told.
async fn told(house: &House, run: &str, scene: &Scene) -> Vec<String> {
    loop {
        let events = house.told(run).await;
        let mut told: Vec<String> = Vec::new();
        let mut ended = false;
        for event in &events {
            let event_as_it_is = String::from_utf8(event.data.to_json().unwrap().to_vec()).unwrap();
            ended |= event_as_it_is.contains("workflow-finish")
                && event_as_it_is.contains("\"workflowStatus\":\"success\"");
            let event = normal(event, scene.in_order);
            let event = event.replace(&format!("\"{run}\""), "\"r\"");
            told.push(event.replace(&format!("\"{run}."), "\"r."));
        }
        if ended {
            return told;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// `wanted` is in `told`, in order, and nothing else is. Events may be told twice where a process was frozen while it told
/// them, or the bus did not answer, and only there.
fn check_told(seed: u64, run: &str, scene: &Scene, told: &[String], wanted: &[String]) {
    let mut rest = told.iter();
    if scene.in_order {
        for event in wanted {
            assert!(
                rest.any(|told| told == event),
                "seed {seed}: {run} misses {event}: {told:#?}"
            );
        }
    }
    for event in wanted {
        assert!(told.contains(event), "seed {seed}: {run} misses {event}");
    }
    for event in told {
        assert!(
            wanted.contains(event),
            "seed {seed}: {run} was told {event}"
        );
    }
}

async fn simulate(seed: u64, wanted: &[Undisturbed]) {
    println!("seed {seed}");
    let mut world = World::new(seed).await;
    for _ in 0..ENGINES {
        world.add().await;
    }
    let asks = world.process(false).await;
    for n in 0..RUNS {
        let scene = &SCENES[n % SCENES.len()];
        let start = Start::with(&2_u64).unwrap().run_id(format!("r{n}"));
        let run = asks.engine.start(scene.name, start).await.unwrap();
        if scene.name == "suspend" {
            let engine = asks.engine.clone();
            tokio::spawn(async move { bring_to_an_end(&engine, &run).await });
        }
        if world.dice.below(3) == 0 {
            let wait = world.dice.below(15);
            tokio::time::sleep(Duration::from_millis(wait)).await;
            world.disturb().await;
        }
    }
    for process in &world.processes {
        process.line.store_faults(0);
        process.line.bus_faults(0);
    }
    for n in 0..RUNS {
        let (scene, wanted) = (&SCENES[n % SCENES.len()], &wanted[n % SCENES.len()]);
        let id = format!("r{n}");
        let run = asks.engine.run(&id).await.unwrap();
        let ended = tokio::time::timeout(SOON, bring_to_an_end(&asks.engine, &run)).await;
        let Ok(result) = ended else {
            panic!("seed {seed}: {id} ({}) does not end", scene.name);
        };
        assert_eq!(result, wanted.result, "seed {seed}: {id}");
        let facts = world.house.journal(&id).await;
        assert_eq!(count(&facts, "ended"), wanted.ended, "seed {seed}: {id}");
        let Ok(told) = tokio::time::timeout(SOON, told(&world.house, &id, scene)).await else {
            panic!("seed {seed}: the end of {id} ({}) is not told", scene.name);
        };
        check_told(seed, &id, scene, &told, &wanted.told);
        if world.gentle {
            assert_eq!(
                told.len(),
                wanted.told.len(),
                "seed {seed}: {id}: {told:#?}"
            );
        }
    }
    settle(seed, world, asks, wanted).await;
}

/// Everything is closed, and nothing is left but the runs.
async fn settle(seed: u64, world: World, asks: Process, wanted: &[Undisturbed]) {
    let each = RUNS / SCENES.len();
    let committed: usize = wanted.iter().map(|wanted| wanted.ended * each).sum();
    let at_once = 16 * 3;
    let executed = usize::try_from(world.effects.total()).unwrap();
    assert!(
        executed <= committed + world.disturbances * at_once,
        "seed {seed}: {executed} executions, {committed} committed"
    );
    let notes = || async {
        let stats = world.house.store.stats().await.unwrap();
        let tables = stats.tables.iter();
        tables
            .filter(|table| table.table.as_str() == "outbox")
            .map(|table| table.records)
            .sum::<u64>()
    };
    // An engine that was frozen may believe for a while that a run is still its own.
    let works = || {
        world
            .processes
            .iter()
            .any(|process| process.engine.active_runs() > 0)
    };
    let over = async {
        while works() || notes().await > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(
        tokio::time::timeout(SOON, over).await.is_ok(),
        "seed {seed}: {} notes of the outbox are left, or engines work on runs that have ended",
        notes().await
    );
    for process in world.processes {
        process.engine.close().await;
    }
    asks.engine.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_every_run_ends_as_it_should() {
    let seed = std::env::var("BOWLINE_SEED").ok();
    let seeds = match (seed, std::env::var_os("BOWLINE_LONG")) {
        (Some(seed), _) => {
            let seed: u64 = seed.parse().expect("BOWLINE_SEED is a number");
            seed..seed + 1
        }
        (None, Some(_)) => 0..300,
        (None, None) => {
            let now = bowline_events::Timestamp::now().as_millis();
            let first = u64::try_from(now).unwrap();
            first..first + 3
        }
    };
    let mut wanted = Vec::new();
    for scene in &SCENES {
        wanted.push(undisturbed(scene).await);
    }
    for seed in seeds {
        simulate(seed, &wanted).await;
    }
}
