//! The records of the topic of a thread, against those that were captured from the reference.

use std::sync::Arc;

use bowline_agent::Data;
use bowline_agent::threads::{PresenceRecord, Signal, ThreadRecord};
use bowline_events::{Event, NewEvent, Text};
use serde::Deserialize;

const CAPTURED: [(&str, &str); 5] = [
    (
        "active-signal",
        include_str!("data/thread-active-signal.ndjson"),
    ),
    (
        "durable-signal",
        include_str!("data/thread-durable-signal.ndjson"),
    ),
    ("idle-wake", include_str!("data/thread-idle-wake.ndjson")),
    ("persist", include_str!("data/thread-persist.ndjson")),
    (
        "queue-message",
        include_str!("data/thread-queue-message.ndjson"),
    ),
];

/// Who is asked and answers about owners and peers.
const PRESENCE: &str = include_str!("data/thread-presence.ndjson");

#[derive(Deserialize)]
struct Line {
    topic: Option<Text>,
    event: Option<Data>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Published {
    #[serde(rename = "type")]
    kind: Text,
    run_id: Text,
    data: Data,
}

/// The events of the thread in all captured streams.
fn captured() -> Vec<(&'static str, Arc<Event>)> {
    let mut events = Vec::new();
    for (name, text) in CAPTURED {
        let published = published(text).into_iter();
        let on_thread = published.filter(|(topic, _)| topic.starts_with("agent.thread-stream."));
        events.extend(on_thread.map(|(_, event)| (name, event)));
    }
    assert!(events.len() > 70);
    events
}

/// The events of a captured stream with their topics.
fn published(text: &str) -> Vec<(Text, Arc<Event>)> {
    let mut events = Vec::new();
    for line in text.lines() {
        let line: Line = serde_json::from_str(line).unwrap();
        let (Some(topic), Some(event)) = (line.topic, line.event) else {
            continue;
        };
        let event: Published = event.parse().unwrap();
        let new = NewEvent::new(event.kind, event.run_id);
        let new = new.with_json(event.data.as_str().to_owned()).unwrap();
        events.push((topic, Arc::new(new.stamp())));
    }
    events
}

/// The records of the thread in one of them.
pub(crate) fn captured_in(file: &str) -> Vec<ThreadRecord> {
    let events = captured().into_iter().filter(|(name, _)| *name == file);
    let records = events.map(|(_, event)| ThreadRecord::read(&event).unwrap().unwrap());
    records.collect()
}

#[test]
fn every_record_is_written_again_as_it_was() {
    for (name, event) in captured() {
        let record = ThreadRecord::read(&event).unwrap().expect("a known record");
        let again = record.to_event(&"k".into());
        assert_eq!(again.event_type, event.event_type);
        assert_eq!(again.run_id, event.run_id);
        let (again, event) = (again.data.to_json().unwrap(), event.data.to_json().unwrap());
        assert_eq!(again, event, "{name}");
    }
}

#[test]
fn every_request_and_answer_is_written_again_as_it_was() {
    let mut kinds = Vec::new();
    for (topic, event) in published(PRESENCE) {
        let again = match PresenceRecord::read(&event).unwrap() {
            Some(record) => {
                kinds.push(record.kind());
                record.to_event()
            }
            None => {
                let record = ThreadRecord::read(&event).unwrap().expect("a known record");
                kinds.push(record.kind());
                record.to_event(&"k".into())
            }
        };
        assert_eq!(again.event_type, event.event_type, "{topic}");
        assert_eq!(again.run_id, event.run_id, "{topic}");
        let (again, event) = (again.data.to_json().unwrap(), event.data.to_json().unwrap());
        assert_eq!(again, event, "{topic}");
    }
    kinds.sort_unstable();
    kinds.dedup();
    let all = [
        "idle-signal-accepted",
        "idle-signal-enqueued",
        "idle-signal-rejected",
        "thread-owner-request",
        "thread-owner-response",
        "thread-peer-request",
        "thread-peer-response",
    ];
    assert_eq!(kinds, all);
}

#[test]
fn a_signal_is_shown_as_the_reference_shows_it() {
    let mut shown = 0;
    let mut given: Vec<Signal> = Vec::new();
    for (name, event) in captured() {
        match ThreadRecord::read(&event).unwrap().unwrap() {
            ThreadRecord::SignalEnqueued(it) => given.push(it.signal),
            ThreadRecord::Part(it) if it.part.kind().starts_with("data-") => {
                let Some(signal) = given
                    .iter()
                    .find(|it_was| it.part.as_str().contains(it_was.id().as_str()))
                else {
                    continue;
                };
                // The reference stamps anew when the run reads it.
                let mask = |text: &str| -> serde_json::Value {
                    let mut chunk: serde_json::Value = serde_json::from_str(text).unwrap();
                    chunk["data"]["createdAt"] = "then".into();
                    chunk
                };
                let (ours, theirs) = (signal.to_chunk(), it.part.as_str());
                assert_eq!(
                    mask(ours.as_str()).to_string(),
                    mask(theirs).to_string(),
                    "{name}"
                );
                shown += 1;
            }
            _ => {}
        }
    }
    assert_eq!(shown, 2);
}

#[test]
fn a_signal_comes_back_from_its_message() {
    for (_, event) in captured() {
        if let ThreadRecord::SignalEnqueued(it) = ThreadRecord::read(&event).unwrap().unwrap() {
            let message = it.signal.to_message(Some(&"t".into()), Some(&"r".into()));
            let text = serde_json::to_string(&message).unwrap();
            let read: bowline_agent::Message = serde_json::from_str(&text).unwrap();
            assert_eq!(Signal::of_message(&read), Some(it.signal));
        }
    }
}

#[test]
fn what_is_no_record_is_an_error_or_nothing() {
    for (kind, data) in [
        ("stream-part", "{}"),
        ("stream-part", r#"{"runId":"r","streamId":"s","part":3}"#),
        ("run-registered", "[]"),
        ("run-completed", "null"),
        (
            "signal-enqueued",
            r#"{"runId":"r","signal":{"type":"odd","contents":""}}"#,
        ),
        (
            "signal-enqueued",
            r#"{"runId":"r","signal":{"type":"user","contents":"","tagName":"a><b"}}"#,
        ),
    ] {
        let event = NewEvent::new(kind, "r").with_json(data).unwrap().stamp();
        assert!(ThreadRecord::read(&event).is_err(), "{kind} {data}");
    }
    let event = NewEvent::new("something", "r")
        .with_json("{}")
        .unwrap()
        .stamp();
    assert_eq!(ThreadRecord::read(&event).unwrap(), None);
    assert_eq!(PresenceRecord::read(&event).unwrap(), None);
    for (kind, data) in [
        ("thread-owner-request", "{}"),
        (
            "thread-peer-response",
            r#"{"requestId":"1","sourceId":"s","peer":[]}"#,
        ),
        ("idle-signal-accepted", "7"),
    ] {
        let event = NewEvent::new(kind, "r").with_json(data).unwrap().stamp();
        assert!(PresenceRecord::read(&event).is_err(), "{kind} {data}");
    }
}
