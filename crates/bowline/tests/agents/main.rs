//! Agents in an application, as its users write them.
#![allow(clippy::unwrap_used, reason = "tests, with functions of their own")]
#![cfg(all(feature = "agent", feature = "sqlite"))]

mod apart;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bowline::agent::schemars::{self, JsonSchema};
use bowline::agent::scripted::Answer;
use bowline::agent::tool::ToolError;
use bowline::agent::{Agent, ErrorKind, RunOptions, ScriptedModel, StreamEvent, StreamItem, tool};
use bowline::{Bowline, BowlineBuilder, InProcessPubSub, MemoryCache, PubSub, Topic};
use serde::Deserialize;
use serde_json::json;

/// Looks a port up.
#[derive(Deserialize, JsonSchema)]
struct Port {
    name: String,
}

/// An agent that looks a port up, which somebody has to approve, and then says what it found.
fn pilot(looked_up: &Arc<AtomicUsize>) -> Agent {
    pilot_of("pilot", looked_up)
}

fn pilot_of(id: &'static str, looked_up: &Arc<AtomicUsize>) -> Agent {
    let counter = Arc::clone(looked_up);
    let look_up = move |port: Port| {
        let counter = Arc::clone(&counter);
        async move {
            counter.fetch_add(1, Ordering::SeqCst);
            Ok::<_, ToolError>(format!("{} is open", port.name))
        }
    };
    Agent::builder(id)
        .model(ScriptedModel::listed([
            Answer::calls("look_up", &json!({ "name": "Oslo" })),
            Answer::says("The port is open."),
        ]))
        .tool(
            tool("look_up", look_up)
                .requires_approval()
                .build()
                .unwrap(),
        )
        .build()
        .unwrap()
}

fn greeter(id: &'static str) -> Agent {
    let model = ScriptedModel::says("Hello!");
    Agent::builder(id).model(model).build().unwrap()
}

fn app() -> BowlineBuilder {
    Bowline::builder()
        .poll(Duration::from_millis(20))
        .drain(Duration::from_millis(200))
}

#[tokio::test]
async fn a_run_waits_without_its_process_and_its_stream_is_read_again_from_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}", folder.path().join("app.db").display());
    let looked_up = Arc::new(AtomicUsize::new(0));
    let first = app().store(&store).agent(pilot(&looked_up));
    let first = first.start().await.unwrap();
    let agent = first.agent("pilot").unwrap();
    let options = RunOptions::new()
        .run_id("run-1")
        .thread("talk")
        .resource("ann");
    let mut run = agent.stream_with("Is Oslo open?", options).await.unwrap();
    let mut seen = Vec::new();
    while !matches!(
        seen.last(),
        Some(StreamItem {
            event: StreamEvent::Suspended(_),
            ..
        })
    ) {
        seen.push(run.next().await.unwrap().unwrap());
    }
    first.close().await.unwrap();
    assert_eq!(looked_up.load(Ordering::SeqCst), 0, "nobody approved it");

    // A program that has no agents answers.
    let clerk = app().store(&store).workers(false).start().await.unwrap();
    let runs = clerk.agent_runs();
    assert_eq!(runs.agent_of("run-1").await.unwrap(), "pilot");
    let call = runs.suspended("run-1").await.unwrap().remove(0);
    assert_eq!(call.tool_name, "look_up");
    runs.approve("run-1", &call.tool_call_id).await.unwrap();
    clerk.close().await.unwrap();

    let second = app().store(&store).agent(pilot(&looked_up).durable());
    let second = second.start().await.unwrap();
    let agent = second.agent("pilot").unwrap();
    let output = agent.observe("run-1").await.unwrap().collect().await;
    assert_eq!(output.unwrap().text, "The port is open.");
    assert_eq!(looked_up.load(Ordering::SeqCst), 1);
    // What comes behind a position, comes as it came before.
    let from = seen[1].offset;
    let mut again = agent.observe("run-1").from(from).await.unwrap();
    let item = again.next().await.unwrap().unwrap();
    assert_eq!(item, seen[1]);
    let talk = second.memory().recent("talk", 10).await.unwrap();
    let said = format!("{:?} {:?}", talk.first(), talk.last());
    assert!(
        said.contains("Is Oslo open?") && said.contains("The port is open."),
        "{said}"
    );
    second.close().await.unwrap();
}

#[tokio::test]
async fn agents_are_found_by_id_and_an_id_is_that_of_one() {
    let twice = app().agent(greeter("a")).agent(greeter("a")).start().await;
    let error = twice.unwrap_err();
    assert_eq!(error.kind(), bowline::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("two agents"), "{error}");

    let app = app().agent(greeter("a")).agent(greeter("b"));
    let app = app.start().await.unwrap();
    let ids: Vec<_> = app.agents().iter().map(|it| it.id().clone()).collect();
    assert_eq!(ids, ["a", "b"]);
    let error = app.agent("c").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("[a, b]"), "{error}");
    let runs = app.agent_runs();
    assert_eq!(
        runs.status("none").await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    app.close().await.unwrap();
}

#[tokio::test]
async fn an_agent_may_have_a_bus_and_a_cache_of_its_own() {
    let bus: Arc<dyn PubSub> = Arc::new(InProcessPubSub::builder().no_replay().build());
    let own = [
        greeter("on-own-bus")
            .durable()
            .bus(Arc::clone(&bus))
            .cache(Arc::new(MemoryCache::new())),
        greeter("uncached").durable().no_cache(),
        greeter("shared").durable(),
    ];
    let mut builder = app().cache("memory:");
    for agent in own {
        builder = builder.agent(agent);
    }
    let app = builder.start().await.unwrap();
    for (id, kept) in [("on-own-bus", false), ("uncached", false), ("shared", true)] {
        let agent = app.agent(id).unwrap();
        let run = agent.stream("Hi").await.unwrap();
        let run_id = run.id().clone();
        assert_eq!(run.collect().await.unwrap().text, "Hello!", "{id}");
        // Whether the history of the application knows it.
        let topic = Topic::agent_stream(&run_id);
        let history = app.bus().history(&topic, 0, 1).await.unwrap();
        assert_eq!(!history.is_empty(), kept, "{id}");
    }
    // With a cache of its own, the stream can be read again from where the bus has nothing.
    let agent = app.agent("on-own-bus").unwrap();
    let run = agent
        .start("Hi", RunOptions::new().run_id("again"))
        .await
        .unwrap();
    let output = agent.generate("Hi").await.unwrap();
    assert_eq!(output.text, "Hello!");
    let again = agent.observe(&run).from(0).await.unwrap();
    assert_eq!(again.collect().await.unwrap().text, "Hello!");
    app.close().await.unwrap();
    bus.close().await.unwrap();
}

#[tokio::test]
async fn the_stream_of_a_run_is_forgotten_after_its_retention() {
    let app = app().agent(greeter("a")).watch_retention(Duration::ZERO);
    let app = app.start().await.unwrap();
    let agent = app.agent("a").unwrap();
    let run = agent.stream("Hi").await.unwrap();
    let topic = Topic::agent_stream(run.id());
    assert_eq!(run.collect().await.unwrap().text, "Hello!");
    while !app.bus().history(&topic, 0, 1).await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    app.close().await.unwrap();
}
