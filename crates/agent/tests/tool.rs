//! What a tool is made of, and what comes of calling it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::convert::Infallible;
use std::time::Duration;

use bowline_agent::schemars::JsonSchema;
use bowline_agent::tool::{
    IntoTool, MAX_TOOL_BYTES, MAX_TOOL_ERROR_BYTES, TestTool, Tool, ToolBuilder, ToolContext,
    ToolError, tool,
};
use bowline_agent::{Data, ErrorKind};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

fn large() -> String {
    "x".repeat(MAX_TOOL_BYTES)
}

/// Says how the weather is.
#[derive(Deserialize, JsonSchema)]
struct Weather {
    city: String,
    #[serde(default)]
    days: Vec<u8>,
}

#[derive(Serialize)]
struct Report {
    temp: i32,
    city: String,
}

async fn weather(args: Weather) -> Result<Report, Infallible> {
    let temp = 21 + i32::try_from(args.days.len()).unwrap();
    Ok(Report {
        temp,
        city: args.city,
    })
}

async fn forecast(ctx: ToolContext, args: Weather) -> Result<String, ToolError> {
    Ok(format!("{} {}", ctx.call_id(), args.city))
}

async fn clock(ctx: ToolContext) -> Result<String, ToolError> {
    Ok(ctx.tool().to_string())
}

async fn nothing() -> Result<(), ToolError> {
    Ok(())
}

fn built<A>(builder: ToolBuilder<A>) -> TestTool {
    TestTool::new(builder.build().unwrap())
}

fn failure(error: ToolError) -> (String, String) {
    match error {
        ToolError::Failed { name, message, .. } => (name.to_string(), message),
        other => panic!("no failure: {other:?}"),
    }
}

