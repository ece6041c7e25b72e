//! The command line of `bowline runs`.

use bowline_events::Timestamp;
use bowline_workflow::{RunCursor, RunQuery, RunStatus};
use clap::{Args, Subcommand};

use crate::args::{Seconds, StoreArgs};
use crate::time::When;

const EXAMPLES: &str = "\
Examples:
  bowline runs list --store sqlite:app.db --status suspended --status failed
  bowline runs show order-17
  bowline runs resume order-17 --step approve --data '{\"approved\":true}' --wait

The store is taken from --store, else from BOWLINE_STORE, else from bowline.toml. It may be used by any number of programs at
the same time. This command runs no steps: a program that has the workflow goes on with what is started, resumed or retried. Give
the bus of those programs as well (--bus), and they are told at once; otherwise they find it when they next look at the store,
after a second by default.";

const LIST_EXAMPLES: &str = "\
Examples:
  bowline runs list
  bowline runs list --workflow triage --status failed --since 2h
  bowline runs list --resource customer-3 --limit 20 --json

The newest first. With --json each run is an object: id, workflow, status, resource, createdAt, endedAt, dueAt, durationMs,
worker, result, error, suspended (path, step, index, labels, payload); where there are more runs, the last line is an object with
the single member next, the value for --cursor.";

const SHOW_EXAMPLES: &str = "\
Examples:
  bowline runs show order-17
  bowline runs show order-17 --full
  bowline runs show order-17 --json

The tree of a run: every entry with its branches, iterations and nested workflows, when it began after the start of the run, and
how long it took. With --json one object: run (as runs list has it), input, state, and parts (kind, id, index, status, attempts,
startedAt, endedAt, durationMs, dueAt, output, error, suspendPayload, resumePayload, nestedRunId, parts).";

const WATCH_EXAMPLES: &str = "\
Examples:
  bowline runs watch order-17
  bowline runs watch order-17 --json --from 12
  bowline runs watch order-17 --bus unix:///tmp/shop/events.sock

Everything that has happened in the run, then what happens, until it ends; a suspended run is waited for. The events come from
the journal in the store, so none is missed. With the bus of the workers they come at once, and with them what steps write
themselves from now on; without it the journal is looked at every half second. With --json each event is an object: at, index,
runId (of this run, or of a nested one), event (as on the wire). Exit code 0 if the run succeeded, 1 if it failed or was
cancelled, 3 if --timeout came before.";

const START_EXAMPLES: &str = "\
Examples:
  bowline runs start triage --input '{\"text\":\"it panics\"}'
  bowline runs start triage --run-id ticket-17 --input @ticket.json --wait

The workflow has to be known to the store: some program that has it was started on it once.";

const RESUME_EXAMPLES: &str = "\
Examples:
  bowline runs resume order-17 --data '{\"approved\":true}'
  bowline runs resume order-17 --step review.approve --data @answer.json --wait
  bowline runs resume order-17 --label boss --data -

Without --step and --label the only suspended step is meant. A run that is paused after an entry
goes on to its end.";

const CANCEL_EXAMPLES: &str = "\
Examples:
  bowline runs cancel order-17
  bowline runs cancel order-17 order-18";

const RETRY_EXAMPLES: &str = "\
Examples:
  bowline runs retry order-17
  bowline runs retry order-17 --wait

The steps that failed are tried again, with as many attempts as they had; what succeeded is not run again.";

/// List, show, watch and steer the runs of workflows
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct RunsArgs {
    #[command(subcommand)]
    pub(crate) command: RunsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    List(ListArgs),
    Show(ShowArgs),
    Watch(WatchArgs),
    Start(StartArgs),
    Resume(ResumeArgs),
    Cancel(CancelArgs),
    Retry(RetryArgs),
}

/// List runs, the newest first
#[derive(Debug, Args)]
#[command(after_help = LIST_EXAMPLES)]
pub(crate) struct ListArgs {
    /// Those of this workflow
    #[arg(long, value_name = "ID")]
    pub(crate) workflow: Option<String>,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
}

/// Which runs, of whatever workflow.
#[derive(Debug, Args)]
pub(crate) struct FilterArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Those in this status; may be given several times
    #[arg(long, value_name = "STATUS", value_parser = status)]
    pub(crate) status: Vec<RunStatus>,
    /// Those for this resource
    #[arg(long, value_name = "ID")]
    pub(crate) resource: Option<String>,
    /// Those started then or later: an age such as 2h, a date, or an instant
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<When>,
    /// Those started before then
    #[arg(long, value_name = "TIME")]
    pub(crate) before: Option<When>,
    /// At most this many
    #[arg(long, value_name = "N", default_value = "50", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) limit: u16,
    /// Those after this place, which the list before told
    #[arg(long, value_name = "CURSOR", value_parser = cursor)]
    pub(crate) cursor: Option<RunCursor>,
}

