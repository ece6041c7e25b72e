//! `bowline agent`: running agents, and reading and steering their runs.

mod args;
mod follow;
mod inbox;
mod list;
mod observe;
mod place;
mod printer;
mod run;
mod signal;
mod steer;

pub(crate) use args::AgentArgs;
use args::AgentCommand;

use crate::outcome::{Failure, Outcome};

pub(crate) async fn run(args: AgentArgs) -> Result<Outcome, Failure> {
    match args.command {
        AgentCommand::Run(args) => Box::pin(run::run(args)).await,
        AgentCommand::Observe(args) => Box::pin(observe::run(args)).await,
        AgentCommand::Approve(args) => steer::approve(args).await,
        AgentCommand::Decline(args) => steer::decline(args).await,
        AgentCommand::Resume(args) => steer::resume(args).await,
        AgentCommand::Abort(args) => steer::abort(args).await,
        AgentCommand::Signal(args) => Box::pin(signal::run(args)).await,
        AgentCommand::Notify(args) => Box::pin(inbox::notify(args)).await,
        AgentCommand::Inbox(args) => Box::pin(inbox::run(args)).await,
        AgentCommand::List(args) => list::agents(&args),
        AgentCommand::Runs(args) => list::runs(args).await,
    }
}
