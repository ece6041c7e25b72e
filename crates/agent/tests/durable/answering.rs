//! Calls that wait for somebody: asked once, answered once, in any order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bowline_agent::agent::{RunOptions, ToolConcurrency};
use bowline_agent::scripted::{Answer, ScriptedModel};
use bowline_agent::tool::{Tool, ToolContext, ToolError, tool};
use bowline_agent::{Agent, AgentHandle, ErrorKind, RunOutput};
use bowline_workflow::{RunQuery, RunStatus};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Barrier;

use crate::house::House;

#[derive(Serialize, Deserialize, JsonSchema)]
struct Reply {
    answer: String,
}

/// Asks, and counts how often it was called.
fn ask(calls: &Arc<AtomicUsize>) -> Tool {
    let calls = Arc::clone(calls);
    let ask = tool("ask", move |ctx: ToolContext| {
        let calls = Arc::clone(&calls);
        async move {
            calls.fetch_add(1, Ordering::SeqCst);
            match ctx.resumed::<Reply>()? {
                Some(reply) => Ok(reply.answer),
                None => Err(ctx.suspend(&json!({ "call": ctx.call_id() }))),
            }
        }
    });
    ask.suspends::<Value, Reply>().build().unwrap()
}

/// Needs approval, and counts how often it was called.
fn pay(calls: &Arc<AtomicUsize>) -> Tool {
    let calls = Arc::clone(calls);
    let pay = tool("pay", move || {
        let calls = Arc::clone(&calls);
        async move {
            calls.fetch_add(1, Ordering::SeqCst);
            Ok::<_, ToolError>("paid")
        }
    });
    pay.requires_approval().build().unwrap()
}

/// An agent that makes these calls at once, and is done then.
fn agent(calls: &[(&'static str, &'static str)], made: &Arc<AtomicUsize>) -> Agent {
    let call = |answer: Answer, (id, tool): &(&'static str, &'static str)| {
        answer.tool_call_as(*id, *tool, &json!({}))
    };
    let all = calls.iter().fold(Answer::new(), call);
    Agent::builder("asker")
        .model(ScriptedModel::listed([all, Answer::says("Done.")]))
        .tools([ask(made), pay(made)])
        .build()
        .unwrap()
}

async fn waits(agent: &AgentHandle, run: &str) -> Vec<String> {
    loop {
        match agent.status(run).await.unwrap() {
            RunStatus::Suspended => break,
            status if status.is_final() => return Vec::new(),
            _ => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
        }
    }
    let waiting = agent.suspended(run).await.unwrap();
    let mut ids: Vec<String> = waiting
        .iter()
        .map(|call| call.tool_call_id.to_string())
        .collect();
    ids.sort();
    ids
}

async fn ends(agent: &AgentHandle, run: &str) -> RunOutput {
    agent.observe(run).await.unwrap().collect().await.unwrap()
}

fn outcomes(output: &RunOutput) -> Vec<String> {
    let result = |record: &bowline_agent::chunk::ToolRecord| {
        let denied = record.approval.as_ref().and_then(|it| it.reason.clone());
        let result = record.result.as_ref().map(ToString::to_string);
        let error = record.error.as_ref().map(|it| it.message.clone());
        let what = denied.map(|it| it.to_string()).or(result).or(error);
        format!("{} {}", record.tool_call_id, what.unwrap())
    };
    output.tool_results().map(result).collect()
}

