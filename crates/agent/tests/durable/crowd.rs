//! Many readers of one run, some of them slow; and what is left of runs afterwards.

use std::sync::Arc;
use std::time::Duration;

use bowline_agent::agent::RunOptions;
use bowline_agent::scripted::{Answer, ScriptedModel};
use bowline_agent::tool::{ToolError, tool};
use bowline_agent::{Agent, AgentHandle, AgentRun};
use bowline_events::Timestamp;
use bowline_store::{Commit, Expect, Index, Table};
use bowline_workflow::RunStatus;
use futures_util::StreamExt;
use serde_json::json;
use tokio::sync::watch;

use crate::house::House;

const READERS: usize = 1000;
/// Of them read nothing until the run has ended.
const SLOW: usize = 200;
/// More than any bus lets a reader be behind without slowing somebody down, or leaving something out.
const DELTAS: usize = 3000;

const STOPS: Table = Table::new("agent_stops");

/// Reads a run, and checks that nothing is missing.
async fn read(mut run: AgentRun) -> u64 {
    let mut next = 0;
    while let Some(item) = run.next().await {
        let offset = item.unwrap().offset;
        assert_eq!(offset, next, "something is missing, or there twice");
        next = offset + 1;
    }
    let output = run.into_stream().into_output();
    assert_eq!(output.text, "word ".repeat(DELTAS));
    next
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_waits_for_no_reader_and_none_of_them_loses_anything() {
    let house = House::new();
    let model = ScriptedModel::new(|_| Answer::new().repeated_delta("word ", DELTAS));
    let agent = Agent::builder("talker").model(model).build().unwrap();
    let agent = house.with(&agent).await;
    let first = agent
        .stream_with("Go.", RunOptions::new().run_id("r"))
        .await
        .unwrap();
    let (opens, opened) = watch::channel(false);
    let mut readers = Vec::with_capacity(READERS);
    for n in 0..READERS {
        let run = agent.observe("r").await.unwrap();
        let mut opened = opened.clone();
        readers.push(tokio::spawn(async move {
            if n < SLOW {
                opened.wait_for(|opened| *opened).await.unwrap();
            }
            read(run).await
        }));
    }
    // Nobody has let the slow ones read yet: it must end without them.
    let events = read(first).await;
    assert_eq!(agent.status("r").await.unwrap(), RunStatus::Success);
    opens.send(true).unwrap();
    for reader in readers {
        assert_eq!(reader.await.unwrap(), events);
    }
    assert_eq!(events, house.told("r").await.len() as u64);
    agent.engine().close().await;
}

/// What is kept of runs: records, logs and topics.
async fn kept(house: &House) -> (u64, usize) {
    let stats = house.store.stats().await.unwrap();
    let tables = stats.tables.iter();
    // Neither workers nor graphs grow with the runs, and what was said in threads is kept.
    let others = ["workers", "graphs", "threads", "messages", "message_ids"];
    let tables = tables.filter(|table| !others.contains(&table.table.as_str()));
    let records = tables.map(|table| table.records + table.logs).sum();
    let topics = house.bus.topics().await.unwrap();
    let of_runs = topics.iter().filter(|info| {
        let topic = info.topic.as_str();
        topic.starts_with("agent.") || topic.starts_with("workflow.")
    });
    (records, of_runs.count())
}

fn worker() -> Agent {
    let look = tool("look", || async { Ok::<_, ToolError>("seen") });
    let pay = tool("pay", || async { Ok::<_, ToolError>("paid") });
    let model = ScriptedModel::new(|request| {
        let asked = format!("{:?}", request.prompt);
        match ScriptedModel::position(request) {
            0 if asked.contains("pay") => Answer::calls("pay", &json!({})),
            0 => Answer::calls("look", &json!({})),
            _ => Answer::says("Done."),
        }
    });
    Agent::builder("worker")
        .model(model)
        .tool(look.build().unwrap())
        .tool(pay.requires_approval().build().unwrap())
        .build()
        .unwrap()
}

/// Lets a run of one of several kinds begin and end.
async fn live(agent: &AgentHandle, house: &House, n: usize) {
    let run = format!("r{n}");
    let mut options = RunOptions::new().run_id(run.clone());
    if n.is_multiple_of(3) {
        // It has a mailbox.
        options = options.thread(format!("t{n}"));
    }
    let what = if n.is_multiple_of(2) { "look" } else { "pay" };
    let output = agent.generate_with(what, options).await.unwrap();
    if output.is_suspended() {
        match n % 4 {
            1 => agent
                .resume(&run, None, &json!({ "approved": true }))
                .await
                .unwrap(),
            _ => agent.abort(&run).await.unwrap(),
        }
        agent.observe(&run).await.unwrap().collect().await.unwrap();
    }
    if n.is_multiple_of(5) {
        // Somebody wanted to stop it when it had just ended.
        let index = Index::new(Timestamp::now());
        let stop = Commit::new().put(STOPS, run, Expect::Absent, index, "{}");
        house.store.commit(stop).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_runs_whose_retention_is_over() {
    const RUNS: usize = 200;
    for (watch, run) in [(1000, 1500), (1500, 1000)] {
        let house = House::new();
        let engine = house
            .engine()
            .lease(Duration::from_secs(30))
            .watch_retention(Duration::from_millis(watch))
            .run_retention(Duration::from_millis(run));
        let agent = house.on_engine(&worker(), engine).await;
        let runs = futures_util::stream::iter(0..RUNS);
        runs.for_each_concurrent(20, |n| live(&agent, &house, n))
            .await;
        assert_ne!(kept(&house).await, (0, 0), "there is something to remove");
        let emptied = async {
            while kept(&house).await != (0, 0) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let emptied = tokio::time::timeout(Duration::from_secs(30), emptied).await;
        let stats = house.store.stats().await.unwrap();
        let topics = house.bus.topics().await.unwrap();
        assert!(emptied.is_ok(), "left: {stats:?} {topics:?}");
        assert_eq!(agent.engine().active_runs(), 0);
        agent.engine().close().await;
        drop(agent);
        let released = async {
            while Arc::strong_count(&house.store) > 1 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let released = tokio::time::timeout(Duration::from_secs(30), released).await;
        let holders = Arc::strong_count(&house.store) - 1;
        assert!(released.is_ok(), "{holders} still hold the store");
    }
}
