//! The command line of `bowline agent`.

use std::path::PathBuf;

use bowline_agent::threads::ThreadId;
use clap::{Args, Subcommand, ValueEnum};

use super::inbox::{InboxArgs, NotifyArgs};
use crate::args::{Seconds, StoreArgs};
use crate::runs::FilterArgs;

const EXAMPLES: &str = "\
Examples:
  bowline agent run analyst 'Analyze this data' --config bowline.toml
  bowline agent observe run-17 --from 6
  bowline agent approve run-17 call-2
  bowline agent runs analyst --status suspended

Agents are declared in bowline.toml, and so may bus and store be:

  store = \"sqlite:app.db\"

  [agents.analyst]
  instructions = \"You are a careful analyst.\"
  model = \"openai/gpt-4o-mini\"            # the key is in OPENAI_API_KEY

What reads and steers runs needs the store, and the bus for what happens now, but neither model nor tools: the agent may be of any
program.";

const RUN_EXAMPLES: &str = "\
Examples:
  bowline agent run analyst 'Analyze this data'
  bowline agent run analyst 'And last year?' --thread t-1 --resource ann
  bowline agent run analyst - --json < question.txt

Prints what the model says as it says it; what tools do, and how to approve what waits, goes to standard error. Ctrl-C ends the
reading and not the run: any program with the agent goes on with it, so does bowline agent observe. In a thread in which a run is at
work it is refused: bowline agent signal says something to that run, or queues it. With --json each event is an
object: runId, offset, type (chunk, step-discarded, suspended, iteration-complete, finish, error or abort) and data, as on the wire.
Exit code 0 if the run ended well, 1 if it failed or was aborted, 130 after Ctrl-C.";

const OBSERVE_EXAMPLES: &str = "\
Examples:
  bowline agent observe run-17
  bowline agent observe run-17 --from 6 --json
  bowline agent observe run-17 --read-only

What has happened in the run, then what happens, until it ends; a run that waits for somebody is waited for. If bowline.toml declares
the agent, this command goes on with the run should nobody else work on it. Exit code 0 if the run ended well, 1 if it failed or was
aborted, 3 if --timeout came before.";

const APPROVE_EXAMPLES: &str = "\
Examples:
  bowline agent approve run-17
  bowline agent approve run-17 call-2

Without a call the only one that waits is meant.";

const DECLINE_EXAMPLES: &str = "\
Examples:
  bowline agent decline run-17 call-2 --reason 'too expensive'

The model is told why, and goes on.";

const RESUME_EXAMPLES: &str = "\
Examples:
  bowline agent resume run-17 '{\"city\":\"Oslo\"}'
  bowline agent resume run-17 --call call-2 @answer.json

Without a call the only one that waits is meant.";

const ABORT_EXAMPLES: &str = "\
Examples:
  bowline agent abort run-17

The run ends with what was said so far. It holds also if the process that works on the run dies now.";

const SIGNAL_EXAMPLES: &str = "\
Examples:
  bowline agent signal analyst 'Leave last year out' --thread t-1 --resource ann
  bowline agent signal analyst 'And then the summary' --thread t-1 --resource ann --queue
  bowline agent signal analyst 'The report is in' --thread t-1 --resource ann --if-idle persist

The run that is at work in the thread reads it before it asks its model the next time; if none is, the agent is woken. The run itself
is the matter of a program with the agent. Prints what became of it: wake, deliver, queued, persist, discard, before or blocked, and the
run.";

const LIST_EXAMPLES: &str = "\
Examples:
  bowline agent list
  bowline agent list --config bowline.toml --json";

const RUNS_EXAMPLES: &str = "\
Examples:
  bowline agent runs analyst
  bowline agent runs analyst --status suspended --json

The newest first, in the form of bowline runs list. bowline runs show tells more of one.";

