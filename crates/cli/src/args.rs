//! The command line, as clap sees it.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bowline_events::StartFrom;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::agent::AgentArgs;
use crate::runs::RunsArgs;
use crate::schedules::SchedulesArgs;

const EXAMPLES: &str = "\
Examples:
  bowline agent run analyst 'Analyze this data'
  bowline tail orders --bus unix:///tmp/shop/events.sock
  bowline publish orders --bus unix:///tmp/shop/events.sock --type order.created --data '{\"n\":1}'
  export BOWLINE_BUS=unix:///tmp/shop/events.sock

The bus is taken from --bus, else from BOWLINE_BUS, else from bowline.toml in the working folder (bus = \"unix:///...\");
the cache from --cache, BOWLINE_CACHE or cache = \"sqlite:events.db\" in the same way, the store from --store, BOWLINE_STORE or
store = \"sqlite:app.db\".
Exit codes: 0 done, 1 failed, 2 wrong call or configuration, 3 timed out before the limit.";

const PUBLISH_EXAMPLES: &str = "\
Examples:
  bowline publish orders --type order.created --data '{\"n\":1}'
  bowline publish orders --type order.created --run-id run-1 --data @order.json
  generate | bowline publish orders --type order.created --ndjson

Prints one line of JSON for each event: topic, id and index, as far as the bus knows them.";

const TAIL_EXAMPLES: &str = "\
Examples:
  bowline tail orders
  bowline tail orders --json --limit 1 --timeout 5
  bowline tail jobs --group workers --json | worker
  bowline tail agent.stream.run-1 --from 0 --cache sqlite:events.db

In a group each event goes to one member; it counts as done once its line was written.";

const TOPICS_EXAMPLES: &str = "\
Examples:
  bowline topics --bus unix:///tmp/shop/events.sock
  bowline topics --json";

const DOCTOR_EXAMPLES: &str = "\
Examples:
  bowline doctor --bus unix:///tmp/shop/events.sock
  bowline doctor --bus redis://localhost:6379 --cache redis://localhost:6379
  bowline doctor --cache sqlite:events.db --store postgres://app:secret@db.example/app
  bowline doctor --json

Looks only: it neither becomes the broker nor changes a file or a key. Exit code 1 if the bus cannot be used as it is.";

const DEMO_EXAMPLES: &str = "\
Examples:
  bowline demo
  bowline demo --model openai/gpt-4o-mini
  bowline demo bus --json

An agent with a scripted model and a tool works in a process of its own. A reader disconnects and comes back where it was, the
process gets kill -9 in the middle of a sentence, another one goes on, and every index of the stream is counted. With bus: a
broker, two subscribers and a publisher on a socket, and the broker is killed. Cleans up after itself. Exit code 1 if something
was lost or doubled that must not be.";

#[cfg(feature = "bench")]
const BENCH_EXAMPLES: &str = "\
Examples:
  bowline bench w1
  bowline bench w3.storm --json
  bowline bench w1 w3 --list

Measures this very program, so use a release build.";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  bowline completions bash > ~/.local/share/bash-completion/completions/bowline
  bowline completions zsh > ~/.zfunc/_bowline";

/// Run agents; publish, tail and inspect an event bus; look at workflow runs and schedules, and steer them
#[derive(Debug, Parser)]
#[command(name = "bowline", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Agent(AgentArgs),
    Publish(PublishArgs),
    Tail(TailArgs),
    Topics(TopicsArgs),
    Runs(RunsArgs),
    Schedules(SchedulesArgs),
    Doctor(DoctorArgs),
    Demo(DemoArgs),
    /// Measure the bus with the workloads of the project
    #[cfg(feature = "bench")]
    #[command(after_help = BENCH_EXAMPLES)]
    Bench(bowline_bench::BenchArgs),
    Completions(CompletionsArgs),
}

/// Which bus to use.
#[derive(Debug, Args)]
pub(crate) struct BusArgs {
    /// The bus: memory:, unix:///absolute/path.sock or redis://user:password@host:6379/0, with ?option=value [env: BOWLINE_BUS]
    #[arg(long, value_name = "URL")]
    pub(crate) bus: Option<String>,
    /// The cache that makes topics resumable: memory:, sqlite:events.db, postgres://user:password@host/database,
    /// redis://host:6379 or upstash://host?token=... [env: BOWLINE_CACHE]
    #[arg(long, value_name = "URL")]
    pub(crate) cache: Option<String>,
    /// A configuration file to read instead of ./bowline.toml
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// Which store to work on, and which bus its workers listen to.
#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    /// The store of the runs: sqlite:app.db or postgres://user:password@host/database [env: BOWLINE_STORE]
    #[arg(long, value_name = "URL")]
    pub(crate) store: Option<String>,
    #[command(flatten)]
    pub(crate) bus: BusArgs,
    /// Print JSON, one object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Publish events to a topic
#[derive(Debug, Args)]
#[command(after_help = PUBLISH_EXAMPLES)]
pub(crate) struct PublishArgs {
    /// The topic: any text, compared exactly
    pub(crate) topic: String,
    #[command(flatten)]
    pub(crate) bus: BusArgs,
    /// The type of the event, such as order.created
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) event_type: String,
    /// The run, task or thread that the event belongs to
    #[arg(long, value_name = "ID", default_value = "")]
    pub(crate) run_id: String,
    /// The data: JSON text, @FILE for the text of a file, or - for standard input
    #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
    pub(crate) data: Option<String>,
    /// Publish one event for each line of standard input; the line is the data
    #[arg(long, conflicts_with = "data")]
    pub(crate) ndjson: bool,
}

