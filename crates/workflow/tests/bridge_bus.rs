//! Runs that one side starts and the other one executes, over a bus that both share.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use bowline_events::{
    Delivery, InProcessPubSub, NewEvent, PubSub, PubSubExt, StartFrom, SubscribeOptions,
    Subscription, Topic,
};
use bowline_store::MemoryStore;
use bowline_workflow::bridge::{ExposedWorkflows, NodeResult, NodeWorkflows};
use bowline_workflow::{
    Data, Engine, ErrorKind, RunStatus, Start, StepContext, StepError, Workflow,
};
use serde_json::{Value, json};

fn bus() -> Arc<dyn PubSub> {
    Arc::new(InProcessPubSub::new())
}

async fn publish(bus: &Arc<dyn PubSub>, topic: Topic, kind: &str, run: &str, data: &Value) {
    let event = NewEvent::new(kind.to_owned(), run.to_owned());
    let event = event.with_json(data.to_string()).unwrap();
    bus.publish(topic, event).await.unwrap();
}

async fn listen(bus: &Arc<dyn PubSub>, topic: Topic) -> Subscription {
    let options = SubscribeOptions::new().start(StartFrom::Latest);
    bus.subscribe(topic, options).await.unwrap()
}

async fn next(events: &mut Subscription) -> Delivery {
    let next = tokio::time::timeout(Duration::from_secs(20), events.next());
    next.await.unwrap().unwrap().unwrap()
}

fn data(delivery: &Delivery) -> Value {
    delivery.data.parse().unwrap()
}

async fn act(ctx: StepContext, input: Value) -> Result<Value, StepError> {
    ctx.set_state(&json!({ "done": true }))?;
    match (input["mode"].as_str(), ctx.resumed::<Value>()?) {
        (Some("fail"), _) => Err(StepError::fail("Odd", "nope")),
        (Some("trip"), _) => Err(StepError::tripwire("stop")),
        (Some("ask"), None) => Err(ctx.suspend(&json!({ "why": 1 }))),
        (Some("ask"), Some(answer)) => Ok(answer),
        (Some("wait"), _) => {
            ctx.cancelled().await;
            Err(StepError::cancelled())
        }
        _ => Ok(
            json!({ "input": input, "context": ctx.request_context::<Value>()?, "state": ctx.state::<Value>()? }),
        ),
    }
}

#[derive(serde::Deserialize)]
struct Order {
    #[serde(rename = "mode")]
    _mode: String,
}

async fn engine() -> Engine {
    let open = Workflow::builder("open")
        .untyped()
        .step(act)
        .untyped()
        .build()
        .unwrap();
    let strict = Workflow::builder("strict")
        .input::<Order>()
        .untyped()
        .step(act)
        .untyped();
    let hidden = Workflow::builder("hidden")
        .untyped()
        .step(act)
        .untyped()
        .build()
        .unwrap();
    Engine::builder(Arc::new(MemoryStore::new()), bus())
        .poll(Duration::from_millis(20))
        .workflow(open)
        .workflow(strict.build().unwrap())
        .workflow(hidden)
        .start()
        .await
        .unwrap()
}

async fn expose(engine: &Engine, bus: &Arc<dyn PubSub>) -> ExposedWorkflows {
    let exposed = ExposedWorkflows::builder(engine, Arc::clone(bus));
    exposed.allow("open").allow("strict").start().await.unwrap()
}

/// The run of a workflow, as a Node caller sees it.
async fn call(nodes: &NodeWorkflows, workflow: &'static str, input: &Value) -> NodeResult {
    let start = Start::with(input).unwrap();
    let run = nodes.start(workflow, start).await.unwrap();
    run.result_within(Duration::from_secs(20)).await.unwrap()
}

