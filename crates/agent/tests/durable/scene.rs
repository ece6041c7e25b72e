//! A run with tools side by side, an approval and a question, and what it does to the world.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bowline_agent::agent::{RunOptions, ToolConcurrency};
use bowline_agent::model::ChatRequest;
use bowline_agent::scripted::{Answer, ScriptedModel};
use bowline_agent::tool::{ToolContext, ToolError, tool};
use bowline_agent::{Agent, AgentHandle, ErrorKind};
use bowline_workflow::RunStatus;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::line::Line;

/// What was done to the world: how often each thing, for the run whose id is in front of it.
#[derive(Debug, Clone)]
pub(crate) enum Effects {
    /// By processes of this program.
    Counted(Arc<Mutex<BTreeMap<String, usize>>>),
    /// By other programs, a line each.
    Written(Arc<Path>),
}

impl Default for Effects {
    fn default() -> Self {
        Self::Counted(Arc::default())
    }
}

impl Effects {
    fn add(&self, run: &str, what: &str) {
        let what = format!("{run}/{what}");
        match self {
            Self::Counted(counts) => *counts.lock().unwrap().entry(what).or_default() += 1,
            Self::Written(path) => {
                let file = OpenOptions::new().create(true).append(true).open(path);
                // One write of few bytes to a file that is opened for appending is there as a whole or not at all.
                file.unwrap()
                    .write_all(format!("{what}\n").as_bytes())
                    .unwrap();
            }
        }
    }

    pub(crate) fn all(&self) -> BTreeMap<String, usize> {
        match self {
            Self::Counted(counts) => counts.lock().unwrap().clone(),
            Self::Written(path) => {
                let mut counts = BTreeMap::new();
                for line in std::fs::read_to_string(path).unwrap_or_default().lines() {
                    *counts.entry(line.to_owned()).or_default() += 1;
                }
                counts
            }
        }
    }
}

/// How one process acts.
#[derive(Debug, Clone)]
pub(crate) struct Hands {
    pub(crate) effects: Effects,
    pub(crate) line: Arc<Line>,
    /// How long the model takes for a word, and a tool for its work.
    pub(crate) pace: Duration,
}

impl Hands {
    /// Does something, unless the process is dead: then it does nothing any more.
    async fn act(&self, run: &str, what: &str) {
        self.line.acts(|| self.effects.add(run, what));
        self.line.alive().await;
        tokio::time::sleep(self.pace).await;
    }
}

/// What is said to the run.
fn question(run: &str) -> String {
    format!("Pay Ada for {run}.")
}

/// The run that a model is asked for.
fn asked_for(request: &ChatRequest) -> String {
    let prompt = format!("{:?}", request.prompt);
    let (_, rest) = prompt.split_once("Pay Ada for ").unwrap();
    rest.split_once('.').unwrap().0.to_owned()
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
        let acts = || hands.effects.add(&asked_for(request), &asked);
        if !hands.line.acts(acts) {
            return Answer::new().hang();
        }
        let weather = |answer: Answer, city: &str| {
            answer.tool_call_as(city.to_lowercase(), "weather", &json!({ "city": city }))
        };
        let answer = match round {
            1 => ["Oslo", "Rome", "Lima"]
                .into_iter()
                .fold(Answer::says("I look."), weather),
            2 => Answer::says("I pay.")
                .tool_call_as("pay-1", "pay", &json!({ "euros": 7 }))
                .tool_call_as("ask-1", "ask", &json!({ "question": "Who?" })),
            _ => Answer::says("Ada has 7 euros."),
        };
        match hands.pace.is_zero() {
            true => answer,
            false => answer.pace(hands.pace),
        }
    })
}

/// An agent in the hands of one process.
pub(crate) fn agent(hands: &Hands) -> Agent {
    let (looks, pays, asks) = (hands.clone(), hands.clone(), hands.clone());
    let weather = tool("weather", move |ctx: ToolContext, args: City| {
        let hands = looks.clone();
        async move {
            hands.act(ctx.run_id(), &args.city).await;
            ctx.write(&args.city).await?;
            Ok::<_, ToolError>(json!({ "city": args.city, "degrees": args.city.len() }))
        }
    });
    let pay = tool("pay", move |ctx: ToolContext, args: Amount| {
        let hands = pays.clone();
        async move {
            hands.act(ctx.run_id(), "pay").await;
            Ok::<_, ToolError>(json!({ "paid": args.euros }))
        }
    });
    let ask = tool("ask", move |ctx: ToolContext, args: Question| {
        let hands = asks.clone();
        async move {
            match ctx.resumed::<Reply>()? {
                Some(reply) => {
                    hands.act(ctx.run_id(), "hear").await;
                    Ok(json!({ "answer": reply.answer }))
                }
                None => {
                    hands.act(ctx.run_id(), "ask").await;
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

pub(crate) fn thread(run: &str) -> String {
    format!("thread of {run}")
}

fn options(run: &str) -> RunOptions {
    let side_by_side = ToolConcurrency {
        limit: 10,
        called_only: true,
    };
    RunOptions::new()
        .run_id(run.to_owned())
        .thread(thread(run))
        .resource("somebody")
        .tool_concurrency(side_by_side)
}

/// Begins the run if nobody has.
pub(crate) async fn begin(agent: &AgentHandle, run: &str) {
    match agent.start(question(run), options(run)).await {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}"),
    }
}

/// Begins the run if nobody has, answers whatever it waits for, and waits for its end.
pub(crate) async fn see_to_it(agent: &AgentHandle, run: &str) {
    begin(agent, run).await;
    loop {
        match agent.status(run).await.unwrap() {
            RunStatus::Suspended => answer(agent, run).await,
            status if status.is_final() => return,
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn answer(agent: &AgentHandle, run: &str) {
    for call in agent.suspended(run).await.unwrap() {
        let answer = match call.kind.as_str() {
            "approval" => json!({ "approved": true }),
            _ => json!({ "answer": "Ada" }),
        };
        match agent.resume(run, Some(&call.tool_call_id), &answer).await {
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
