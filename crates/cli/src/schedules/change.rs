//! `bowline schedules pause`, `resume`, `run` and `delete`.

use bowline_events::Timestamp;
use bowline_workflow::schedule::{Outcome as Fired, Schedule};
use serde::Serialize;

use super::args::{DeleteArgs, OneArgs};
use super::row::{self, Line};
use crate::colour::shown;
use crate::json;
use crate::outcome::{Failure, Outcome};
use crate::output;
use crate::store::{Need, Workplace};

pub(crate) async fn pause(args: OneArgs) -> Result<Outcome, Failure> {
    let place = Workplace::open(&args.store, Need::Store).await?;
    let schedule = place.engine.schedules().pause(&args.id).await?;
    tell(&schedule, args.store.json)?;
    place.close().await?;
    Ok(Outcome::Done)
}

pub(crate) async fn resume(args: OneArgs) -> Result<Outcome, Failure> {
    let place = Workplace::open(&args.store, Need::Store).await?;
    let schedule = place.engine.schedules().resume(&args.id).await?;
    tell(&schedule, args.store.json)?;
    place.close().await?;
    Ok(Outcome::Done)
}

pub(crate) async fn run_now(args: OneArgs) -> Result<Outcome, Failure> {
    let place = Workplace::open(&args.store, Need::Store).await?;
    let trigger = place.engine.schedules().run_now(&args.id).await?;
    let error = trigger.error.as_deref().unwrap_or_default();
    let text = match &trigger.run_id {
        Some(run) => format!("{} started {}\n", shown(&args.id), shown(run)),
        None => format!(
            "{} {}: {}\n",
            shown(&args.id),
            trigger.outcome.as_str(),
            shown(error)
        ),
    };
    print(args.store.json, &trigger, &text)?;
    place.close().await?;
    Ok(match trigger.outcome {
        Fired::Failed => Outcome::FoundProblems,
        _ => Outcome::Done,
    })
}

pub(crate) async fn delete(args: DeleteArgs) -> Result<Outcome, Failure> {
    /// What is left to tell.
    #[derive(Serialize)]
    struct Deleted<'a> {
        deleted: &'a str,
    }
    if !args.yes {
        return Err(Failure::usage(format!(
            "this would delete the schedule {:?} and its history, which nothing brings back; add --yes",
            args.id
        )));
    }
    let place = Workplace::open(&args.store, Need::Store).await?;
    place.engine.schedules().delete(&args.id).await?;
    let deleted = Deleted { deleted: &args.id };
    print(
        args.store.json,
        &deleted,
        &format!("{} deleted\n", shown(&args.id)),
    )?;
    place.close().await?;
    Ok(Outcome::Done)
}

fn tell(schedule: &Schedule, is_json: bool) -> Result<(), Failure> {
    let status = schedule.status.as_str();
    let next = match schedule.next_fire_at {
        Some(_) => format!(", next {}", row::next(schedule, Timestamp::now())),
        None => String::new(),
    };
    let text = format!("{} {status}{next}\n", shown(&schedule.id));
    print(
        is_json,
        &Line {
            schedule,
            last: None,
        },
        &text,
    )
}

/// Prints `value` as JSON, or `text`.
fn print(is_json: bool, value: &impl Serialize, text: &str) -> Result<(), Failure> {
    match is_json {
        true => json::print(value),
        false => output::print(text),
    }
}
