//! What a model gets.

use std::collections::HashSet;

use bowline_agent::message::{Message, Part, ToolOutcome, prompt, settle};
use bowline_agent::model::{PromptContent, PromptMessage};
use proptest::prelude::*;

use super::json;
use super::strategy::messages;

/// A prompt in short: `S` system, `U` user, `A` assistant, `T` outputs; of contents the texts, `*` for reasonings, and the ids
/// of calls.
fn short(prompt: &[PromptMessage]) -> String {
    let contents = |contents: &[PromptContent]| {
        let contents = contents.iter().map(|content| match content {
            PromptContent::Text { text, .. } => text.clone(),
            PromptContent::Reasoning { text, .. } => format!("*{text}"),
            PromptContent::ToolCall { id, args, .. } => format!("{id}{args}"),
            _ => "file".into(),
        });
        contents.collect::<Vec<_>>().join(" ")
    };
    let messages = prompt.iter().map(|message| match message {
        PromptMessage::System(text) => format!("S[{text}]"),
        PromptMessage::User(user) => format!("U[{}]", contents(user)),
        PromptMessage::Assistant(answer) => format!("A[{}]", contents(answer)),
        PromptMessage::Tool(outputs) => {
            let outputs = outputs.iter().map(|output| {
                let failed = if output.is_error { "!" } else { "=" };
                format!("{}{failed}{}", output.id, output.result)
            });
            format!("T[{}]", outputs.collect::<Vec<_>>().join(" "))
        }
        other => panic!("{other:?} is new"),
    });
    messages.collect::<Vec<_>>().join(" ")
}

fn call(id: &'static str, outcome: Option<ToolOutcome>) -> Part {
    let mut part = Part::tool(id, "tool", json("{}"));
    if let Some(outcome) = outcome {
        assert!(settle(std::slice::from_mut(&mut part), id, &outcome));
    }
    part
}

fn done(id: &'static str) -> Part {
    call(id, Some(ToolOutcome::Result(json("1"))))
}

fn thought(text: &str) -> Part {
    let json = format!(r#"{{"type":"reasoning","reasoning":"{text}"}}"#);
    serde_json::from_str(&json).unwrap()
}

fn by_provider(mut part: Part) -> Part {
    if let Part::Tool {
        provider_executed, ..
    } = &mut part
    {
        *provider_executed = true;
    }
    part
}

#[test]
fn outputs_follow_the_calls_and_what_was_said_after_them_follows_the_outputs() {
    let error = || ToolOutcome::Error {
        name: "TypeError".into(),
        message: "no such city".into(),
    };
    let denied = |reason: Option<&'static str>| ToolOutcome::Denied {
        reason: reason.map(Into::into),
    };
    let table: Vec<(Vec<Part>, &str)> = vec![
        (vec![Part::text("a"), Part::text("b")], "A[a b]"),
        (vec![Part::text("")], ""),
        (vec![thought("t"), Part::text("a")], "A[*t a]"),
        (vec![Part::text("a"), thought("t")], "A[a]"),
        (
            vec![Part::text("a"), done("c"), Part::text("b")],
            "A[a c{}] T[c=1] A[b]",
        ),
        (vec![done("c"), done("d")], "A[c{} d{}] T[c=1 d=1]"),
        (
            vec![done("c"), Part::step_start(), done("d")],
            "A[c{}] T[c=1] A[d{}] T[d=1]",
        ),
        (
            vec![thought("t"), done("c"), thought("u"), done("d")],
            "A[*t c{}] T[c=1] A[*u d{}] T[d=1]",
        ),
        (vec![done("c"), done("c")], "A[c{}] T[c=1]"),
        (vec![Part::text("a"), call("c", None)], "A[a]"),
        (vec![thought("t"), call("c", None)], ""),
        (vec![call("c", None), done("d")], "A[d{}] T[d=1]"),
        (
            vec![call("c", Some(error()))],
            r#"A[c{}] T[c!"no such city"]"#,
        ),
        (
            vec![call("c", Some(denied(Some("too dear"))))],
            r#"A[c{}] T[c!"too dear"]"#,
        ),
        (
            vec![call("c", Some(denied(None)))],
            r#"A[c{}] T[c!"Tool call was not approved by the user"]"#,
        ),
        (
            vec![Part::text("a"), by_provider(done("c")), Part::text("b")],
            "A[a b]",
        ),
        (vec![by_provider(call("c", None))], "A[c{}]"),
    ];
    for (parts, expected) in table {
        let message = Message::assistant(parts);
        assert_eq!(
            short(&prompt(std::slice::from_ref(&message), &[])),
            expected,
            "{message:?}"
        );
    }
}

