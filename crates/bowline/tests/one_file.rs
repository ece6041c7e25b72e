//! Processes that share nothing but a SQLite file.
#![allow(clippy::unwrap_used, reason = "tests, with functions of their own")]
#![cfg(all(feature = "agent", feature = "sqlite"))]

use bowline::agent::scripted::Answer;
use bowline::agent::stream::Observe;
use bowline::agent::tool::ToolError;
use bowline::agent::{Agent, RunOptions, ScriptedModel, StreamEvent, tool};
use bowline::{Bowline, NewEvent, PubSubExt, StartFrom, SubscribeOptions, Topic};
use serde_json::json;

fn pilot() -> Agent {
    let open = async |_: serde_json::Value| Ok::<_, ToolError>("open");
    let answers = [
        Answer::calls("look_up", &json!({})),
        Answer::says("The port is open."),
    ];
    Agent::builder("pilot")
        .model(ScriptedModel::listed(answers))
        .tool(tool("look_up", open).requires_approval().build().unwrap())
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_run_at_work_in_one_is_read_to_its_end_in_another() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}", folder.path().join("app.db").display());
    let here = Bowline::builder().store(&store).agent(pilot());
    let here = here.start().await.unwrap();
    let elsewhere = Bowline::builder().store(&store).workers(false);
    let elsewhere = elsewhere.start().await.unwrap();
    let agent = here.agent("pilot").unwrap();
    let options = RunOptions::new().run_id("run-1");
    agent.start("Is the port open?", options).await.unwrap();

    let runs = elsewhere.agent_runs();
    let mut reader = runs.observe("run-1", Observe::new()).await.unwrap();
    let call = loop {
        let item = reader.next().await.unwrap().unwrap();
        if let StreamEvent::Suspended(suspended) = item.event {
            break suspended.tool_call_id.unwrap();
        }
    };
    runs.approve("run-1", &call).await.unwrap();
    assert_eq!(reader.collect().await.unwrap().text, "The port is open.");
    here.close().await.unwrap();
    elsewhere.close().await.unwrap();
}

#[tokio::test]
async fn events_of_one_are_read_in_another_from_any_offset() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}", folder.path().join("app.db").display());
    let here = Bowline::builder().store(&store).start().await.unwrap();
    let elsewhere = Bowline::builder().store(&store).start().await.unwrap();
    let topic = Topic::from("orders");
    let publish = async |app: &Bowline| {
        let published = app.bus().publish(&topic, NewEvent::new("order", "r")).await;
        published.unwrap();
    };
    publish(&here).await;
    let options = SubscribeOptions::new().start(StartFrom::Offset(0));
    let mut reader = elsewhere.bus().subscribe(&topic, options).await.unwrap();
    for index in 0..4 {
        assert_eq!(reader.next().await.unwrap().unwrap().index, Some(index));
        publish(if index % 2 == 0 { &here } else { &elsewhere }).await;
    }
    here.close().await.unwrap();
    elsewhere.close().await.unwrap();
}
