//! What agents read from others: streams of runs, records of threads, stored messages and answers in pieces.

#![no_main]

use std::collections::VecDeque;

use bowline_agent::chunk::{Decoder, Encoder};
use bowline_agent::stream::Fold;
use bowline_agent::structured::PartialJson;
use bowline_agent::threads::ThreadRecord;
use bowline_agent::{Chunk, Message};
use bowline_events::{NewEvent, Payload};
use libfuzzer_sys::fuzz_target;

/// The event types of a run and of a thread.
const TYPES: [&str; 16] = [
    "chunk",
    "step-start",
    "iteration-complete",
    "suspended",
    "finish",
    "error",
    "abort",
    "stream-part",
    "run-registered",
    "run-completed",
    "run-suspended",
    "run-failed",
    "run-abort-requested",
    "signal-enqueued",
    "signals-cancelled",
    "idle-signal-enqueued",
];

/// What was understood is understood again when it is written, also by the fast path.
fn chunk(line: &[u8]) {
    let Ok((chunk, raw)) = Decoder::new().decode(line.to_vec()) else {
        return;
    };
    assert_eq!(chunk, Chunk::of(&raw));
    let written = Encoder::new("run-1").chunk(&chunk);
    let (again, _) = Decoder::new()
        .decode(written.clone())
        .expect("our own chunk");
    assert_eq!(Encoder::new("run-1").chunk(&again), written);
}

fn message(line: &[u8]) {
    let Ok(message) = serde_json::from_slice::<Message>(line) else {
        return;
    };
    let written = serde_json::to_vec(&message).expect("a message has JSON");
    let again: Message = serde_json::from_slice(&written).expect("our own message");
    assert_eq!(again, message);
    let _ = message.text();
}

/// An answer in pieces, of any length.
fn answer(text: &str) {
    let mut partial = PartialJson::new();
    for piece in text.split_inclusive(',') {
        if let Some(value) = partial.push(piece) {
            serde_json::from_str::<serde::de::IgnoredAny>(value.as_str()).expect("JSON");
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut fold = Fold::new();
    let mut items = VecDeque::new();
    for (position, line) in (0..).zip(bytes.split(|byte| *byte == b'\n')) {
        let Some((kind, line)) = line.split_first() else {
            continue;
        };
        chunk(line);
        message(line);
        if let Ok(text) = std::str::from_utf8(line) {
            answer(text);
        }
        let Ok(data) = Payload::json(line.to_vec()) else {
            continue;
        };
        let kind = TYPES[usize::from(*kind) % TYPES.len()];
        let event = NewEvent::new(kind, "run-1").with_data(data).stamp();
        let _ = fold.push(Some(position), &event, &mut items);
        if let Ok(Some(record)) = ThreadRecord::read(&event) {
            let written = record.to_event(&"thread".into()).stamp();
            ThreadRecord::read(&written).expect("our own record");
        }
    }
    let _ = fold.into_output();
});
