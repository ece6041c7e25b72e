//! A process is killed in the middle of a run, and another one goes on with it: a step that is done is not done again.
//!
//! ```text
//! $ cargo run -p bowline --example two_processes
//! first process: packs 3 boxes
//! first process: ships 3 boxes
//! kill -9
//! second process: ships 3 boxes
//! shipped 3 boxes
//! ```

#![allow(clippy::print_stdout, reason = "it shows what it does")]

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use bowline::Bowline;
use bowline::workflow::{Start, StepError, Workflow};

/// This program starts itself again, with the store in this variable, to have a process that it can kill.
const VICTIM: &str = "EXAMPLE_VICTIM";

fn is_victim() -> bool {
    std::env::var_os(VICTIM).is_some()
}

fn tell(what: &str) {
    let process = if is_victim() { "first" } else { "second" };
    println!("{process} process: {what}");
}

async fn pack(boxes: u32) -> Result<u32, StepError> {
    tell(&format!("packs {boxes} boxes"));
    Ok(boxes)
}

async fn ship(boxes: u32) -> Result<String, StepError> {
    tell(&format!("ships {boxes} boxes"));
    if is_victim() {
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    Ok(format!("shipped {boxes} boxes"))
}

async fn process(store: &str) -> Result<Bowline, Box<dyn Error>> {
    let order = Workflow::builder("order")
        .input::<u32>()
        .output::<String>()
        .step(pack)
        .step(ship)
        .build()?;
    let app = Bowline::builder()
        .store(store)
        .workflow(order)
        // How long a process may be silent before others take its runs over; 10 s unless said.
        .lease(Duration::from_millis(500));
    Ok(app.start().await?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    if let Ok(store) = std::env::var(VICTIM) {
        let app = process(&store).await?;
        let start = Start::with(&3)?.run_id("order-17");
        app.workflow("order")?.start(start).await?.result().await?;
        return Err("it should have been killed".into());
    }
    let folder = tempfile::tempdir()?;
    let store = format!("sqlite:{}", folder.path().join("app.db").display());
    let mut victim = Command::new(std::env::current_exe()?)
        .env(VICTIM, &store)
        .stdout(Stdio::piped())
        .spawn()?;
    let said = BufReader::new(victim.stdout.take().ok_or("no output")?);
    for line in said.lines() {
        let line = line?;
        println!("{line}");
        if line.contains("ships") {
            break;
        }
    }
    println!("kill -9");
    victim.kill()?;
    victim.wait()?;

    let app = process(&store).await?;
    let result = app.run("order-17").await?.result().await?;
    println!("{}", result.output::<String>()?);
    assert_eq!(result.output::<String>()?, "shipped 3 boxes");
    app.close().await?;
    Ok(())
}
