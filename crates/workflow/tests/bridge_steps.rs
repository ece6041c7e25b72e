//! Steps that another program asks us to execute, against what the server of the reference answers.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bowline_workflow::bridge::{StepResponse, StepServer};
use bowline_workflow::{StepContext, StepError, Workflow, step};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::Notify;

const RECORDED: &str = include_str!("data/vectors/http-step-results.ndjson");
const REQUESTS: &str = include_str!("data/vectors/http-step-execute.ndjson");

/// What the reference's own server was asked and answered.
#[derive(Deserialize)]
struct Exchange<'a> {
    name: String,
    workflow: String,
    #[serde(borrow)]
    request: Option<&'a RawValue>,
    raw: Option<String>,
    status: u16,
    #[serde(borrow)]
    answer: &'a RawValue,
}

#[derive(Deserialize)]
struct Number {
    n: f64,
}

async fn double(input: Number) -> Result<Value, StepError> {
    // As JavaScript writes it.
    Ok(json!({ "n": (input.n * 2.0) as i64 }))
}

async fn nothing(_: Value) -> Result<(), StepError> {
    Ok(())
}

async fn nul(_: Value) -> Result<(), StepError> {
    Ok(())
}

async fn state(ctx: StepContext, _: Value) -> Result<Box<RawValue>, StepError> {
    ctx.set_state(&RawValue::from_string(r#"{"a":2,"b":{"c":3}}"#.into())?)?;
    Ok(ctx.state()?)
}

async fn ask(ctx: StepContext, _: Value) -> Result<Box<RawValue>, StepError> {
    match ctx.resumed::<Value>()? {
        Some(data) => {
            let with: Option<Value> = ctx.suspended_with()?;
            let text = format!(
                r#"{{"resumeData":{data},"suspendData":{}}}"#,
                with.unwrap_or_default()
            );
            Ok(RawValue::from_string(text)?)
        }
        None => Err(ctx.suspend_with(&json!({ "why": "x" }), ["lab"])),
    }
}

async fn asknone(ctx: StepContext, _: Value) -> Result<(), StepError> {
    Err(ctx.suspend(&()))
}

async fn bail(ctx: StepContext, _: Value) -> Result<(), StepError> {
    Err(ctx.bail(&json!({ "early": true })))
}

async fn fail(_: Value) -> Result<(), StepError> {
    Err(StepError::fail("TypeError", "no").cause(std::io::Error::other("deeper")))
}

async fn nonretry(_: Value) -> Result<(), StepError> {
    Err(StepError::fail("MastraNonRetryableError", "never").no_retry())
}

async fn statefail(ctx: StepContext, _: Value) -> Result<(), StepError> {
    ctx.set_state(&json!({ "x": 1 }))?;
    Err(StepError::fail("Error", "after"))
}

async fn see(ctx: StepContext, _: Value) -> Result<Box<RawValue>, StepError> {
    // A step that the workflow does not have is no mistake there.
    let prev: Value = ctx
        .output_of("double")
        .unwrap_or_default()
        .unwrap_or_default();
    let text = format!(
        r#"{{"run":"{}","wf":"{}","init":{},"prev":{prev},"retry":{},"state":{}}}"#,
        ctx.run_id(),
        ctx.workflow_id(),
        ctx.initial::<Value>()?,
        ctx.attempt(),
        ctx.state::<Value>()?
    );
    Ok(RawValue::from_string(text)?)
}

async fn suspstate(ctx: StepContext, _: Value) -> Result<(), StepError> {
    ctx.set_state(&json!({ "y": 1 }))?;
    Err(ctx.suspend(&json!({ "p": 1 })))
}

/// The workflows of the recording, with steps that do the same.
fn recorded() -> [Workflow; 2] {
    let all = Workflow::builder("all")
        .untyped()
        .step(double)
        .untyped()
        .step(nothing)
        .untyped()
        .step(nul)
        .untyped()
        .step(state)
        .untyped()
        .step(ask)
        .untyped()
        .step(asknone)
        .untyped()
        .step(bail)
        .untyped()
        .step(fail)
        .untyped()
        .step(nonretry)
        .untyped()
        .step(statefail)
        .untyped()
        .step(see)
        .untyped()
        .step(suspstate)
        .untyped();
    let each = Workflow::builder("each")
        .untyped()
        .foreach(ask)
        .untyped()
        .foreach(double)
        .untyped()
        .parallel((see, nul))
        .do_while(
            step("nothing", |_: Value| async {
                Ok::<_, StepError>(Value::Null)
            }),
            |_: Value| async { Ok::<_, StepError>(false) },
        )
        .map(|input: Value| async move { Ok::<_, StepError>(json!({ "m": input })) })
        .sleep(Duration::from_millis(1))
        .named("sleep")
        .untyped();
    [all.build().unwrap(), each.build().unwrap()]
}

fn server(workflows: impl IntoIterator<Item = Workflow>) -> StepServer {
    StepServer::builder().workflows(workflows).build().unwrap()
}

/// The times of a result are not compared.
fn without_times(text: &str) -> String {
    let mut text = text.to_owned();
    for name in ["startedAt", "endedAt", "suspendedAt", "resumedAt"] {
        let key = format!("\"{name}\":");
        let Some(at) = text.find(&key).map(|at| at + key.len()) else {
            continue;
        };
        let digits = text[at..].bytes().take_while(u8::is_ascii_digit).count();
        assert!(digits > 0, "{name} is no number in {text}");
        text.replace_range(at..at + digits, "0");
    }
    text
}

/// Where we differ, what we answer instead (without times), and why.
fn differences(name: &str) -> Option<&'static str> {
    // JavaScript has undefined, which JSON leaves out; we return null.
    const NULL: &str = r#"{"startedAt":0,"payload":PAYLOAD,"status":"success","endedAt":0,"output":null,"__state":{}}"#;
    Some(match name {
        "no-input" | "undefined" | "loop" => NULL,
        // Ours has the name and the code of the reference, the words of our parser, and says that trying again cannot help.
        "misfit" | "unvalidated" => {
            r#"{"startedAt":0,"payload":{"n":"x"},"status":"failed","endedAt":0,"error":{"message":"Step input validation failed: \n- n: invalid type: string \"x\", expected f64","name":"Error","code":"WORKFLOW_STEP_INPUT_VALIDATION_FAILED"},"nonRetryable":true}"#
        }
        "each-oob" => {
            r#"{"startedAt":0,"payload":[{"n":1},{"n":2}],"status":"failed","endedAt":0,"error":{"message":"Step input validation failed: \n- : invalid type: null, expected struct Number","name":"Error","code":"WORKFLOW_STEP_INPUT_VALIDATION_FAILED"},"nonRetryable":true}"#
        }
        // The member isNonRetryable of the error is one of JavaScript's class; the result itself says the same.
        "nonretry" => {
            r#"{"startedAt":0,"payload":{"q":1},"status":"failed","endedAt":0,"error":{"message":"never","name":"MastraNonRetryableError"},"nonRetryable":true}"#
        }
        _ => return None,
    })
}

#[tokio::test]
async fn every_step_result_is_byte_by_byte_that_of_the_reference() {
    let server = server(recorded());
    let mut compared = 0;
    for line in RECORDED.lines() {
        let recorded: Exchange<'_> = serde_json::from_str(line).unwrap();
        let name = recorded.name.as_str();
        let body = match (recorded.request, &recorded.raw) {
            (Some(request), _) => request.get(),
            (None, Some(raw)) => raw,
            _ => panic!("{name} asks for nothing"),
        };
        let run = format!("r-{name}");
        let response = server
            .execute(&recorded.workflow, &run, body.as_bytes())
            .await;
        let ours = without_times(response.body());
        if recorded.status != 200 {
            // Nothing was executed on either side; which error it is, is ours to say.
            assert!((400..500).contains(&response.status()), "{name}: {ours}");
            let error: Value = serde_json::from_str(&ours).unwrap();
            assert!(error["error"].is_string(), "{name}: {ours}");
            continue;
        }
        assert_eq!(response.status(), 200, "{name}: {ours}");
        let theirs = without_times(recorded.answer.get());
        match differences(name) {
            None => assert_eq!(ours, theirs, "{name}"),
            Some(difference) => {
                let payload = if name == "no-input" {
                    "{}"
                } else if name == "loop" {
                    "1"
                } else {
                    "3"
                };
                assert_eq!(ours, difference.replace("PAYLOAD", payload), "{name}");
                assert_ne!(ours, theirs, "{name} is no difference any more");
            }
        }
        compared += 1;
    }
    assert_eq!(compared, 24, "the recording has another number of results");
}

#[tokio::test]
async fn the_requests_of_the_references_workers_are_understood() {
    async fn a(_: Value) -> Result<Value, StepError> {
        Ok(json!([5, 6]))
    }
    async fn f(ctx: StepContext, n: u32) -> Result<Value, StepError> {
        Ok(json!([n, ctx.index(), ctx.output_of::<Value>("a")?]))
    }
    let workflow = Workflow::builder("hr")
        .step(a)
        .untyped()
        .foreach(f)
        .untyped();
    let server = server([workflow.build().unwrap()]);
    let mut outputs = Vec::new();
    for line in REQUESTS.lines() {
        let recorded: Value = serde_json::from_str(line).unwrap();
        let url = recorded["url"].as_str().unwrap();
        assert_eq!(url, "/api/workflows/hr/runs/run-hr/steps/execute");
        let body = recorded["body"].to_string();
        let response = server.execute("hr", "run-hr", body.as_bytes()).await;
        assert_eq!(response.status(), 200, "{}", response.body());
        outputs.push(result(&response)["output"].clone());
    }
    assert_eq!(
        outputs,
        [json!([5, 6]), json!([5, 0, [5, 6]]), json!([6, 1, [5, 6]])]
    );
}

fn result(response: &StepResponse) -> Value {
    serde_json::from_str(response.body()).unwrap()
}

/// A workflow whose step counts its executions and ends when it is let go.
struct Gate {
    executions: Arc<AtomicUsize>,
    open: Arc<Notify>,
}

impl Gate {
    fn new() -> (Self, Workflow) {
        let gate = Self {
            executions: Arc::default(),
            open: Arc::default(),
        };
        let (executions, open) = (Arc::clone(&gate.executions), Arc::clone(&gate.open));
        let wait = step("wait", move |ctx: StepContext, input: Value| {
            let (executions, open) = (Arc::clone(&executions), Arc::clone(&open));
            async move {
                let number = executions.fetch_add(1, Ordering::SeqCst);
                if input == json!("wait") {
                    tokio::select! {
                        () = open.notified() => {}
                        () = ctx.cancelled() => return Err(StepError::cancelled()),
                    }
                }
                Ok::<_, StepError>(number)
            }
        });
        let workflow = Workflow::builder("gate").untyped().step(wait).untyped();
        (gate, workflow.build().unwrap())
    }

    fn count(&self) -> usize {
        self.executions.load(Ordering::SeqCst)
    }
}

fn request(more: &Value) -> String {
    let mut body = json!({
        "stepId": "wait", "executionPath": [0], "stepResults": { "input": 1 }, "state": {}, "requestContext": {}
    });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body.to_string()
}

#[tokio::test]
async fn a_request_that_comes_again_waits_for_the_first_and_then_has_its_result() {
    let (gate, workflow) = Gate::new();
    let server = server([workflow]);
    let body = request(&json!({ "input": "wait" }));
    let ask = || {
        let (server, body) = (server.clone(), body.clone());
        tokio::spawn(async move { server.execute("gate", "r", body.as_bytes()).await })
    };
    // The first caller gives up, as the reference does after 30 s.
    let first = ask();
    while gate.count() == 0 {
        tokio::task::yield_now().await;
    }
    first.abort();
    let (second, third) = (ask(), ask());
    tokio::task::yield_now().await;
    gate.open.notify_one();
    let second = second.await.unwrap();
    assert_eq!(result(&second)["output"], 0);
    assert_eq!(third.await.unwrap(), second);
    assert_eq!(ask().await.unwrap(), second);
    assert_eq!(gate.count(), 1);
    assert_eq!(server.running(), 0);
}

#[tokio::test]
async fn what_is_another_execution_is_executed() {
    let (gate, workflow) = Gate::new();
    let server = server([workflow]);
    let suspended = json!({ "status": "suspended", "suspendPayload": { "a": 1 } });
    let others = [
        ("r", json!({})),
        ("r2", json!({})),
        ("r", json!({ "retryCount": 1 })),
        ("r", json!({ "input": 2 })),
        ("r", json!({ "input": null })),
        ("r", json!({ "resumeData": null })),
        ("r", json!({ "resumeData": true })),
        (
            "r",
            json!({ "stepResults": { "input": 1, "wait": suspended } }),
        ),
        ("r", json!({ "foreachIdx": 0, "input": [1] })),
        ("r", json!({ "foreachIdx": 1, "input": [1] })),
    ];
    for round in 0..2 {
        for (number, (run, more)) in others.iter().enumerate() {
            let response = server.execute("gate", run, request(more).as_bytes()).await;
            assert_eq!(
                result(&response)["output"],
                number,
                "{more} in round {round}"
            );
        }
    }
    // What happened meanwhile to other steps makes no difference.
    let more = json!({ "stepResults": { "input": 1, "b": { "status": "success" } } });
    let response = server.execute("gate", "r", request(&more).as_bytes()).await;
    assert_eq!(result(&response)["output"], 0);
    assert_eq!(gate.count(), others.len());
}

#[tokio::test(start_paused = true)]
async fn results_are_kept_within_their_limits() {
    let (gate, workflow) = Gate::new();
    let server = StepServer::builder()
        .workflow(workflow)
        .max_results(2, 1 << 20)
        .retention(Duration::from_secs(60))
        .build()
        .unwrap();
    let body = request(&json!({}));
    let ask = async |run: &str| {
        let response = server.execute("gate", run, body.as_bytes()).await;
        result(&response)["output"].as_u64().unwrap()
    };
    assert_eq!([ask("a").await, ask("b").await, ask("a").await], [0, 1, 0]);
    assert_eq!(
        [ask("c").await, ask("b").await],
        [2, 1],
        "b and c are the last two"
    );
    assert_eq!(ask("a").await, 3, "a was the oldest");
    tokio::time::advance(Duration::from_secs(59)).await;
    assert_eq!(ask("a").await, 3);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(ask("a").await, 4, "the retention is over");
    assert_eq!(gate.count(), 5);
}

#[tokio::test]
async fn what_is_too_much_is_refused_and_executes_nothing() {
    let (gate, workflow) = Gate::new();
    let builder = StepServer::builder().workflow(workflow);
    let server = builder
        .max_running(1, 1 << 20)
        .body_limit(400)
        .build()
        .unwrap();
    let huge = request(&json!({ "input": "x".repeat(400) }));
    let response = server.execute("gate", "r", huge.as_bytes()).await;
    assert_eq!(response.status(), 413, "{}", response.body());
    let long = "r".repeat(257);
    for run in ["", &long] {
        let response = server
            .execute("gate", run, request(&json!({})).as_bytes())
            .await;
        assert_eq!(response.status(), 400, "{}", response.body());
    }
    let first = {
        let (server, body) = (server.clone(), request(&json!({ "input": "wait" })));
        tokio::spawn(async move { server.execute("gate", "r", body.as_bytes()).await })
    };
    while gate.count() == 0 {
        tokio::task::yield_now().await;
    }
    let response = server
        .execute("gate", "r2", request(&json!({})).as_bytes())
        .await;
    assert_eq!(response.status(), 503, "{}", response.body());
    assert_eq!(gate.count(), 1);
    gate.open.notify_one();
    assert_eq!(first.await.unwrap().status(), 200);
    let response = server
        .execute("gate", "r2", request(&json!({})).as_bytes())
        .await;
    assert_eq!(response.status(), 200, "{}", response.body());
}

#[tokio::test]
async fn a_result_that_is_too_large_is_a_failure_that_is_not_tried_again() {
    async fn large(_: Value) -> Result<String, StepError> {
        Ok("x".repeat(2000))
    }
    let workflow = Workflow::builder("w")
        .untyped()
        .step(large)
        .untyped()
        .build()
        .unwrap();
    let server = StepServer::builder()
        .workflow(workflow)
        .body_limit(1000)
        .build()
        .unwrap();
    let body = request(&json!({ "stepId": "large" }));
    let result = result(&server.execute("w", "r", body.as_bytes()).await);
    assert_eq!(result["status"], "failed");
    assert_eq!(result["error"]["name"], "TooLarge");
    assert_eq!(result["nonRetryable"], true);
}

#[tokio::test]
async fn another_graph_is_noticed_before_anything_is_executed() {
    let (gate, workflow) = Gate::new();
    let inner = Workflow::builder("inner")
        .untyped()
        .step(double)
        .untyped()
        .build()
        .unwrap();
    let outer = Workflow::builder("outer")
        .untyped()
        .step(inner)
        .untyped()
        .build()
        .unwrap();
    let server = server([workflow, outer]);
    for (workflow, more, status, word) in [
        ("gate", json!({ "stepId": "other" }), 409, "\"other\""),
        ("gate", json!({ "executionPath": [1] }), 404, "fewer"),
        ("gate", json!({ "executionPath": [] }), 404, "numbers"),
        (
            "gate",
            json!({ "executionPath": [0, 1, 2] }),
            404,
            "numbers",
        ),
        ("outer", json!({ "stepId": "inner" }), 404, "nested"),
        ("nobody", json!({}), 404, "\"nobody\""),
    ] {
        let response = server
            .execute(workflow, "r", request(&more).as_bytes())
            .await;
        assert_eq!(response.status(), status, "{more}");
        assert!(
            response.body().contains(&word.replace('"', "\\\"")),
            "{}",
            response.body()
        );
    }
    assert_eq!(gate.count(), 0);
}

#[tokio::test]
async fn a_loop_counts_iterations_and_attempts_apart() {
    async fn body(ctx: StepContext, _: Value) -> Result<Value, StepError> {
        Ok(json!([ctx.iteration_count(), ctx.attempt()]))
    }
    let workflow = Workflow::builder("w")
        .untyped()
        .step(body)
        .untyped()
        .build()
        .unwrap();
    let server = server([workflow]);
    for (retries, iterations, output) in [
        (0, 0, [0, 0]),
        (3, 3, [3, 0]),
        (4, 3, [3, 1]),
        (1, 3, [3, 0]),
    ] {
        let before =
            json!({ "input": 1, "body": { "metadata": { "iterationCount": iterations } } });
        let more = json!({ "stepId": "body", "retryCount": retries, "stepResults": before });
        let response = server.execute("w", "r", request(&more).as_bytes()).await;
        assert_eq!(result(&response)["output"], json!(output), "{more}");
    }
}

#[tokio::test(start_paused = true)]
async fn closing_lets_steps_end_and_then_cancels_them() {
    let (gate, workflow) = Gate::new();
    let server = server([workflow]);
    let ask = |input: &str, run: &'static str| {
        let (server, body) = (server.clone(), request(&json!({ "input": input })));
        tokio::spawn(async move { server.execute("gate", run, body.as_bytes()).await })
    };
    let (ends, never) = (ask("wait", "ends"), ask("wait", "never"));
    while gate.count() < 2 {
        tokio::task::yield_now().await;
    }
    gate.open.notify_one();
    server.close().await;
    let ends = ends.await.unwrap();
    assert_eq!(
        (ends.status(), &result(&ends)["status"]),
        (200, &json!("success"))
    );
    assert_eq!(
        never.await.unwrap().status(),
        503,
        "it was not executed to its end"
    );
    assert_eq!(ask("x", "later").await.unwrap().status(), 503);
    assert_eq!(server.running(), 0);
    server.close().await;
}

