//! The suite itself on trial: a bus that is broken on purpose must fail, and the same bus unbroken must pass.

mod sabotage;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bowline_conformance::{CLAUSES, Clause, Fixture, Participants, Unmet};
use bowline_events::OpFuture;
use sabotage::{Broken, Sabotage};

/// A bus with one defect.
struct Workshop(Sabotage);

impl Fixture for Workshop {
    fn name(&self) -> &str {
        "sabotaged"
    }

    fn connect(&self) -> OpFuture<'_, Participants> {
        let bus = Arc::new(Broken::new(self.0));
        OpFuture::ready(Ok(match self.0 {
            Sabotage::LocalOnlyLeaks | Sabotage::CloseClosesAll => {
                Participants::two(Arc::new(Broken::clone(&bus)), bus)
            }
            _ => Participants::one(bus),
        }))
    }

    fn deadline(&self) -> Duration {
        // A defect that shows as silence is seen sooner. The unbroken bus is judged with the usual patience.
        if self.0 == Sabotage::None {
            bowline_conformance::DEADLINE
        } else {
            Duration::from_millis(1500)
        }
    }
}

fn clause(name: &str) -> &'static Clause {
    let found = CLAUSES.iter().find(|clause| clause.name() == name);
    found.unwrap_or_else(|| panic!("there is no clause {name}"))
}

/// Each defect is caught by the clause that is about it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_sabotage_is_caught() {
    let mut trials = tokio::task::JoinSet::new();
    for (sabotage, catchers) in sabotage::TABLE {
        for name in *catchers {
            trials.spawn(async move {
                (
                    *sabotage,
                    *name,
                    clause(name).run(&Workshop(*sabotage)).await,
                )
            });
        }
    }
    let mut escaped = Vec::new();
    while let Some(trial) = trials.join_next().await {
        let (sabotage, name, outcome) = trial.expect("a clause does not panic");
        if !matches!(outcome, Err(Unmet::Violated(_))) {
            escaped.push(format!("{sabotage:?} passes {name}: {outcome:?}"));
        }
    }
    assert!(escaped.is_empty(), "{}", escaped.join("\n"));
}

/// A clause that nothing on the table can break is not worth its name.
#[test]
fn every_clause_catches_something() {
    let caught: BTreeSet<_> = sabotage::TABLE
        .iter()
        .flat_map(|(_, names)| names.iter().copied())
        .collect();
    let idle: Vec<_> = CLAUSES
        .iter()
        .map(Clause::name)
        .filter(|name| !caught.contains(name))
        .collect();
    assert!(idle.is_empty(), "no sabotage for {idle:#?}");
}

/// The workshop's own wrapper is innocent: without a defect, every clause that catches one is fulfilled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_sabotage_the_same_clauses_pass() {
    let names: BTreeSet<_> = sabotage::TABLE
        .iter()
        .flat_map(|(_, names)| names.iter())
        .collect();
    let mut trials = tokio::task::JoinSet::new();
    for name in names {
        trials.spawn(async move { (name, clause(name).run(&Workshop(Sabotage::None)).await) });
    }
    let mut failed = Vec::new();
    while let Some(trial) = trials.join_next().await {
        match trial {
            Ok((name, Err(unmet @ Unmet::Violated(_)))) => failed.push(format!("{name}: {unmet}")),
            Ok(_) => {}
            Err(panic) => failed.push(panic.to_string()),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