/// Print the events of a topic as they come
#[derive(Debug, Args)]
#[command(after_help = TAIL_EXAMPLES)]
pub(crate) struct TailArgs {
    /// The topic: any text, compared exactly
    pub(crate) topic: String,
    #[command(flatten)]
    pub(crate) bus: BusArgs,
    /// Share the events with the other members of this group
    #[arg(long, value_name = "GROUP")]
    pub(crate) group: Option<String>,
    /// Where to begin: earliest, latest, or the index of an event
    #[arg(long, value_name = "POSITION", default_value = "latest")]
    pub(crate) from: From,
    /// Stop after this many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
    /// Stop after this many seconds; exit code 3 if there is a limit and it was not reached
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<Seconds>,
    /// Print each event as one line of JSON, its data unchanged
    #[arg(long)]
    pub(crate) json: bool,
    /// Do not say on standard error that listening began
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// List the topics that the bus knows
#[derive(Debug, Args)]
#[command(after_help = TOPICS_EXAMPLES)]
pub(crate) struct TopicsArgs {
    #[command(flatten)]
    pub(crate) bus: BusArgs,
    /// Print each topic as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Find out what is wrong with a bus, and how to mend it
#[derive(Debug, Args)]
#[command(after_help = DOCTOR_EXAMPLES)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) bus: BusArgs,
    /// The store to look at as well: sqlite:app.db or postgres://user:password@host/database [env: BOWLINE_STORE]
    #[arg(long, value_name = "URL")]
    pub(crate) store: Option<String>,
    /// Print the report as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Watch an agent survive kill -9, in a few seconds and with nothing to install
#[derive(Debug, Args)]
#[command(after_help = DEMO_EXAMPLES)]
pub(crate) struct DemoArgs {
    /// What to show
    #[arg(value_enum, default_value_t = Show::Agent)]
    pub(crate) show: Show,
    /// A real model instead of a scripted one, with its key in the environment: openai/gpt-4o-mini, anthropic/claude-sonnet-4-5
    #[arg(long, value_name = "PROVIDER/MODEL")]
    pub(crate) model: Option<String>,
    /// Where the model is, if not where its provider has it
    #[arg(long, value_name = "URL", requires = "model")]
    pub(crate) base_url: Option<String>,
    /// Print only the result, as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a demo shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Show {
    /// A run of an agent whose process is killed, and a reader that disconnects
    Agent,
    /// A bus whose broker is killed
    Bus,
}

/// A process of the demo. Not a command for people, so neither the help nor the completions know it.
#[derive(Debug, Parser)]
#[command(name = DemoPeerArgs::NAME)]
pub(crate) struct DemoPeerArgs {
    /// What it does
    pub(crate) part: Part,
    /// The socket of the bus
    #[arg(long)]
    pub(crate) socket: PathBuf,
    /// The model of the agent, unless it is scripted
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// Where that model is
    #[arg(long)]
    pub(crate) base_url: Option<String>,
}

impl DemoPeerArgs {
    /// The first argument that asks for it.
    pub(crate) const NAME: &str = "demo-peer";
}

/// What a process of the demo does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Be the first on the bus.
    Broker,
    /// Listen.
    Subscriber,
    /// Publish, and keep the history.
    Publisher,
    /// Work on the runs of an agent.
    Worker,
}

impl Part {
    /// The word on the command line.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Subscriber => "subscriber",
            Self::Publisher => "publisher",
            Self::Worker => "worker",
        }
    }
}

/// Print the completion script of a shell
#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS_EXAMPLES)]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: Shell,
}

/// The value of `--from`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct From(pub(crate) StartFrom);

impl FromStr for From {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "earliest" => Ok(Self(StartFrom::Earliest)),
            "latest" => Ok(Self(StartFrom::Latest)),
            _ => text
                .parse()
                .map(|index| Self(StartFrom::Offset(index)))
                .map_err(|_| "write earliest, latest or the index of an event".to_owned()),
        }
    }
}

/// The value of `--timeout`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Seconds(pub(crate) Duration);

impl FromStr for Seconds {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        text.parse()
            .ok()
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .map(Self)
            .ok_or_else(|| "write a number of seconds, such as 5 or 0.5".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn positions_and_seconds() {
        assert_eq!("7".parse(), Ok(From(StartFrom::Offset(7))));
        assert!("first".parse::<From>().is_err());
        assert_eq!("0.5".parse(), Ok(Seconds(Duration::from_millis(500))));
        for wrong in ["-1", "NaN", "inf", "x", "1e30"] {
            assert!(wrong.parse::<Seconds>().is_err(), "{wrong}");
        }
    }
}
