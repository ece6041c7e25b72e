//! The fold, event by event.

use std::collections::VecDeque;

use bowline_agent::chunk::event::IterationComplete;
use bowline_agent::chunk::{
    Block, Chunk, Delta, Encoder, StepFinish, StepStart, ToolCall, ToolResult,
};
use bowline_agent::model::{FinishReason, ToolInput};
use bowline_agent::stream::Fold;
use bowline_agent::{ErrorKind, RunOutput, StreamEvent, StreamItem};
use bowline_events::{Event, NewEvent};
use proptest::prelude::*;

use crate::data::{Captured, captured};

/// The events of a captured stream.
pub(crate) fn events(file: &str) -> Vec<Event> {
    let of_file = |event: &Captured| event.file == file && event.topic.starts_with("agent.stream.");
    let events = captured().into_iter().filter(of_file);
    events
        .map(|captured| {
            let event = NewEvent::new(captured.kind, "run").with_json(captured.data);
            event.expect("JSON").stamp()
        })
        .collect()
}

fn files() -> Vec<String> {
    let mut files: Vec<String> = captured().into_iter().map(|event| event.file).collect();
    files.dedup();
    files
}

/// What a reader of `events` sees and has at the end.
pub(crate) fn read(events: &[Event]) -> (Vec<StreamItem>, RunOutput) {
    let mut fold = Fold::new();
    let items = feed(&mut fold, events, 0);
    (items, fold.into_output())
}

/// Feeds `events`, the first of which is at `offset`.
pub(crate) fn feed(fold: &mut Fold, events: &[Event], offset: u64) -> Vec<StreamItem> {
    let mut items = VecDeque::new();
    for (position, event) in (offset..).zip(events) {
        fold.push(Some(position), event, &mut items)
            .expect("an event that makes sense");
    }
    items.into()
}

/// The names of what was seen.
fn names(items: &[StreamItem]) -> Vec<String> {
    let name = |item: &StreamItem| match &item.event {
        StreamEvent::Chunk { raw, .. } => raw.kind().to_string(),
        StreamEvent::StepDiscarded { .. } => "discarded".to_owned(),
        StreamEvent::Suspended(_) => "suspended".to_owned(),
        StreamEvent::IterationComplete(_) => "iteration-complete".to_owned(),
        StreamEvent::Finished(finish) => format!("finish({})", finish.step_result.reason.as_str()),
        other => format!("{other:?}"),
    };
    items.iter().map(name).collect()
}

#[test]
fn a_reader_of_a_captured_stream_sees_every_event_once_and_in_order() {
    for file in files() {
        let events = events(&file);
        let (items, output) = read(&events);
        let offsets: Vec<u64> = items.iter().map(|item| item.offset).collect();
        let all: Vec<u64> = (0..events.len() as u64).collect();
        assert_eq!(offsets, all, "{file}");
        let last = &items.last().expect("items").event;
        assert!(last.is_last(), "{file}");
        let StreamEvent::Finished(finish) = last else {
            panic!("{file} ends with its finish");
        };
        assert_eq!(Some(&output.text), finish.output.text.as_ref(), "{file}");
        assert_eq!(output.steps, finish.output.steps, "{file}");
        assert_eq!(output.usage, finish.output.usage, "{file}");
        assert!(!output.is_suspended(), "{file}");
        let failed = output.finish_reason == Some(FinishReason::Error);
        assert_eq!(failed, file.starts_with("durable-model-error"), "{file}");
        assert_eq!(failed, output.error.is_some(), "{file}");
    }
}

#[test]
fn what_was_gathered_on_the_way_is_what_the_end_tells() {
    for file in files().iter().filter(|file| !file.contains("error")) {
        let mut events = events(file);
        let (_, whole) = read(&events);
        events.pop();
        let (_, gathered) = read(&events);
        assert_eq!(gathered.text, whole.text, "{file}");
        assert_eq!(gathered.finish_reason, None);
        assert_eq!(gathered.steps.len(), whole.steps.len(), "{file}");
        for (ours, theirs) in gathered.steps.iter().zip(&whole.steps) {
            assert_eq!(ours.text, theirs.text, "{file}");
            assert_eq!(ours.tool_calls, theirs.tool_calls, "{file}");
            let results = |step: &bowline_agent::chunk::event::StepRecord| {
                let of = |record: &bowline_agent::chunk::ToolRecord| {
                    (record.tool_call_id.clone(), record.result.clone())
                };
                step.tool_results.iter().map(of).collect::<Vec<_>>()
            };
            assert_eq!(results(ours), results(theirs), "{file}");
        }
    }
}

