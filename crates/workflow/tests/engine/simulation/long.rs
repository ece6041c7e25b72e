//! Workflows that mostly wait, and when what they wait for may happen.

use std::time::Duration;

use bowline_events::Timestamp;
use bowline_workflow::{RetryPolicy, StepContext, StepError, Workflow, step};

use super::world::World;
use crate::scenes::{Hands, Scene, scene};

/// Longer than a run that sleeps stays in memory.
const NAP: Duration = Duration::from_secs(300);
/// Shorter than that.
const DOZE: Duration = Duration::from_millis(800);
const BACKOFF: Duration = Duration::from_secs(20);

pub(crate) const LONG: [Scene; 3] = [
    scene("nap", nap, true),
    scene("doze", doze, true),
    scene("backoff", backoff, true),
];

fn pausing(name: &'static str, pause: Duration, hands: &Hands) -> Workflow {
    Workflow::builder(name)
        .input::<u64>()
        .dispatch(hands.dispatch)
        .step(step("before", hands.add(1)))
        .sleep(pause)
        .step(step("after", hands.add(1)))
        .build()
        .unwrap()
}

fn nap(hands: &Hands) -> Workflow {
    pausing("nap", NAP, hands)
}

fn doze(hands: &Hands) -> Workflow {
    pausing("doze", DOZE, hands)
}

fn backoff(hands: &Hands) -> Workflow {
    let flaky = hands.clone();
    Workflow::builder("backoff")
        .input::<u64>()
        .dispatch(hands.dispatch)
        .retries(RetryPolicy::times(1).delay(BACKOFF))
        .step(step("flaky", move |ctx: StepContext, n: u64| {
            let hands = flaky.clone();
            async move {
                hands.acts(&ctx).await;
                match ctx.attempt() {
                    0 => Err(StepError::fail("Flaky", "not yet")),
                    _ => Ok(n),
                }
            }
        }))
        .step(step("after", hands.add(1)))
        .build()
        .unwrap()
}

/// A run woke up when its time had come: by the clock of who woke it, beginning from what the clock of who let it fall asleep
/// said; or because the time had passed for anybody.
pub(crate) async fn check_timers(seed: u64, world: &World, run: &str, scene: &Scene) {
    let pause = match scene.name {
        "nap" => NAP,
        "doze" => DOZE,
        _ => return,
    };
    let facts = world.house.journal(run).await;
    let at = |fact: &serde_json::Value| Timestamp::from_millis(fact["at"].as_i64().unwrap());
    let asleep = facts.iter().find_map(|fact| fact.get("ended")).map(at);
    let awake = facts.iter().find_map(|fact| fact.get("woke")).map(at);
    let (asleep, awake) = (asleep.unwrap().as_millis(), awake.unwrap().as_millis());
    let due = asleep + i64::try_from(pause.as_millis()).unwrap();
    let before = world.effects.acts(&format!("{run}/before"));
    let after = world.effects.acts(&format!("{run}/after"));
    let fell = before.iter().map(|act| act.ended).min().unwrap();
    for act in after {
        // The clocks drift by one in a hundred.
        let passed = act.begun - fell;
        let enough = passed * 102 / 100 >= pause;
        assert!(
            awake >= due || enough,
            "seed {seed}: {run} woke up at {awake}, due {due}, after {passed:?} of {pause:?}"
        );
    }
}