#[tokio::test]
async fn a_run_that_was_started_on_the_bus_tells_how_it_ended() {
    let (bus, engine) = (bus(), engine().await);
    let _exposed = expose(&engine, &bus).await;
    let nodes = NodeWorkflows::connect(Arc::clone(&bus)).await.unwrap();

    let start = Start::with(&json!({ "n": 1 }))
        .unwrap()
        .run_id("r-1")
        .resource("me");
    let start = start.state(Data::of(&json!({ "s": 1 })).unwrap());
    let start = start.context(Data::of(&json!({ "tenant": "t" })).unwrap());
    let run = nodes.start("open", start).await.unwrap();
    let result = run.result_within(Duration::from_secs(20)).await.unwrap();
    assert_eq!(
        (result.run_id().as_str(), result.status()),
        ("r-1", RunStatus::Success)
    );
    let output = json!({ "input": { "n": 1 }, "context": { "tenant": "t" }, "state": { "s": 1 } });
    assert_eq!(result.output::<Value>().unwrap(), output);
    assert_eq!(
        result.state().parse::<Value>().unwrap(),
        json!({ "s": 1, "done": true })
    );
    let step: Value = result.step("act").unwrap().parse().unwrap();
    assert_eq!(
        (&step["status"], &step["output"]),
        (&json!("success"), &output)
    );
    assert_eq!(result.step("input").unwrap().as_str(), r#"{"n":1}"#);
    // It is a run of the engine like any other.
    let run = engine.run("r-1").await.unwrap();
    assert_eq!(run.status().await.unwrap(), RunStatus::Success);

    let failed = call(&nodes, "open", &json!({ "mode": "fail" })).await;
    assert_eq!(failed.status(), RunStatus::Failed);
    let error: Value = failed.error().unwrap().parse().unwrap();
    assert_eq!(
        (&error["name"], &error["message"]),
        (&json!("Odd"), &json!("nope"))
    );
    assert_eq!(
        failed.output::<Value>().unwrap_err().kind(),
        ErrorKind::WrongState
    );

    let stopped = call(&nodes, "open", &json!({ "mode": "trip" })).await;
    assert_eq!(stopped.status(), RunStatus::Tripwire);
    assert_eq!(stopped.tripwire().unwrap().as_str(), r#"{"reason":"stop"}"#);

    let refused = call(&nodes, "strict", &json!(7)).await;
    assert_eq!(refused.status(), RunStatus::Failed);
    assert!(
        refused
            .error()
            .unwrap()
            .as_str()
            .contains("no input of the workflow"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_run_is_resumed_and_cancelled_on_the_bus() {
    let (bus, engine) = (bus(), engine().await);
    let _exposed = expose(&engine, &bus).await;
    let nodes = NodeWorkflows::connect(Arc::clone(&bus)).await.unwrap();
    let mut ends = listen(&bus, Topic::workflows_finish()).await;

    let start = Start::with(&json!({ "mode": "ask" }))
        .unwrap()
        .run_id("asks");
    let run = nodes.start("open", start).await.unwrap();
    let result = run.result_within(Duration::from_secs(20)).await.unwrap();
    assert_eq!(result.status(), RunStatus::Suspended);
    let step: Value = result.step("act").unwrap().parse().unwrap();
    assert_eq!(step["suspendPayload"]["why"], 1);
    assert_eq!(
        step["suspendPayload"]["__workflow_meta"]["path"],
        json!(["act"])
    );
    assert_eq!(next(&mut ends).await.event_type, "workflow.suspend");

    let resume = json!({ "workflowId": "open", "runId": "asks", "resumeSteps": ["act"], "resumeData": "yes" });
    publish(&bus, Topic::workflows(), "workflow.resume", "asks", &resume).await;
    let end = next(&mut ends).await;
    assert_eq!(end.event_type, "workflow.end");
    assert_eq!(
        data(&end)["prevResult"],
        json!({ "status": "success", "output": "yes" })
    );

    let start = Start::with(&json!({ "mode": "wait" }))
        .unwrap()
        .run_id("waits");
    let run = nodes.start("open", start).await.unwrap();
    // At once: it does not overtake the start.
    run.cancel().await.unwrap();
    let result = run.result_within(Duration::from_secs(20)).await.unwrap();
    assert_eq!(result.status(), RunStatus::Canceled);
    assert_eq!(result.result(), None);
}

#[tokio::test]
async fn a_start_that_comes_again_begins_nothing() {
    let (bus, engine) = (bus(), engine().await);
    // Two processes that both see every event.
    let _exposed = [expose(&engine, &bus).await, expose(&engine, &bus).await];
    let mut ends = listen(&bus, Topic::workflows_finish()).await;
    let start = json!({ "workflowId": "open", "runId": "once", "prevResult": { "status": "success", "output": 1 } });
    for _ in 0..3 {
        publish(&bus, Topic::workflows(), "workflow.start", "once", &start).await;
    }
    let end = next(&mut ends).await;
    assert_eq!(
        (end.event_type.as_str(), end.run_id.as_str()),
        ("workflow.end", "once")
    );
    publish(&bus, Topic::workflows(), "workflow.start", "once", &start).await;
    let mark = json!({ "workflowId": "open", "runId": "mark" });
    publish(&bus, Topic::workflows(), "workflow.start", "mark", &mark).await;
    assert_eq!(next(&mut ends).await.run_id, "mark", "the run ended once");
}

#[tokio::test]
async fn the_end_is_told_when_the_process_that_took_the_start_is_gone() {
    let (bus, engine) = (bus(), engine().await);
    let expose = async || {
        let exposed = ExposedWorkflows::builder(&engine, Arc::clone(&bus)).allow("open");
        let exposed = exposed.takeover(Duration::from_millis(100));
        exposed.start().await.unwrap()
    };
    let mut ends = listen(&bus, Topic::workflows_finish()).await;
    let first = expose().await;
    for run in ["ends", "goes-on"] {
        let start = json!({ "workflowId": "open", "runId": run, "prevResult": { "output": { "mode": "wait" } } });
        publish(&bus, Topic::workflows(), "workflow.start", run, &start).await;
        while engine.run(run).await.is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    drop(first);
    engine.cancel("ends").await.unwrap();
    engine.run("ends").await.unwrap().result().await.unwrap();
    let _second = expose().await;
    let end = next(&mut ends).await;
    assert_eq!(
        (end.event_type.as_str(), end.run_id.as_str()),
        ("workflow.end", "ends")
    );
    assert_eq!(data(&end)["prevResult"]["status"], "canceled");
    // And of a run that it has to wait for.
    engine.cancel("goes-on").await.unwrap();
    assert_eq!(next(&mut ends).await.run_id, "goes-on");
}

#[tokio::test]
async fn what_is_not_allowed_is_never_answered() {
    let (bus, engine) = (bus(), engine().await);
    let _exposed = expose(&engine, &bus).await;
    let mut ends = listen(&bus, Topic::workflows_finish()).await;
    let mut work = listen(&bus, Topic::workflows()).await;
    let events = [
        (
            "workflow.start",
            json!({ "workflowId": "hidden", "runId": "r" }),
        ),
        (
            "workflow.start",
            json!({ "workflowId": "nobody", "runId": "r" }),
        ),
        (
            "workflow.start",
            json!({ "workflowId": "open", "runId": "r", "parentWorkflow": { "workflowId": "p" } }),
        ),
        ("workflow.start", json!({ "workflowId": "open" })),
        ("workflow.start", json!([1])),
        ("workflow.start", Value::Null),
        (
            "workflow.step.run",
            json!({ "workflowId": "open", "runId": "r" }),
        ),
        (
            "workflow.cancel",
            json!({ "workflowId": "open", "runId": "r" }),
        ),
        (
            "workflow.resume",
            json!({ "workflowId": "open", "runId": "r", "resumeSteps": 7 }),
        ),
    ];
    for (kind, data) in &events {
        publish(&bus, Topic::workflows(), kind, "r", data).await;
    }
    let mark = json!({ "workflowId": "open", "runId": "mark" });
    publish(&bus, Topic::workflows(), "workflow.start", "mark", &mark).await;
    assert_eq!(next(&mut ends).await.run_id, "mark");
    assert!(engine.run("r").await.is_err(), "nothing was begun");
    for (kind, _) in &events {
        assert_eq!(
            next(&mut work).await.event_type,
            *kind,
            "nothing was published there"
        );
    }
    let exposed = ExposedWorkflows::builder(&engine, bus).allow("nobody");
    assert_eq!(
        exposed.start().await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

#[tokio::test]
async fn what_cannot_be_begun_here_is_told_to_who_waits() {
    let (bus, engine) = (bus(), engine().await);
    let _exposed = expose(&engine, &bus).await;
    let mut ends = listen(&bus, Topic::workflows_finish()).await;
    for what in ["timeTravel", "restart"] {
        let start = json!({ "workflowId": "open", "runId": what, what: {} });
        publish(&bus, Topic::workflows(), "workflow.start", what, &start).await;
        let end = next(&mut ends).await;
        assert_eq!(
            (end.event_type.as_str(), end.run_id.as_str()),
            ("workflow.fail", what)
        );
        let error = data(&end)["prevResult"]["error"]["message"].to_string();
        assert!(error.contains(what), "{error}");
    }
}

#[tokio::test]
async fn in_a_group_events_of_others_are_given_back() {
    let (bus, engine) = (bus(), engine().await);
    let exposed = ExposedWorkflows::builder(&engine, Arc::clone(&bus)).allow("open");
    let exposed = exposed.every_workflow_is_known().start().await.unwrap();
    let group = SubscribeOptions::new().group("mastra-orchestration");
    let mut other = bus.subscribe(Topic::workflows(), group).await.unwrap();
    for number in 0..4 {
        let start = json!({ "workflowId": "theirs", "runId": format!("{number}") });
        publish(&bus, Topic::workflows(), "workflow.start", "x", &start).await;
    }
    let mut seen = Vec::new();
    while seen.len() < 4 {
        let delivery = next(&mut other).await;
        seen.push(data(&delivery)["runId"].as_str().unwrap().to_owned());
        delivery.ack().await.unwrap();
    }
    seen.sort();
    assert_eq!(
        seen,
        ["0", "1", "2", "3"],
        "the other member gets all of them"
    );
    exposed.close().await;
    exposed.close().await;
}

#[tokio::test]
async fn nobody_answers_after_the_end() {
    let (bus, engine) = (bus(), engine().await);
    let exposed = expose(&engine, &bus).await;
    let nodes = NodeWorkflows::connect(Arc::clone(&bus)).await.unwrap();
    exposed.close().await;
    let run = nodes
        .start("open", Start::default().run_id("r"))
        .await
        .unwrap();
    let again = nodes.start("open", Start::default().run_id("r")).await;
    assert_eq!(again.unwrap_err().kind(), ErrorKind::AlreadyExists);
    let late = run
        .result_within(Duration::from_millis(50))
        .await
        .unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Timeout);
    assert!(late.message().contains("orchestration worker"), "{late}");
    bus.close().await.unwrap();
    assert_eq!(run.result().await.unwrap_err().kind(), ErrorKind::Closed);
    drop(run);
    let error = nodes
        .start("open", Start::default().run_id("r"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Bus);
    let array = Data::of(&[1]).unwrap();
    let error = nodes
        .start("open", Start::default().state(array))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

/// The recorded events of the reference.
fn recorded(name: &str) -> Vec<Value> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/vectors");
    let text = std::fs::read_to_string(format!("{folder}/{name}.ndjson")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn on<'a>(events: &'a [Value], topic: &'a str) -> impl Iterator<Item = &'a Value> {
    events.iter().filter(move |event| event["topic"] == topic)
}

/// The members of an object, sorted, without those that may be absent.
fn names(value: &Value) -> Vec<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

#[tokio::test]
async fn the_ends_that_the_reference_tells_are_understood() {
    for (name, status, check) in [
        ("linear", RunStatus::Success, r#""result":{"n":20}"#),
        ("nested", RunStatus::Success, r#""result":{"n":20}"#),
        ("bail", RunStatus::Success, "\"result\":"),
        (
            "fail",
            RunStatus::Failed,
            r#""error":{"message":"nope","name":"Error"}"#,
        ),
        ("tripwire", RunStatus::Tripwire, r#""reason":"blocked!""#),
        ("suspend-resume", RunStatus::Suspended, r#""state":{}"#),
        ("cancel", RunStatus::Canceled, r#""state":{}"#),
        ("per-step", RunStatus::Paused, r#""state":{}"#),
    ] {
        let events = recorded(name);
        let start = on(&events, "workflows").next().unwrap();
        let (run, workflow) = (
            start["runId"].as_str().unwrap(),
            &start["data"]["workflowId"],
        );
        let bus = bus();
        let mut work = listen(&bus, Topic::workflows()).await;
        let nodes = NodeWorkflows::connect(Arc::clone(&bus)).await.unwrap();
        let input = &start["data"]["prevResult"]["output"];
        let begin = Start::with(input).unwrap().run_id(run.to_owned());
        let begin = begin.per_step(start["data"]["perStep"] == true);
        let workflow = workflow.as_str().unwrap().to_owned();
        let waits = nodes.start(workflow, begin).await.unwrap();

        // We start it as the reference does, but ask for the state always.
        let mut ours = data(&next(&mut work).await);
        let mut theirs = start["data"].clone();
        for start in [&mut ours, &mut theirs] {
            start.as_object_mut().unwrap().remove("outputOptions");
        }
        assert_eq!(ours, theirs, "{name}");

        for event in on(&events, "workflows-finish") {
            let kind = event["type"].as_str().unwrap();
            let (run, data) = (event["runId"].as_str().unwrap(), &event["data"]);
            publish(&bus, Topic::workflows_finish(), kind, run, data).await;
        }
        let result = waits.result_within(Duration::from_secs(20)).await.unwrap();
        assert_eq!(
            (result.status(), result.run_id().as_str()),
            (status, run),
            "{name}"
        );
        let told = format!(
            r#""result":{:?},"error":{:?},"tripwire":{:?},"state":{}"#,
            result.result(),
            result.error(),
            result.tripwire(),
            result.state()
        )
        .replace("Some(", "")
        .replace(')', "");
        assert!(told.contains(check), "{name}: {told}");
        assert!(result.step("__state").is_none(), "{name}");
    }
}

/// Captured from a Unix socket, whose codec drops the second of two references to one value.
#[tokio::test]
async fn what_the_codec_of_the_reference_drops_is_found_again() {
    let bus = bus();
    let nodes = NodeWorkflows::connect(Arc::clone(&bus)).await.unwrap();
    for (event, (status, value, state)) in recorded("socket-finish").iter().zip([
        (
            RunStatus::Success,
            r#"{"n":2,"state":{"s":1},"initial":{"n":1}}"#,
            r#"{"s":1,"set":true}"#,
        ),
        (
            RunStatus::Failed,
            r#"{"message":"nope","name":"TypeError"}"#,
            "{}",
        ),
        (RunStatus::Suspended, "", "{}"),
        (RunStatus::Success, r#"{"early":true}"#, "{}"),
        (RunStatus::Success, r#"{"one":{"side":1},"two":[2]}"#, "{}"),
    ]) {
        let (kind, run) = (
            event["type"].as_str().unwrap(),
            event["runId"].as_str().unwrap(),
        );
        let start = Start::default().run_id(run.to_owned());
        let waits = nodes.start("here", start).await.unwrap();
        publish(&bus, Topic::workflows_finish(), kind, run, &event["data"]).await;
        let result = waits.result_within(Duration::from_secs(20)).await.unwrap();
        let told = result.result().or_else(|| result.error());
        let told = told.map_or("", Data::as_str);
        let parsed = |text: &str| serde_json::from_str::<Value>(text).ok();
        assert_eq!(
            (result.status(), parsed(told)),
            (status, parsed(value)),
            "{run}"
        );
        assert_eq!(result.state().as_str(), state, "{run}");
    }
}

#[tokio::test]
async fn our_ends_have_the_members_of_the_references() {
    let (bus, engine) = (bus(), engine().await);
    let _exposed = expose(&engine, &bus).await;
    let mut ends = listen(&bus, Topic::workflows_finish()).await;
    for (mode, name) in [
        ("none", "linear"),
        ("fail", "fail"),
        ("trip", "tripwire"),
        ("ask", "suspend-resume"),
    ] {
        let recorded = recorded(name);
        let theirs = on(&recorded, "workflows-finish").next().unwrap();
        let start = json!({ "workflowId": "open", "runId": name, "prevResult": { "output": { "mode": mode } } });
        publish(&bus, Topic::workflows(), "workflow.start", name, &start).await;
        let end = next(&mut ends).await;
        assert_eq!(end.event_type, theirs["type"].as_str().unwrap(), "{name}");
        let ours = data(&end);
        let mut expected = names(&theirs["data"]);
        expected.retain(|member| *member != "outputOptions");
        assert_eq!(names(&ours), expected, "{name}");
        let (last, steps) = (&ours["prevResult"], &ours["stepResults"]);
        assert_eq!(
            last["status"], theirs["data"]["prevResult"]["status"],
            "{name}"
        );
        assert_eq!(steps["input"], json!({ "mode": mode }), "{name}");
        let status = if mode == "none" {
            "success"
        } else {
            last["status"].as_str().unwrap()
        };
        assert_eq!(steps["act"]["status"], status, "{name}");
    }
}
