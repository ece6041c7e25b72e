//! What has come of runs, and what should have.

use bowline_workflow::{Dispatch, Engine, Resume, Run, RunStatus, Start};

use super::world::{Pace, Weather, World};
use crate::boundaries::normal;
use crate::house::{House, count};
use crate::scenes::Scene;

/// What a scene is like when nothing happens.
#[derive(Debug)]
pub(crate) struct Undisturbed {
    pub(crate) result: Option<String>,
    pub(crate) ended: usize,
    pub(crate) told: Vec<String>,
    /// Executions of each step.
    pub(crate) executed: Vec<u32>,
}

/// What `scenes` are like when nothing happens.
pub(crate) async fn undisturbed(pace: Pace, scenes: &'static [Scene]) -> Vec<Undisturbed> {
    let mut all = Vec::new();
    for scene in scenes {
        let mut world = World::new(1, pace, Weather::Clocks, scenes).await;
        world.dispatch = Some(Dispatch::Run);
        let process = world.process(true).await;
        let start = Start::with(&2_u64).unwrap().run_id("r");
        process.engine.start(scene.name, start).await.unwrap();
        let run = process.engine.run("r").await.unwrap();
        let result = bring_to_an_end(&process.engine, &run).await;
        all.push(Undisturbed {
            result,
            ended: count(&world.house.journal("r").await, "ended"),
            told: told(&world.house, "r", scene, pace).await,
            executed: world.effects.all().into_values().collect(),
        });
        process.close().await;
    }
    all
}

/// Resumes a run as often as it halts.
pub(crate) async fn bring_to_an_end(engine: &Engine, run: &Run) -> Option<String> {
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

/// What was told of a run; waits until its end was told.
pub(crate) async fn told(house: &House, run: &str, scene: &Scene, pace: Pace) -> Vec<String> {
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
        tokio::time::sleep(pace.look).await;
    }
}

/// `wanted` is in `told`, in order, and nothing else is. Events may be told twice where a process was frozen while it told
/// them, or the bus did not answer, and only there.
pub(crate) fn check_told(
    seed: u64,
    run: &str,
    scene: &Scene,
    told: &[String],
    wanted: &[String],
    weather: Weather,
) {
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
    if weather != Weather::Storm {
        assert_eq!(told.len(), wanted.len(), "seed {seed}: {run}: {told:#?}");
    }
}

/// Nothing that ended is in the journal of a run twice, and nothing was executed more often than somebody died. Clocks alone
/// take a run from nobody.
pub(crate) async fn check_work(
    seed: u64,
    world: &World,
    run: &str,
    scene: &Scene,
    wanted: &Undisturbed,
) {
    let facts = world.house.journal(run).await;
    assert_eq!(count(&facts, "ended"), wanted.ended, "seed {seed}: {run}");
    let ended: Vec<String> = facts
        .iter()
        .filter_map(|fact| fact.get("ended"))
        .map(|ended| format!("{} {}", ended["spot"], ended["attempt"]))
        .collect();
    // A step of a loop, and one that was suspended, ends at one place more than once.
    let again = ["loop", "suspend"].contains(&scene.name);
    for (n, end) in ended.iter().enumerate() {
        assert!(
            again || !ended[..n].contains(end),
            "seed {seed}: {run} has {end} twice"
        );
    }
    let all = world.effects.all();
    // Of the run itself, and of those nested in it.
    let of_run = |what: &str| {
        let rest = what.strip_prefix(run);
        rest.is_some_and(|rest| rest.starts_with(['/', '.']))
    };
    let executed = all.iter().filter(|(what, _)| of_run(what));
    let executed: Vec<(&String, &u32)> = executed.collect();
    assert_eq!(executed.len(), wanted.executed.len(), "seed {seed}: {run}");
    if !world.pace.flies() {
        // On a machine that is busy leases end without a disturbance.
        return;
    }
    let deaths = u32::try_from(world.disturbances).unwrap();
    for ((what, times), wanted) in executed.iter().zip(&wanted.executed) {
        assert!(
            (*wanted..=wanted + deaths).contains(times),
            "seed {seed}: {what} was executed {times} times, by {deaths} disturbances"
        );
    }
    let recovered = count(&facts, "recovered");
    assert!(
        recovered <= world.disturbances,
        "seed {seed}: {run} was taken over {recovered} times, by {deaths} disturbances"
    );
}