#[tokio::test]
async fn calls_that_wait_are_answered_in_any_order() {
    let calls = [("a", "ask"), ("p", "pay"), ("b", "ask")];
    let orders = [["a", "p", "b"], ["b", "p", "a"], ["p", "b", "a"]];
    for side_by_side in [true, false] {
        for order in orders {
            let house = House::new();
            let made = Arc::default();
            let agent = house.with(&agent(&calls, &made)).await;
            let concurrency = ToolConcurrency {
                limit: if side_by_side { 10 } else { 1 },
                called_only: true,
            };
            let options = RunOptions::new().run_id("r").tool_concurrency(concurrency);
            agent.start("Go.", options).await.unwrap();
            let mut left = vec!["a", "b", "p"];
            for id in order {
                assert_eq!(waits(&agent, "r").await, left, "{order:?}");
                let answer = match id {
                    "p" => json!({ "approved": true }),
                    _ => json!({ "answer": id }),
                };
                agent.resume("r", Some(id), &answer).await.unwrap();
                left.retain(|other| *other != id);
            }
            let output = ends(&agent, "r").await;
            assert_eq!(output.text, "Done.", "{order:?}");
            assert_eq!(outcomes(&output), ["a \"a\"", "p \"paid\"", "b \"b\""]);
            assert_eq!(made.load(Ordering::SeqCst), 5, "two ask twice, one pays");
            agent.engine().close().await;
        }
    }
}

#[tokio::test]
async fn of_two_answers_one_wins() {
    let house = House::new();
    let made = Arc::default();
    let definition = agent(&[("p", "pay")], &made);
    let (one, other) = (house.with(&definition).await, house.with(&definition).await);
    for n in 0..20 {
        let run = format!("r{n}");
        let options = RunOptions::new().run_id(run.clone());
        one.start("Go.", options).await.unwrap();
        assert_eq!(waits(&one, &run).await, ["p"]);
        let both = [one.approve(&run, "p"), other.approve(&run, "p")];
        let both = futures_util::future::join_all(both).await;
        let won = both.iter().filter(|answered| answered.is_ok()).count();
        assert_eq!(won, 1, "{both:?}");
        for lost in both.into_iter().filter_map(Result::err) {
            let kind = lost.kind();
            let known = [
                ErrorKind::Conflict,
                ErrorKind::WrongState,
                ErrorKind::NotFound,
            ];
            assert!(known.contains(&kind), "{lost}");
        }
        assert_eq!(outcomes(&ends(&one, &run).await), ["p \"paid\""]);
    }
    assert_eq!(made.load(Ordering::SeqCst), 20, "nobody pays twice");
    one.engine().close().await;
    other.engine().close().await;
}

#[tokio::test]
async fn an_answer_that_nobody_waits_for_is_refused() {
    let house = House::new();
    let made = Arc::default();
    let agent = house
        .with(&agent(&[("p", "pay"), ("a", "ask")], &made))
        .await;
    agent
        .start("Go.", RunOptions::new().run_id("r"))
        .await
        .unwrap();
    waits(&agent, "r").await;
    let yes = json!({ "approved": true });
    for (what, run, call, answer, kind) in [
        (
            "no such run",
            "x",
            Some("p"),
            yes.clone(),
            ErrorKind::NotFound,
        ),
        (
            "no such call",
            "r",
            Some("x"),
            yes.clone(),
            ErrorKind::NotFound,
        ),
        (
            "no yes and no no",
            "r",
            Some("p"),
            json!({ "yes": 1 }),
            ErrorKind::InvalidInput,
        ),
        (
            "a yes in words",
            "r",
            Some("p"),
            json!({ "approved": "yes" }),
            ErrorKind::InvalidInput,
        ),
        (
            "nothing",
            "r",
            Some("p"),
            Value::Null,
            ErrorKind::InvalidInput,
        ),
    ] {
        let refused = agent.resume(run, call, &answer).await;
        assert_eq!(refused.unwrap_err().kind(), kind, "{what}");
    }
    assert_eq!(made.load(Ordering::SeqCst), 1, "it has asked");
    agent.decline("r", "p", None).await.unwrap();
    waits(&agent, "r").await;
    let refused = agent.approve("r", "p").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound, "it is refused already");
    // What is no answer of the tool's type is the tool's to judge, and the model's.
    agent
        .resume("r", None, &json!({ "answer": 7 }))
        .await
        .unwrap();
    let output = ends(&agent, "r").await;
    let outcomes = outcomes(&output);
    assert_eq!(outcomes[0], "p Tool call was not approved by the user");
    assert!(outcomes[1].contains("resume data"), "{outcomes:?}");
    let late = agent.approve("r", "p").await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::WrongState, "the run has ended");
    agent.engine().close().await;
}

