//! The `bowline` command: agents, an event bus, and the workflow runs and schedules of a store.
//!
//! Exit codes: 0 done, 1 failed, 2 the call or the configuration is wrong, 3 a timeout came before the limit was reached.
//! Results go to standard output, everything else to standard error; an error is one line.

mod agent;
mod args;
mod bus;
mod colour;
mod completions;
mod demo;
mod doctor;
mod input;
mod json;
mod outcome;
mod output;
mod publish;
mod record;
mod runs;
mod schedules;
mod signals;
mod store;
mod table;
mod tail;
mod time;
mod topics;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command, DemoPeerArgs};
use crate::outcome::{Failure, Outcome};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).peekable();
    let outcome = if arguments
        .peek()
        .is_some_and(|first| first == DemoPeerArgs::NAME)
    {
        DemoPeerArgs::try_parse_from(arguments)
            .map_err(|error| Failure::usage(error.to_string()))
            .and_then(|args| on_runtime(demo::run_peer(args)))
    } else {
        match Cli::try_parse() {
            Ok(cli) => run(cli.command),
            Err(error) => outcome::of_usage(&error),
        }
    };
    match outcome {
        Ok(outcome) => outcome.into(),
        Err(failure) => {
            eprintln!("bowline: {failure}");
            failure.into()
        }
    }
}

fn run(command: Command) -> Result<Outcome, Failure> {
    match command {
        Command::Publish(args) => on_runtime(publish::run(args)),
        Command::Tail(args) => on_runtime(tail::run(args)),
        Command::Topics(args) => on_runtime(topics::run(args)),
        Command::Agent(args) => on_runtime(agent::run(args)),
        Command::Runs(args) => on_runtime(runs::run(args)),
        Command::Schedules(args) => on_runtime(schedules::run(args)),
        Command::Doctor(args) => on_runtime(doctor::run(args)),
        Command::Demo(args) => on_runtime(demo::run(args)),
        #[cfg(feature = "bench")]
        Command::Bench(args) => bench(&args),
        Command::Completions(args) => completions::run(&args),
    }
}

#[cfg(feature = "bench")]
fn bench(args: &bowline_bench::BenchArgs) -> Result<Outcome, Failure> {
    let program = std::env::current_exe().map_err(|error| {
        Failure::failed(format!(
            "this program cannot be found again to measure it: {error}"
        ))
    })?;
    let again = [program.into(), "bench".into()];
    Ok(Outcome::Exit(bowline_bench::run(args, &again)))
}

/// Runs `work` on one thread. Blocking reads and writes that are still under way at the end are abandoned.
fn on_runtime(work: impl Future<Output = Result<Outcome, Failure>>) -> Result<Outcome, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("the runtime cannot start: {error}")))?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_background();
    outcome
}
