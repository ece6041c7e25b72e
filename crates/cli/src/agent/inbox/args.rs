//! The command line of `bowline agent notify` and `inbox`.

use std::time::Duration;

use bowline_agent::threads::{
    MAX_NOTIFICATION_ID, MAX_NOTIFICATION_NAME, NotificationStatus, Priority,
};
use bowline_events::Timestamp;
use bowline_store::Cursor;
use clap::{Args, Subcommand, ValueEnum};

use crate::agent::args::ThreadArgs;
use crate::args::StoreArgs;
use crate::time;

const NOTIFY_EXAMPLES: &str = "\
Examples:
  bowline agent notify analyst 'The build of main is red' --thread t-1 --resource ann --source ci --kind build --priority high
  bowline agent notify analyst 'Build 17 is green' --thread t-1 --source ci --kind build --id build-17 --coalesce-key main
  bowline agent notify analyst 'The report is due' --thread t-1 --source calendar --kind reminder --in 2h

It is put into the inbox of the thread. Unless --at or --in says when, the priority decides what becomes of it: at once (urgent, or
the agent is not at work and it is not low), or in a summary; a policy of a program is not known here. What is to be told later is
told by a program with the agent, and so is the run that is woken. Prints the id, the status, what was decided (deliver, defer until
an instant, or summarize), and what became of the signal, in the words of bowline agent signal; before is one whose id the inbox had.
With --json the record, as inbox list has it, with decision, accepted and runId.";

const INBOX_EXAMPLES: &str = "\
Examples:
  bowline agent inbox list --thread t-1 --resource ann --unread
  bowline agent inbox show build-17 --thread t-1 --resource ann
  bowline agent inbox dismiss build-17 build-18 --thread t-1 --resource ann

Each thread has an inbox, and threads with somebody (--resource) have their own. Only the store is needed: the agent may be of any
program, which may run meanwhile or not.";

const LIST_EXAMPLES: &str = "\
Examples:
  bowline agent inbox list --thread t-1 --unread
  bowline agent inbox list analyst --thread t-1 --source ci --search red --json

The newest first. Looking marks nothing as seen. With --json each notification is an object: id, threadId, resourceId, agentId,
source, sourceId, kind, priority, status, summary, payload, attributes, metadata, dedupeKey, coalesceKey, coalescedCount, createdAt,
updatedAt, deliverAt, summaryAt, deliveredAt, seenAt, dismissedAt, archivedAt, discardedAt, deliveryReason, deliveryAttempts,
lastDeliveryAttemptAt, lastDeliveryError, deliveredSignalId, summarySignalId; where there are more, the last line is an object with
the single member next, the value for --cursor.";

const SHOW_EXAMPLES: &str = "\
Examples:
  bowline agent inbox show build-17 --thread t-1
  bowline agent inbox show build-17 --thread t-1 --json

Everything that is kept of it, also the payload, which the agent is not told.";

const SEEN_EXAMPLES: &str = "\
Examples:
  bowline agent inbox seen build-17 --thread t-1

One that is pending is not told to the agent any more, unless that is happening.";

const DISMISS_EXAMPLES: &str = "\
Examples:
  bowline agent inbox dismiss build-17 build-18 --thread t-1

One that is pending is not told to the agent any more, unless that is happening.";

const ARCHIVE_EXAMPLES: &str = "\
Examples:
  bowline agent inbox archive build-17 build-18 --thread t-1

One that is pending is not told to the agent any more, unless that is happening.";

/// Tell an agent that something has happened, by the inbox of a thread
#[derive(Debug, Args)]
#[command(after_help = NOTIFY_EXAMPLES)]
pub(crate) struct NotifyArgs {
    /// The agent, as bowline.toml declares it
    pub(crate) agent: String,
    /// What the agent is told
    pub(crate) summary: String,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) thread: ThreadArgs,
    /// Where it has happened, such as ci
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub(crate) source: String,
    /// What has happened, such as build
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub(crate) kind: String,
    /// How urgent it is; medium unless it is given
    #[arg(long, value_enum, value_name = "PRIORITY")]
    pub(crate) priority: Option<Urgency>,
    /// The id; a random one unless it is given. One that the inbox has is not taken again
    #[arg(long, value_name = "ID", value_parser = id)]
    pub(crate) id: Option<String>,
    /// Joined to the one with this key that is pending, for the same agent, of the same source and kind
    #[arg(long, value_name = "KEY", value_parser = name)]
    pub(crate) dedupe_key: Option<String>,
    /// As --dedupe-key, for those that are not the same and belong together
    #[arg(long, value_name = "KEY", value_parser = name)]
    pub(crate) coalesce_key: Option<String>,
    /// Details that the agent is not told: JSON text, @FILE for the text of a file, or - for standard input
    #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
    pub(crate) payload: Option<String>,
    /// To be told then: a date, or an instant; one that is over is now
    #[arg(long, value_name = "TIME", value_parser = time::instant, conflicts_with = "wait")]
    pub(crate) at: Option<Timestamp>,
    /// To be told after this time, such as 15m or 2h
    #[arg(long = "in", value_name = "TIME", value_parser = time::wait)]
    pub(crate) wait: Option<Duration>,
}