/// Run agents; read and steer their runs
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct AgentArgs {
    #[command(subcommand)]
    pub(crate) command: AgentCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AgentCommand {
    Run(RunArgs),
    Observe(ObserveArgs),
    Approve(ApproveArgs),
    Decline(DeclineArgs),
    Resume(ResumeArgs),
    Abort(AbortArgs),
    Signal(SignalArgs),
    Notify(NotifyArgs),
    Inbox(InboxArgs),
    List(ListArgs),
    Runs(AgentRunsArgs),
}

/// Ask an agent something, and print the answer as it comes
#[derive(Debug, Args)]
#[command(after_help = RUN_EXAMPLES)]
pub(crate) struct RunArgs {
    /// The agent, as bowline.toml declares it
    pub(crate) agent: String,
    /// What to say to it; - for standard input
    pub(crate) message: String,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// The conversation that this belongs to
    #[arg(long, value_name = "ID")]
    pub(crate) thread: Option<String>,
    /// Whom the run is for
    #[arg(long, value_name = "ID")]
    pub(crate) resource: Option<String>,
    /// The id of the run; a random one unless it is given. An id that is taken is refused
    #[arg(long, value_name = "ID")]
    pub(crate) run_id: Option<String>,
    /// How often the model is asked at most
    #[arg(long, value_name = "N")]
    pub(crate) max_steps: Option<u32>,
}

/// Print what a run says, from its beginning or from any offset, until it ends
#[derive(Debug, Args)]
#[command(after_help = OBSERVE_EXAMPLES)]
pub(crate) struct ObserveArgs {
    /// The run
    pub(crate) run: String,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Begin at this offset: that of the last event that was seen, plus 1
    #[arg(long, value_name = "OFFSET", default_value_t = 0)]
    pub(crate) from: u64,
    /// Only read, also if the agent is declared here and nobody works on the run
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Stop after this many seconds
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<Seconds>,
}

/// Allow a call of a tool
#[derive(Debug, Args)]
#[command(after_help = APPROVE_EXAMPLES)]
pub(crate) struct ApproveArgs {
    /// The run
    pub(crate) run: String,
    /// The call
    pub(crate) call: Option<String>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// Refuse a call of a tool
#[derive(Debug, Args)]
#[command(after_help = DECLINE_EXAMPLES)]
pub(crate) struct DeclineArgs {
    /// The run
    pub(crate) run: String,
    /// The call
    pub(crate) call: Option<String>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Why, for the model
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

/// Answer a call of a tool that waits for data
#[derive(Debug, Args)]
#[command(after_help = RESUME_EXAMPLES)]
pub(crate) struct ResumeArgs {
    /// The run
    pub(crate) run: String,
    /// The answer: JSON text, @FILE for the text of a file, or - for standard input
    #[arg(value_name = "JSON", allow_hyphen_values = true)]
    pub(crate) data: String,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// The call
    #[arg(long, value_name = "ID")]
    pub(crate) call: Option<String>,
}

/// Stop a run, wherever it runs
#[derive(Debug, Args)]
#[command(after_help = ABORT_EXAMPLES)]
pub(crate) struct AbortArgs {
    /// The run
    pub(crate) run: String,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// Say something to an agent that is at work in a thread, or wake it
#[derive(Debug, Args)]
#[command(after_help = SIGNAL_EXAMPLES)]
pub(crate) struct SignalArgs {
    /// The agent, as bowline.toml declares it
    pub(crate) agent: String,
    /// What to say
    pub(crate) message: String,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) thread: ThreadArgs,
    /// To be answered by a run of its own, when those before have ended
    #[arg(long, conflicts_with_all = ["if_active", "if_idle", "require_owner"])]
    pub(crate) queue: bool,
    /// What to do when the agent is at work
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = IfActive::Deliver)]
    pub(crate) if_active: IfActive,
    /// What to do when it is not
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = IfIdle::Wake)]
    pub(crate) if_idle: IfIdle,
    /// Wake the agent only where a process has claimed the conversation
    #[arg(long)]
    pub(crate) require_owner: bool,
}

/// Which conversation is meant.
#[derive(Debug, Args)]
pub(crate) struct ThreadArgs {
    /// The conversation
    #[arg(long, value_name = "ID")]
    pub(crate) thread: String,
    /// Whom the conversation is with
    #[arg(long, value_name = "ID")]
    pub(crate) resource: Option<String>,
}

impl ThreadArgs {
    pub(crate) fn id(&self) -> ThreadId {
        let resource = self.resource.clone().map(Into::into);
        ThreadId::of(self.thread.clone(), resource)
    }
}

/// What becomes of a signal when the agent is at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum IfActive {
    /// Its run reads it
    Deliver,
    /// It is kept for the next run
    Persist,
    /// It is dropped
    Discard,
}

/// What becomes of a signal when the agent is not at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum IfIdle {
    /// The agent wakes
    Wake,
    /// It is kept for the next run
    Persist,
    /// It is dropped
    Discard,
}

/// List the agents that bowline.toml declares
#[derive(Debug, Args)]
#[command(after_help = LIST_EXAMPLES)]
pub(crate) struct ListArgs {
    /// A configuration file to read instead of ./bowline.toml
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print JSON, one object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// List the runs of an agent, the newest first
#[derive(Debug, Args)]
#[command(after_help = RUNS_EXAMPLES)]
pub(crate) struct AgentRunsArgs {
    /// The agent
    pub(crate) agent: String,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
}
