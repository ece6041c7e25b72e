//! `bowline schedules`: the schedules in a store.

mod args;
mod change;
mod list;
mod row;
mod show;

pub(crate) use args::SchedulesArgs;
use args::SchedulesCommand;

use crate::outcome::{Failure, Outcome};

pub(crate) async fn run(args: SchedulesArgs) -> Result<Outcome, Failure> {
    match args.command {
        SchedulesCommand::List(args) => list::run(args).await,
        SchedulesCommand::Show(args) => show::run(args).await,
        SchedulesCommand::Pause(args) => change::pause(args).await,
        SchedulesCommand::Resume(args) => change::resume(args).await,
        SchedulesCommand::Run(args) => change::run_now(args).await,
        SchedulesCommand::Delete(args) => change::delete(args).await,
    }
}