/// Look into the inbox of a thread, and say what has become of it
#[derive(Debug, Args)]
#[command(after_help = INBOX_EXAMPLES, arg_required_else_help = true)]
pub(crate) struct InboxArgs {
    #[command(subcommand)]
    pub(crate) command: InboxCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum InboxCommand {
    List(ListArgs),
    Show(ShowArgs),
    /// Mark notifications as seen
    #[command(after_help = SEEN_EXAMPLES)]
    Seen(MarkArgs),
    /// Mark notifications as dismissed: nobody wants to hear of them
    #[command(after_help = DISMISS_EXAMPLES)]
    Dismiss(MarkArgs),
    /// Mark notifications as archived: somebody has dealt with them
    #[command(after_help = ARCHIVE_EXAMPLES)]
    Archive(MarkArgs),
}

/// List the notifications of a thread, the newest first
#[derive(Debug, Args)]
#[command(after_help = LIST_EXAMPLES)]
pub(crate) struct ListArgs {
    /// Those for this agent
    pub(crate) agent: Option<String>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) thread: ThreadArgs,
    /// Those in this status; may be given several times
    #[arg(long, value_enum, value_name = "STATUS")]
    pub(crate) status: Vec<Status>,
    /// Those that nobody has dealt with: pending and delivered
    #[arg(long, conflicts_with = "status")]
    pub(crate) unread: bool,
    /// Those of this priority
    #[arg(long, value_enum, value_name = "PRIORITY")]
    pub(crate) priority: Option<Urgency>,
    /// Those of this source
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
    /// Those with this text in their summary, kind or source, whatever the case
    #[arg(long, value_name = "TEXT")]
    pub(crate) search: Option<String>,
    /// At most this many, 1 to 100
    #[arg(long, value_name = "N", default_value = "50", value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) limit: u16,
    /// Those after this place, which the list before told
    #[arg(long, value_name = "CURSOR", value_parser = cursor)]
    pub(crate) cursor: Option<Cursor>,
}

/// Show a notification: what it says, and what has become of it
#[derive(Debug, Args)]
#[command(after_help = SHOW_EXAMPLES)]
pub(crate) struct ShowArgs {
    /// Its id
    #[arg(value_name = "NOTIFICATION")]
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) thread: ThreadArgs,
}

/// Which notifications are marked.
#[derive(Debug, Args)]
pub(crate) struct MarkArgs {
    /// Their ids
    #[arg(required = true, value_name = "NOTIFICATION")]
    pub(crate) ids: Vec<String>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) thread: ThreadArgs,
}

/// How urgent a notification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Urgency {
    Low,
    Medium,
    High,
    Urgent,
}

impl From<Urgency> for Priority {
    fn from(urgency: Urgency) -> Self {
        match urgency {
            Urgency::Low => Self::Low,
            Urgency::Medium => Self::Medium,
            Urgency::High => Self::High,
            Urgency::Urgent => Self::Urgent,
        }
    }
}

/// What has become of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Status {
    /// The agent has not been told, or only in a summary
    Pending,
    /// The agent has been told
    Delivered,
    /// Somebody has looked at it
    Seen,
    /// Somebody does not want to hear of it
    Dismissed,
    /// Somebody has put it away
    Archived,
    /// The policy did not want it
    Discarded,
    /// The agent could not be told
    Failed,
}

impl From<Status> for NotificationStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Pending => Self::Pending,
            Status::Delivered => Self::Delivered,
            Status::Seen => Self::Seen,
            Status::Dismissed => Self::Dismissed,
            Status::Archived => Self::Archived,
            Status::Discarded => Self::Discarded,
            Status::Failed => Self::Failed,
        }
    }
}

fn id(text: &str) -> Result<String, String> {
    within(text, MAX_NOTIFICATION_ID)
}

fn name(text: &str) -> Result<String, String> {
    within(text, MAX_NOTIFICATION_NAME)
}

fn within(text: &str, limit: usize) -> Result<String, String> {
    match text.len() {
        0 => Err(format!("write 1 to {limit} bytes")),
        n if n > limit => Err(format!("it has {n} bytes; write 1 to {limit}")),
        _ => Ok(text.to_owned()),
    }
}

fn cursor(text: &str) -> Result<Cursor, String> {
    text.parse()
        .map_err(|_| "it is no cursor; take the one that inbox list told".to_owned())
}
