//! Facts that nobody should have written: a damaged journal, a definition that has changed, a step that ended twice.

use proptest::prelude::*;

use super::model::{EntrySpec, build, driven, entries, spot_of};
use crate::Data;
use crate::machine::{
    At, Command, Completion, Fact, Failure, Machine, Outcome, Spot, Suspension, Travel,
};

fn number() -> impl Strategy<Value = usize> {
    prop_oneof![8 => 0_usize..4, 1 => 4_usize..9, 1 => Just(usize::MAX)]
}

fn spot() -> impl Strategy<Value = Spot> {
    (number(), number(), prop::option::of(number()))
        .prop_map(|(frame, entry, branch)| Spot::new(frame, entry, branch))
}

pub(super) fn data() -> impl Strategy<Value = Data> {
    let texts = [
        "null",
        "1",
        "[]",
        "[1,[2]]",
        "{}",
        r#"{"k0":"v"}"#,
        "[[1],[],{}]",
    ];
    prop::sample::select(texts.to_vec()).prop_map(|text| Data::from_json(text).unwrap())
}

pub(super) fn completion() -> impl Strategy<Value = Completion> {
    let failed =
        (data(), any::<bool>(), prop::option::of(data())).prop_map(|(error, last, tripwire)| {
            Outcome::Failed(Failure {
                error,
                last,
                tripwire,
            })
        });
    let suspended = (data(), prop::collection::vec("[ab]", 0..3))
        .prop_map(|(payload, labels)| Outcome::Suspended(Suspension { payload, labels }));
    let outcome = prop_oneof![
        4 => data().prop_map(Outcome::Success),
        2 => failed,
        2 => suspended,
        1 => data().prop_map(Outcome::Bailed),
        1 => Just(Outcome::Canceled),
    ];
    (outcome, prop::option::of(data())).prop_map(|(outcome, state)| Completion { outcome, state })
}

pub(super) fn travel() -> impl Strategy<Value = Travel> {
    let id = || (0..4, 0..2).prop_map(|(i, k)| format!("n{i}_{k}"));
    (
        prop::collection::vec(id(), 0..3),
        prop::option::of(data()),
        prop::option::of(data()),
        prop::option::of(data()),
        prop::collection::vec((id(), data()), 0..3),
        any::<bool>(),
    )
        .prop_map(|(step, input, resume, state, outputs, per_step)| Travel {
            step,
            input,
            resume,
            state,
            outputs,
            per_step,
        })
}

fn fact() -> impl Strategy<Value = Fact> {
    let at = || (0_i64..9_999).prop_map(At::from);
    prop_oneof![
        1 => (at(), data(), prop::option::of(data()), any::<bool>()).prop_map(
            |(at, input, state, per_step)| Fact::Started {
                at, input, context: state.clone(), state, per_step,
            }
        ),
        8 => (at(), spot(), 0_u32..3, completion()).prop_map(
            |(at, spot, attempt, completion)| Fact::Ended { at, spot, attempt, completion }
        ),
        3 => (at(), spot(), prop::collection::vec(any::<bool>(), 0..4))
            .prop_map(|(at, spot, taken)| Fact::Decided { at, spot, taken }),
        3 => (at(), spot(), any::<bool>()).prop_map(|(at, spot, again)| Fact::Looped { at, spot, again }),
        3 => (at(), spot(), number()).prop_map(|(at, spot, width)| Fact::Measured { at, spot, width }),
        2 => (at(), spot(), at()).prop_map(|(at, spot, until)| Fact::Slept { at, spot, until }),
        3 => (at(), spot()).prop_map(|(at, spot)| Fact::Woke { at, spot }),
        2 => at().prop_map(|at| Fact::Recovered { at }),
        4 => (at(), prop::collection::vec(spot(), 0..3), data(), prop::option::of(data()), any::<bool>())
            .prop_map(|(at, spots, data, context, per_step)| Fact::Resumed {
                at, spots, data, context, per_step,
            }),
        1 => (at(), any::<bool>()).prop_map(|(at, per_step)| Fact::Continued { at, per_step }),
        2 => at().prop_map(|at| Fact::Retried { at }),
        3 => (at(), travel()).prop_map(|(at, travel)| Fact::Traveled { at, travel }),
        1 => at().prop_map(|at| Fact::Canceled { at }),
        1 => (at(), data()).prop_map(|(at, error)| Fact::Broke { at, error }),
    ]
}

