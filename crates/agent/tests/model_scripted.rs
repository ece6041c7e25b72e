//! What a scripted model says, and when.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use bowline_agent::model::{
    ChatModel, ChatRequest, FinishReason, ModelPart, ModelStream, PromptContent, PromptMessage,
    Usage,
};
use bowline_agent::scripted::{Answer, ScriptedModel};
use bowline_agent::{Data, Error, ErrorKind};
use futures_util::{FutureExt as _, StreamExt as _};
use serde_json::json;

/// A conversation in which the assistant spoke `turns` times.
fn after(turns: usize) -> ChatRequest {
    let text = |text: &str| {
        vec![PromptContent::Text {
            text: text.to_owned(),
            metadata: None,
        }]
    };
    let mut request = ChatRequest::default();
    request
        .prompt
        .push(PromptMessage::System("Be kind.".into()));
    for _ in 0..turns {
        request.prompt.push(PromptMessage::User(text("question")));
        request
            .prompt
            .push(PromptMessage::Assistant(text("answer")));
    }
    request.prompt.push(PromptMessage::User(text("question")));
    request
}

async fn drained(mut stream: ModelStream) -> (Vec<ModelPart>, Option<Error>) {
    let mut parts = Vec::new();
    while let Some(part) = stream.next().await {
        match part {
            Ok(part) => parts.push(part),
            Err(error) => {
                assert!(stream.next().await.is_none(), "it goes on after an error");
                return (parts, Some(error));
            }
        }
    }
    (parts, None)
}

/// What it says, short.
fn shown(parts: &[ModelPart]) -> Vec<String> {
    let show = |part: &ModelPart| match part {
        ModelPart::ResponseMetadata(metadata) => format!(
            "metadata {} {} {}",
            metadata.id.as_deref().unwrap_or("-"),
            metadata.model_id.as_deref().unwrap_or("-"),
            metadata.timestamp.map_or(-1, |time| time.as_millis()),
        ),
        ModelPart::TextStart { id, .. } => format!("text {id}"),
        ModelPart::TextDelta { id, text, .. } => format!("{id} {text:?}"),
        ModelPart::TextEnd { id, .. } => format!("text end {id}"),
        ModelPart::ReasoningStart { id, .. } => format!("reasoning {id}"),
        ModelPart::ReasoningDelta { id, text, .. } => format!("{id} {text:?}"),
        ModelPart::ReasoningEnd { id, metadata } => format!("reasoning end {id} {metadata:?}"),
        ModelPart::ToolInputStart(call) => format!("input {} {}", call.id, call.name),
        ModelPart::ToolInputDelta { id, delta } => format!("input {id} {delta}"),
        ModelPart::ToolInputEnd { id } => format!("input end {id}"),
        ModelPart::ToolCall { call, args } => format!("call {} {} {args}", call.id, call.name),
        ModelPart::Finish { reason, usage, .. } => format!(
            "{} {} {} {}",
            reason.as_str(),
            usage.input_tokens,
            usage.output_tokens,
            usage.total_tokens
        ),
        other => format!("{other:?}"),
    };
    parts.iter().map(show).collect()
}

async fn said(model: &ScriptedModel, turns: usize) -> Vec<String> {
    let stream = model.stream(after(turns)).await.unwrap();
    let (parts, error) = drained(stream).await;
    assert!(error.is_none(), "{error:?}");
    shown(&parts)
}

#[tokio::test]
async fn a_text_is_said_as_a_model_says_it() {
    let model = ScriptedModel::listed([Answer::says("Hello, world").response_id("resp-1")]);
    assert_eq!(
        said(&model, 0).await,
        [
            "metadata resp-1 mock-model 0",
            "text t1",
            "t1 \"Hello\"",
            "t1 \", \"",
            "t1 \"world\"",
            "text end t1",
            "stop 3 5 8",
        ]
    );
    let (parts, _) = drained(model.stream(after(0)).await.unwrap()).await;
    let Some(ModelPart::Finish { usage, .. }) = parts.last() else {
        panic!("no end");
    };
    let raw = r#"{"inputTokens":3,"outputTokens":5,"totalTokens":8}"#;
    assert_eq!(usage.raw, Some(Data::from_json(raw).unwrap()));
}

#[tokio::test]
async fn tools_are_called_with_ids_that_depend_on_the_place_only() {
    let answer = Answer::new()
        .reasoning("Hm.")
        .text("Wait")
        .tool_call_as("c1", "weather", &json!({"city": "A"}))
        .tool_call("weather", &json!({"city": "B"}))
        .tool_call_text("weather", "{\"city");
    let model = ScriptedModel::listed([Answer::says("first"), answer]);
    let expected = [
        "metadata resp-1 mock-model 0",
        "reasoning r1",
        "r1 \"Hm\"",
        "r1 \".\"",
        "reasoning end r1 None",
        "text t1",
        "t1 \"Wait\"",
        "text end t1",
        "input c1 weather",
        "input c1 {\"city\":\"A\"}",
        "input end c1",
        "call c1 weather {\"city\":\"A\"}",
        "input call-2-2 weather",
        "input call-2-2 {\"city\":\"B\"}",
        "input end call-2-2",
        "call call-2-2 weather {\"city\":\"B\"}",
        "input call-2-3 weather",
        "input call-2-3 {\"city",
        "input end call-2-3",
        "call call-2-3 weather \"{\\\"city\"",
        "tool-calls 3 5 8",
    ];
    assert_eq!(said(&model, 1).await, expected);
    assert_eq!(said(&model.clone(), 1).await, expected, "asked again");
}

