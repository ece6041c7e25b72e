//! Random workflows, run in random order, against a naive model of what they come to.

mod drive;
mod interpret;
mod spec;

use proptest::prelude::*;
use serde_json::{Value, json};

pub(super) use drive::{Drive, sorted, spot_of};
use interpret::{End, Model, State};
pub(super) use spec::{EntrySpec, build, entries};

use crate::machine::{Fact, Machine, RunStatus, StepStatus};

/// The input of every run.
fn input() -> Value {
    json!([1, 2, 3])
}

fn state() -> State {
    [("k0".to_owned(), json!("given"))].into_iter().collect()
}

/// A run of `root`, driven to its end.
pub(super) fn driven(root: &[EntrySpec], seed: u64) -> Drive<'_> {
    let mut drive = Drive::new(root, seed);
    drive.run(&input(), &state());
    drive
}

/// That a run came to what the model says.
fn check_end(drive: &Drive<'_>, root: &[EntrySpec]) {
    let mut model = Model::new(root);
    let (end, state) = model.run(input(), state());
    if model.ambiguous {
        return;
    }
    if model.cut {
        let more: Vec<_> = drive.executed.difference(&model.executed).collect();
        assert!(more.is_empty(), "executed, and never to be: {more:?}");
    } else {
        assert_eq!(drive.executed, model.executed);
    }
    let machine = &drive.machine;
    match end {
        End::Output(output) | End::Bailed(output) => {
            assert_eq!(machine.status(), RunStatus::Success);
            let result: Value = machine.result().unwrap().parse().unwrap();
            assert_eq!(result, output);
            let own: State = machine.state().parse().unwrap();
            assert_eq!(own, state);
        }
        End::Failed(name) => {
            assert_eq!(machine.status(), RunStatus::Failed);
            let error: Value = machine.error().unwrap().parse().unwrap();
            let message = error["message"].as_str().unwrap();
            let array = message.starts_with("foreach needs an array");
            assert_eq!(if array { "array" } else { message }, name);
        }
    }
    let unsettled = |status| !matches!(status, StepStatus::Success | StepStatus::Skipped);
    if machine.status() == RunStatus::Success && !model.cut {
        for (id, record) in machine.steps() {
            assert!(!unsettled(record.status), "{id}: {record:?}");
        }
    }
}

/// That the facts of a run give the same run again, at every point of it.
fn check_replay(drive: &Drive<'_>, root: &[EntrySpec]) {
    let mut machine = Machine::new("run".into(), build("root", root));
    let mut notices = Vec::new();
    for (fact, asked) in drive.facts.iter().zip(&drive.asked) {
        let json = serde_json::to_string(fact).unwrap();
        let read: Fact = serde_json::from_str(&json).unwrap();
        assert_eq!(read, *fact, "{json}");
        machine.apply(&read).unwrap();
        notices.extend(machine.take_notices());
        assert_eq!(machine.outstanding(), *asked, "after {json}");
    }
    assert_eq!(machine.status(), drive.machine.status());
    assert_eq!(machine.steps(), drive.machine.steps());
    assert_eq!(machine.result(), drive.machine.result());
    assert_eq!(machine.error(), drive.machine.error());
    assert_eq!(notices, drive.notices);
    assert_eq!(usize::try_from(machine.noted()).unwrap(), notices.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_run_in_any_order_comes_to_what_the_model_says(root in entries(2, 1), seed in any::<u64>()) {
        let drive = driven(&root, seed);
        check_end(&drive, &root);
        check_replay(&drive, &root);
    }
}
