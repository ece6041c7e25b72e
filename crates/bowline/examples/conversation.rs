//! A conversation: a message wakes the agent, a signal reaches it at work, a queued message waits for its turn, and one stream
//! shows it all.
//!
//! ```text
//! $ cargo run -p bowline --example conversation
//! Look at the harbour! (the agent wakes)
//! The tide turns. (the run at work gets it)
//! And the sky? (it waits for a run of its own)
//! agent: It is calm, but the tide turns.
//! agent: The sky is clear.
//! ```

#![allow(clippy::print_stdout, reason = "it shows what it does")]

use std::error::Error;

use bowline::Bowline;
use bowline::agent::scripted::{Answer, ScriptedModel};
use bowline::agent::threads::{Accepted, SendOptions, Signal, SignalKind, ThreadEvent, ThreadId};
use bowline::agent::tool::{Tool, ToolError};
use bowline::agent::{Agent, Chunk, RunOptions};
use serde_json::json;
use tokio::sync::Notify;

/// The agent looks at the harbour until it was told everything.
static ALL_SAID: Notify = Notify::const_new();

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // What it answers depends on what it was told.
    let model = ScriptedModel::new(|request| {
        let told = |word: &str| format!("{:?}", request.prompt).contains(word);
        match ScriptedModel::position(request) {
            0 => Answer::calls("look", &json!({})),
            _ if told("sky") => Answer::says("The sky is clear."),
            _ if told("tide") => Answer::says("It is calm, but the tide turns."),
            _ => Answer::says("It is calm."),
        }
    });
    let look = Tool::builder("look").run(|_, _| async {
        ALL_SAID.notified().await;
        Ok::<_, ToolError>("It is calm.")
    });
    let pilot = Agent::builder("pilot")
        .model(model)
        .tool(look.build()?)
        .build()?;
    let app = Bowline::builder().agent(pilot).start().await?;

    // Any process with the store and the bus of the agent can say something, or read.
    let threads = app.threads()?;
    let thread = ThreadId::new("thread-1").resource("ann");
    let mut stream = threads.subscribe(&thread).await?;

    let accepted = threads
        .send_message("pilot", &thread, "Look at the harbour!")
        .await?;
    assert!(matches!(accepted, Accepted::Wake { .. }));
    println!("Look at the harbour! (the agent wakes)");

    let tide = Signal::new(SignalKind::Reactive, "The tide turns.");
    let accepted = threads
        .send_signal("pilot", &thread, tide, SendOptions::new())
        .await?;
    assert!(matches!(accepted, Accepted::Deliver { .. }));
    println!("The tide turns. (the run at work gets it)");

    let accepted = threads
        .queue_message("pilot", &thread, "And the sky?", RunOptions::new())
        .await?;
    assert_eq!(accepted, Accepted::Queued);
    println!("And the sky? (it waits for a run of its own)");
    ALL_SAID.notify_one();

    let mut answers = Vec::new();
    let mut text = String::new();
    while answers.len() < 2 {
        match stream.next().await.ok_or("the thread has no end")??.event {
            ThreadEvent::Part(part) => {
                if let Chunk::TextDelta(delta) = Chunk::of(&part) {
                    text.push_str(&delta.text);
                }
            }
            ThreadEvent::Completed => {
                println!("agent: {text}");
                answers.push(std::mem::take(&mut text));
            }
            ThreadEvent::Failed(why) => return Err(why.into()),
            _ => {}
        }
    }
    let wanted = ["It is calm, but the tide turns.", "The sky is clear."];
    assert_eq!(answers, wanted);
    app.close().await?;
    Ok(())
}
