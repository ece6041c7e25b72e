//! Reading runs: from anywhere, whenever, and never without an end.

use std::sync::Arc;
use std::time::Duration;

use bowline_agent::agent::RunOptions;
use bowline_agent::scripted::{Answer, ScriptedModel};
use bowline_agent::tool::{ToolError, tool};
use bowline_agent::{Agent, AgentHandle, ErrorKind};
use bowline_events::{Event, InProcessPubSub, PubSub};
use bowline_workflow::RunStatus;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::house::House;

/// Nothing here takes this long; asking whether a silent run still lives takes longer.
const SOON: Duration = Duration::from_secs(15);

fn agent() -> Agent {
    let model = ScriptedModel::says("One two three.");
    Agent::builder("talker").model(model).build().unwrap()
}

/// The offsets of what a reader sees from `offset` on, to the end.
async fn offsets(agent: &AgentHandle, offset: u64) -> Vec<u64> {
    let mut run = agent.observe("r").from(offset).await.unwrap();
    let mut offsets = Vec::new();
    while let Some(item) = run.next().await {
        offsets.push(item.unwrap().offset);
    }
    offsets
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(SOON, what).await;
    done.expect("it takes too long")
}

#[tokio::test]
async fn a_run_that_has_ended_can_be_read_from_any_position() {
    let house = House::new();
    let agent = house.with(&agent()).await;
    agent
        .generate_with("Hi", RunOptions::new().run_id("r"))
        .await
        .unwrap();
    let all = soon(offsets(&agent, 0)).await;
    let end = all.last().unwrap() + 1;
    assert_eq!(end, house.told("r").await.len() as u64);
    for offset in 0..=end {
        let seen = soon(offsets(&agent, offset)).await;
        let wanted: Vec<u64> = all.iter().copied().filter(|at| *at >= offset).collect();
        assert_eq!(seen, wanted, "from {offset} of {end}");
    }
    let mut beyond = agent.observe("r").from(end + 1).await.unwrap();
    let refused = soon(beyond.next()).await.unwrap();
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(soon(beyond.next()).await.is_none());
    let everything = agent.observe("r").await.unwrap().collect().await.unwrap();
    assert_eq!(everything.text, "One two three.");
    agent.engine().close().await;
}

#[tokio::test]
async fn what_happens_next_is_waited_for() {
    let house = House::new();
    let gate = Arc::new(Notify::new());
    let opens = Arc::clone(&gate);
    let wait = tool("wait", move || {
        let gate = Arc::clone(&opens);
        async move {
            gate.notified().await;
            Ok::<_, ToolError>(())
        }
    });
    let model = ScriptedModel::listed([Answer::calls("wait", &json!({})), Answer::says("Done.")]);
    let agent = Agent::builder("talker").model(model);
    let agent = agent.tool(wait.build().unwrap()).build().unwrap();
    let agent = house.with(&agent).await;
    agent
        .start("Hi", RunOptions::new().run_id("r"))
        .await
        .unwrap();
    let called = |event: &Event| event.data.parse::<Value>().unwrap()["type"] == "tool-call";
    let next = house.told_until("r", called).await.len() as u64;
    let behind = agent.observe("r").from(next).await.unwrap();
    let live = agent.observe("r").live().await.unwrap();
    gate.notify_one();
    for mut run in [behind, live] {
        let first = soon(run.next()).await.unwrap().unwrap();
        assert_eq!(first.offset, next);
        assert_eq!(soon(run.collect()).await.unwrap().text, "Done.");
    }
    let mut over = agent.observe("r").live().await.unwrap();
    assert!(
        soon(over.next()).await.is_none(),
        "nothing happens any more"
    );
    agent.engine().close().await;
}

#[tokio::test]
async fn a_run_that_is_unknown_or_of_another_agent_or_over_is_not_found() {
    let house = House::new();
    let brief = house.engine().watch_retention(Duration::from_millis(1));
    let agent = house.on_engine(&agent(), brief).await;
    let unknown = soon(async { agent.observe("r").await }).await;
    assert_eq!(unknown.unwrap_err().kind(), ErrorKind::NotFound);
    agent
        .generate_with("Hi", RunOptions::new().run_id("r"))
        .await
        .unwrap();
    while !house.told("r").await.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(
        agent.status("r").await.unwrap(),
        RunStatus::Success,
        "it is known"
    );
    for offset in [0, 3, 100] {
        let over = soon(async { agent.observe("r").from(offset).await }).await;
        assert_eq!(over.unwrap_err().kind(), ErrorKind::NotFound, "{offset}");
    }
    let other = Agent::builder("other")
        .model(ScriptedModel::says("x"))
        .build();
    let other = house.with(&other.unwrap()).await;
    for refused in [
        other.status("r").await.map(drop),
        other.abort("r").await,
        other.approve("r", "c").await,
        other.suspended("r").await.map(drop),
        other.observe("r").await.map(drop),
    ] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::NotFound);
    }
    agent.engine().close().await;
    other.engine().close().await;
}

#[tokio::test]
async fn two_processes_do_not_work_on_one_run() {
    let house = House::new();
    let model = ScriptedModel::new(|_| {
        Answer::new()
            .repeated_delta("word ", 50)
            .pace(Duration::from_millis(2))
    });
    let agent = Agent::builder("talker")
        .model(model.clone())
        .build()
        .unwrap();
    let processes = [house.with(&agent).await, house.with(&agent).await];
    for n in 0..10 {
        let options = || RunOptions::new().run_id(format!("r{n}"));
        let starts = processes
            .iter()
            .map(|process| process.stream_with("Hi", options()));
        let started = futures_util::future::join_all(starts).await;
        let (runs, refused): (Vec<_>, Vec<_>) = started.into_iter().partition(Result::is_ok);
        assert_eq!((runs.len(), refused.len()), (1, 1));
        let refused = refused.into_iter().find_map(Result::err).unwrap();
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
        for run in runs {
            let output = run.unwrap().collect().await.unwrap();
            assert_eq!(output.text, "word ".repeat(50));
        }
        assert_eq!(model.calls(), n + 1);
    }
    for process in processes {
        process.engine().close().await;
    }
}

#[tokio::test]
async fn a_run_on_a_bus_that_keeps_nothing_can_be_read_while_it_lasts() {
    let bus: Arc<dyn PubSub> = Arc::new(InProcessPubSub::builder().no_replay().build());
    let house = House {
        bus,
        ..House::new()
    };
    let agent = house.with(&agent()).await;
    let output = agent
        .generate_with("Hi", RunOptions::new().run_id("r"))
        .await
        .unwrap();
    assert_eq!(output.text, "One two three.");
    let over = soon(async { agent.observe("r").await }).await;
    assert_eq!(
        over.unwrap_err().kind(),
        ErrorKind::NotFound,
        "nobody has kept it"
    );
    agent.engine().close().await;
}
