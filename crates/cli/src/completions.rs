//! `bowline completions`.

use clap::CommandFactory;

use crate::args::{Cli, CompletionsArgs};
use crate::outcome::{Failure, Outcome};
use crate::output;

pub(crate) fn run(args: &CompletionsArgs) -> Result<Outcome, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "bowline", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(Outcome::Done)
}
