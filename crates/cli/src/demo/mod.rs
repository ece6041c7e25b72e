//! `bowline demo`: what survives what, shown with processes that are killed, and nothing to install.

mod agent;
mod bus;
mod narrator;
mod scratch;

use serde::Serialize;

use self::narrator::Narrator;
use crate::args::{DemoArgs, DemoPeerArgs, Part, Show};
use crate::colour::Painter;
use crate::outcome::{Failure, Outcome};
use crate::output;
use crate::signals::Signals;

/// What a demo found out.
trait Findings: Serialize {
    /// Every promise that was broken, in plain words.
    fn broken(&self) -> Vec<String>;

    /// The table and the verdict.
    fn print(&self, painter: Painter) -> String;
}

pub(crate) async fn run(args: DemoArgs) -> Result<Outcome, Failure> {
    let narrator = Narrator::new(args.json);
    match args.show {
        Show::Agent => {
            let cast = agent::Cast::of(args.model.as_deref(), args.base_url.as_deref())?;
            let play = Box::pin(agent::play(&narrator, &cast));
            show(args.json, &narrator, play).await
        }
        Show::Bus if args.model.is_some() => Err(Failure::usage(
            "a bus has no model; leave --model out, or show the agent",
        )),
        Show::Bus => show(args.json, &narrator, bus::play(&narrator)).await,
    }
}

/// A process of a demo.
pub(crate) async fn run_peer(args: DemoPeerArgs) -> Result<Outcome, Failure> {
    match args.part {
        Part::Worker => agent::run_worker(args).await,
        Part::Broker | Part::Subscriber | Part::Publisher => bus::run_peer(args).await,
    }
}

/// Plays to the end, or until somebody has seen enough.
async fn show<F: Findings>(
    json: bool,
    narrator: &Narrator,
    play: impl Future<Output = Result<F, Failure>>,
) -> Result<Outcome, Failure> {
    let mut signals = Signals::listen()?;
    let findings = tokio::select! {
        findings = play => findings?,
        // Dropping the play ends its processes and removes its folder.
        () = signals.end() => return Err(Failure::interrupted()),
    };
    let text = if json {
        // A plain struct serialises always.
        serde_json::to_string(&findings).unwrap_or_default() + "\n"
    } else {
        findings.print(narrator.painter)
    };
    output::print(&text)?;
    Ok(if findings.broken().is_empty() {
        Outcome::Done
    } else {
        Outcome::FoundProblems
    })
}
