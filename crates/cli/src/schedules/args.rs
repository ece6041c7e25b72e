//! The command line of `bowline schedules`.

use bowline_store::Cursor;
use clap::{Args, Subcommand};

use crate::args::StoreArgs;

const EXAMPLES: &str = "\
Examples:
  bowline schedules list --store sqlite:app.db
  bowline schedules show nightly
  bowline schedules run nightly

The store is taken from --store, else from BOWLINE_STORE, else from bowline.toml. Schedules fire while some program has a
scheduler on the store; this command is none.";

const LIST_EXAMPLES: &str = "\
Examples:
  bowline schedules list
  bowline schedules list --workflow report --json

The newest first. With --json each schedule is an object: schedule (as in the store, times in milliseconds) and last (the newest
entry of its history); where there are more, the last line is an object with the single member next, the value for --cursor.";

const SHOW_EXAMPLES: &str = "\
Examples:
  bowline schedules show nightly
  bowline schedules show nightly --limit 50 --json

With --json one object: schedule, triggers (the newest first).";

const CHANGE_EXAMPLES: &str = "\
Examples:
  bowline schedules pause nightly
  bowline schedules resume nightly

A paused schedule fires again from its next time after it was resumed; what it missed meanwhile is not made up for.";

const RUN_EXAMPLES: &str = "\
Examples:
  bowline schedules run nightly

Starts a run now, whether the schedule is paused or not; its next time stays. Prints the entry of the history, and exits with 1
if no run could be started.";

const DELETE_EXAMPLES: &str = "\
Examples:
  bowline schedules delete nightly --yes

Deletes the schedule and its history; runs that it has started go on. A schedule that a program declares comes back when that
program starts: pause it instead.";

/// List, show and steer the schedules that start runs
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct SchedulesArgs {
    #[command(subcommand)]
    pub(crate) command: SchedulesCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SchedulesCommand {
    List(ListArgs),
    Show(ShowArgs),
    /// Stop a schedule until it is resumed
    #[command(after_help = CHANGE_EXAMPLES)]
    Pause(OneArgs),
    /// Let a paused schedule fire again
    #[command(after_help = CHANGE_EXAMPLES)]
    Resume(OneArgs),
    /// Start a run of a schedule now
    #[command(after_help = RUN_EXAMPLES)]
    Run(OneArgs),
    Delete(DeleteArgs),
}

/// List schedules, with their next time and what became of the last
#[derive(Debug, Args)]
#[command(after_help = LIST_EXAMPLES)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Those that start this workflow
    #[arg(long, value_name = "ID")]
    pub(crate) workflow: Option<String>,
    /// Those that belong to this owner
    #[arg(long, value_name = "ID")]
    pub(crate) owner: Option<String>,
    /// Those that are paused
    #[arg(long)]
    pub(crate) paused: bool,
    /// At most this many
    #[arg(long, value_name = "N", default_value = "50", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) limit: u16,
    /// Those after this place, which the list before told
    #[arg(long, value_name = "CURSOR", value_parser = cursor)]
    pub(crate) cursor: Option<Cursor>,
}

/// Show a schedule and the newest entries of its history
#[derive(Debug, Args)]
#[command(after_help = SHOW_EXAMPLES)]
pub(crate) struct ShowArgs {
    /// The schedule
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// At most this many entries
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) limit: u16,
}

/// A schedule, and nothing else.
#[derive(Debug, Args)]
pub(crate) struct OneArgs {
    /// The schedule
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// Delete a schedule and its history
#[derive(Debug, Args)]
#[command(after_help = DELETE_EXAMPLES)]
pub(crate) struct DeleteArgs {
    /// The schedule
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Yes, delete it
    #[arg(long)]
    pub(crate) yes: bool,
}

fn cursor(text: &str) -> Result<Cursor, String> {
    text.parse()
        .map_err(|_| "it is no cursor; take the one that schedules list told".to_owned())
}
