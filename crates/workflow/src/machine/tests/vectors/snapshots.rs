//! The stored rows of the reference: what a run knows of its steps at each status.

use bowline_events::Timestamp;
use serde_json::{Value, json};

use super::log::read;
use super::records::{ours, plain};
use crate::machine::tests::build::{branch, parallel, sleep, step, then, workflow};
use crate::machine::{At, Completion, Fact, Failure, Machine, Outcome, Spot, Suspension};

fn at() -> At {
    At(Timestamp::from_millis(1_795_144_724_000))
}

fn ended(entry: usize, branch: Option<usize>, outcome: Outcome) -> Fact {
    Fact::Ended {
        at: at(),
        spot: Spot::new(0, entry, branch),
        attempt: 0,
        completion: Completion {
            outcome,
            state: None,
        },
    }
}

fn success(output: Value) -> Outcome {
    Outcome::Success(output.into())
}

/// The facts of a case up to a status, and the workflow.
fn case(name: &str, status: &str) -> (Machine, Vec<Fact>) {
    let n = || success(json!({ "n": 2 }));
    let suspended = Outcome::Suspended(Suspension {
        payload: json!({ "q": 1 }).into(),
        labels: vec!["l1".into(), "l2".into()],
    });
    let error = json!({ "message": "nope", "name": "Error", "code": "E1" });
    let mut failure = Failure::new("Error", "nope");
    failure.error = error.into();
    let (entries, facts) = match name {
        "ok" => (
            vec![then("a"), parallel([step("p"), step("q")])],
            vec![
                ended(0, None, n()),
                ended(1, Some(0), success(json!(1))),
                ended(1, Some(1), success(json!(2))),
            ],
        ),
        "mid" => (vec![then("a"), then("b")], vec![ended(0, None, n())]),
        "slp" => {
            let spot = Spot::new(0, 1, None);
            let facts = vec![ended(0, None, n()), Fact::Woke { at: at(), spot }];
            let asleep = if status == "running" { 1 } else { 2 };
            (
                vec![then("a"), sleep("sleep", 400)],
                facts.into_iter().take(asleep).collect(),
            )
        }
        "susp" => {
            let resumed = Fact::Resumed {
                at: at(),
                spots: vec![Spot::new(0, 0, None)],
                data: json!({ "ok": 1 }).into(),
                context: None,
                per_step: false,
            };
            let facts = vec![
                ended(0, None, suspended),
                resumed,
                ended(0, None, success(json!({ "ok": 1 }))),
            ];
            let waiting = if status == "suspended" { 1 } else { 3 };
            (vec![then("ask")], facts.into_iter().take(waiting).collect())
        }
        "fl" => (
            vec![then("bad")],
            vec![ended(0, None, Outcome::Failed(failure))],
        ),
        "cn" => (vec![then("slow")], vec![Fact::Canceled { at: at() }]),
        "br" => (
            vec![branch([step("y"), step("n")])],
            vec![
                Fact::Decided {
                    at: at(),
                    spot: Spot::new(0, 0, None),
                    taken: vec![true, false],
                },
                ended(0, Some(0), success(json!(1))),
            ],
        ),
        other => panic!("no case {other}"),
    };
    let machine = Machine::new(
        format!("run-{name}").into(),
        workflow(name.to_owned(), entries),
    );
    (machine, facts)
}

/// What is recorded here of a step while it runs, sleeps or is cancelled, and nothing of it in the reference.
const MORE: [(&str, &str, &str); 4] = [
    ("mid", "b", "running"),
    ("slp", "sleep", "waiting"),
    ("slp", "sleep", "success"),
    ("cn", "slow", "canceled"),
];

#[test]
fn the_steps_of_a_run_are_recorded_as_in_a_row_of_the_reference() {
    let mut rows = 0;
    for row in read("snapshots").lines() {
        let row: Value = serde_json::from_str(row).unwrap();
        let (name, snapshot) = (row["case"].as_str().unwrap(), &row["snapshot"]);
        let status = snapshot["status"].as_str().unwrap();
        let (mut machine, facts) = case(name, status);
        if status != "pending" {
            machine
                .apply(&Fact::Started {
                    at: at(),
                    input: snapshot["context"]["input"].clone().into(),
                    state: Some(snapshot["value"].clone().into()),
                    context: None,
                    per_step: false,
                })
                .unwrap();
            for fact in facts {
                machine.apply(&fact).unwrap();
            }
        }
        let mut steps = ours(&machine, 0);
        let shown = machine.status().as_str();
        for (case, step, own) in MORE {
            if case == name
                && steps
                    .get(step)
                    .is_some_and(|record| record["status"] == own)
            {
                steps.remove(step);
            }
        }
        let mut recorded = plain(&snapshot["context"]);
        recorded.as_object_mut().unwrap().remove("input");
        let at = format!("{name}, {}", row["at"]);
        assert_eq!(Value::from(steps), recorded, "{at}");
        assert_eq!(shown, status, "{at}");
        let state: Value = machine.state().parse().unwrap();
        assert_eq!(state, snapshot["value"], "{at}");
        rows += 1;
    }
    assert_eq!(rows, 10);
}
