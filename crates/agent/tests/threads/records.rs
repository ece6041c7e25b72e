//! The records of the topic of a thread, against those that were captured from the reference.

use std::sync::Arc;

use bowline_agent::Data;
use bowline_agent::threads::{Signal, ThreadRecord};
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
        for line in text.lines() {
            let line: Line = serde_json::from_str(line).unwrap();
            let (Some(topic), Some(event)) = (line.topic, line.event) else {
                continue;
            };
            if topic.starts_with("agent.thread-stream.") {
                let event: Published = event.parse().unwrap();
                let new = NewEvent::new(event.kind, event.run_id);
                let new = new.with_json(event.data.as_str().to_owned()).unwrap();
                events.push((name, Arc::new(new.stamp())));
            }
        }
    }
    assert!(events.len() > 70);
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
}
