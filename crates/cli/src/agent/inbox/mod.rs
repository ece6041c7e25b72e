//! `bowline agent notify` and `inbox`: what agents are told of, and what has become of it.

mod args;
mod list;
mod mark;
mod notify;
mod place;
mod show;

pub(crate) use args::{InboxArgs, NotifyArgs};
pub(super) use notify::notify;

use args::InboxCommand;
use bowline_agent::threads::NotificationStatus;

use crate::outcome::{Failure, Outcome};

pub(super) async fn run(args: InboxArgs) -> Result<Outcome, Failure> {
    match args.command {
        InboxCommand::List(args) => list::run(args).await,
        InboxCommand::Show(args) => show::run(args).await,
        InboxCommand::Seen(args) => mark::run(args, NotificationStatus::Seen).await,
        InboxCommand::Dismiss(args) => mark::run(args, NotificationStatus::Dismissed).await,
        InboxCommand::Archive(args) => mark::run(args, NotificationStatus::Archived).await,
    }
}
