//! What the reference streams, and what we do when the model and the tools do the same.

use bowline_agent::agent::RunOptions;
use bowline_agent::model::{ModelPart, ResponseMetadata, ToolInput, Usage};
use bowline_agent::scripted::{Answer, ScriptedModel};
use bowline_agent::tool::{ToolContext, ToolError, tool};
use bowline_agent::{Agent, AgentHandle, Data, ErrorKind, Strategy};
use bowline_events::{Event, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::house::{House, STRATEGIES};

/// An event that the reference published: its type and its data.
type Told = (String, Value);

/// What the reference published on the stream of a run.
fn recorded(name: &str) -> Vec<Told> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/vectors");
    let text = std::fs::read_to_string(format!("{folder}/{name}.ndjson")).unwrap();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let on_stream = lines.filter(|line| {
        let topic = line["topic"].as_str().unwrap_or_default();
        topic.starts_with("agent.stream.")
    });
    let told = on_stream.map(|line| {
        let event = &line["event"];
        (
            event["type"].as_str().unwrap().to_owned(),
            event["data"].clone(),
        )
    });
    told.collect()
}

/// The answers of the model in a recording, one for each time that it was asked.
fn answers(told: &[Told]) -> Vec<Answer> {
    let mut answers: Vec<Vec<&Value>> = Vec::new();
    for (kind, data) in told {
        match kind.as_str() {
            "step-start" => answers.push(Vec::new()),
            "chunk" if data["type"] != "start" => answers.last_mut().unwrap().push(data),
            _ => {}
        }
    }
    let headers = told
        .last()
        .map(|(_, data)| &data["stepResult"]["headers"])
        .filter(|it| it.is_object());
    answers
        .iter()
        .map(|chunks| answer(chunks, headers))
        .collect()
}

fn answer(chunks: &[&Value], headers: Option<&Value>) -> Answer {
    let mut answer = Answer::new();
    for chunk in chunks {
        let payload = &chunk["payload"];
        if chunk["type"] == "error" {
            let message = payload["error"]["message"].as_str().unwrap().to_owned();
            return answer.error(ErrorKind::Model, message);
        }
        if let Some(part) = part(chunk["type"].as_str().unwrap(), payload, headers) {
            let ends = matches!(part, ModelPart::Finish { .. });
            answer = answer.parts([part]);
            if ends {
                return answer;
            }
        }
    }
    answer.hang()
}

fn part(kind: &str, payload: &Value, headers: Option<&Value>) -> Option<ModelPart> {
    let text = |name: &str| payload[name].as_str().unwrap_or_default().to_owned();
    let call = || ToolInput {
        id: text("toolCallId").into(),
        name: text("toolName").into(),
        ..ToolInput::default()
    };
    let (id, metadata) = (text("id").into(), None);
    Some(match kind {
        "response-metadata" => ModelPart::ResponseMetadata(ResponseMetadata {
            id: Some(id),
            model_id: Some(text("modelId").into()),
            timestamp: Some(Timestamp::from_millis(0)),
            headers: headers.map(|headers| headers.clone().into()),
        }),
        "text-start" => ModelPart::TextStart { id, metadata },
        "text-delta" => ModelPart::TextDelta {
            id,
            text: text("text"),
            metadata,
        },
        "text-end" => ModelPart::TextEnd { id, metadata },
        "tool-call-input-streaming-start" => ModelPart::ToolInputStart(call()),
        "tool-call-delta" => ModelPart::ToolInputDelta {
            id: call().id,
            delta: text("argsTextDelta"),
        },
        "tool-call-input-streaming-end" => ModelPart::ToolInputEnd { id: call().id },
        "tool-call" => ModelPart::ToolCall {
            call: call(),
            args: payload["args"].clone().into(),
        },
        "step-finish" => {
            let usage = payload["output"]["usage"].clone();
            ModelPart::Finish {
                reason: serde_json::from_value(payload["stepResult"]["reason"].clone()).unwrap(),
                usage: Data::from(usage).parse::<Usage>().unwrap(),
                metadata: None,
            }
        }
        _ => return None,
    })
}

#[derive(Deserialize, JsonSchema)]
struct City {
    city: String,
}
#[derive(Deserialize, JsonSchema)]
struct Number {
    x: i64,
}
#[derive(Deserialize, JsonSchema)]
struct Question {
    q: String,
}
#[derive(Deserialize, JsonSchema)]
struct Reply {
    answer: String,
}
#[derive(Deserialize, JsonSchema)]
struct Nothing {}

