//! Runs as streams of chunks, beside what the reference streams.

use bowline_workflow::{Start, StepContext, StepError, Workflow, step};
use serde_json::{Value, json};

use crate::house::House;

/// What the reference streamed.
fn recorded(name: &str) -> Vec<Value> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/vectors");
    let text = std::fs::read_to_string(format!("{folder}/{name}.chunks.ndjson")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Instants and run ids aside.
fn masked(mut chunk: Value) -> Value {
    fn mask(value: &mut Value) {
        match value {
            Value::Object(members) => {
                for (key, value) in members {
                    let is_instant = key.ends_with("At") && value.is_number();
                    match key.as_str() {
                        "runId" => *value = json!("<run>"),
                        _ if is_instant => *value = json!("<instant>"),
                        _ => mask(value),
                    }
                }
            }
            Value::Array(values) => values.iter_mut().for_each(mask),
            _ => {}
        }
    }
    mask(&mut chunk);
    chunk
}

async fn streamed(workflow: Workflow) -> Vec<Value> {
    let house = House::new();
    let engine = house.with(&workflow).await;
    let run = engine
        .start("s", Start::with(&json!({ "n": 1 })).unwrap())
        .await
        .unwrap();
    let mut stream = run.stream().await.unwrap();
    let mut chunks = Vec::new();
    while let Some(chunk) = stream.next().await {
        chunks.push(masked(chunk.unwrap().parse().unwrap()));
    }
    engine.close().await;
    chunks
}

fn masked_all(chunks: Vec<Value>) -> Vec<Value> {
    chunks.into_iter().map(masked).collect()
}

#[tokio::test]
async fn a_run_that_succeeds_streams_what_the_reference_streams() {
    let a = |ctx: StepContext, v: Value| async move {
        ctx.write(&json!({ "p": 1 })).await?;
        Ok::<_, StepError>(v)
    };
    let b = |v: Value| async move { Ok::<_, StepError>(v) };
    let workflow = Workflow::builder("s").step(step("a", a)).step(step("b", b));
    let chunks = streamed(workflow.build().unwrap()).await;
    assert_eq!(chunks, masked_all(recorded("stream-ok")));
}

#[tokio::test]
async fn a_run_that_is_suspended_streams_what_the_reference_streams() {
    let a = |ctx: StepContext, _: Value| async move { Err::<Value, _>(ctx.suspend(&json!({ "q": 1 }))) };
    let workflow = Workflow::builder("s").step(step("a", a));
    let chunks = streamed(workflow.build().unwrap()).await;
    assert_eq!(chunks, masked_all(recorded("stream-suspend")));
}

/// The reference says nothing of the failure, and `success` at the end.
#[tokio::test]
async fn a_run_that_fails_says_so() {
    let a = |_: Value| async move { Err::<Value, _>(StepError::fail("Error", "broken")) };
    let workflow = Workflow::builder("s").step(step("a", a));
    let chunks = streamed(workflow.build().unwrap()).await;
    let theirs = masked_all(recorded("stream-fail"));
    assert_eq!(chunks[..3], theirs[..3]);
    let kinds: Vec<&str> = chunks
        .iter()
        .map(|chunk| chunk["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds[3..],
        ["workflow-step-result", "workflow-finish", "workflow-finish"]
    );
    assert_eq!(chunks[3]["payload"]["status"], "failed");
    let last = &chunks[5]["payload"];
    assert_eq!(last["workflowStatus"], "failed");
    assert_eq!(last["metadata"]["errorMessage"], "broken");
}

#[tokio::test]
async fn the_tokens_of_models_are_summed() {
    let talk = |ctx: StepContext, v: Value| async move {
        let usage = json!({ "inputTokens": 3, "outputTokens": 4, "totalTokens": 7 });
        ctx.write(&json!({ "type": "finish", "payload": { "output": { "usage": usage } } }))
            .await?;
        ctx.write(&json!({ "type": "text", "usage": usage }))
            .await?;
        Ok::<_, StepError>(v)
    };
    let workflow = Workflow::builder("s")
        .step(step("a", talk))
        .step(step("b", talk));
    let chunks = streamed(workflow.build().unwrap()).await;
    let usage = &chunks.last().unwrap()["payload"]["output"]["usage"];
    assert_eq!(
        (&usage["inputTokens"], &usage["totalTokens"]),
        (&json!(6), &json!(14))
    );
}