/// Everything that somebody may ask a run.
fn look(machine: &Machine) {
    for command in machine.outstanding() {
        if let Some(spot) = spot_of(&command) {
            machine.view(spot);
        }
    }
    let _ = (machine.steps(), machine.suspended(), machine.state());
    let resume = crate::Resume::default();
    let _ = machine.select(&resume);
}

/// Whether `fact` answers something that was asked for.
fn answers(machine: &Machine, fact: &Fact) -> bool {
    let asked = machine.outstanding();
    let at = |wanted: Spot| {
        asked
            .iter()
            .filter(move |command| spot_of(command) == Some(wanted))
    };
    match fact {
        Fact::Ended { spot, attempt, .. } => at(*spot)
            .any(|command| matches!(command, Command::Execute { attempt: a, .. } if a == attempt)),
        Fact::Decided { spot, taken, .. } => {
            let count = machine.frames.get(spot.frame).and_then(|frame| {
                let entry = frame.workflow.entry(spot.entry)?;
                Some(entry.ids().len())
            });
            at(*spot).any(|command| matches!(command, Command::Decide { .. }))
                && count == Some(taken.len())
        }
        Fact::Looped { spot, .. } => at(*spot).any(|c| matches!(c, Command::Test { .. })),
        Fact::Measured { spot, .. } => at(*spot).any(|c| matches!(c, Command::Measure { .. })),
        Fact::Slept { spot, .. } => at(*spot).any(|c| matches!(c, Command::Time { .. })),
        Fact::Woke { spot, .. } => at(*spot).any(|c| matches!(c, Command::Wake { .. })),
        _ => false,
    }
}

/// A run of `root` in the middle of it, and how it came there.
pub(super) fn underway(root: &[EntrySpec], seed: u64, part: usize) -> (Machine, Vec<Fact>) {
    let mut facts = driven(root, seed).facts;
    facts.truncate(part % (facts.len() + 1));
    let mut machine = Machine::new("run".into(), build("root", root));
    for fact in &facts {
        machine.apply(fact).unwrap();
    }
    (machine, facts)
}

/// That facts which answer nothing are refused, and change nothing.
fn refuse(mut machine: Machine, facts: &[Fact]) {
    for fact in facts.iter().filter(|fact| fact.answers().is_some()) {
        let before = (machine.steps(), machine.outstanding());
        let asked = answers(&machine, fact);
        let applied = machine.apply(fact);
        assert_eq!(applied.is_ok(), asked, "{fact:?}: {applied:?}");
        if !asked {
            let after = (machine.steps(), machine.outstanding());
            assert_eq!(after, before, "{fact:?} was refused");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn an_answer_to_nothing_is_refused_and_changes_nothing(
        root in entries(2, 1),
        seed in any::<u64>(),
        part in any::<usize>(),
        facts in prop::collection::vec(fact(), 1..30),
    ) {
        refuse(underway(&root, seed, part).0, &facts);
    }

    #[test]
    fn a_fact_is_read_as_it_was_written(fact in fact()) {
        let json = serde_json::to_string(&fact).unwrap();
        let read: Fact = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(read, fact, "{}", json);
    }

    #[test]
    fn a_refused_fact_does_not_break_what_looks_at_the_run(
        root in entries(2, 1),
        seed in any::<u64>(),
        part in any::<usize>(),
        facts in prop::collection::vec(fact(), 1..30),
    ) {
        let (mut machine, _) = underway(&root, seed, part);
        for fact in &facts {
            let _ = machine.apply(fact);
            look(&machine);
        }
    }
}