fn agent(name: &str, told: &[Told]) -> Agent {
    let weather = tool("weather", |args: City| async move {
        Ok::<_, ToolError>(Data::from_json(format!(
            r#"{{"temp":21,"city":{:?}}}"#,
            args.city
        ))?)
    });
    let danger = tool("danger", |args: Number| async move {
        Ok::<_, ToolError>(json!({ "done": args.x }))
    });
    let boom = tool("boom", |_: Nothing| async move {
        Err::<(), _>(ToolError::fail("Error", "tool exploded"))
    });
    let ask = tool("ask", |ctx: ToolContext, args: Question| async move {
        match ctx.resumed::<Reply>()? {
            Some(reply) => Ok(json!({ "answer": reply.answer })),
            None => Err(ctx.suspend(&json!({ "question": args.q }))),
        }
    });
    let tools = match name {
        "durable-tool-error" => vec![boom.build()],
        "durable-tool-suspend" => vec![ask.suspends::<Question, Reply>().build()],
        _ if name.contains("approval") => vec![danger.requires_approval().build()],
        _ => vec![weather.build()],
    };
    Agent::builder("probe-agent")
        .name("Probe Agent")
        .model(ScriptedModel::listed(answers(told)))
        .tools(tools.into_iter().map(Result::unwrap))
        .build()
        .unwrap()
}

/// What is another time another thing, and what differs on purpose.
fn masked(kind: &str, mut data: Value) -> (String, Value) {
    fn mask(value: &mut Value) {
        match value {
            Value::Object(members) => {
                members.retain(|key, _| key != "stack");
                for (key, value) in members {
                    match key.as_str() {
                        "runId" | "messageId" => *value = json!("<id>"),
                        "startedAt" => *value = json!("<instant>"),
                        // Each makes the schema in its own way.
                        "resumeSchema" => *value = json!("<schema>"),
                        _ => mask(value),
                    }
                }
            }
            Value::Array(values) => values.iter_mut().for_each(mask),
            _ => {}
        }
    }
    mask(&mut data);
    if kind == "step-start" {
        // Ours says which round it is.
        data["payload"].as_object_mut().unwrap().remove("iteration");
    }
    (kind.to_owned(), data)
}

fn read(event: &Event) -> Told {
    masked(&event.event_type, event.data.parse().unwrap())
}

async fn intervene(agent: &AgentHandle, house: &House, name: &str) {
    let run = "r";
    let waits = |event: &Event| event.event_type == "suspended";
    match name {
        "durable-approval-approve" => {
            house.told_until(run, waits).await;
            agent.approve(run, "call-9").await.unwrap();
        }
        "durable-approval-decline" => {
            house.told_until(run, waits).await;
            let reason = Some("too risky");
            agent.decline(run, "call-9", reason).await.unwrap();
        }
        "durable-tool-suspend" => {
            house.told_until(run, waits).await;
            let answer = json!({ "answer": "Bob" });
            agent.resume(run, None, &answer).await.unwrap();
        }
        "durable-abort" | "durable-abort-remote" => {
            let says = |event: &Event| {
                let data: Value = event.data.parse().unwrap();
                data["type"] == "text-delta"
            };
            house.told_until(run, says).await;
            agent.abort(run).await.unwrap();
        }
        _ => {}
    }
}

#[tokio::test]
async fn a_run_streams_what_the_reference_streams() {
    for name in [
        "durable-text",
        "durable-structured",
        "durable-tool",
        "durable-tool-parallel",
        "durable-tool-error",
        "durable-tool-missing",
        "durable-tool-suspend",
        "durable-maxsteps",
        "durable-model-error",
        "durable-model-error-midstream",
        "durable-approval-approve",
        "durable-approval-decline",
        "durable-abort",
        "durable-abort-remote",
        "evented-tool",
    ] {
        for strategy in STRATEGIES {
            streams(name, strategy).await;
        }
    }
}

/// Two processes stream what was recorded.
async fn streams(name: &str, strategy: Strategy) {
    let what = format!("{name}, {strategy:?}");
    let told = recorded(name);
    let house = House::with_strategy(strategy);
    let definition = agent(name, &told);
    let (agent, other) = (house.with(&definition).await, house.with(&definition).await);
    let mut options = RunOptions::new().run_id("r");
    if name == "durable-maxsteps" {
        options = options.max_steps(2);
    }
    agent.start("hi", options).await.unwrap();
    intervene(&agent, &house, name).await;
    let ended = |event: &Event| event.event_type == "finish" || event.event_type == "error";
    let events = house.told_until("r", ended).await;
    let ours: Vec<Told> = events.iter().map(|event| read(event)).collect();
    let theirs = told.into_iter().map(|(kind, data)| masked(&kind, data));
    let theirs: Vec<Told> = theirs.collect();
    for (k, (our, their)) in ours.iter().zip(&theirs).enumerate() {
        assert_eq!(our, their, "{what}, event {k}");
    }
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (k, event) in events.iter().enumerate() {
        assert_eq!(event.index, Some(k as u64), "{what}");
    }
    agent.engine().close().await;
    other.engine().close().await;
}
