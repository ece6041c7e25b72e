//! A schedule, fired by processes whose clocks differ.

use std::collections::HashSet;
use std::time::Duration;

use bowline_events::Timestamp;
use bowline_workflow::RunStatus;
use bowline_workflow::schedule::{
    Cadence, Json, NewSchedule, Overlap, Schedules, Target, TriggerQuery,
};

use super::world::{Process, World};

const SCHEDULE: &str = "tick";

/// A schedule that has begun to fire.
pub(crate) struct Ticks(Schedules);

/// Begins to start runs by the clock.
pub(crate) async fn begin(world: &World, asks: &Process) -> Ticks {
    let schedules = asks.engine.schedules();
    let every = world.pace.look.max(Duration::from_secs(1)) * 30;
    let cadence = Cadence::every(every, Timestamp::from_millis(0)).unwrap();
    let input = Json::of(&2_u64).unwrap();
    let target = Target::workflow("linear").with_input(input);
    let new = NewSchedule::new(target, cadence).overlap(Overlap::Allow);
    schedules.create(new.id(SCHEDULE)).await.unwrap();
    Ticks(schedules)
}

impl Ticks {
    /// No occurrence fired twice, and none before its time; the runs have ended.
    pub(crate) async fn check(&self, seed: u64, asks: &Process) {
        self.0.pause(SCHEDULE).await.unwrap();
        let page = self.0.triggers(SCHEDULE, &TriggerQuery::default()).await;
        let triggers = page.unwrap().triggers;
        let mut seen = HashSet::new();
        for trigger in triggers {
            let due = trigger.scheduled_fire_at.as_millis();
            assert!(seen.insert(due), "seed {seed}: {due} fired twice");
            assert!(
                trigger.actual_fire_at.as_millis() >= due,
                "seed {seed}: {due} fired too early"
            );
            let Some(run) = trigger.run_id else {
                continue;
            };
            let run = asks.engine.run(&run).await.unwrap();
            let result = run.result().await.unwrap();
            assert_eq!(result.status(), RunStatus::Success, "seed {seed}");
        }
    }
}
