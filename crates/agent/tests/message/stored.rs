//! The form in which messages are stored.

use bowline_agent::Data;
use bowline_agent::message::{Message, Part, Role, ToolOutcome, ToolState};
use proptest::collection::vec;
use proptest::prelude::*;

use super::json;
use super::strategy::{messages, outcome, part};

/// Every message in a JSON document.
fn messages_in(value: &serde_json::Value, found: &mut Vec<serde_json::Value>) {
    match value {
        serde_json::Value::Object(members) => {
            if members.contains_key("role") && members["content"].is_object() {
                found.push(value.clone());
            }
            for member in members.values() {
                messages_in(member, found);
            }
        }
        serde_json::Value::Array(elements) => {
            for element in elements {
                messages_in(element, found);
            }
        }
        _ => {}
    }
}

#[test]
fn messages_of_the_reference_are_read_and_written_again_as_they_were() {
    let rows = include_str!("../data/vectors/durable-approval-approve.snapshots.json");
    let mut found = Vec::new();
    messages_in(&serde_json::from_str(rows).unwrap(), &mut found);
    assert!(found.len() >= 2);
    for value in found {
        let message: Message = serde_json::from_value(value.clone()).unwrap();
        assert!(message.time().is_some());
        let known = message.content.parts.iter();
        assert!(known.clone().count() > 0);
        assert!(known.clone().all(|part| !matches!(part, Part::Other(_))));
        assert_eq!(serde_json::to_value(&message).unwrap(), value);
    }
}

#[test]
fn a_call_is_read_with_what_came_of_it() {
    let text = r#"{"type":"tool-invocation","toolInvocation":{"state":"result","result":{"temp":21},"toolCallId":"call-1","toolName":"weather","args":{"city":"Oslo"}}}"#;
    let part: Part = serde_json::from_str(text).unwrap();
    let invocation = part.invocation().unwrap();
    assert_eq!(invocation.state, ToolState::Result);
    assert_eq!(invocation.args.as_str(), r#"{"city":"Oslo"}"#);
    let result = ToolOutcome::Result(json(r#"{"temp":21}"#));
    assert_eq!(invocation.outcome(), Some(result));
}

#[test]
fn whatever_a_part_is_it_is_written_as_it_was_read() {
    for text in [
        r#"{"type":"text","text":"a","createdAt":5,"visibility":"llm"}"#,
        r#"{"type":"text","text":"a","providerMetadata":null}"#,
        r#"{"type":"reasoning","reasoning":"","details":[{"type":"text","text":"hm"}],"providerMetadata":{"p":{"signature":"s"}}}"#,
        r#"{"type":"reasoning","reasoning":"","details":[{"type":"redacted","data":""}],"providerMetadata":{"p":{"redactedData":"x"}}}"#,
        r#"{"type":"reasoning","details":[{"type":"text","text":"hm","signature":"s"}]}"#,
        r#"{"type":"reasoning","reasoning":"hm"}"#,
        r#"{"type":"reasoning"}"#,
        r#"{"type":"file","data":"AA==","mimeType":"image/png","filename":"a.png","providerMetadata":{}}"#,
        r#"{"type":"file","data":{"no":"text"},"mimeType":"image/png"}"#,
        r#"{"type":"source","source":{"sourceType":"url","id":"1","url":"u"}}"#,
        r#"{"type":"step-start"}"#,
        r#"{"type":"tool-invocation","toolInvocation":{"state":"call","toolCallId":"c","toolName":"t","args":{},"step":3},"providerExecuted":false,"title":"T"}"#,
        r#"{"type":"tool-invocation","toolInvocation":{"state":"approval-requested","toolCallId":"c","toolName":"t","args":{},"approval":{"id":"c"}}}"#,
        r#"{"type":"tool-invocation","toolInvocation":{"state":"of a newer program","toolCallId":"c"}}"#,
        r#"{"type":"text","text":7}"#,
        r#"{"no type":1}"#,
        "[ 1 ]",
        "null",
    ] {
        let part: Part = serde_json::from_str(text).unwrap();
        let written: serde_json::Value = serde_json::to_value(&part).unwrap();
        let read: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(written, read, "{text}");
    }
}

#[test]
fn a_reasoning_that_was_changed_is_not_stored_in_its_old_form() {
    let text = r#"{"type":"reasoning","reasoning":"the secret","createdAt":1}"#;
    let mut part: Part = serde_json::from_str(text).unwrap();
    let Part::Reasoning { text, .. } = &mut part else {
        panic!("it is {part:?}")
    };
    *text = "hidden".into();
    assert_eq!(
        serde_json::to_string(&part).unwrap(),
        r#"{"type":"reasoning","reasoning":"","details":[{"type":"text","text":"hidden"}],"createdAt":1}"#
    );
}

#[test]
fn a_message_needs_who_and_when_and_what() {
    for (text, named) in [
        (
            r#"{"id":"m","createdAt":"x","content":{"format":2}}"#,
            "role",
        ),
        (
            r#"{"id":"m","role":"user","content":{"format":2}}"#,
            "createdAt",
        ),
        (r#"{"id":"m","role":"user","createdAt":"x"}"#, "content"),
        (
            r#"{"id":"m","role":"user","createdAt":"x","content":{}}"#,
            "format",
        ),
        (
            r#"{"id":"m","role":"user","createdAt":"x","content":{"format":2,"parts":7}}"#,
            "parts",
        ),
        (
            r#"{"id":"m","role":"nobody","createdAt":"x","content":{"format":2}}"#,
            "role",
        ),
        ("7", "object"),
    ] {
        let error = serde_json::from_str::<Message>(text).unwrap_err();
        assert!(error.to_string().contains(named), "{text}: {error}");
    }
}

#[test]
fn a_message_is_made_with_names_and_a_time() {
    let at = bowline_events::Timestamp::from_millis(1_795_144_297_257);
    let message = Message::user("go")
        .with_id("m-1")
        .with_time(at)
        .with_thread("t", "r")
        .with_metadata(json(r#"{"k":1}"#));
    assert_eq!(message.time(), Some(at));
    assert_eq!(
        serde_json::to_string(&message).unwrap(),
        r#"{"id":"m-1","role":"user","createdAt":"2026-11-20T03:11:37.257Z","threadId":"t","resourceId":"r","content":{"format":2,"parts":[{"type":"text","text":"go"}],"content":"go","metadata":{"k":1}}}"#
    );
    assert_eq!(Message::system("be").role, Role::System);
    assert_ne!(Message::user("a").id, Message::user("a").id);
}

proptest! {
    #[test]
    fn parts_survive_the_store(parts in vec(part(), 0..8)) {
        let stored = Data::of(&parts).unwrap();
        prop_assert_eq!(stored.parse::<Vec<Part>>().unwrap(), parts);
    }

    #[test]
    fn messages_survive_the_store(messages in messages()) {
        let stored = Data::of(&messages).unwrap();
        prop_assert_eq!(stored.parse::<Vec<Message>>().unwrap(), messages);
    }

    #[test]
    fn outcomes_survive_the_store(outcome in outcome()) {
        let stored = Data::of(&outcome).unwrap();
        prop_assert_eq!(stored.parse::<ToolOutcome>().unwrap(), outcome);
    }
}
