//! The recorded runs of the reference, replayed: what it asked for must be asked for here, and what its watchers were told must
//! be told here, but for a table of intended differences.

mod definitions;
mod differences;
mod facts;
mod log;
mod records;
mod replay;
mod snapshots;

use serde_json::Value;

use differences::{DIFFERENCES, Difference, Kind};
use log::Log;
use replay::Replay;

const VECTORS: [&str; 32] = [
    "linear",
    "parallel",
    "branch",
    "foreach",
    "foreach-empty",
    "foreach-suspend",
    "foreach-bulk-resume",
    "foreach-iteration-null",
    "foreach-iteration-fails",
    "foreach-iteration-fails-c3",
    "foreach-not-array",
    "foreach-user-status",
    "dountil",
    "dowhile",
    "sleep",
    "sleep-last",
    "sleep-until",
    "map",
    "suspend-resume",
    "parallel-suspend",
    "nested",
    "nested-suspend",
    "cancel",
    "cancel-sleep",
    "fail",
    "fail-retry",
    "tripwire",
    "bail",
    "state",
    "tool-step",
    "per-step",
    "time-travel",
];

#[test]
fn a_recorded_run_is_asked_for_and_told_as_it_was() {
    let failed: Vec<String> = VECTORS.into_iter().filter_map(problems).collect();
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}

/// What is wrong with the replay of a vector.
fn problems(name: &str) -> Option<String> {
    let log = Log::read(name);
    let mut replay = Replay::new(&log, differences(name));
    let mut problems = match replay.run() {
        Ok(()) => replay.left(),
        Err(problem) => vec![problem],
    };
    for run in log.runs() {
        let mut expected = log.told(run);
        for (at, drop, put) in edits(name, run) {
            let put = put.iter().map(|json| serde_json::from_str(json).unwrap());
            let put: Vec<Value> = put.collect();
            if expected[at..at + drop] == put[..] {
                problems.push(format!("no such difference: {put:?}"));
            }
            expected.splice(at..at + drop, put);
        }
        problems.extend(compare(run, &expected, &replay.told(run)));
    }
    (!problems.is_empty()).then(|| format!("{name}:\n  {}", problems.join("\n  ")))
}

fn differences(name: &str) -> impl Iterator<Item = &'static Difference> + Clone {
    DIFFERENCES.iter().filter(move |known| known.vector == name)
}

fn edits(name: &str, topic: &str) -> Vec<(usize, usize, &'static [&'static str])> {
    differences(name)
        .filter_map(|known| match known.kind {
            Kind::Told { run, at, drop, put } => (run == topic).then_some((at, drop, put)),
            _ => None,
        })
        .collect()
}

fn compare(run: &str, expected: &[Value], told: &[Value]) -> Vec<String> {
    let longest = expected.len().max(told.len());
    let different = (0..longest).filter(|i| expected.get(*i) != told.get(*i));
    let shown =
        |event: Option<&Value>| event.map_or_else(|| "nothing".to_owned(), Value::to_string);
    different
        .map(|i| {
            let (expected, told) = (shown(expected.get(i)), shown(told.get(i)));
            format!("{run}, watch event {i}: {told}\n    instead of {expected}")
        })
        .collect()
}

#[test]
fn every_difference_is_about_a_vector_and_has_a_reason() {
    for known in DIFFERENCES {
        assert!(VECTORS.contains(&known.vector), "{}", known.vector);
        assert!(known.why.len() > 20, "{}: {}", known.vector, known.why);
    }
}