#[test]
fn the_error_of_a_failed_run_is_that_of_the_model() {
    let (items, output) = read(&events("durable-model-error-midstream"));
    assert_eq!(output.error.expect("an error").message, "mid stream");
    assert_eq!(output.text, "Hello");
    assert_eq!(names(&items).last().expect("items"), "finish(error)");
}

#[test]
fn a_run_waits_until_somebody_answers() {
    let events = events("durable-approval-approve");
    let mut fold = Fold::new();
    let items = feed(&mut fold, &events[..9], 0);
    assert_eq!(names(&items)[7..], ["tool-call-approval", "suspended"]);
    let output = fold.clone().into_output();
    assert!(output.is_suspended());
    assert_eq!(output.suspended[0].tool_name.as_deref(), Some("danger"));
    assert_eq!((output.finish_reason, output.text.as_str()), (None, ""));
    // The outbox tells it again; then somebody answers.
    let again = feed(&mut fold, &events[8..9], 9);
    assert_eq!(again, []);
    feed(&mut fold, &events[9..10], 10);
    assert!(!fold.into_output().is_suspended());
}

#[test]
fn the_object_of_a_structured_answer_is_its_text() {
    #[derive(serde::Deserialize, PartialEq, Debug)]
    struct Answer {
        a: u32,
    }
    let (_, output) = read(&events("durable-structured"));
    assert_eq!(
        output.object::<Answer>().expect("an answer"),
        Answer { a: 1 }
    );
    let error = output.object::<Vec<u8>>().expect_err("no list");
    assert_eq!(error.kind(), ErrorKind::Model);
}

#[test]
fn without_its_output_a_fold_still_knows_how_the_run_ended() {
    let events = events("durable-tool");
    let mut fold = Fold::new().discard_output();
    feed(&mut fold, &events[..events.len() - 1], 0);
    assert_eq!(fold.text(), "");
    assert_eq!(fold.clone().into_output().steps, []);
    feed(&mut fold, &events[events.len() - 1..], 17);
    let output = fold.into_output();
    assert_eq!(output, read(&events).1);
    assert_eq!(output.tool_calls().count(), 1);
    assert_eq!(output.tool_results().count(), 1);
}

/// What the tables below are written in.
fn event(name: &str) -> Event {
    let encoder = Encoder::new("run");
    let (name, argument) = name.split_once(' ').unwrap_or((name, ""));
    let chunk = match name {
        // A step of ours says its iteration, one of Node only its message.
        "step" => {
            let (message, iteration) = argument.split_once('#').unwrap_or((argument, ""));
            let start = StepStart {
                message_id: message.to_owned().into(),
                started_at: None,
                iteration: iteration.parse().ok(),
            };
            return encoder.step_start_event(&start).stamp();
        }
        "text" => Chunk::TextStart(Block {
            id: argument.to_owned().into(),
            metadata: None,
        }),
        "call" => Chunk::ToolCall(Box::new(ToolCall {
            call: call(argument),
            ..ToolCall::default()
        })),
        "result" => Chunk::ToolResult(Box::new(ToolResult {
            call: call(argument),
            ..ToolResult::default()
        })),
        "more" | "done" => Chunk::StepFinish(Box::new(StepFinish {
            is_continued: name == "more",
            ..StepFinish::default()
        })),
        "complete" => {
            let iteration = argument.parse().expect("a number");
            let complete = IterationComplete {
                iteration,
                ..IterationComplete::default()
            };
            return complete.to_event(&"run".into()).stamp();
        }
        other => panic!("no event {other}"),
    };
    encoder.event(encoder.chunk(&chunk)).stamp()
}

