//! Stopping runs: wherever they are, for certain, and as often as somebody likes.

use std::sync::Arc;
use std::time::Duration;

use bowline_agent::agent::RunOptions;
use bowline_agent::model::FinishReason;
use bowline_agent::scripted::{Answer, ScriptedModel};
use bowline_agent::tool::{ToolContext, ToolError, tool};
use bowline_agent::{Agent, AgentHandle, ErrorKind, RunOutput, Strategy};
use bowline_events::{Event, NewEvent, PubSubExt, SubscribeOptions, Topic};
use bowline_store::Table;
use bowline_workflow::RunStatus;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::house::{House, STRATEGIES};

/// An agent whose model speaks, calls a tool, or asks for approval, as it is told.
fn agent(begun: &Arc<Notify>) -> Agent {
    let (waits, suspends) = (Arc::clone(begun), Arc::clone(begun));
    let wait = tool("wait", move |ctx: ToolContext| {
        let begun = Arc::clone(&waits);
        async move {
            begun.notify_one();
            ctx.aborted().await;
            Err::<(), _>(ToolError::Aborted)
        }
    });
    // It hears that it is to stop, and waits for somebody all the same.
    let stubborn = tool("stubborn", move |ctx: ToolContext| {
        let begun = Arc::clone(&suspends);
        async move {
            begun.notify_one();
            ctx.aborted().await;
            Err::<(), _>(ctx.suspend(&json!({})))
        }
    });
    let pay = tool("pay", || async { Ok::<_, ToolError>("paid") });
    let model = ScriptedModel::new(|request| {
        let asked = format!("{:?}", request.prompt);
        let tools = ["wait", "stubborn", "pay"];
        match tools.into_iter().find(|tool| asked.contains(tool)) {
            Some(tool) => Answer::says("I do.").tool_call_as("c", tool, &json!({})),
            None if asked.contains("speak") => Answer::says("Once upon").hang(),
            None => Answer::says("Done."),
        }
    });
    Agent::builder("worker")
        .model(model)
        .tool(wait.build().unwrap())
        .tool(stubborn.build().unwrap())
        .tool(pay.requires_approval().build().unwrap())
        .build()
        .unwrap()
}

fn says(event: &Event) -> bool {
    let data: Value = event.data.parse().unwrap();
    data["type"] == "text-delta"
}

/// Waits until the run does `what`.
async fn reach(agent: &AgentHandle, house: &House, what: &str, begun: &Notify) {
    match what {
        "speak" => drop(house.told_until("r", says).await),
        "wait" | "stubborn" => begun.notified().await,
        "pay" => until(agent, RunStatus::Suspended).await,
        _ => until(agent, RunStatus::Success).await,
    }
}

async fn until(agent: &AgentHandle, status: RunStatus) {
    while agent.status("r").await.unwrap() != status {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn ends(agent: &AgentHandle) -> RunOutput {
    let run = agent.observe("r").await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(20), run.collect()).await;
    ended.expect("it does not end").unwrap()
}

#[tokio::test]
async fn a_run_that_is_stopped_ends_with_what_was_said_so_far() {
    for strategy in STRATEGIES {
        stopped_at_any_stage(strategy).await;
    }
}

async fn stopped_at_any_stage(strategy: Strategy) {
    use FinishReason::{Abort, Stop};
    for (what, reason, text) in [
        ("speak", Abort, "Once upon"),
        ("wait", Abort, "I do."),
        ("stubborn", Abort, "I do."),
        ("pay", Abort, "I do."),
        ("end", Stop, "Done."),
    ] {
        let house = House::with_strategy(strategy);
        let begun = Arc::new(Notify::new());
        let definition = agent(&begun);
        let (one, two) = (house.with(&definition).await, house.with(&definition).await);
        // The one that stops it is another process.
        let other = house.engine().workers(false);
        let other = house.on_engine(&definition, other).await;
        one.start(what, RunOptions::new().run_id("r"))
            .await
            .unwrap();
        reach(&one, &house, what, &begun).await;
        other.abort("r").await.unwrap();
        other.abort("r").await.unwrap();
        one.abort("r").await.unwrap();
        let output = ends(&one).await;
        assert_eq!(output.finish_reason, Some(reason), "{what}");
        assert_eq!(output.text, text, "{what}");
        one.abort("r").await.unwrap();
        let refused = one.approve("r", "c").await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::WrongState, "{what}");
        let ends = house.told("r").await;
        let ends = ends.iter().filter(|event| event.event_type == "finish");
        assert_eq!(ends.count(), 1, "{what}");
        one.engine().close().await;
        two.engine().close().await;
        other.engine().close().await;
    }
}

