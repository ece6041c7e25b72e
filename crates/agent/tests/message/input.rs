//! What clients send.

use bowline_agent::message::{IntoMessages, Message, Role};
use bowline_agent::{Data, ErrorKind};
use proptest::prelude::*;

use super::json;

/// Roles and stored parts of what `text` means.
fn read(text: &str) -> Vec<(Role, String)> {
    let messages = json(text).into_messages().unwrap();
    let short = messages.into_iter().map(|message| {
        let parts = Data::of(&message.content.parts).unwrap();
        (message.role, parts.to_string())
    });
    short.collect()
}

#[test]
fn texts_and_messages_are_taken() {
    for messages in [
        "hi".into_messages(),
        String::from("hi").into_messages(),
        Message::user("hi").into_messages(),
        vec![Message::user("hi")].into_messages(),
        [Message::user("hi")].into_messages(),
        json(r#""hi""#).into_messages(),
        json(r#"["hi"]"#).into_messages(),
        serde_json::json!({"role": "user", "content": "hi"}).into_messages(),
    ] {
        let messages = messages.unwrap();
        assert_eq!(
            (messages[0].role, messages[0].text().as_str()),
            (Role::User, "hi")
        );
        assert_eq!(messages.len(), 1);
        assert!(messages[0].time().is_some() && !messages[0].id.is_empty());
    }
}

#[test]
fn every_form_of_a_client_becomes_the_stored_one() {
    let user = Role::User;
    let assistant = Role::Assistant;
    for (text, role, parts) in [
        (
            r#"{"role":"user","content":[{"type":"text","text":"a","providerOptions":{"p":1}},{"type":"image","image":"AA==","mediaType":"image/png"}]}"#,
            user,
            r#"[{"type":"text","text":"a","providerMetadata":{"p":1}},{"type":"file","data":"AA==","mimeType":"image/png"}]"#,
        ),
        (
            r#"{"role":"user","parts":[{"type":"file","url":"https://example.com/a","mediaType":"text/plain","filename":"a"},{"type":"data-x","data":1}]}"#,
            user,
            r#"[{"type":"file","data":"https://example.com/a","mimeType":"text/plain","filename":"a"},{"type":"data-x","data":1}]"#,
        ),
        (
            r#"{"role":"assistant","parts":[{"type":"reasoning","text":"hm","providerMetadata":{"p":1}},{"type":"step-start"},{"type":"tool-weather","toolCallId":"c","state":"output-available","input":{"a":1},"output":21}]}"#,
            assistant,
            r#"[{"type":"reasoning","reasoning":"","details":[{"type":"text","text":"hm"}],"providerMetadata":{"p":1}},{"type":"step-start"},{"type":"tool-invocation","toolInvocation":{"state":"result","toolCallId":"c","toolName":"weather","args":{"a":1},"result":21}}]"#,
        ),
        (
            r#"{"role":"assistant","parts":[{"type":"dynamic-tool","toolName":"t","toolCallId":"c","state":"output-error","input":{},"errorText":"no"},{"type":"tool-u","toolCallId":"d","state":"input-available"}]}"#,
            assistant,
            r#"[{"type":"tool-invocation","toolInvocation":{"state":"output-error","toolCallId":"c","toolName":"t","args":{},"errorText":"no"}},{"type":"tool-invocation","toolInvocation":{"state":"call","toolCallId":"d","toolName":"u","args":{}}}]"#,
        ),
        (
            r#"{"role":"assistant","parts":[{"type":"tool-t","toolCallId":"c","state":"output-denied","input":{},"approval":{"id":"c","approved":false,"reason":"dear"}}]}"#,
            assistant,
            r#"[{"type":"tool-invocation","toolInvocation":{"state":"output-denied","toolCallId":"c","toolName":"t","args":{},"approval":{"id":"c","approved":false,"reason":"dear"}}}]"#,
        ),
        (
            r#"{"role":"assistant","content":"","parts":[{"type":"tool-invocation","toolInvocation":{"state":"result","toolCallId":"c","toolName":"t","args":{},"result":null}}]}"#,
            assistant,
            r#"[{"type":"tool-invocation","toolInvocation":{"state":"result","toolCallId":"c","toolName":"t","args":{},"result":null}}]"#,
        ),
        (
            r#"{"role":"assistant","content":[{"type":"tool-call","toolCallId":"c","toolName":"t","input":{"a":1}},{"type":"tool-result","toolCallId":"c","toolName":"t","output":{"type":"json","value":[1]}}]}"#,
            assistant,
            r#"[{"type":"tool-invocation","toolInvocation":{"state":"result","toolCallId":"c","toolName":"t","args":{"a":1},"result":[1]}}]"#,
        ),
    ] {
        assert_eq!(read(text), [(role, parts.to_owned())], "{text}");
    }
}

#[test]
fn results_of_tools_go_into_the_calls_they_belong_to() {
    let call = r#"{"role":"assistant","content":[{"type":"tool-call","toolCallId":"c","toolName":"t","args":{}}]}"#;
    for (result, invocation) in [
        (
            r#""toolCallId":"c","toolName":"t","result":{"x":1}"#,
            r#""state":"result","toolCallId":"c","toolName":"t","args":{},"result":{"x":1}"#,
        ),
        (
            r#""toolCallId":"c","toolName":"t","output":{"type":"error-text","value":"no"}"#,
            r#""state":"output-error","toolCallId":"c","toolName":"t","args":{},"errorText":"no""#,
        ),
        (
            r#""toolCallId":"c","toolName":"t","output":{"type":"execution-denied"}"#,
            r#""state":"output-denied","toolCallId":"c","toolName":"t","args":{},"approval":{"id":"c","approved":false,"reason":"Tool call was not approved by the user"}"#,
        ),
    ] {
        let tool = format!(r#"{{"role":"tool","content":[{{"type":"tool-result",{result}}}]}}"#);
        let stored = format!(r#"[{{"type":"tool-invocation","toolInvocation":{{{invocation}}}}}]"#);
        let expected = [(Role::Assistant, stored.clone())];
        assert_eq!(read(&format!("[{call},{tool}]")), expected);
        assert_eq!(read(&tool), expected, "without the call");
    }
}

#[test]
fn names_and_times_are_kept() {
    let at = "2026-11-20T03:11:37.257Z";
    let stored = format!(
        r#"{{"id":"m","role":"user","createdAt":"{at}","threadId":"t","resourceId":"r","content":{{"format":2,"parts":[]}}}}"#
    );
    let interface = format!(
        r#"{{"id":"m","role":"user","metadata":{{"createdAt":"{at}","threadId":"t","resourceId":"r"}},"parts":[]}}"#
    );
    for text in [stored, interface] {
        let message = json(&text).into_messages().unwrap().remove(0);
        assert_eq!(
            (message.id.as_str(), message.created_at.as_str()),
            ("m", at)
        );
        assert_eq!(message.thread_id.as_deref(), Some("t"));
        assert_eq!(message.resource_id.as_deref(), Some("r"));
        assert_eq!(message.content.metadata, None);
    }
}

#[test]
fn what_is_no_message_is_refused_by_its_place() {
    for (text, place) in [
        ("7", "the message"),
        (r#"["a",7]"#, "message 1"),
        (r#"[{"content":"a"}]"#, "role"),
        (r#"{"role":"nobody","content":"a"}"#, "nobody"),
        (r#"{"role":"user"}"#, "content"),
        (r#"{"role":"user","content":7}"#, "parts"),
        (
            r#"{"role":"user","parts":[{"type":"text","text":"a"},7]}"#,
            "part 1",
        ),
        (r#"{"role":"tool"}"#, "content"),
        (r#"{"role":"user","content":{"format":"2"}}"#, "format"),
    ] {
        let error = json(text).into_messages().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
        assert!(error.message().contains(place), "{text}: {error}");
    }
}

proptest! {
    #[test]
    fn nothing_that_a_client_sends_panics(
        role in "user|assistant|tool|signal",
        kind in "text|file|image|reasoning|tool-call|tool-result|tool-t|dynamic-tool|tool-|x",
        members in proptest::collection::vec(
            ("text|data|url|input|output|result|toolCallId|toolName|state", super::strategy::data()),
            0..6,
        ),
    ) {
        let members: String = members.iter().map(|(name, data)| format!(r#","{name}":{data}"#)).collect();
        let text = format!(r#"{{"role":"{role}","content":[{{"type":"{kind}"{members}}}]}}"#);
        let messages = json(&text).into_messages().unwrap();
        prop_assert!(messages.len() <= 1);
    }
}