#[test]
fn the_model_learns_first_what_it_is_to_be() {
    let messages = [
        Message::user("hi"),
        Message::system("b"),
        Message::assistant(vec![by_provider(call("c", None)), Part::text("yes")]),
        Message::user(""),
        Message::user("more"),
    ];
    let prompt = prompt(&messages, &["a".into(), String::new()]);
    assert_eq!(short(&prompt), "S[a] S[b] U[hi] A[yes] U[more]");
}

#[test]
fn arguments_that_are_no_object_are_left_out() {
    let mut part = Part::tool("c", "tool", json("\"{broken\""));
    settle(
        std::slice::from_mut(&mut part),
        "c",
        &ToolOutcome::Result(json("1")),
    );
    let prompt = prompt(&[Message::assistant(vec![part])], &[]);
    assert_eq!(short(&prompt), "A[c{}] T[c=1]");
}

#[test]
fn what_a_provider_wants_back_goes_back() {
    let stored = r#"{"type":"reasoning","reasoning":"","details":[{"type":"text","text":"hm"}],"providerMetadata":{"p":{"signature":"s"}}}"#;
    let parts = vec![serde_json::from_str(stored).unwrap(), Part::text("a")];
    let prompt = prompt(&[Message::assistant(parts)], &[]);
    let PromptMessage::Assistant(contents) = &prompt[0] else {
        panic!("{prompt:?}")
    };
    let expected = PromptContent::Reasoning {
        text: "hm".into(),
        metadata: Some(json(r#"{"p":{"signature":"s"}}"#)),
    };
    assert_eq!(contents[0], expected);
}

/// What providers demand of a prompt.
fn check(prompt: &[PromptMessage]) -> Result<(), TestCaseError> {
    let mut ids = HashSet::new();
    let mut begun = false;
    for (i, message) in prompt.iter().enumerate() {
        match message {
            PromptMessage::System(text) => {
                prop_assert!(!begun && !text.is_empty());
            }
            PromptMessage::User(contents) => {
                begun = true;
                prop_assert!(!contents.is_empty());
                for content in contents {
                    let empty =
                        matches!(content, PromptContent::Text { text, .. } if text.is_empty());
                    prop_assert!(!empty, "an empty text");
                }
            }
            PromptMessage::Assistant(contents) => {
                begun = true;
                prop_assert!(!contents.is_empty());
                let thinking = matches!(contents.last(), Some(PromptContent::Reasoning { .. }));
                prop_assert!(!thinking, "it ends with a reasoning");
                let mut called = Vec::new();
                for content in contents {
                    match content {
                        PromptContent::Text { text, .. } => prop_assert!(!text.is_empty()),
                        PromptContent::ToolCall {
                            id,
                            args,
                            provider_executed,
                            ..
                        } => {
                            prop_assert!(!id.is_empty() && ids.insert(id.clone()), "{} again", id);
                            prop_assert!(args.is_object());
                            if !provider_executed {
                                called.push(id);
                            }
                        }
                        _ => {}
                    }
                }
                let outputs = match prompt.get(i + 1) {
                    Some(PromptMessage::Tool(outputs)) => outputs.iter().map(|it| &it.id).collect(),
                    _ => Vec::new(),
                };
                prop_assert_eq!(called, outputs);
            }
            PromptMessage::Tool(outputs) => {
                prop_assert!(!outputs.is_empty());
                let before = i.checked_sub(1).map(|i| &prompt[i]);
                prop_assert!(matches!(before, Some(PromptMessage::Assistant(_))));
            }
            other => prop_assert!(false, "{:?} is new", other),
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn providers_accept_the_prompt_whatever_the_messages_are(messages in messages()) {
        check(&prompt(&messages, &["be".into()]))?;
    }
}
