//! A workflow that sleeps, and then waits for somebody; meanwhile its process ends, and another one goes on.
//!
//! ```text
//! $ cargo run -p bowline --example durable_workflow
//! 3 rope: 30 euros
//! order-17 waits in approve for an answer to {"euros":30}
//! a new process
//! order-17: 30 euros, shipped
//! ```

#![allow(clippy::print_stdout, reason = "it shows what it does")]

use std::error::Error;
use std::time::Duration;

use bowline::Bowline;
use bowline::workflow::{Resume, Start, StepContext, StepError, Workflow};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Order {
    item: String,
    count: u32,
}

#[derive(Serialize, Deserialize)]
struct Bill {
    euros: u32,
}

async fn price(order: Order) -> Result<Bill, StepError> {
    let euros = 10 * order.count;
    println!("{} {}: {euros} euros", order.count, order.item);
    Ok(Bill { euros })
}

/// Is called again, from its top, when somebody has answered.
async fn approve(ctx: StepContext, bill: Bill) -> Result<Bill, StepError> {
    match ctx.resumed::<bool>()? {
        Some(true) => Ok(bill),
        Some(false) => Err(StepError::fail("Refused", "too expensive").no_retry()),
        None => Err(ctx.suspend(&bill)),
    }
}

async fn ship(bill: Bill) -> Result<String, StepError> {
    Ok(format!("{} euros, shipped", bill.euros))
}

/// A process with the workflow. A step that does not take what the one before returns does not compile.
async fn process(store: &str) -> Result<Bowline, Box<dyn Error>> {
    let order = Workflow::builder("order")
        .input::<Order>()
        .output::<String>()
        .step(price)
        // Or a month: no process has to live meanwhile.
        .sleep(Duration::from_millis(50))
        .step(approve)
        .step(ship)
        .build()?;
    let app = Bowline::builder().store(store).workflow(order);
    Ok(app.start().await?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let store = format!("sqlite:{}", folder.path().join("app.db").display());

    let app = process(&store).await?;
    let order = Order {
        item: "rope".into(),
        count: 3,
    };
    // With an id of our own, starting is safe to repeat.
    let start = Start::with(&order)?.run_id("order-17");
    let run = app.workflow("order")?.start(start).await?;
    // Until it ends, or waits for somebody.
    let halted = run.result().await?;
    let step = &halted.suspended()[0];
    println!(
        "{} waits in {} for an answer to {}",
        run.id(),
        step.id(),
        step.payload
    );
    app.close().await?;

    println!("a new process");
    let app = process(&store).await?;
    let run = app.run("order-17").await?;
    let done = run.resume(Resume::with(&true)?).await?;
    println!("{}: {}", run.id(), done.output::<String>()?);
    assert_eq!(done.output::<String>()?, "30 euros, shipped");
    app.close().await?;
    Ok(())
}
