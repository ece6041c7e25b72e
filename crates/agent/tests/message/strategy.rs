//! Any messages.

use bowline_agent::Data;
use bowline_agent::message::{
    Approval, Extra, Message, Part, Role, ToolInvocation, ToolOutcome, ToolState,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::json;

pub(crate) fn data() -> impl Strategy<Value = Data> {
    let texts = [
        "null",
        "1",
        "\"a\\\"b\"",
        "{}",
        "{\"a\":[1,null]}",
        "[]",
        "{ \"b\" : 2 }",
    ];
    proptest::sample::select(texts.to_vec()).prop_map(json)
}

fn extra() -> impl Strategy<Value = Extra> {
    option::of(data()).prop_map(|data| match data {
        Some(data) => Extra::default().with("createdAt", data),
        None => Extra::default(),
    })
}

fn state() -> impl Strategy<Value = ToolState> {
    proptest::sample::select(vec![
        ToolState::PartialCall,
        ToolState::Call,
        ToolState::ApprovalRequested,
        ToolState::ApprovalResponded,
        ToolState::Result,
        ToolState::Result,
        ToolState::Result,
        ToolState::OutputError,
        ToolState::OutputDenied,
    ])
}

fn invocation() -> impl Strategy<Value = ToolInvocation> {
    let ids = "[abc]|[abc]|";
    let results = (
        option::of(data()),
        option::of("x?"),
        option::of(any::<bool>()),
    );
    (state(), ids, data(), results, extra()).prop_map(|(state, id, args, results, extra)| {
        let mut invocation = ToolInvocation::new(id, "tool", args);
        let (result, error, approved) = results;
        invocation.state = state;
        invocation.result = result;
        invocation.error_text = error;
        invocation.approval = approved.map(|approved| Approval {
            id: "a".into(),
            approved,
            reason: None,
        });
        invocation.extra = extra;
        invocation
    })
}

pub(crate) fn outcome() -> impl Strategy<Value = ToolOutcome> {
    prop_oneof![
        data().prop_map(ToolOutcome::Result),
        "x?".prop_map(|message| ToolOutcome::Error {
            name: "E".into(),
            message
        }),
        option::of("no").prop_map(|reason| ToolOutcome::Denied {
            reason: reason.map(Into::into)
        }),
        Just(ToolOutcome::Pending),
    ]
}

pub(crate) fn part() -> impl Strategy<Value = Part> {
    let metadata = || option::of(data());
    let other = [
        r#"{"type":"step-start"}"#,
        r#"{"type":"data-x","data":1}"#,
        "7",
    ];
    prop_oneof![
        2 => ("\\PC{0,3}", metadata(), extra()).prop_map(|(text, metadata, extra)| Part::Text {
            text,
            metadata,
            extra
        }),
        2 => ("\\PC{0,3}", metadata(), extra()).prop_map(|(text, metadata, extra)| Part::Reasoning {
            text,
            metadata,
            extra
        }),
        1 => ("a?", option::of("f"), extra()).prop_map(|(data, name, extra)| Part::File {
            data: data.into(),
            media_type: "image/png".into(),
            filename: name.map(Into::into),
            extra
        }),
        5 => (invocation(), proptest::bool::weighted(0.2), metadata(), extra()).prop_map(
            |(invocation, provider_executed, metadata, extra)| Part::Tool {
                invocation,
                provider_executed,
                metadata,
                extra
            }
        ),
        1 => proptest::sample::select(other.to_vec()).prop_map(|text| Part::Other(json(text))),
    ]
}

pub(crate) fn messages() -> impl Strategy<Value = Vec<Message>> {
    let roles = vec![
        Role::User,
        Role::Assistant,
        Role::Assistant,
        Role::System,
        Role::Signal,
    ];
    let message = (proptest::sample::select(roles), vec(part(), 0..6))
        .prop_map(|(role, parts)| Message::new(role, parts));
    vec(message, 0..5)
}