#[tokio::test]
async fn the_answer_depends_on_the_conversation() {
    let listed = ScriptedModel::listed([Answer::says("0"), Answer::says("1")]);
    let computed = ScriptedModel::new(|request: &ChatRequest| {
        Answer::says(ScriptedModel::position(request).to_string())
    });
    for model in [&listed, &computed] {
        for turns in [0, 1, 1, 0] {
            let said = said(model, turns).await;
            assert_eq!(said[2], format!("t1 \"{turns}\""));
        }
    }
    let error = listed.stream(after(2)).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Model);
    assert!(error.message().contains("2 answers"), "{error}");
    assert_eq!(said(&computed, 2).await[2], "t1 \"2\"");
    let always = ScriptedModel::always(Answer::says("again"));
    assert_eq!(said(&always, 7).await[2], "t1 \"again\"");
}

#[tokio::test]
async fn what_breaks_off_is_an_attempt_and_the_next_one_may_succeed() {
    let model = ScriptedModel::listed([
        Answer::says("first"),
        Answer::fails(ErrorKind::ModelUnavailable, "model down"),
        Answer::says("Hello").error(ErrorKind::ModelUnavailable, "mid stream"),
        Answer::says("Hello").pause(Duration::ZERO).cut(),
        Answer::says("Hello"),
    ]);
    assert_eq!(said(&model, 0).await[2], "t1 \"first\"");
    let down = model.stream(after(1)).await.err().unwrap();
    assert_eq!(
        (down.kind(), down.message()),
        (ErrorKind::ModelUnavailable, "model down")
    );
    let open = ["metadata resp-1 mock-model 0", "text t1", "t1 \"Hello\""];
    let (parts, error) = drained(model.stream(after(1)).await.unwrap()).await;
    assert_eq!(shown(&parts), open);
    assert_eq!(error.unwrap().message(), "mid stream");
    let (parts, error) = drained(model.stream(after(1)).await.unwrap()).await;
    assert_eq!(shown(&parts), open);
    assert!(error.is_none());
    for _ in 0..2 {
        assert_eq!(said(&model, 1).await.len(), 5);
    }
}

#[tokio::test(start_paused = true)]
async fn pauses_take_their_time_and_nothing_else_does() {
    let minute = Duration::from_secs(60);
    let answer = Answer::says("one two").pause(minute).text("three");
    for (answer, pauses) in [
        (answer.clone(), 1),
        (answer.pace(minute), 5),
        (Answer::says("one two"), 0),
    ] {
        let begin = tokio::time::Instant::now();
        let model = ScriptedModel::always(answer);
        said(&model, 0).await;
        assert_eq!(begin.elapsed(), minute * pauses);
    }
    let model = ScriptedModel::always(
        Answer::new()
            .pause(minute)
            .error(ErrorKind::ModelUnavailable, "late"),
    );
    let begin = tokio::time::Instant::now();
    assert!(model.stream(after(0)).await.is_err());
    assert_eq!(begin.elapsed(), minute);
}

#[tokio::test]
async fn a_model_that_hangs_leaves_its_text_open() {
    let model = ScriptedModel::always(Answer::says("Hello").hang());
    let mut stream = model.stream(after(0)).await.unwrap();
    for _ in 0..3 {
        assert!(stream.next().now_or_never().is_some());
    }
    assert!(stream.next().now_or_never().is_none());
}

#[tokio::test]
async fn a_thousand_pieces_come_without_a_wait() {
    let model = ScriptedModel::always(Answer::new().repeated_delta("token ", 1000));
    let stream = model.stream(after(0)).now_or_never().unwrap().unwrap();
    let (parts, _) = drained(stream).now_or_never().unwrap();
    assert_eq!(parts.len(), 1004);
    let text: usize = parts
        .iter()
        .map(|part| match part {
            ModelPart::TextDelta { text, .. } => text.len(),
            _ => 0,
        })
        .sum();
    assert_eq!(text, 6000);
}

#[tokio::test]
async fn parts_are_given_as_they_are() {
    let finish = ModelPart::Finish {
        reason: FinishReason::Length,
        usage: Usage::new(1, 2),
        metadata: None,
    };
    let raw = ModelPart::Raw(Data::object());
    let model = ScriptedModel::always(Answer::new().parts([raw.clone(), finish.clone()]));
    let (parts, _) = drained(model.stream(after(0)).await.unwrap()).await;
    assert_eq!(parts[1..], [raw, finish]);
    let model = ScriptedModel::always(
        Answer::says("Hello")
            .finish(FinishReason::ContentFilter)
            .usage(Usage::new(1, 1)),
    );
    assert_eq!(
        said(&model, 0).await.last().unwrap(),
        "content-filter 1 1 2"
    );
}

#[tokio::test]
async fn requests_can_be_looked_at_the_last_ones() {
    let model = ScriptedModel::always(Answer::says("Hello")).keep_requests(2);
    for turns in [5, 6, 7] {
        said(&model, turns).await;
    }
    assert_eq!(model.calls(), 3);
    let positions: Vec<_> = model
        .requests()
        .iter()
        .map(ScriptedModel::position)
        .collect();
    assert_eq!(positions, [6, 7]);
    let model = model.named("local", "parrot").keep_requests(0);
    assert_eq!((model.provider(), model.model_id()), ("local", "parrot"));
}
