//! A run with tools side by side, an approval and a question, and what it does to the world.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bowline_agent::agent::{RunOptions, ToolConcurrency};
use bowline_agent::scripted::{Answer, ScriptedModel};
use bowline_agent::tool::{ToolContext, ToolError, tool};
use bowline_agent::{Agent, AgentHandle, ErrorKind};
use bowline_workflow::RunStatus;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::line::Line;

pub(crate) const RUN: &str = "run-1";
pub(crate) const THREAD: &str = "thread-1";

/// What was done to the world: how often each thing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Effects(Arc<Mutex<BTreeMap<String, usize>>>);

impl Effects {
    fn add(&self, what: &str) {
        *self.0.lock().unwrap().entry(what.to_owned()).or_default() += 1;
    }

    pub(crate) fn all(&self) -> BTreeMap<String, usize> {
        self.0.lock().unwrap().clone()
    }
}

/// How one process acts.
#[derive(Debug, Clone)]
pub(crate) struct Hands {
    pub(crate) effects: Effects,
    pub(crate) line: Arc<Line>,
}

impl Hands {
    /// Does something, unless the process is dead: then it does nothing any more.
    async fn act(&self, what: &str) {
        self.line.acts(|| self.effects.add(what));
        self.line.alive().await;
    }
}

#[derive(Deserialize, JsonSchema)]
struct City {
    city: String,
}
#[derive(Deserialize, JsonSchema)]
struct Amount {
    euros: u32,
}
#[derive(Deserialize, JsonSchema)]
struct Question {
    question: String,
}
#[derive(Deserialize, JsonSchema)]
struct Reply {
    answer: String,
}

/// Asks for the weather of three cities at once; then pays, which has to be approved, and asks somebody; then says what came of it.
fn model(hands: &Hands) -> ScriptedModel {
    let hands = hands.clone();
    ScriptedModel::new(move |request| {
        let round = ScriptedModel::position(request) + 1;
        let asked = format!("model {round}");
        if !hands.line.acts(|| hands.effects.add(&asked)) {
            return Answer::new().hang();
        }
        let weather = |answer: Answer, city: &str| {
            answer.tool_call_as(city.to_lowercase(), "weather", &json!({ "city": city }))
        };
        match round {
            1 => ["Oslo", "Rome", "Lima"]
                .into_iter()
                .fold(Answer::says("I look."), weather),
            2 => Answer::says("I pay.")
                .tool_call_as("pay-1", "pay", &json!({ "euros": 7 }))
                .tool_call_as("ask-1", "ask", &json!({ "question": "Who?" })),
            _ => Answer::says("Ada has 7 euros."),
        }
    })
}

/// An agent in the hands of one process.
pub(crate) fn agent(hands: &Hands) -> Agent {
    let (looks, pays, asks) = (hands.clone(), hands.clone(), hands.clone());
    let weather = tool("weather", move |ctx: ToolContext, args: City| {
        let hands = looks.clone();
        async move {
            hands.act(&args.city).await;
            ctx.write(&args.city).await?;
            Ok::<_, ToolError>(json!({ "city": args.city, "degrees": args.city.len() }))
        }
    });
    let pay = tool("pay", move |args: Amount| {
        let hands = pays.clone();
        async move {
            hands.act("pay").await;
            Ok::<_, ToolError>(json!({ "paid": args.euros }))
        }
    });
    let ask = tool("ask", move |ctx: ToolContext, args: Question| {
        let hands = asks.clone();
        async move {
            match ctx.resumed::<Reply>()? {
                Some(reply) => {
                    hands.act("hear").await;
                    Ok(json!({ "answer": reply.answer }))
                }
                None => {
                    hands.act("ask").await;
                    Err(ctx.suspend(&json!({ "question": args.question })))
                }
            }
        }
    });
    Agent::builder("payer")
        .instructions("You pay.")
        .model(model(hands))
        .tool(weather.build().unwrap())
        .tool(pay.requires_approval().build().unwrap())
        .tool(ask.suspends::<Value, Reply>().build().unwrap())
        .build()
        .unwrap()
}

fn options() -> RunOptions {
    let side_by_side = ToolConcurrency {
        limit: 10,
        called_only: true,
    };
    RunOptions::new()
        .run_id(RUN)
        .thread(THREAD)
        .resource("somebody")
        .tool_concurrency(side_by_side)
}

/// Begins the run if nobody has, answers whatever it waits for, and waits for its end.
pub(crate) async fn see_to_it(agent: &AgentHandle) {
    match agent.start("Pay Ada.", options()).await {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}"),
    }
    loop {
        let status = agent.status(RUN).await.unwrap();
        match status {
            RunStatus::Suspended => answer(agent).await,
            status if status.is_final() => return,
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn answer(agent: &AgentHandle) {
    for call in agent.suspended(RUN).await.unwrap() {
        let answer = match call.kind.as_str() {
            "approval" => json!({ "approved": true }),
            _ => json!({ "answer": "Ada" }),
        };
        match agent.resume(RUN, Some(&call.tool_call_id), &answer).await {
            // One at a time: the others wait until it is done.
            Ok(()) => return,
            Err(error) => assert!(
                matches!(
                    error.kind(),
                    ErrorKind::WrongState | ErrorKind::Conflict | ErrorKind::NotFound
                ),
                "{error}"
            ),
        }
    }
}
