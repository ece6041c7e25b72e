//! `bowline agent observe`.

use bowline_agent::stream::Observe;
use bowline_runtime::Settings;

use super::args::ObserveArgs;
use super::follow::{End, Follow};
use super::place::{Place, settings};
use super::run::declared;
use crate::bus::note;
use crate::outcome::{Failure, Outcome};

pub(super) async fn run(args: ObserveArgs) -> Result<Outcome, Failure> {
    let settings = settings(&args.store)?;
    let place = Place::to_look(&settings).await?;
    let place = match args.read_only {
        true => place,
        false => worker(place, &settings, &args.run).await?,
    };
    let end = follow(&place, &args).await;
    let closed = place.close().await;
    match end? {
        End::Ended(outcome) => closed.map(|()| outcome),
        End::TimedOut => Ok(Outcome::TimedOut),
        End::Interrupted | End::Closed => Ok(Outcome::Done),
    }
}

/// A place that works on the run, if its agent is declared here and it has not ended; the same one otherwise.
async fn worker(place: Place, settings: &Settings, run: &str) -> Result<Place, Failure> {
    let runs = place.runs();
    // What is wrong with the run, reading it tells.
    let (Ok(agent), Ok(status)) = (runs.agent_of(run).await, runs.status(run).await) else {
        return Ok(place);
    };
    if status.is_final() || !settings.agents().contains_key(agent.as_str()) {
        return Ok(place);
    }
    match declared(settings, &agent).await {
        Ok(agent) => {
            place.close().await?;
            Place::to_work(settings, agent).await
        }
        Err(failure) => {
            note(format_args!("this command only reads: {failure}"));
            Ok(place)
        }
    }
}

async fn follow(place: &Place, args: &ObserveArgs) -> Result<End, Failure> {
    let runs = place.runs();
    let options = Observe::new().from_offset(args.from).discard_output();
    let mut stream = runs.observe(&args.run, options).await?;
    let follow = Follow {
        runs,
        stream: &mut stream,
        is_shared: place.is_shared,
        json: args.store.json,
        limit: args.timeout.map(|limit| limit.0),
    };
    let end = follow.finish().await?;
    if matches!(end, End::Interrupted | End::TimedOut) {
        note(format_args!(
            "the run goes on without this command; come back with --from {}",
            stream.next_offset()
        ));
    }
    Ok(end)
}