#[tokio::test]
async fn what_a_step_writes_is_seen_on_the_bus() {
    use bowline_events::{InProcessPubSub, PubSub, PubSubExt, SubscribeOptions, Topic};
    async fn writes(ctx: StepContext, _: Value) -> Result<(), StepError> {
        ctx.write(&json!({ "k": 1 })).await?;
        Ok(())
    }
    let bus: Arc<dyn PubSub> = Arc::new(InProcessPubSub::new());
    let topic = Topic::workflow_events("r");
    let mut events = bus.subscribe(topic, SubscribeOptions::new()).await.unwrap();
    let workflow = Workflow::builder("w")
        .untyped()
        .step(writes)
        .untyped()
        .build()
        .unwrap();
    let server = StepServer::builder()
        .workflow(workflow)
        .bus(Arc::clone(&bus))
        .build()
        .unwrap();
    let body = request(&json!({ "stepId": "writes" }));
    assert_eq!(
        server.execute("w", "r", body.as_bytes()).await.status(),
        200
    );
    let delivery = events.next().await.unwrap().unwrap();
    let data: Value = delivery.data.parse().unwrap();
    assert_eq!(delivery.event_type, "watch");
    assert_eq!(
        data["payload"],
        json!({ "output": { "k": 1 }, "runId": "r", "stepName": "writes" })
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z_]{0,8}".prop_map(Value::from),
        Just(json!("suspended")),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let names = prop_oneof![
            Just("wait".to_owned()),
            Just("status".to_owned()),
            Just("suspendPayload".to_owned()),
            Just("__workflow_meta".to_owned()),
            Just("foreachOutput".to_owned()),
            Just("metadata".to_owned()),
            Just("iterationCount".to_owned()),
            "[a-z]{0,4}",
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(names, inner, 0..5)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn hostile_requests_are_answered(
        member in prop::sample::select(vec![
            "stepId", "executionPath", "stepResults", "state", "requestContext", "input", "resumeData", "retryCount",
            "foreachIdx",
        ]),
        value in any_json(),
        cut in any::<prop::sample::Index>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (_, workflow) = Gate::new();
            let server = server([workflow]);
            let body = request(&json!({ member: value }));
            let cut = cut.index(body.len());
            for body in [body.as_bytes(), &body.as_bytes()[..cut]] {
                let response = server.execute("gate", "r", body).await;
                prop_assert!([200, 400, 404, 409].contains(&response.status()), "{:?}", response);
                prop_assert!(serde_json::from_str::<Value>(response.body()).is_ok(), "{:?}", response);
            }
            prop_assert_eq!(server.running(), 0);
            Ok(())
        })?;
    }
}