fn call(id: &str) -> ToolInput {
    ToolInput {
        id: id.to_owned().into(),
        ..ToolInput::default()
    }
}

#[test]
fn a_repeated_step_is_told_from_the_next_one() {
    let none: &[usize] = &[];
    // Events, and which of them void what came before.
    for (script, voids) in [
        ("step a#1, text x, step b#1, text y", &[2][..]),
        ("step a#1, step b#1, step c#1", &[1, 2]),
        ("step a#1, text x, more, complete 1, step b#2", none),
        ("step a#1, text x, step b#2", none),
        ("step a#1, text x, done, step b#1", &[3]),
        // Nobody counts.
        ("step a, text x, step a", &[2]),
        ("step a, text x, step b", &[2]),
        ("step a, text x, more, complete 1, step b", none),
        ("step a, text x, complete 1, step b", none),
        // Iterations end without a word, and all have one message.
        ("step a, call c, result c, more, step a, text x", none),
        ("step a, text x, done, step a", &[3]),
        // The reader comes in the middle.
        ("text x, step b#1", &[1]),
        ("text x, more, step b#2", none),
        ("complete 1, step b#2", none),
        ("result c, more, complete 1, step b#2", none),
    ] {
        let events: Vec<Event> = script.split(", ").map(event).collect();
        let (items, _) = read(&events);
        let discarded = items
            .iter()
            .filter(|item| matches!(item.event, StreamEvent::StepDiscarded { .. }));
        let at: Vec<usize> = discarded.map(|item| item.offset as usize).collect();
        assert_eq!(at, voids, "{script}");
    }
}

#[test]
fn what_is_told_once_is_not_told_again() {
    for (script, seen) in [
        (
            "step a#1, call c, result c, result c, more",
            "step-start tool-call tool-result step-finish",
        ),
        (
            "step a#1, result c, more, more",
            "step-start tool-result step-finish",
        ),
        (
            "step a#1, result c, more, complete 1, result c, more, complete 1",
            "step-start tool-result step-finish iteration-complete",
        ),
        // The same call of another iteration is another call.
        (
            "step a#1, result c, more, complete 1, step b#2, result c",
            "step-start tool-result step-finish iteration-complete step-start tool-result",
        ),
        // So it is when the model was asked again.
        (
            "step a#1, result c, step b#1, result c",
            "step-start tool-result discarded step-start tool-result",
        ),
    ] {
        let events: Vec<Event> = script.split(", ").map(event).collect();
        assert_eq!(names(&read(&events).0).join(" "), seen, "{script}");
    }
}

#[test]
fn a_discarded_step_leaves_nothing_in_the_output() {
    let script = [
        "step a#1", "call c", "result c", "step b#1", "call d", "result d", "more",
    ];
    let events: Vec<Event> = script.into_iter().map(event).collect();
    let (items, output) = read(&events);
    let StreamEvent::StepDiscarded {
        message_id,
        iteration,
    } = &items[3].event
    else {
        panic!("the first step is void");
    };
    assert_eq!((message_id.as_deref(), *iteration), (Some("a"), Some(1)));
    assert_eq!(items[3].offset, items[4].offset);
    assert_eq!(output.steps.len(), 1);
    let calls: Vec<&str> = output
        .tool_calls()
        .map(|call| call.tool_call_id.as_str())
        .collect();
    assert_eq!(calls, ["d"]);
}

#[test]
fn what_comes_after_a_loss_is_no_part_of_what_came_before() {
    let encoder = Encoder::new("run");
    let say = |text: &str| {
        let text = text.to_owned();
        let delta = Delta {
            id: "t".into(),
            text,
            metadata: None,
        };
        encoder
            .event(encoder.chunk(&Chunk::TextDelta(delta)))
            .stamp()
    };
    let mut fold = Fold::new();
    feed(&mut fold, &[event("step a"), say("one")], 0);
    fold.lose();
    assert_eq!(feed(&mut fold, &[say("two")], 5).len(), 1);
    assert_eq!(fold.text(), "two");
    assert_eq!(fold.clone().into_output().steps.len(), 2);
    // The end of the first step may be among what was lost.
    let mut other = Fold::new();
    feed(&mut other, &[event("step a"), say("one")], 0);
    other.lose();
    assert_eq!(
        names(&feed(&mut other, &[event("step b")], 5)),
        ["step-start"]
    );
}

