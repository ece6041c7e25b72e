//! `bowline runs`: the runs of workflows in a store.

mod args;
mod event;
mod info;
mod list;
mod merge;
mod show;
mod steer;
mod tree;
mod watch;

use args::RunsCommand;
pub(crate) use args::{FilterArgs, RunsArgs};
pub(crate) use list::print;
pub(crate) use steer::data;

use crate::outcome::{Failure, Outcome};

pub(crate) async fn run(args: RunsArgs) -> Result<Outcome, Failure> {
    match args.command {
        RunsCommand::List(args) => list::run(args).await,
        RunsCommand::Show(args) => show::run(args).await,
        RunsCommand::Watch(args) => watch::run(args).await,
        RunsCommand::Start(args) => steer::start(args).await,
        RunsCommand::Resume(args) => steer::resume(args).await,
        RunsCommand::Cancel(args) => steer::cancel(args).await,
        RunsCommand::Retry(args) => steer::retry(args).await,
    }
}

/// The part of `text` that fits one line, or all of it.
pub(crate) fn shorten(text: &str, full: bool) -> String {
    const SHOWN: usize = 100;
    if full || text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(SHOWN - 1).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::shorten;

    #[test]
    fn long_text_is_cut_between_characters() {
        let long = "ü".repeat(101);
        assert_eq!(shorten(&long, true), long);
        assert_eq!(shorten(&long[2..], false), long[2..]);
        assert_eq!(shorten(&long, false), "ü".repeat(99) + "…");
    }
}
