//! The adapter for providers, over real HTTP.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use bowline_agent::model::{
    Attempts, ChatModel, ChatRequest, FinishReason, GenaiModel, ModelPart, ModelStream,
    NextAttempt, PromptContent, PromptMessage, ResponseFormat, ToolChoice, ToolDefinition,
    ToolOutput, genai,
};
use bowline_agent::{Data, Error, ErrorKind};
use bowline_testkit::{OpenAiAnswer, OpenAiServer};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

const KEY: &str = "sk-very-secret";

async fn server() -> (OpenAiServer, GenaiModel) {
    let server = OpenAiServer::start().await.unwrap();
    let model = GenaiModel::openai_compatible(server.base_url(), "small-model").api_key(KEY);
    (server, model)
}

fn text(text: &str) -> PromptContent {
    PromptContent::Text {
        text: text.to_owned(),
        metadata: None,
    }
}

fn question() -> ChatRequest {
    let mut request = ChatRequest::default();
    request
        .prompt
        .push(PromptMessage::System("Be kind.".into()));
    request
        .prompt
        .push(PromptMessage::User(vec![text("Hello?")]));
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

/// What a model says to a question, and how that ends.
async fn asked(model: &GenaiModel) -> (Vec<ModelPart>, Option<Error>) {
    match model.stream(question()).await {
        Ok(stream) => drained(stream).await,
        Err(error) => (Vec::new(), Some(error)),
    }
}

async fn answered(model: &GenaiModel) -> Vec<ModelPart> {
    let (parts, error) = asked(model).await;
    assert!(error.is_none(), "{error:?}");
    parts
}

/// What was said, short; ids of calls in the order of their appearance.
fn shown(parts: &[ModelPart]) -> Vec<String> {
    let ids: Vec<_> = parts
        .iter()
        .filter_map(|part| match part {
            ModelPart::ToolInputStart(call) => Some(call.id.clone()),
            _ => None,
        })
        .collect();
    let number = |id: &str| ids.iter().position(|own| own == id).unwrap();
    let show = |part: &ModelPart| match part {
        ModelPart::ResponseMetadata(metadata) => {
            assert!(metadata.timestamp.is_some());
            let id = metadata.id.as_deref().unwrap_or("-");
            format!("{id} {}", metadata.model_id.as_deref().unwrap_or("-"))
        }
        ModelPart::TextStart { id, .. } => format!("start {id}"),
        ModelPart::TextDelta { id, text, .. } => format!("{id} {text}"),
        ModelPart::TextEnd { id, .. } => format!("end {id}"),
        ModelPart::ReasoningStart { id, .. } => format!("start {id}"),
        ModelPart::ReasoningDelta { id, text, .. } => format!("{id} {text}"),
        ModelPart::ReasoningEnd { id, .. } => format!("end {id}"),
        ModelPart::ToolInputStart(call) => format!("input {} {}", number(&call.id), call.name),
        ModelPart::ToolInputDelta { id, delta } => format!("{} {delta}", number(id)),
        ModelPart::ToolInputEnd { id } => format!("input end {}", number(id)),
        ModelPart::ToolCall { call, args } => {
            format!("call {} {} {args}", number(&call.id), call.name)
        }
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

#[tokio::test]
async fn a_text_is_streamed() {
    let (server, model) = server().await;
    server.answer(
        OpenAiAnswer::new()
            .text(["Hel", "lo, ", "wörld"])
            .usage(json!({
                "prompt_tokens": 30, "completion_tokens": 50, "total_tokens": 80,
                "prompt_tokens_details": {"cached_tokens": 20},
                "completion_tokens_details": {"reasoning_tokens": 7},
            })),
    );
    let parts = answered(&model).await;
    assert_eq!(
        shown(&parts),
        [
            "chatcmpl-1 small-model",
            "start text-1",
            "text-1 Hel",
            "text-1 lo, ",
            "text-1 wörld",
            "end text-1",
            "stop 30 50 80",
        ]
    );
    let Some(ModelPart::Finish { usage, .. }) = parts.last() else {
        panic!("no end");
    };
    assert_eq!(usage.cached_input_tokens, Some(20));
    assert_eq!(usage.reasoning_tokens, Some(7));
    assert!(usage.raw.is_some());
}

#[tokio::test]
async fn reasoning_comes_before_the_text_and_goes_back_to_who_needs_it() {
    let (server, model) = server().await;
    let answer = OpenAiAnswer::new()
        .reasoning(["Let ", "me see."])
        .text(["Yes."]);
    server.answer(answer);
    let parts = answered(&model).await;
    assert_eq!(
        shown(&parts)[1..],
        [
            "start reasoning-1",
            "reasoning-1 Let ",
            "reasoning-1 me see.",
            "end reasoning-1",
            "start text-1",
            "text-1 Yes.",
            "end text-1",
            "stop 3 5 8",
        ]
    );
    let mut request = question();
    request.prompt.push(PromptMessage::Assistant(vec![
        PromptContent::Reasoning {
            text: "Let me see.".into(),
            metadata: None,
        },
        text("Yes."),
    ]));
    request
        .prompt
        .push(PromptMessage::User(vec![text("Sure?")]));
    server.answer(OpenAiAnswer::new().text(["Yes."]));
    server.take_requests();
    drained(model.stream(request).await.unwrap()).await;
    let body = &server.take_requests()[0].body;
    assert_eq!(body["messages"][2]["content"], "Yes.");
    assert_eq!(body["messages"][2]["reasoning_content"], "Let me see.");
}

#[tokio::test]
async fn parallel_calls_keep_their_ids_and_arguments() {
    let (server, model) = server().await;
    server.answer(
        OpenAiAnswer::new()
            .text(["Wait."])
            .tool_call("call_aaaa", "weather", ["{\"city\"", ":\"Oslo\"}"])
            .tool_call("call_bbbb", "time", ["{}"]),
    );
    let parts = answered(&model).await;
    assert_eq!(
        shown(&parts)[3..],
        [
            "end text-1",
            "input 0 weather",
            "0 {\"city\"",
            "0 :\"Oslo\"}",
            "input end 0",
            "call 0 weather {\"city\":\"Oslo\"}",
            "input 1 time",
            "1 {}",
            "input end 1",
            "call 1 time {}",
            "tool-calls 3 5 8",
        ]
    );
    let ids = |parts: &[ModelPart]| -> Vec<String> {
        let calls = parts.iter().filter_map(|part| match part {
            ModelPart::ToolCall { call, .. } => Some(call.id.to_string()),
            _ => None,
        });
        calls.collect()
    };
    assert_eq!(ids(&parts), ["call_aaaa", "call_bbbb"]);

    // Two at once, and ids that every answer has, or none.
    for id in [("call_0", "call_1"), ("", ""), ("call_cccc", "call_dddd")] {
        let (a, b) = ((id.0, "f", "{\"x\":[1]}"), (id.1, "f", "{\"x\":[2]}"));
        server.answer(OpenAiAnswer::new().interleaved_calls([a, b]).finish("stop"));
        let parts = answered(&model).await;
        let shown = shown(&parts);
        assert!(
            shown.contains(&"call 0 f {\"x\":[1]}".to_owned()),
            "{shown:?}"
        );
        assert!(
            shown.contains(&"call 1 f {\"x\":[2]}".to_owned()),
            "{shown:?}"
        );
        assert_eq!(shown.last().unwrap(), "tool-calls 3 5 8");
        let ids = ids(&parts);
        assert_ne!(ids[0], ids[1]);
        assert!(ids.iter().all(|id| id.len() > "call_0".len()), "{ids:?}");
    }
}

#[tokio::test]
async fn arguments_that_are_cut_by_the_limit_are_a_text() {
    let (server, model) = server().await;
    let answer = OpenAiAnswer::new().tool_call("call_aaaa", "f", ["{\"x\":"]);
    server.answer(answer.finish("length"));
    let parts = answered(&model).await;
    let shown = shown(&parts);
    assert_eq!(shown[shown.len() - 2], "call 0 f \"{\\\"x\\\":\"");
    assert!(matches!(
        parts.last(),
        Some(ModelPart::Finish {
            reason: FinishReason::Length,
            ..
        })
    ));
}

#[tokio::test]
async fn the_request_says_everything() {
    let (server, model) = server().await;
    let mut request = question();
    request.tools = Arc::new(vec![ToolDefinition {
        name: "weather".into(),
        description: "The weather.".into(),
        input_schema: Data::from(json!({"type": "object", "properties": {}})),
    }]);
    request.tool_choice = ToolChoice::Tool("weather".into());
    request.settings.temperature = Some(0.5);
    request.settings.max_output_tokens = Some(77);
    request.settings.presence_penalty = Some(0.25);
    request.settings.stop_sequences = vec!["END".into()];
    request.provider_options = Some(Data::from(json!({
        "openai-compatible": {"user": "me"}, "anthropic": {"thinking": true},
    })));
    request.response_format = ResponseFormat::Json {
        schema: Some(Data::from(
            json!({"type": "object", "properties": {"a": {"type": "number"}}}),
        )),
        name: Some("answer".into()),
        description: None,
    };
    request
        .prompt
        .push(PromptMessage::Assistant(vec![PromptContent::ToolCall {
            id: "call_aaaa".into(),
            name: "weather".into(),
            args: Data::from(json!({"city": "Oslo"})),
            provider_executed: false,
            metadata: None,
        }]));
    request.prompt.push(PromptMessage::Tool(vec![ToolOutput {
        id: "call_aaaa".into(),
        name: "weather".into(),
        result: Data::from(json!({"temp": 21})),
        is_error: false,
    }]));
    server.answer(OpenAiAnswer::new().text(["ok"]));
    let model = model.header("x-team", "blue");
    drained(model.stream(request).await.unwrap()).await;

    let request = server.take_requests().remove(0);
    assert_eq!(request.path, "/v1/chat/completions");
    assert_eq!(
        request.header("authorization"),
        Some("Bearer sk-very-secret")
    );
    assert_eq!(request.header("x-team"), Some("blue"));
    let body = request.body;
    for (pointer, value) in [
        ("/model", json!("small-model")),
        ("/stream", json!(true)),
        ("/temperature", json!(0.5)),
        ("/max_tokens", json!(77)),
        ("/presence_penalty", json!(0.25)),
        ("/stop", json!(["END"])),
        ("/user", json!("me")),
        ("/response_format/type", json!("json_schema")),
        ("/tools/0/function/name", json!("weather")),
        ("/tools/0/function/description", json!("The weather.")),
        ("/tool_choice/function/name", json!("weather")),
        (
            "/messages/0",
            json!({"role": "system", "content": "Be kind."}),
        ),
        ("/messages/1", json!({"role": "user", "content": "Hello?"})),
        ("/messages/2/tool_calls/0/id", json!("call_aaaa")),
        (
            "/messages/2/tool_calls/0/function/arguments",
            json!("{\"city\":\"Oslo\"}"),
        ),
        (
            "/messages/3",
            json!({"role": "tool", "content": "{\"temp\":21}", "tool_call_id": "call_aaaa"}),
        ),
    ] {
        assert_eq!(body.pointer(pointer), Some(&value), "{pointer} in {body}");
    }
    assert_eq!(body.get("thinking"), None);
}

#[tokio::test]
async fn a_refusal_is_of_the_kind_that_the_status_says() {
    let (server, model) = server().await;
    for (status, kind) in [
        (400, ErrorKind::Model),
        (401, ErrorKind::Model),
        (404, ErrorKind::Model),
        (422, ErrorKind::Model),
        (408, ErrorKind::ModelUnavailable),
        (429, ErrorKind::ModelUnavailable),
        (500, ErrorKind::ModelUnavailable),
        (503, ErrorKind::ModelUnavailable),
        (529, ErrorKind::ModelUnavailable),
    ] {
        let body = json!({"error": {"message": format!("no: {KEY}"), "type": "x"}});
        server.answer(OpenAiAnswer::status(status).body(body));
        let (parts, error) = asked(&model).await;
        let error = error.unwrap();
        assert!(parts.is_empty());
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains(&status.to_string()), "{error}");
        assert!(error.message().contains("no: "), "{error}");
        assert_eq!(error.subject(), Some("small-model"));
        for text in [
            format!("{error:?}"),
            format!("{error}"),
            format!("{model:?}"),
        ] {
            assert!(!text.contains(KEY), "{text}");
        }
    }
}

#[tokio::test]
async fn too_many_requests_and_then_success() {
    let (server, model) = server().await;
    server.answer(OpenAiAnswer::status(429).header("retry-after", "7"));
    server.answer(OpenAiAnswer::status(429).header("retry-after-ms", "2500"));
    server.answer(OpenAiAnswer::new().text(["Hello"]));
    let mut attempts = Attempts::new([2]);
    let mut waits = Vec::new();
    let stream = loop {
        match model.stream(question()).await {
            Ok(stream) => break stream,
            Err(error) => match attempts.next(&error, false) {
                NextAttempt::Retry { wait, .. } => waits.push(wait.as_millis()),
                NextAttempt::GiveUp => panic!("{error}"),
            },
        }
    };
    assert_eq!(waits, [7000, 2500]);
    assert_eq!(shown(&drained(stream).await.0)[2], "text-1 Hello");
}

#[tokio::test]
async fn what_breaks_off_is_an_error_that_may_pass() {
    let (server, model) = server().await;
    let begun = || OpenAiAnswer::new().text(["Hel"]);
    let overloaded = json!({"message": "overloaded", "type": "server_error"});
    for (answer, message) in [
        (begun().cut(), "connection failed"),
        (begun().end_early(), "before its end"),
        (begun().raw("data: {\"choices\":[{\"del").end_early(), ""),
        (begun().raw("data: nonsense\n\n"), ""),
        (begun().error(&overloaded), "overloaded"),
        (begun().tool_call("call_aaaa", "f", ["{\"x\":"]).cut(), ""),
    ] {
        server.answer(answer);
        let (parts, error) = asked(&model).await;
        let error = error.unwrap();
        assert_eq!(error.kind(), ErrorKind::ModelUnavailable, "{error}");
        assert!(error.message().contains(message), "{error}");
        assert!(shown(&parts).contains(&"text-1 Hel".to_owned()));
        assert!(
            !parts
                .iter()
                .any(|part| matches!(part, ModelPart::Finish { .. } | ModelPart::ToolCall { .. }))
        );
    }
    let refused = json!({"message": "bad image", "type": "invalid_request_error"});
    server.answer(begun().error(&refused));
    assert_eq!(asked(&model).await.1.unwrap().kind(), ErrorKind::Model);
}

/// Wherever an answer is cut, what came is the beginning of the whole, and an error follows.
#[tokio::test]
async fn no_cut_is_taken_for_an_end() {
    let (server, model) = server().await;
    let message = |delta: Value, finish: Value| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
        format!(
            "data: {}\n\n",
            json!({"id": "c", "model": "m", "choices": [choice]})
        )
    };
    let call = json!({"index": 0, "id": "call_aaaa", "function": {"name": "f", "arguments": "{}"}});
    let stream = [
        message(json!({"content": "wör"}), Value::Null),
        message(json!({"tool_calls": [call]}), Value::Null),
        message(json!({}), json!("tool_calls")),
        "data: [DONE]\n\n".to_owned(),
    ]
    .concat();
    server.answer(OpenAiAnswer::stream(stream.as_str()));
    let whole = shown(&answered(&model).await);
    // The line is complete without what follows it.
    let complete = stream.trim_end().len();
    for end in (0..complete).filter(|end| stream.is_char_boundary(*end)) {
        server.answer(OpenAiAnswer::stream(&stream[..end]));
        let (parts, error) = asked(&model).await;
        let error = error.unwrap();
        assert_eq!(error.kind(), ErrorKind::ModelUnavailable, "{end}: {error}");
        assert_eq!(shown(&parts), whole[..parts.len()], "{end}");
        assert!(parts.len() < whole.len(), "{end}");
    }
}

#[tokio::test]
async fn a_provider_that_says_nothing_is_given_up() {
    let (server, model) = server().await;
    let model = model.idle_timeout(Duration::from_millis(100));
    server.answer(OpenAiAnswer::new().text(["Hel"]).hang());
    let (parts, error) = asked(&model).await;
    assert_eq!(shown(&parts).last().unwrap(), "text-1 Hel");
    assert_eq!(error.unwrap().kind(), ErrorKind::ModelUnavailable);
}

#[tokio::test]
async fn a_slow_answer_is_an_answer() {
    let (server, model) = server().await;
    let pause = Duration::from_millis(20);
    let answer = OpenAiAnswer::new()
        .text(["a"])
        .pause(pause)
        .text(["b"])
        .pause(pause);
    server.answer(answer.tool_call("call_aaaa", "f", ["{", "}"]));
    assert_eq!(
        shown(&answered(&model).await).last().unwrap(),
        "tool-calls 3 5 8"
    );
}

#[tokio::test]
async fn dropping_the_stream_or_the_request_ends_it() {
    let (server, model) = server().await;
    server.answer(OpenAiAnswer::new().text(["Hel"]).hang());
    let mut stream = model.stream(question()).await.unwrap();
    assert!(stream.next().await.is_some());
    drop(stream);
    server.abandoned(1).await.unwrap();
    server.answer(OpenAiAnswer::new().hang());
    let stream = model.stream(question()).await.unwrap();
    drop(stream);
    server.abandoned(2).await.unwrap();
}

#[tokio::test]
async fn nobody_there_is_an_error_that_may_pass() {
    let (server, model) = server().await;
    drop(server);
    // Its port is closed when the task that listens has ended.
    tokio::task::yield_now().await;
    let error = asked(&model).await.1.unwrap();
    assert_eq!(error.kind(), ErrorKind::ModelUnavailable, "{error}");
}

#[tokio::test]
async fn what_the_provider_sends_can_be_had_as_it_is() {
    let (server, model) = server().await;
    server.answer(OpenAiAnswer::new().text(["Hello"]));
    let mut request = question();
    request.include_raw = true;
    let (parts, _) = drained(model.stream(request).await.unwrap()).await;
    let raw: Vec<Value> = parts
        .iter()
        .filter_map(|part| match part {
            ModelPart::Raw(raw) => Some(raw.parse().unwrap()),
            _ => None,
        })
        .collect();
    assert_eq!(raw.len(), 4);
    assert_eq!(raw[1]["choices"][0]["delta"]["content"], "Hello");
}

#[tokio::test]
async fn a_model_that_cannot_be_asked_says_so_and_why() {
    for (model, remedy) in [
        (genai("gpt-4o-mini"), "provider/model"),
        (genai("nobody/x"), "openai_compatible"),
        (genai("openai/x").base_url("localhost:1"), "http://"),
        (genai("ollama/x").idle_timeout(Duration::ZERO), "more time"),
    ] {
        let error = model.check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidDefinition);
        assert!(error.message().contains(remedy), "{error}");
        assert!(model.stream(question()).await.is_err());
    }
    let (_server, model) = server().await;
    let mut request = question();
    request.provider_options = Some(Data::from(json!([1])));
    let error = model.stream(request).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

/// A stream of Anthropic: a thought with its signature, one that is hidden, and a tool call.
fn anthropic_stream() -> String {
    let start = |index, block: Value| json!({"type": "content_block_start", "index": index, "content_block": block});
    let delta = |index, delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
    let stop = |index| json!({"type": "content_block_stop", "index": index});
    let events = [
        json!({"type": "message_start", "message": {
            "id": "msg_1", "model": "claude-x", "usage": {"input_tokens": 9, "output_tokens": 1},
        }}),
        start(
            0,
            json!({"type": "thinking", "thinking": "", "signature": ""}),
        ),
        delta(0, json!({"type": "thinking_delta", "thinking": "Hm."})),
        delta(0, json!({"type": "signature_delta", "signature": "abc="})),
        stop(0),
        start(1, json!({"type": "redacted_thinking", "data": "zzz"})),
        stop(1),
        start(
            2,
            json!({"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}),
        ),
        delta(
            2,
            json!({"type": "input_json_delta", "partial_json": "{\"x\""}),
        ),
        delta(
            2,
            json!({"type": "input_json_delta", "partial_json": ":1}"}),
        ),
        stop(2),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"},
            "usage": {"output_tokens": 20}}),
        json!({"type": "message_stop"}),
    ];
    let frame = |event: &Value| {
        format!(
            "event: {}\ndata: {event}\n\n",
            event["type"].as_str().unwrap()
        )
    };
    events.iter().map(frame).collect()
}

#[tokio::test]
async fn signatures_of_thoughts_survive_the_way_there_and_back() {
    let server = OpenAiServer::start().await.unwrap();
    let model = genai("anthropic/claude-x")
        .api_key(KEY)
        .base_url(server.base_url());
    server.answer(OpenAiAnswer::stream(anthropic_stream()));
    let parts = answered(&model).await;
    assert_eq!(
        shown(&parts),
        [
            "msg_1 claude-x",
            "start reasoning-1",
            "reasoning-1 Hm.",
            "end reasoning-1",
            "input 0 f",
            "0 {\"x\"",
            "0 :1}",
            "input end 0",
            "call 0 f {\"x\":1}",
            "start reasoning-2",
            "end reasoning-2",
            "tool-calls 9 20 29",
        ]
    );
    // What an agent keeps of it.
    let mut said = Vec::new();
    let mut thought = String::new();
    for part in parts {
        match part {
            ModelPart::ReasoningDelta { text, .. } => thought.push_str(&text),
            ModelPart::ReasoningEnd { metadata, .. } => said.push(PromptContent::Reasoning {
                text: std::mem::take(&mut thought),
                metadata,
            }),
            ModelPart::ToolCall { call, args } => said.push(PromptContent::ToolCall {
                id: call.id,
                name: call.name,
                args,
                provider_executed: false,
                metadata: call.metadata,
            }),
            _ => {}
        }
    }
    let mut request = question();
    request.prompt.push(PromptMessage::Assistant(said));
    request.prompt.push(PromptMessage::Tool(vec![ToolOutput {
        id: "toolu_1".into(),
        name: "f".into(),
        result: Data::from(json!("done")),
        is_error: false,
    }]));
    server.answer(OpenAiAnswer::stream(anthropic_stream()));
    server.take_requests();
    drained(model.stream(request).await.unwrap()).await;
    let body = server.take_requests().remove(0).body;
    assert_eq!(
        body["messages"][1]["content"],
        json!([
            {"type": "thinking", "thinking": "Hm.", "signature": "abc="},
            {"type": "redacted_thinking", "data": "zzz"},
            {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"x": 1}},
        ])
    );
    assert_eq!(body["messages"][2]["content"][0]["tool_use_id"], "toolu_1");
}
