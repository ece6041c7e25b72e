//! `bowline runs start`, `resume`, `cancel` and `retry`.

use std::time::Duration;

use bowline_workflow::{Data, Resume, RunInfo, RunStatus, Start};
use tokio::time::timeout;

use super::args::{CancelArgs, ResumeArgs, RetryArgs, StartArgs};
use super::info::{self, Line};
use super::shorten;
use crate::args::StoreArgs;
use crate::bus::note;
use crate::colour::{Colour, Painter};
use crate::input;
use crate::json;
use crate::outcome::{Failure, Outcome};
use crate::output;
use crate::store::{Need, Workplace};

/// Bytes of JSON that a run takes at a time.
const DATA_LIMIT: usize = 4 * 1024 * 1024;

/// After what time a user is told that something takes long.
const SAID_AFTER: Duration = Duration::from_secs(3);

pub(crate) async fn start(args: StartArgs) -> Result<Outcome, Failure> {
    let mut start = Start::with_data(data("--input", &args.input)?);
    if let Some(id) = args.run_id {
        start = start.run_id(id);
    }
    if let Some(resource) = args.resource {
        start = start.resource(resource);
    }
    let place = Workplace::open(&args.store, Need::Bus).await?;
    let run = patiently(place.engine.submit(&args.workflow, start)).await?;
    finish(&place, &args.store, run.id(), args.wait).await
}

pub(crate) async fn resume(args: ResumeArgs) -> Result<Outcome, Failure> {
    let mut resume = Resume::with_data(data("--data", &args.data)?);
    if let Some(step) = args.step {
        resume = resume.step(step);
    }
    if let Some(label) = args.label {
        resume = resume.label(label);
    }
    if let Some(index) = args.index {
        resume = resume.index(index);
    }
    let place = Workplace::open(&args.store, Need::Bus).await?;
    let run = place.engine.run(&args.run).await?;
    match run.status().await? {
        RunStatus::Paused => patiently(place.engine.go_on(&args.run, false)).await?,
        _ => patiently(place.engine.resume(&args.run, resume)).await?,
    }
    finish(&place, &args.store, &args.run, args.wait).await
}

pub(crate) async fn retry(args: RetryArgs) -> Result<Outcome, Failure> {
    let place = Workplace::open(&args.store, Need::Bus).await?;
    patiently(place.engine.retry(&args.run)).await?;
    finish(&place, &args.store, &args.run, args.wait).await
}

pub(crate) async fn cancel(args: CancelArgs) -> Result<Outcome, Failure> {
    let place = Workplace::open(&args.store, Need::Bus).await?;
    let mut failures = Vec::new();
    for run in &args.runs {
        match patiently(place.engine.cancel(run)).await {
            Ok(()) => print(&place, &args.store, run).await?,
            Err(error) => failures.push(Failure::from(error)),
        }
    }
    place.close().await?;
    match failures.pop() {
        None => Ok(Outcome::Done),
        Some(failure) if args.runs.len() == 1 => Err(failure),
        Some(failure) => {
            failures.push(failure);
            failures.iter().for_each(note);
            let (count, all) = (failures.len(), args.runs.len());
            let message = format!("{count} of {all} runs were not cancelled, see the notes");
            Err(Failure::failed(message))
        }
    }
}

/// Waits for `change`, and says so when it takes long: a change is in the store first, and the workers are told afterwards.
async fn patiently<T>(change: impl Future<Output = T>) -> T {
    tokio::pin!(change);
    match timeout(SAID_AFTER, &mut change).await {
        Ok(done) => done,
        Err(_) => {
            note(
                "the store or the bus is slow to answer; what is in the store counts, even if the workers are not told",
            );
            change.await
        }
    }
}

/// The JSON that `argument` of `option` means.
pub(crate) fn data(option: &str, argument: &str) -> Result<Data, Failure> {
    let payload = input::of_option(option, argument, DATA_LIMIT)?;
    let json = payload.to_json()?;
    let text = String::from_utf8(json.to_vec())
        .map_err(|error| Failure::usage(format!("{option}: it is no text: {error}")))?;
    Ok(Data::from_json(text)?)
}

/// Waits for the run if that is wanted, and prints how it is.
async fn finish(
    place: &Workplace,
    args: &StoreArgs,
    run: &str,
    wait: bool,
) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::Done;
    if wait {
        let result = place.engine.run(run).await?.result().await?;
        outcome = info::outcome(result.status());
    }
    print(place, args, run).await?;
    place.close().await?;
    Ok(outcome)
}

async fn print(place: &Workplace, args: &StoreArgs, run: &str) -> Result<(), Failure> {
    let history = place.engine.run(run).await?.history().await?;
    let run = history.info();
    match args.json {
        true => json::print(&Line::from(run)),
        false => output::print(&line(run)),
    }
}

/// `order-17 success {"n":1}`.
fn line(run: &RunInfo) -> String {
    let painter = Painter::for_stream(&std::io::stdout());
    let mut text = String::new();
    painter.put(&mut text, Colour::Bold, &run.id);
    text.push(' ');
    painter.put(
        &mut text,
        super::tree::colour_of(run.status),
        run.status.as_str(),
    );
    let what = match run.status {
        RunStatus::Suspended => Some(info::waits_for(run, bowline_events::Timestamp::now())),
        _ => {
            let result = run.result.as_ref().map(ToString::to_string);
            result.or_else(|| run.error.as_ref().map(super::tree::message))
        }
    };
    if let Some(what) = what {
        text.push(' ');
        painter.put(&mut text, Colour::Dim, &shorten(&what, false));
    }
    text.push('\n');
    text
}
