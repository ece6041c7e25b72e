//! An agent with a tool; who reads its run goes away in the middle, and comes back at the next offset, in another process.
//!
//! ```text
//! $ cargo run -p bowline --example durable_agent
//! called depth
//! returned "Bergen: 11 metres"
//! away
//! It is deep enough.
//! ```

#![allow(clippy::print_stdout, reason = "it shows what it does")]

use std::error::Error;

use bowline::Bowline;
use bowline::agent::schemars::{self, JsonSchema};
use bowline::agent::scripted::{Answer, ScriptedModel};
use bowline::agent::stream::Observe;
use bowline::agent::tool::{IntoTool, ToolError};
use bowline::agent::{Agent, Chunk, StreamEvent};
use serde::Deserialize;
use serde_json::json;

/// Looks the depth of a harbour up.
#[derive(Deserialize, JsonSchema)]
struct Harbour {
    /// The name of the harbour.
    name: String,
}

async fn depth(harbour: Harbour) -> Result<String, ToolError> {
    Ok(format!("{}: 11 metres", harbour.name))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let store = format!("sqlite:{}", folder.path().join("app.db").display());
    let bus = format!("unix://{}", folder.path().join("events.sock").display());

    // With the feature `genai`, `genai("openai/gpt-4o-mini")` would be a real one.
    let model = ScriptedModel::listed([
        Answer::calls("depth", &json!({ "name": "Bergen" })),
        Answer::says("It is deep enough."),
    ]);
    let pilot = Agent::builder("pilot")
        .instructions("You are a harbour pilot.")
        .model(model)
        .tool(depth.into_tool().build()?)
        .build()?;
    let app = Bowline::builder()
        .store(&store)
        .bus(&bus)
        .agent(pilot)
        .start()
        .await?;

    let mut run = app.agent("pilot")?.stream("Can I enter Bergen?").await?;
    let mut next = 0;
    while let Some(item) = run.next().await {
        let item = item?;
        next = item.offset + 1;
        let StreamEvent::Chunk { chunk, .. } = item.event else {
            continue;
        };
        match chunk {
            Chunk::ToolCall(tool) => println!("called {}", tool.call.name),
            Chunk::ToolResult(tool) => {
                println!("returned {}", tool.result.unwrap_or_default());
                break;
            }
            _ => {}
        }
    }
    let id = run.id().clone();
    // Ends the reading, not the run.
    drop(run);
    println!("away");

    // As another program would: it has no agents, and hears on the bus of this host what comes from now on.
    let reader = Bowline::builder()
        .store(&store)
        .bus(&bus)
        .workers(false)
        .start()
        .await?;
    let from = Observe::new().from_offset(next);
    let mut rest = reader.agent_runs().observe(&id, from).await?;
    while let Some(item) = rest.next().await {
        let item = item?;
        assert!(item.offset >= next, "nothing comes twice");
    }
    println!("{}", rest.text());
    assert_eq!(rest.text(), "It is deep enough.");
    reader.close().await?;
    app.close().await?;
    Ok(())
}