impl FilterArgs {
    /// The same as a query.
    pub(crate) fn query(&self, now: Timestamp) -> RunQuery {
        let mut query = RunQuery::new()
            .limit(self.limit.into())
            .after(self.cursor.clone());
        if let Some(resource) = &self.resource {
            query = query.resource(resource.clone());
        }
        if let Some(since) = self.since {
            query = query.created_from(since.from(now));
        }
        if let Some(before) = self.before {
            query = query.created_before(before.from(now));
        }
        self.status
            .iter()
            .fold(query, |query, status| query.status(*status))
    }
}

/// Show a run: its steps as a tree, with times, errors, and what it waits for
#[derive(Debug, Args)]
#[command(after_help = SHOW_EXAMPLES)]
pub(crate) struct ShowArgs {
    /// The run
    pub(crate) run: String,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Print values as they are, however long, and every iteration of an array
    #[arg(long)]
    pub(crate) full: bool,
}

/// Print the events of a run as they come, until it ends
#[derive(Debug, Args)]
#[command(after_help = WATCH_EXAMPLES)]
pub(crate) struct WatchArgs {
    /// The run
    pub(crate) run: String,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Begin with the event of this index
    #[arg(long, value_name = "INDEX", default_value_t = 0)]
    pub(crate) from: u64,
    /// Stop after this many seconds
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<Seconds>,
    /// Print values as they are, however long
    #[arg(long)]
    pub(crate) full: bool,
}

/// Start a run of a workflow
#[derive(Debug, Args)]
#[command(after_help = START_EXAMPLES)]
pub(crate) struct StartArgs {
    /// The workflow
    pub(crate) workflow: String,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// The input: JSON text, @FILE for the text of a file, or - for standard input
    #[arg(
        long,
        value_name = "JSON",
        allow_hyphen_values = true,
        default_value = "{}"
    )]
    pub(crate) input: String,
    /// The id of the run; a random one unless it is given. An id that is taken is refused
    #[arg(long, value_name = "ID")]
    pub(crate) run_id: Option<String>,
    /// Whom the run is for
    #[arg(long, value_name = "ID")]
    pub(crate) resource: Option<String>,
    /// Wait until the run has ended or halted; exit code 1 if it failed
    #[arg(long)]
    pub(crate) wait: bool,
}

/// Let a suspended run go on
#[derive(Debug, Args)]
#[command(after_help = RESUME_EXAMPLES)]
pub(crate) struct ResumeArgs {
    /// The run
    pub(crate) run: String,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// The suspended step; outer.inner for one of a nested workflow
    #[arg(long, value_name = "ID")]
    pub(crate) step: Option<String>,
    /// The label that the step was suspended with
    #[arg(long, value_name = "LABEL", conflicts_with = "step")]
    pub(crate) label: Option<String>,
    /// The iteration of an array
    #[arg(long, value_name = "N")]
    pub(crate) index: Option<usize>,
    /// What the step is resumed with: JSON text, @FILE for the text of a file, or - for standard input
    #[arg(
        long,
        value_name = "JSON",
        allow_hyphen_values = true,
        default_value = "null"
    )]
    pub(crate) data: String,
    /// Wait until the run has ended or halted again; exit code 1 if it failed
    #[arg(long)]
    pub(crate) wait: bool,
}

/// Cancel runs, wherever they run
#[derive(Debug, Args)]
#[command(after_help = CANCEL_EXAMPLES)]
pub(crate) struct CancelArgs {
    /// The runs
    #[arg(required = true)]
    pub(crate) runs: Vec<String>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// Try the failed steps of a failed run again
#[derive(Debug, Args)]
#[command(after_help = RETRY_EXAMPLES)]
pub(crate) struct RetryArgs {
    /// The run
    pub(crate) run: String,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Wait until the run has ended or halted again; exit code 1 if it failed
    #[arg(long)]
    pub(crate) wait: bool,
}

fn status(text: &str) -> Result<RunStatus, String> {
    RunStatus::parse(text).ok_or_else(|| {
        "it is pending, running, waiting, suspended, paused, success, failed, tripwire or canceled"
            .to_owned()
    })
}

fn cursor(text: &str) -> Result<RunCursor, String> {
    text.parse()
        .map_err(|_| "it is no cursor; take the one that runs list told".to_owned())
}
