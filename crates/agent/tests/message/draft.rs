//! What a model makes.

use bowline_agent::Data;
use bowline_agent::message::{AssistantDraft, Part, ToolOutcome};
use bowline_agent::model::{FinishReason, ModelPart, Source, ToolInput, Usage};

use super::json;

fn text(id: &'static str, text: &str) -> ModelPart {
    ModelPart::TextDelta {
        id: id.into(),
        text: text.into(),
        metadata: None,
    }
}

fn tool(id: &'static str) -> ToolInput {
    ToolInput {
        id: id.into(),
        name: "weather".into(),
        ..ToolInput::default()
    }
}

fn draft(parts: impl IntoIterator<Item = ModelPart>) -> AssistantDraft {
    let mut draft = AssistantDraft::new();
    parts.into_iter().for_each(|part| draft.push(part));
    draft
}

fn stored(draft: &AssistantDraft) -> String {
    Data::of(&draft.parts()).unwrap().to_string()
}

#[test]
fn texts_stand_where_they_began() {
    let draft = draft([
        ModelPart::TextStart {
            id: "1".into(),
            metadata: None,
        },
        text("1", "a"),
        text("2", "x"),
        text("1", "b"),
        ModelPart::TextEnd {
            id: "1".into(),
            metadata: Some(json(r#"{"p":1}"#)),
        },
        text("1", "new"),
        ModelPart::TextStart {
            id: "3".into(),
            metadata: None,
        },
    ]);
    assert_eq!(draft.text(), "abxnew");
    assert_eq!(
        stored(&draft),
        r#"[{"type":"text","text":"ab","providerMetadata":{"p":1}},{"type":"text","text":"x"},{"type":"text","text":"new"}]"#
    );
}

#[test]
fn the_last_signature_of_a_reasoning_counts() {
    let signed = |signature: &str| Some(json(&format!(r#"{{"p":{{"signature":"{signature}"}}}}"#)));
    let draft = draft([
        ModelPart::ReasoningStart {
            id: "r".into(),
            metadata: signed("1"),
        },
        ModelPart::ReasoningDelta {
            id: "r".into(),
            text: "hm".into(),
            metadata: signed("2"),
        },
        text("r", "same id, other kind"),
        ModelPart::ReasoningEnd {
            id: "r".into(),
            metadata: None,
        },
        ModelPart::ReasoningStart {
            id: "empty".into(),
            metadata: None,
        },
    ]);
    assert_eq!(
        stored(&draft),
        r#"[{"type":"reasoning","reasoning":"","details":[{"type":"text","text":"hm"}],"providerMetadata":{"p":{"signature":"2"}}},{"type":"text","text":"same id, other kind"}]"#
    );
}

#[test]
fn calls_are_parts_and_work_to_do() {
    let by_provider = ToolInput {
        provider_executed: true,
        ..tool("c2")
    };
    let draft = draft([
        ModelPart::ToolInputStart(tool("c1")),
        ModelPart::ToolInputDelta {
            id: "c1".into(),
            delta: "{}".into(),
        },
        ModelPart::ToolInputEnd { id: "c1".into() },
        ModelPart::ToolCall {
            call: tool("c1"),
            args: json(r#"{"city":"Oslo"}"#),
        },
        ModelPart::ToolCall {
            call: tool("c1"),
            args: json(r#"{"city":"again"}"#),
        },
        ModelPart::ToolCall {
            call: by_provider.clone(),
            args: json("{}"),
        },
        ModelPart::ToolResult {
            call: by_provider,
            result: json("\"broken\""),
            is_error: true,
        },
        ModelPart::ToolResult {
            call: tool("nobody's"),
            result: json("1"),
            is_error: false,
        },
        text("t", "so"),
    ]);
    let calls = draft.tool_calls();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0].args.as_str(), r#"{"city":"Oslo"}"#);
    assert_eq!(calls[0].outcome, None);
    let failed = ToolOutcome::Error {
        name: "Error".into(),
        message: "broken".into(),
    };
    assert_eq!(
        (calls[1].provider_executed, &calls[1].outcome),
        (true, &Some(failed))
    );
    assert_eq!(
        stored(&draft),
        concat!(
            r#"[{"type":"tool-invocation","toolInvocation":{"state":"call","toolCallId":"c1","toolName":"weather","args":{"city":"Oslo"}}},"#,
            r#"{"type":"tool-invocation","toolInvocation":{"state":"output-error","toolCallId":"c2","toolName":"weather","args":{},"errorText":"broken"},"providerExecuted":true},"#,
            r#"{"type":"step-start"},{"type":"text","text":"so"}]"#
        )
    );
}

#[test]
fn sources_and_files_are_parts() {
    let page = Source {
        id: "1".into(),
        url: Some("https://example.com/".into()),
        title: Some("Example".into()),
        ..Source::default()
    };
    let document = Source {
        id: "2".into(),
        media_type: Some("text/plain".into()),
        filename: Some("a.txt".into()),
        ..Source::default()
    };
    let draft = draft([
        ModelPart::Source(page),
        ModelPart::Source(document),
        ModelPart::File {
            data: "AA==".into(),
            media_type: "image/png".into(),
        },
    ]);
    assert_eq!(
        stored(&draft),
        concat!(
            r#"[{"type":"source","source":{"sourceType":"url","id":"1","url":"https://example.com/","title":"Example"}},"#,
            r#"{"type":"source-document","sourceId":"2","mediaType":"text/plain","title":"","filename":"a.txt"},"#,
            r#"{"type":"file","data":"AA==","mimeType":"image/png"}]"#
        )
    );
}

#[test]
fn an_answer_that_has_not_ended_has_no_reason() {
    let mut draft = draft([ModelPart::Raw(json("{}"))]);
    assert!(draft.is_empty());
    assert_eq!(
        (draft.finish_reason(), draft.usage()),
        (None, Usage::default())
    );
    draft.push(ModelPart::Finish {
        reason: FinishReason::Stop,
        usage: Usage::new(3, 5),
        metadata: Some(json("{}")),
    });
    assert_eq!(draft.finish_reason(), Some(FinishReason::Stop));
    assert_eq!(draft.usage().total_tokens, 8);
    assert_eq!(draft.metadata(), Some(&json("{}")));
    assert_eq!(draft.parts(), Vec::<Part>::new());
}