#[tokio::test]
async fn nobody_can_stop_what_is_not_there() {
    let house = House::new();
    let agent = house.with(&agent(&Arc::default())).await;
    let refused = agent.abort("x").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound);
    agent.engine().close().await;
}

#[tokio::test]
async fn that_a_run_was_to_stop_is_forgotten_when_it_has_ended() {
    let house = House::new();
    let records = |name: &'static str| {
        let store = Arc::clone(&house.store);
        async move {
            let stats = store.stats().await.unwrap();
            let of = stats.tables.iter().filter(|table| table.table == name);
            of.map(|table| table.records).sum::<u64>()
        }
    };
    let begun = Arc::new(Notify::new());
    let agent = house.with(&agent(&begun)).await;
    for (what, reason) in [
        ("speak", FinishReason::Abort),
        ("wait", FinishReason::Abort),
        ("pay", FinishReason::Abort),
        ("end", FinishReason::Stop),
    ] {
        let options = RunOptions::new().run_id("r");
        agent.start(what, options).await.unwrap();
        reach(&agent, &house, what, &begun).await;
        agent.abort("r").await.unwrap();
        assert_eq!(ends(&agent).await.finish_reason, Some(reason), "{what}");
        assert_eq!(records("agent_stops").await, 0, "{what}");
        // The next one has the same id; nothing is left to be told of this one.
        while records("outbox").await > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let gone = bowline_store::Commit::new();
        let record = house
            .store
            .get(Table::new("runs"), "r")
            .await
            .unwrap()
            .unwrap();
        let gone = gone.delete(Table::new("runs"), "r", record.version);
        let gone = gone.drop_log(Table::new("journal").log("r"));
        house.store.commit(gone).await.unwrap();
        let topic = bowline_events::Topic::agent_stream("r");
        house.bus.clear_topic(&topic).await.unwrap();
    }
    agent.engine().close().await;
}

#[tokio::test]
async fn a_run_whose_process_is_closed_while_the_model_speaks_goes_on_elsewhere() {
    let house = House::new();
    let slow = ScriptedModel::new(|_| Answer::says("Once upon").hang());
    let good = ScriptedModel::says("A whole story.");
    let with = |model: ScriptedModel| Agent::builder("teller").model(model).build().unwrap();
    let engine = house.engine().drain(Duration::from_millis(100));
    let one = house.on_engine(&with(slow), engine).await;
    one.start("Tell.", RunOptions::new().run_id("r"))
        .await
        .unwrap();
    house.told_until("r", says).await;
    let observer = one.observe("r").await.unwrap();
    let observer = tokio::spawn(observer.collect());
    one.engine().close().await;
    let other = house.with(&with(good)).await;
    let output = ends(&other).await;
    assert_eq!(output.finish_reason, Some(FinishReason::Stop));
    assert_eq!(output.text, "A whole story.");
    assert_eq!(observer.await.unwrap().unwrap(), output);
    let events = house.told("r").await;
    let ids: Vec<Value> = events
        .iter()
        .filter(|event| event.event_type == "step-start")
        .map(|event| event.data.parse::<Value>().unwrap()["payload"]["messageId"].clone())
        .collect();
    assert_eq!(ids.len(), 2);
    assert_ne!(
        ids[0], ids[1],
        "the step that is void has the id of another message"
    );
    other.engine().close().await;
}

/// A run that only the bus knows is one of a Node process, which listens on its control topic.
#[tokio::test]
async fn a_run_of_another_language_is_told_to_stop() {
    let house = House::new();
    let model = ScriptedModel::says("all is well");
    let agent = Agent::builder("analyst").model(model).build().unwrap();
    let agent = house.with(&agent).await;
    let refused = agent.abort("node-run").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound);
    let chunk = NewEvent::new("chunk", "node-run").with_json("{}").unwrap();
    let stream = Topic::agent_stream("node-run");
    house.bus.publish(&stream, chunk).await.unwrap();
    let mut words = house
        .bus
        .subscribe(Topic::agent_control("node-run"), SubscribeOptions::new())
        .await
        .unwrap();
    agent.abort("node-run").await.unwrap();
    let word = words.next().await.unwrap().unwrap();
    assert_eq!(word.event_type, "abort-request");
    agent.engine().close().await;
}
