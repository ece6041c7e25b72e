//! What a run writes grows with the number of its rounds, and with nothing else.

use std::sync::Arc;

use bowline_agent::agent::RunOptions;
use bowline_agent::scripted::{Answer, ScriptedModel};
use bowline_agent::tool::{ToolError, tool};
use bowline_agent::{Agent, Data};
use bowline_events::Reach;
use serde_json::json;

use crate::house::House;
use crate::line::Line;

/// The bytes that a run of so many rounds commits from its start to its end.
async fn bytes(rounds: u32, thread: bool) -> usize {
    let house = House::new();
    let look = tool("look", || async {
        Ok::<_, ToolError>(json!({ "seen": "x".repeat(200) }))
    });
    let model = ScriptedModel::new(|_| {
        let arguments = json!({ "where": "y".repeat(100) });
        Answer::says("Let me see.").tool_call("look", &arguments)
    });
    let agent = Agent::builder("looker").model(model);
    let agent = agent.tool(look.build().unwrap()).build().unwrap();
    let line = Arc::new(Line::new(None));
    let agent = house.far(&agent, &line, Reach::Process).await;
    let mut options = RunOptions::new().run_id("r").max_steps(rounds);
    if thread {
        options = options.thread("t").resource("ada");
    }
    let before = line.written();
    let output = agent.generate_with("Look.", options).await.unwrap();
    assert_eq!(output.steps.len(), rounds as usize);
    assert!(
        output
            .tool_results()
            .all(|it| it.result.as_ref().is_some_and(Data::is_object))
    );
    agent.engine().close().await;
    line.written() - before
}

#[tokio::test]
async fn a_further_round_costs_the_same_number_of_bytes_in_a_long_run_as_in_a_short_one() {
    for thread in [false, true] {
        let mut sizes = Vec::new();
        for rounds in [10, 20, 40, 80] {
            sizes.push(bytes(rounds, thread).await);
        }
        let each = |from: usize, to: usize, rounds: usize| (sizes[to] - sizes[from]) / rounds;
        let (early, late) = (each(0, 1, 10), each(2, 3, 40));
        assert!(early > 300, "the bytes were not counted: {sizes:?}");
        assert!(
            late <= early + early / 10,
            "{late} bytes for each of the later rounds, {early} for each of the earlier: {sizes:?}"
        );
    }
}
