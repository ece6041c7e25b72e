//! What is meant to be different from the reference.

/// An intended difference in one vector.
#[derive(Debug)]
pub(super) struct Difference {
    pub(super) vector: &'static str,
    pub(super) kind: Kind,
    pub(super) why: &'static str,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// The watchers of `run` are told `put` instead of `drop` events from number `at` on.
    Told {
        run: &'static str,
        at: usize,
        drop: usize,
        put: &'static [&'static str],
    },
    /// The recorded run goes on after the end of ours.
    Over,
    /// Something is recorded twice.
    Doubled,
    /// What is still to be run when the recorded run has come to its end.
    Left(&'static [&'static [usize]]),
    /// The record of this step.
    Record(&'static str),
}

const WRITTEN: &str = "what a step writes to its watchers is told by the engine, not by the run";
const SIDE_BY_SIDE: &str =
    "the end of a step is told in one piece, also if another one ends at the same time";
const LEAKED: &str = "the record of an array is one of a step: no outputs of iterations in a payload that nobody suspended with";
const ITERATIONS: &str = "iterations are kept apart from the output; the payload is that of the first that waits, its path has ids only";
const NULL: &str = "an iteration that returns null is done, and the next one begins";
const USER_STATUS: &str = "what an iteration returns is data, whatever members it has";
const FAILED_ITERATION: &str =
    "a failed iteration fails the run, once; the reference goes on with a hole";
const TOLD_FAILURE: &str =
    "watchers are told of a failure and of the end; the reference forgets both";
const TWICE: &str =
    "the reference publishes the end of a failed step and of an interrupted one twice";
const CANCELED_STEP: &str =
    "the record of an interrupted step says that it was canceled, whatever it returned in the end";
const CANCELED_SLEEP: &str =
    "a cancelled run does not wake; the timer of the reference fires all the same";
const PAUSED: &str = "the finish of a paused run says paused";
const HISTORY: &str =
    "what a step returned stays on record when a later one begins again with another input";

const fn told(
    vector: &'static str,
    (run, at, drop): (&'static str, usize, usize),
    put: &'static [&'static str],
    why: &'static str,
) -> Difference {
    let kind = Kind::Told { run, at, drop, put };
    Difference { vector, kind, why }
}

const fn known(vector: &'static str, kind: Kind, why: &'static str) -> Difference {
    Difference { vector, kind, why }
}