#[tokio::test]
async fn every_kind_of_function_is_a_tool_with_its_own_name() {
    let report = r#"{"temp":21,"city":"Oslo"}"#;
    let closure = async |args: Weather| Ok::<_, ToolError>(args.city);
    for (tool, name, result) in [
        (weather.into_tool().build(), "weather", report),
        (
            forecast.into_tool().build(),
            "forecast",
            r#""test-call Oslo""#,
        ),
        (clock.into_tool().build(), "clock", r#""clock""#),
        (nothing.into_tool().build(), "nothing", "null"),
        (tool("again", weather).build(), "again", report),
        (tool("closure", closure).build(), "closure", r#""Oslo""#),
        (
            weather.into_tool().build().unwrap().into_tool().build(),
            "weather",
            report,
        ),
    ] {
        let tool = tool.unwrap();
        assert_eq!(tool.name(), &name);
        let output = TestTool::new(tool).call(&json!({"city": "Oslo"})).await;
        assert_eq!(output.unwrap().as_str(), result, "{name}");
    }
}

#[test]
fn a_tool_describes_itself_to_the_model() {
    let tool = weather.into_tool().build().unwrap();
    let definition = tool.definition();
    assert_eq!(&*definition.description, "Says how the weather is.");
    let schema: Value = definition.input_schema.parse().unwrap();
    assert_eq!(schema["required"], json!(["city"]));
    let own = weather
        .into_tool()
        .description("Weather.")
        .input_schema(Data::object())
        .build()
        .unwrap();
    assert_eq!(&*own.definition().description, "Weather.");
    assert_eq!(own.definition().input_schema, Data::object());
    let empty = clock.into_tool().build().unwrap();
    let empty: Value = empty.definition().input_schema.parse().unwrap();
    assert_eq!(empty, json!({"type": "object", "properties": {}}));
}

#[test]
fn what_contradicts_itself_is_refused_with_the_remedy() {
    let closure = async |args: Weather| Ok::<_, ToolError>(args.city);
    let list = Data::from_json("[]").unwrap();
    for (result, remedy) in [
        (closure.into_tool().build(), "tool(\"a_name\", closure)"),
        (tool("not a name", weather).build(), "ASCII letters"),
        (Tool::builder("idle").build(), ".client_side()"),
        (
            tool("text", async |text: String| Ok::<_, ToolError>(text)).build(),
            "take a struct",
        ),
        (
            weather.into_tool().input_schema(list).build(),
            "no JSON object",
        ),
        (
            weather.into_tool().timeout(Duration::ZERO).build(),
            "more time",
        ),
    ] {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidDefinition, "{error}");
        assert!(error.to_string().contains(remedy), "{error}");
    }
}

#[tokio::test]
async fn arguments_that_do_not_fit_are_told_with_path_and_expectation() {
    let test = built(weather.into_tool());
    for (args, path, expectation) in [
        (json!({}), "", "missing field `city`"),
        (json!({"city": 1}), "city: ", "expected a string"),
        (json!({"city": "a", "days": [1, 300]}), "days[1]: ", "u8"),
        (json!("not JSON {"), "", "expected struct Weather"),
        (json!([]), "", "invalid length 0"),
        (Value::Null, "", "missing field `city`"),
        (json!(""), "", "missing field `city`"),
    ] {
        let (name, message) = failure(test.call(&args).await.unwrap_err());
        assert_eq!(name, "ToolInputError");
        let start = format!("The arguments of the tool \"weather\" do not fit: {path}");
        assert!(message.starts_with(&start), "{args}: {message}");
        assert!(message.contains(expectation), "{args}: {message}");
        assert!(!message.contains(" at line "), "{message}");
    }
}

#[tokio::test]
async fn no_arguments_are_empty_arguments() {
    let echo = Tool::builder("echo").run(async |_, args| Ok::<_, ToolError>(args));
    let echo = built(echo);
    for args in [Value::Null, json!(""), json!({})] {
        assert_eq!(echo.call(&args).await.unwrap(), Data::object());
    }
    let empty = tool("empty", async |args: serde_json::Map<String, Value>| {
        Ok::<_, ToolError>(args.len())
    });
    assert_eq!(built(empty).call(&()).await.unwrap().as_str(), "0");
}

#[tokio::test]
async fn what_is_too_large_is_named_with_its_limit() {
    let limit = MAX_TOOL_BYTES.to_string();
    let fail = async |tool: TestTool, args: Value| failure(tool.call(&args).await.unwrap_err());

    let (name, message) = fail(built(weather.into_tool()), json!({"city": large()})).await;
    assert_eq!(name, "ToolInputError");
    assert!(message.contains(&limit), "{message}");

    let flood = tool("flood", async || Ok::<_, ToolError>(large()));
    let (name, message) = fail(built(flood), json!({})).await;
    assert_eq!(name, "ToolOutputError");
    assert!(message.contains(&limit), "{message}");

    let heavy = tool("heavy", async |ctx: ToolContext| {
        Err::<(), _>(ctx.suspend(&large()))
    });
    assert_eq!(fail(built(heavy), json!({})).await.0, "ToolOutputError");

    let wordy = tool("wordy", async || {
        Err::<(), _>(ToolError::fail("Error", "x".repeat(1 << 20)))
    });
    let (_, message) = fail(built(wordy), json!({})).await;
    assert!(message.len() <= MAX_TOOL_ERROR_BYTES);
    assert!(message.contains("1048576"));
}

#[tokio::test]
async fn a_chunk_that_is_too_large_is_not_written() {
    let writer = tool("writer", async |ctx: ToolContext| {
        ctx.write(&large()).await?;
        Ok::<_, ToolError>(())
    });
    let test = built(writer);
    let (_, message) = failure(test.call(&()).await.unwrap_err());
    assert!(message.contains(&MAX_TOOL_BYTES.to_string()), "{message}");
    assert!(test.written().is_empty());
}

#[tokio::test]
async fn panics_errors_and_time_outs_are_failures_with_a_name() {
    async fn breaks() -> Result<(), ToolError> {
        panic!("it broke");
    }
    // The panic comes before there is a future.
    let early = tool("early", || {
        assert!(std::hint::black_box(false), "it broke");
        async { Ok::<_, ToolError>(()) }
    });
    let reads = tool("reads", async || {
        let missing = std::fs::read("no-such-file")?;
        Ok::<_, ToolError>(missing)
    });
    let slow = tool("slow", async || {
        std::future::pending::<()>().await;
        Ok::<_, ToolError>(())
    });
    let soon = Duration::from_millis(1);
    for (tool, name, message) in [
        (breaks.into_tool(), "Panic", "it broke"),
        (early, "Panic", "it broke"),
        (reads, "Error", "No such file"),
        (slow.timeout(soon), "TimeoutError", "1ms"),
    ] {
        let found = failure(built(tool).call(&()).await.unwrap_err());
        assert_eq!(found.0, name);
        assert!(found.1.contains(message), "{found:?}");
    }
}

#[tokio::test]
async fn a_tool_writes_into_the_stream_of_its_run() {
    let talker = tool("talker", async |ctx: ToolContext| {
        ctx.write(&json!({"done": 1})).await?;
        ctx.custom(&json!({"data": 50, "type": "data-progress"}))
            .await?;
        for refused in [
            json!({"type": "text-delta", "data": 1}),
            json!({"type": "data-x"}),
            json!(1),
        ] {
            let error = ctx.custom(&refused).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
        Ok::<_, ToolError>(())
    });
    let test = built(talker);
    test.call(&()).await.unwrap();
    let written = test.written();
    assert_eq!(
        written.iter().map(Data::as_str).collect::<Vec<_>>(),
        [
            r#"{"type":"tool-output","runId":"test-run","from":"USER","payload":{"output":{"done":1},"toolCallId":"test-call","toolName":"talker"}}"#,
            r#"{"data":50,"type":"data-progress"}"#,
        ]
    );
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Question {
    question: String,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Answer {
    answer: String,
}

#[tokio::test]
async fn a_tool_suspends_and_goes_on_with_the_answer() {
    let ask = tool("ask", async |ctx: ToolContext| {
        let Some(answer) = ctx.resumed::<Answer>()? else {
            return Err(ctx.suspend(&json!({"question": "name?"})));
        };
        let asked = ctx.suspended_with::<Question>()?.map(|q| q.question);
        Ok(format!("{} {}", asked.unwrap_or_default(), answer.answer))
    })
    .suspends::<Question, Answer>()
    .build()
    .unwrap();
    let schema: Value = ask.resume_schema().unwrap().parse().unwrap();
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    assert_eq!(schema["additionalProperties"], false);
    assert!(ask.suspend_schema().is_some());

    let test = TestTool::new(ask);
    let Err(ToolError::Suspended(payload)) = test.call(&()).await else {
        panic!("it does not suspend");
    };
    assert_eq!(payload.as_str(), r#"{"question":"name?"}"#);
    let test = test.resumed(&json!({"question": "name?"}), &json!({"answer": "Bob"}));
    assert_eq!(test.call(&()).await.unwrap().as_str(), r#""name? Bob""#);
}

#[tokio::test]
async fn a_tool_learns_that_its_run_is_aborted() {
    let patient = tool("patient", async |ctx: ToolContext| {
        ctx.aborted().await;
        assert!(ctx.is_aborted());
        Err::<(), _>(ToolError::Aborted)
    });
    let test = built(patient);
    let (result, ()) = tokio::join!(test.call(&()), async { test.abort() });
    assert!(matches!(result, Err(ToolError::Aborted)));
}

#[test]
fn the_function_of_a_tool_has_the_last_word_on_approval() {
    let args = |days: &[u8]| Data::of(&json!({"city": "Oslo", "days": days})).unwrap();
    let plain = weather.into_tool().build().unwrap();
    let always = weather.into_tool().requires_approval().build().unwrap();
    let long = weather
        .into_tool()
        .requires_approval_when(|args| {
            assert!(args.city != "Paris");
            args.days.len() > 1
        })
        .build()
        .unwrap();
    let paris = Data::of(&json!({"city": "Paris"})).unwrap();
    for (tool, args, asked, needed) in [
        (&plain, args(&[]), false, false),
        (&plain, args(&[]), true, true),
        (&always, args(&[]), false, true),
        (&long, args(&[1]), false, false),
        (&long, args(&[1]), true, false),
        (&long, args(&[1, 2]), false, true),
        (&long, Data::object(), false, true),
        (&long, paris, false, true),
    ] {
        assert_eq!(tool.needs_approval(&args, asked), needed, "{args} {asked}");
    }
}

proptest! {
    /// Whatever a model sends, a tool answers or says what does not fit.
    #[test]
    fn nothing_that_a_model_sends_makes_a_tool_panic(text in "\\PC{0,40}", object in any::<bool>()) {
        let args = if object {
            format!("{{\"city\":{},\"days\":[{text}]}}", json!(text))
        } else {
            text
        };
        let args = Data::from_json(args.clone()).unwrap_or_else(|_| Data::of(&args).unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let result = runtime.block_on(built(weather.into_tool()).call(&args));
        if let Err(error) = result {
            prop_assert_eq!(failure(error).0, "ToolInputError");
        }
    }
}
