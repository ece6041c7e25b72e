//! A tool waits for permission, which another program gives.
//!
//! ```text
//! $ cargo run -p bowline --example approve_a_tool
//! the run waits
//! the clerk allows pay {"euros":500}
//! paid 500 euros
//! It is paid.
//! ```

#![allow(clippy::print_stdout, reason = "it shows what it does")]

use std::error::Error;

use bowline::Bowline;
use bowline::agent::schemars::{self, JsonSchema};
use bowline::agent::scripted::{Answer, ScriptedModel};
use bowline::agent::tool::{IntoTool, ToolError};
use bowline::agent::{Agent, StreamEvent};
use serde::Deserialize;
use serde_json::json;

/// Pays an invoice.
#[derive(Deserialize, JsonSchema)]
struct Invoice {
    euros: u32,
}

async fn pay(invoice: Invoice) -> Result<&'static str, ToolError> {
    println!("paid {} euros", invoice.euros);
    Ok("paid")
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let store = format!("sqlite:{}", folder.path().join("app.db").display());

    let model = ScriptedModel::listed([
        Answer::calls("pay", &json!({ "euros": 500 })),
        Answer::says("It is paid."),
    ]);
    let bookkeeper = Agent::builder("bookkeeper")
        .model(model)
        .tool(pay.into_tool().requires_approval().build()?)
        .build()?;
    let app = Bowline::builder()
        .store(&store)
        .agent(bookkeeper)
        .start()
        .await?;
    let mut run = app.agent("bookkeeper")?.stream("Pay the invoice").await?;
    while let Some(item) = run.next().await {
        if let StreamEvent::Suspended(_) = item?.event {
            println!("the run waits");
            break;
        }
    }

    // A web server, say: it has neither the model nor the tool. The run could wait for a month, without any process.
    let clerk = Bowline::builder()
        .store(&store)
        .workers(false)
        .start()
        .await?;
    let runs = clerk.agent_runs();
    let call = runs.suspended(run.id()).await?.remove(0);
    println!("the clerk allows {} {}", call.tool_name, call.args);
    runs.approve(run.id(), &call.tool_call_id).await?;
    clerk.close().await?;

    // The stream of before goes on.
    let output = run.collect().await?;
    println!("{}", output.text);
    assert_eq!(output.text, "It is paid.");
    app.close().await?;
    Ok(())
}
