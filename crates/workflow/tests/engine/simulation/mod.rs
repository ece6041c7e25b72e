//! Engines that die, freeze and are closed at random, whose clocks are set at random, on a store and a bus that fail at
//! random, with all kinds of runs.
//!
//! Every case has a seed, which is printed; `BOWLINE_SEED` runs that one alone and `BOWLINE_LONG` many of them. On real
//! threads tasks run in the order that the machine likes; where time flies the order is that of the seed, as far as the
//! program itself does not toss coins.

#![allow(clippy::print_stdout, reason = "a seed is printed")]

mod long;
mod ticks;
mod verdict;
mod world;

use std::ops::Range;
use std::sync::LazyLock;
use std::time::Duration;

use bowline_workflow::Start;

use crate::scenes::{SCENES, Scene};
use verdict::{Undisturbed, bring_to_an_end, check_told, check_work, told, undisturbed};
use world::{ENGINES, Pace, Process, Weather, World};

/// Runs of each scene.
const EACH: usize = 3;

/// Scenes that fit into real time, and those that do not.
static ALL: LazyLock<Vec<Scene>> = LazyLock::new(|| SCENES.into_iter().chain(long::LONG).collect());

/// Runs worlds to their end, whose weather is as it is with the seed.
async fn simulate(
    seeds: Range<u64>,
    pace: Pace,
    scenes: &'static [Scene],
    weather: impl Fn(u64) -> Weather,
) {
    let wanted = undisturbed(pace, scenes).await;
    for seed in seeds {
        one(seed, pace, weather(seed), scenes, &wanted).await;
    }
}

async fn one(
    seed: u64,
    pace: Pace,
    weather: Weather,
    scenes: &'static [Scene],
    wanted: &[Undisturbed],
) {
    let mut world = World::new(seed, pace, weather, scenes).await;
    let (reach, dispatch) = (world.reach, world.dispatch);
    println!("seed {seed}, {weather:?}, {reach:?}, dispatch {dispatch:?}");
    for _ in 0..ENGINES {
        world.add().await;
    }
    let asks = world.process(false).await;
    let ticks = ticks::begin(&world, &asks).await;
    let runs = EACH * scenes.len();
    for n in 0..runs {
        let scene = &scenes[n % scenes.len()];
        let start = Start::with(&2_u64).unwrap().run_id(format!("r{n}"));
        let run = asks.engine.start(scene.name, start).await.unwrap();
        if scene.name == "suspend" {
            let engine = asks.engine.clone();
            tokio::spawn(async move { bring_to_an_end(&engine, &run).await });
        }
        if world.dice.below(3) == 0 {
            let wait = world.dice.below(world.pace.pause);
            tokio::time::sleep(Duration::from_millis(wait)).await;
            world.disturb().await;
        }
    }
    world.calm_down();
    for n in 0..runs {
        let (scene, wanted) = (&scenes[n % scenes.len()], &wanted[n % scenes.len()]);
        check(seed, &world, &asks, &format!("r{n}"), scene, wanted).await;
    }
    ticks.check(seed, &asks).await;
    settle(seed, world, asks).await;
}

async fn check(
    seed: u64,
    world: &World,
    asks: &Process,
    id: &str,
    scene: &Scene,
    wanted: &Undisturbed,
) {
    let soon = world.pace.soon;
    let run = asks.engine.run(id).await.unwrap();
    let ended = tokio::time::timeout(soon, bring_to_an_end(&asks.engine, &run)).await;
    let Ok(result) = ended else {
        panic!(
            "seed {seed}: {id} ({}) does not end: {:?}",
            scene.name,
            world.house.journal(id).await
        );
    };
    assert_eq!(result, wanted.result, "seed {seed}: {id}");
    check_work(seed, world, id, scene, wanted).await;
    long::check_timers(seed, world, id, scene).await;
    let told = told(&world.house, id, scene, world.pace);
    let Ok(told) = tokio::time::timeout(soon, told).await else {
        panic!("seed {seed}: the end of {id} ({}) is not told", scene.name);
    };
    check_told(seed, id, scene, &told, &wanted.told, world.weather);
}

/// Everything is closed, and nothing is left but the runs.
async fn settle(seed: u64, world: World, asks: Process) {
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
            tokio::time::sleep(world.pace.look).await;
        }
    };
    assert!(
        tokio::time::timeout(world.pace.soon, over).await.is_ok(),
        "seed {seed}: {} notes of the outbox are left, or engines work on runs that have ended",
        notes().await
    );
    for process in world.processes {
        process.close().await;
    }
    asks.close().await;
}

/// The seeds to run: one that was asked for, many, or `few` that nobody knows before.
fn seeds(few: u64, many: u64) -> Range<u64> {
    let seed = std::env::var("BOWLINE_SEED").ok();
    match (seed, std::env::var_os("BOWLINE_LONG")) {
        (Some(seed), _) => {
            let seed: u64 = seed.parse().expect("BOWLINE_SEED is a number");
            seed..seed + 1
        }
        (None, Some(_)) => 0..many,
        (None, None) => {
            let now = bowline_events::Timestamp::now().as_millis();
            let first = u64::try_from(now).unwrap();
            first..first + few
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_every_run_ends_as_it_should() {
    let weather = |seed| [Weather::Deaths, Weather::Storm][usize::from(seed % 2 == 1)];
    simulate(seeds(3, 300), Pace::REAL, &SCENES, weather).await;
}

#[tokio::test(start_paused = true)]
async fn clocks_that_are_set_take_no_run_from_who_works_on_it() {
    simulate(seeds(2, 100), Pace::FLYING, &ALL, |_| Weather::Clocks).await;
}

#[tokio::test(start_paused = true)]
async fn nor_do_they_keep_runs_of_the_dead_from_ending() {
    simulate(seeds(2, 100), Pace::FLYING, &ALL, |_| Weather::Deaths).await;
}

#[tokio::test(start_paused = true)]
async fn nor_while_everything_fails() {
    simulate(seeds(2, 100), Pace::FLYING, &ALL, |_| Weather::Storm).await;
}