#[tokio::test]
async fn the_model_is_told_why_a_call_was_refused() {
    for (reason, told) in [
        (Some("too much"), "too much"),
        (None, "Tool call was not approved by the user"),
    ] {
        let house = House::new();
        let made = Arc::default();
        let agent = house.with(&agent(&[("p", "pay")], &made)).await;
        agent
            .start("Go.", RunOptions::new().run_id("r"))
            .await
            .unwrap();
        waits(&agent, "r").await;
        agent.decline("r", "p", reason).await.unwrap();
        assert_eq!(outcomes(&ends(&agent, "r").await), [format!("p {told}")]);
        assert_eq!(made.load(Ordering::SeqCst), 0);
        agent.engine().close().await;
    }
}

#[tokio::test]
async fn a_run_that_waits_can_be_found_and_answered_in_another_process() {
    let house = House::new();
    let made = Arc::default();
    let definition = agent(&[("p", "pay")], &made);
    let one = house.with(&definition).await;
    let output = one
        .generate_with("Go.", RunOptions::new().run_id("r"))
        .await
        .unwrap();
    assert!(output.is_suspended());
    assert_eq!(output.finish_reason, None);
    one.engine().close().await;
    let other = house.with(&definition).await;
    let found = other
        .runs(RunQuery::new().status(RunStatus::Suspended))
        .await
        .unwrap();
    let found: Vec<&str> = found.runs.iter().map(|run| run.id.as_str()).collect();
    assert_eq!(found, ["r"]);
    let call = other.suspended("r").await.unwrap().remove(0);
    assert_eq!(
        (call.kind.as_str(), call.tool_name.as_str()),
        ("approval", "pay")
    );
    other.approve("r", &call.tool_call_id).await.unwrap();
    assert_eq!(ends(&other, "r").await.text, "Done.");
    assert!(other.suspended("r").await.unwrap().is_empty());
    assert_eq!(other.status("r").await.unwrap(), RunStatus::Success);
    other.engine().close().await;
}

#[tokio::test]
async fn tools_run_side_by_side_unless_one_of_them_may_wait() {
    const CALLS: usize = 3;
    for (waits, called_only, together) in
        [(false, false, CALLS), (true, false, 1), (true, true, CALLS)]
    {
        let house = House::new();
        let (barrier, most) = (Arc::new(Barrier::new(CALLS)), Arc::new(AtomicUsize::new(0)));
        let (running, seen) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&most));
        let work = tool("work", move || {
            let (barrier, running) = (Arc::clone(&barrier), Arc::clone(&running));
            let most = Arc::clone(&seen);
            async move {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                if together > 1 {
                    barrier.wait().await;
                }
                tokio::task::yield_now().await;
                running.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, ToolError>(())
            }
        });
        let call = |answer: Answer, _| answer.tool_call("work", &json!({}));
        let all = (0..CALLS).fold(Answer::new(), call);
        let model = ScriptedModel::listed([all, Answer::says("Done.")]);
        let mut agent = Agent::builder("worker")
            .model(model)
            .tool(work.build().unwrap());
        if waits {
            agent = agent.tool(ask(&Arc::default()));
        }
        let agent = house.with(&agent.build().unwrap()).await;
        let concurrency = ToolConcurrency {
            limit: 10,
            called_only,
        };
        let options = RunOptions::new().tool_concurrency(concurrency);
        let output = agent.generate_with("Go.", options).await.unwrap();
        assert_eq!(output.text, "Done.");
        assert_eq!(
            most.load(Ordering::SeqCst),
            together,
            "{waits} {called_only}"
        );
        agent.engine().close().await;
    }
}
