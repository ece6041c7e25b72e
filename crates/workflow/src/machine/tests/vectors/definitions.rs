//! The workflows of the recorded runs.

use crate::definition::LoopKind;
use crate::machine::tests::build::{
    branch, foreach, map, nested, parallel, repeat, retried, sleep, sleep_until, step, then,
    workflow,
};
use crate::{RetryPolicy, Workflow};

pub(super) fn of(vector: &str) -> Workflow {
    let entries = match vector {
        "linear" => vec![then("a"), then("b")],
        "parallel" => vec![parallel([step("p1"), step("p2")]), then("join")],
        "branch" => vec![branch([step("pos"), step("neg")]), then("after")],
        "foreach" => vec![foreach(step("item"), 2), then("sum")],
        "foreach-empty" => vec![foreach(step("item"), 1), then("z")],
        "foreach-suspend" | "foreach-iteration-fails-c3" => {
            vec![foreach(step("it"), 3), then("j")]
        }
        "foreach-bulk-resume" => vec![foreach(step("it"), 2), then("j")],
        "foreach-iteration-null"
        | "foreach-iteration-fails"
        | "foreach-not-array"
        | "foreach-user-status" => vec![foreach(step("it"), 1), then("j")],
        "dountil" => vec![repeat(step("inc"), LoopKind::DoUntil)],
        "dowhile" => vec![repeat(step("inc"), LoopKind::DoWhile), then("last")],
        "sleep" => vec![then("a"), sleep("sleep", 60), then("b")],
        "sleep-last" => vec![then("a"), sleep("sleep", 20)],
        "sleep-until" => vec![sleep_until("sleep", 1_795_144_260_080), then("b")],
        "cancel-sleep" => vec![sleep("sleep", 300), then("b")],
        "map" => vec![then("a"), map("mapping_mp_0"), then("b")],
        "suspend-resume" => vec![then("a"), then("ask"), then("end")],
        "parallel-suspend" => vec![parallel([step("p1"), step("p2")]), then("j")],
        "nested" | "nested-suspend" => {
            let inner = nested(workflow("inner", [then("i1"), then("i2")]));
            vec![
                then("o1"),
                crate::definition::Entry::Step(inner),
                then("o2"),
            ]
        }
        "cancel" => vec![then("slow"), then("next")],
        "fail" => vec![crate::definition::Entry::Step(retried(
            "bad",
            RetryPolicy::times(1),
        ))],
        "fail-retry" => vec![crate::definition::Entry::Step(retried(
            "flaky",
            RetryPolicy::times(2),
        ))],
        "tripwire" => vec![then("guard")],
        "bail" => vec![then("a"), then("b")],
        "state" => vec![then("a"), parallel([step("p1"), step("p2")]), then("b")],
        "tool-step" => vec![then("my-tool")],
        "per-step" => vec![then("a"), then("b")],
        "time-travel" => vec![then("a"), then("b"), then("c")],
        other => panic!("no workflow is known for {other}"),
    };
    workflow("recorded", entries)
}