#[test]
fn events_without_a_position_are_told_apart_by_their_ids() {
    let first = event("text x");
    let mut items = VecDeque::new();
    let mut fold = Fold::new();
    for event in [&first, &first, &event("text x"), &first] {
        fold.push(None, event, &mut items).expect("an event");
    }
    assert_eq!(items.len(), 2);
    // They do not move the position to which a reader comes back.
    fold.push(Some(4), &event("text y"), &mut items)
        .expect("an event");
    fold.push(None, &event("text z"), &mut items)
        .expect("an event");
    assert_eq!(fold.next_offset(), 5);
    let offsets: Vec<u64> = items.iter().map(|item| item.offset).collect();
    assert_eq!(offsets, [0, 0, 4, 4]);
}

#[test]
fn an_event_that_makes_no_sense_is_an_error_and_the_next_one_is_read() {
    let mut fold = Fold::new();
    let mut items = VecDeque::new();
    for (position, (kind, data)) in [
        ("chunk", "7"),
        ("chunk", "{}"),
        ("step-start", "null"),
        ("iteration-complete", "[]"),
    ]
    .into_iter()
    .enumerate()
    {
        let event = NewEvent::new(kind, "r")
            .with_json(data)
            .expect("JSON")
            .stamp();
        let error = fold
            .push(Some(position as u64), &event, &mut items)
            .expect_err("no sense");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{kind}");
    }
    fold.push(Some(9), &event("text x"), &mut items)
        .expect("an event");
    assert_eq!(names(items.make_contiguous()), ["text-start"]);
}

#[test]
fn the_end_of_a_run_is_understood_as_far_as_it_can_be() {
    for (kind, data, text, reason) in [
        (
            "finish",
            r#"{"output":{"text":"a","usage":null},"stepResult":{"reason":"stop","warnings":7}}"#,
            "a",
            FinishReason::Stop,
        ),
        (
            "finish",
            r#"{"output":{"text":"a","usage":{"inputTokens":null}},"stepResult":{"reason":"new"}}"#,
            "a",
            FinishReason::Unknown,
        ),
        ("finish", "null", "", FinishReason::Unknown),
        (
            "abort",
            r#"{"steps":[],"text":"a"}"#,
            "a",
            FinishReason::Abort,
        ),
        (
            "error",
            r#"{"error":{"name":"E","message":"m"}}"#,
            "",
            FinishReason::Error,
        ),
        ("error", r#""m""#, "", FinishReason::Error),
    ] {
        let ends = NewEvent::new(kind, "r")
            .with_json(data)
            .expect("JSON")
            .stamp();
        let (items, output) = read(&[ends, event("text x")]);
        assert_eq!(items.len(), 1, "nothing comes after {data}");
        assert!(items[0].event.is_last());
        assert_eq!(
            (output.text.as_str(), output.finish_reason),
            (text, Some(reason)),
            "{data}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_event_is_read_or_refused(
        kind in prop::sample::select(vec!["chunk", "step-start", "iteration-complete", "suspended", "finish", "error", "abort", "else"]),
        data in "[\\[{]?\"?[a-z0-9:\", {}\\[\\]]{0,40}",
    ) {
        let json = if serde_json::from_str::<serde_json::Value>(&data).is_ok() { data } else { serde_json::to_string(&data).expect("a text") };
        let event = NewEvent::new(kind, "r").with_json(json).expect("JSON").stamp();
        let mut fold = Fold::new();
        let mut items = VecDeque::new();
        let pushed = fold.push(Some(0), &event, &mut items);
        prop_assert!(pushed.is_ok() || items.is_empty());
        let terminal = ["finish", "error", "abort"].contains(&kind);
        prop_assert_eq!(fold.is_ended(), terminal);
    }
}
