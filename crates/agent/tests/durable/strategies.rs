//! Runs whose steps are for whichever process has room are runs like all others.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bowline_agent::agent::RunOptions;
use bowline_agent::scripted::{Answer, ScriptedModel};
use bowline_agent::tool::{ToolError, tool};
use bowline_agent::{Agent, AgentHandle, DurableAgent, Strategy};
use bowline_workflow::Engine;
use serde_json::json;

use crate::house::House;
use crate::line::Line;
use crate::outcome::{Outcome, remembered};
use crate::scene::{self, Effects, Hands, see_to_it};
use crate::seen::attached;

const RUN: &str = "run-1";

/// What comes of a run with tools, an approval and a question, on so many processes.
async fn played(strategy: Strategy, processes: usize) -> Outcome {
    let house = House::with_strategy(strategy);
    let effects = Effects::default();
    let mut all = Vec::new();
    for _ in 0..processes {
        let hands = Hands {
            effects: effects.clone(),
            line: Arc::new(Line::new(None)),
            pace: Duration::ZERO,
        };
        let engine = house.engine().lease(Duration::from_secs(30));
        all.push(house.on_engine(&scene::agent(&hands), engine).await);
    }
    let bus = Arc::clone(&house.bus);
    let reader = tokio::spawn(async move { attached(&bus, RUN).await });
    see_to_it(&all[0], RUN).await;
    let (seen, output) = reader.await.unwrap();
    let done = effects.all();
    assert!(done.values().all(|times| *times == 1), "{done:?}");
    let outcome = Outcome {
        status: all[0].status(RUN).await.unwrap().to_string(),
        messages: remembered(&house.store, RUN).await,
        output,
        seen: seen.essence(),
    };
    for agent in all {
        agent.engine().close().await;
    }
    outcome
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_many_processes_share_its_steps_a_run_comes_to_the_same() {
    let wanted = played(Strategy::Durable, 1).await;
    for processes in 1..=3 {
        let found = played(Strategy::Evented, processes).await;
        assert_eq!(found, wanted, "{processes} processes");
    }
}

const ROUNDS: usize = 6;

/// An agent that calls a tool in every round; the process `who` notes that it has worked.
fn worker(who: usize, worked: &Arc<Mutex<BTreeSet<usize>>>) -> Agent {
    let (asks, calls) = (Arc::clone(worked), Arc::clone(worked));
    let model = ScriptedModel::new(move |request| {
        asks.lock().unwrap().insert(who);
        match ScriptedModel::position(request) {
            ROUNDS => Answer::says("Done."),
            _ => Answer::calls("work", &json!({})),
        }
    });
    let work = tool("work", move || {
        calls.lock().unwrap().insert(who);
        async { Ok::<_, ToolError>(()) }
    });
    let agent = Agent::builder("worker").model(model);
    agent.tool(work.build().unwrap()).build().unwrap()
}

async fn processes(house: &House, worked: &Arc<Mutex<BTreeSet<usize>>>) -> Vec<AgentHandle> {
    let mut all = Vec::new();
    for who in 0..2 {
        let engine = house.engine().lease(Duration::from_secs(30));
        all.push(house.on_engine(&worker(who, worked), engine).await);
    }
    all
}

#[tokio::test]
async fn the_strategy_says_who_works_on_a_run() {
    for (strategy, workers) in [(Strategy::Durable, 1), (Strategy::Evented, 2)] {
        let house = House::with_strategy(strategy);
        let worked = Arc::default();
        let all = processes(&house, &worked).await;
        let options = RunOptions::new().max_steps(10);
        let output = all[0].generate_with("Go.", options).await.unwrap();
        assert_eq!(output.text, "Done.");
        assert_eq!(output.tool_results().count(), ROUNDS);
        let worked = worked.lock().unwrap().clone();
        assert_eq!(worked.len(), workers, "{strategy:?}: {worked:?}");
        for agent in all {
            agent.engine().close().await;
        }
    }
}

#[tokio::test]
async fn processes_that_differ_in_it_share_runs() {
    let house = House::new();
    let worked = Arc::default();
    let graph = |strategy| {
        let (store, bus) = (Arc::clone(&house.store), Arc::clone(&house.bus));
        let agent = DurableAgent::new(worker(0, &worked), store, bus).strategy(strategy);
        agent.workflow().unwrap()
    };
    let (durable, evented) = (graph(Strategy::Durable), graph(Strategy::Evented));
    assert_eq!(durable.hash(), evented.hash());
    let mut engines: Vec<Engine> = Vec::new();
    for workflow in [evented, durable] {
        let engine = house.engine().lease(Duration::from_secs(30));
        engines.push(engine.workflow(workflow).start().await.unwrap());
    }
    let (store, bus) = (Arc::clone(&house.store), Arc::clone(&house.bus));
    let asks = DurableAgent::new(worker(0, &worked), store, bus);
    let asks = asks.on(&engines[0]).unwrap();
    for n in 0..4 {
        let options = RunOptions::new().run_id(format!("r{n}")).max_steps(10);
        let output = asks.generate_with("Go.", options).await.unwrap();
        assert_eq!(output.tool_results().count(), ROUNDS);
    }
    for engine in engines {
        engine.close().await;
    }
}