pub(super) const DIFFERENCES: &[Difference] = &[
    told("linear", ("run-linear", 2, 2), &[], WRITTEN),
    told(
        "parallel",
        ("run-parallel", 4, 2),
        &[
            r#"{"payload":{"id":"p1","metadata":{}},"type":"workflow-step-finish"}"#,
            r#"{"payload":{"endedAt":"time","id":"p2","output":{"y":3},"payload":{"n":1},"startedAt":"time","status":"success"},"type":"workflow-step-result"}"#,
        ],
        SIDE_BY_SIDE,
    ),
    told(
        "state",
        ("run-st", 7, 2),
        &[
            r#"{"payload":{"id":"p1","metadata":{}},"type":"workflow-step-finish"}"#,
            r#"{"payload":{"endedAt":"time","id":"p2","output":{"b":1},"payload":{},"startedAt":"time","status":"success"},"type":"workflow-step-result"}"#,
        ],
        SIDE_BY_SIDE,
    ),
    known("foreach", Kind::Record("item"), LEAKED),
    known("foreach-suspend", Kind::Record("it"), ITERATIONS),
    known("foreach-bulk-resume", Kind::Record("it"), ITERATIONS),
    told(
        "foreach-iteration-null",
        ("run-foreach-iteration-null", 1, 1),
        &[
            r#"{"payload":{"completedCount":1,"currentIndex":0,"id":"it","iterationOutput":null,"iterationStatus":"success","totalCount":2},"type":"workflow-step-progress"}"#,
        ],
        NULL,
    ),
    known("foreach-iteration-null", Kind::Left(&[&[0, 1]]), NULL),
    told(
        "foreach-user-status",
        ("run-foreach-user-status", 1, 1),
        &[
            r#"{"payload":{"completedCount":1,"currentIndex":0,"id":"it","iterationOutput":{"status":"suspended","suspendPayload":{"x":1}},"iterationStatus":"success","totalCount":1},"type":"workflow-step-progress"}"#,
            r#"{"payload":{"id":"j","payload":[{"status":"suspended","suspendPayload":{"x":1}}],"startedAt":"time","status":"running"},"type":"workflow-step-start"}"#,
        ],
        USER_STATUS,
    ),
    known("foreach-user-status", Kind::Record("it"), USER_STATUS),
    known("foreach-user-status", Kind::Record("j"), USER_STATUS),
    known("foreach-user-status", Kind::Left(&[&[1]]), USER_STATUS),
    told(
        "foreach-iteration-fails",
        ("run-foreach-iteration-fails", 2, 12),
        &[
            r#"{"payload":{"completedCount":1,"currentIndex":1,"id":"it","iterationStatus":"failed","totalCount":3},"type":"workflow-step-progress"}"#,
            r#"{"payload":{"endedAt":"time","error":{"message":"it2","name":"Error"},"id":"it","payload":[1,2,3],"startedAt":"time","status":"failed"},"type":"workflow-step-result"}"#,
            r#"{"payload":{"runId":"run-foreach-iteration-fails","workflowStatus":"failed"},"type":"workflow-finish"}"#,
        ],
        FAILED_ITERATION,
    ),
    known("foreach-iteration-fails", Kind::Doubled, TWICE),
    known("foreach-iteration-fails", Kind::Over, FAILED_ITERATION),
    known(
        "foreach-iteration-fails",
        Kind::Record("it"),
        FAILED_ITERATION,
    ),
    known(
        "foreach-iteration-fails",
        Kind::Record("j"),
        FAILED_ITERATION,
    ),
    told(
        "foreach-iteration-fails-c3",
        ("run-foreach-iteration-fails-c3", 3, 2),
        &[
            r#"{"payload":{"endedAt":"time","error":{"message":"it2","name":"Error"},"id":"it","payload":[1,2,3],"startedAt":"time","status":"failed"},"type":"workflow-step-result"}"#,
            r#"{"payload":{"runId":"run-foreach-iteration-fails-c3","workflowStatus":"failed"},"type":"workflow-finish"}"#,
        ],
        FAILED_ITERATION,
    ),
    known("foreach-iteration-fails-c3", Kind::Doubled, TWICE),
    known("foreach-iteration-fails-c3", Kind::Over, FAILED_ITERATION),
    told(
        "foreach-not-array",
        ("run-foreach-not-array", 1, 0),
        &[
            r#"{"payload":{"endedAt":"time","error":{"message":"foreach needs an array, and the step before returned something else","name":"Error"},"id":"it","payload":{"n":1},"startedAt":"time","status":"failed"},"type":"workflow-step-result"}"#,
            r#"{"payload":{"runId":"run-foreach-not-array","workflowStatus":"failed"},"type":"workflow-finish"}"#,
        ],
        "an input that is no array fails the run; the reference hangs",
    ),
    told("cancel", ("run-cn", 3, 1), &[], TWICE),
    known("cancel", Kind::Doubled, TWICE),
    known("cancel", Kind::Record("slow"), CANCELED_STEP),
    told("cancel-sleep", ("run-cs", 3, 2), &[], CANCELED_SLEEP),
    known("cancel-sleep", Kind::Over, CANCELED_SLEEP),
    told(
        "fail",
        ("run-fl", 3, 0),
        &[
            r#"{"payload":{"endedAt":"time","error":{"message":"nope","name":"Error"},"id":"bad","payload":{"n":1},"startedAt":"time","status":"failed"},"type":"workflow-step-result"}"#,
            r#"{"payload":{"runId":"run-fl","workflowStatus":"failed"},"type":"workflow-finish"}"#,
        ],
        TOLD_FAILURE,
    ),
    known("fail", Kind::Doubled, TWICE),
    told(
        "tripwire",
        ("run-tw", 2, 0),
        &[
            r#"{"payload":{"endedAt":"time","error":{"message":"blocked!","name":"Error","options":{"metadata":{"k":1},"retry":true},"processorId":"proc-1"},"id":"guard","payload":{"n":1},"startedAt":"time","status":"failed","tripwire":{"metadata":{"k":1},"processorId":"proc-1","reason":"blocked!","retry":true}},"type":"workflow-step-result"}"#,
            r#"{"payload":{"runId":"run-tw","workflowStatus":"tripwire"},"type":"workflow-finish"}"#,
        ],
        TOLD_FAILURE,
    ),
    known("tripwire", Kind::Doubled, TWICE),
    told(
        "per-step",
        ("run-pp", 5, 1),
        &[
            r#"{"payload":{"finalWorkflowResult":{"n":1},"runId":"run-pp","workflowStatus":"paused"},"type":"workflow-finish"}"#,
        ],
        PAUSED,
    ),
    known("time-travel", Kind::Record("a"), HISTORY),
];
