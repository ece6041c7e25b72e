//! `bowline agent inbox seen`, `dismiss` and `archive`.

use std::collections::HashSet;

use bowline_agent::threads::{NotificationRecord, NotificationStatus};

use super::args::MarkArgs;
use super::place::{Place, missing};
use crate::bus::note;
use crate::colour::shown;
use crate::json;
use crate::outcome::{Failure, Outcome};
use crate::output::Output;

pub(super) async fn run(args: MarkArgs, status: NotificationStatus) -> Result<Outcome, Failure> {
    let place = Place::open(&args.store, &args.thread).await?;
    let ids = args.ids.iter().cloned();
    let marked = place.inbox.mark_all(ids, status).await?;
    let mut text = Vec::new();
    for record in &marked {
        put(record, args.store.json, &mut text)?;
    }
    Output::stdout()?.write(&mut text).await?;
    place.close().await?;
    let known: HashSet<&str> = marked.iter().map(|it| it.id.as_str()).collect();
    let missed = args.ids.iter().filter(|id| !known.contains(id.as_str()));
    let mut failures: Vec<Failure> = missed.map(|id| missing(&args.thread, id)).collect();
    match failures.pop() {
        None => Ok(Outcome::Done),
        Some(failure) if args.ids.len() == 1 => Err(failure),
        Some(failure) => {
            failures.push(failure);
            failures.iter().for_each(note);
            let (count, all) = (failures.len(), args.ids.len());
            Err(Failure::failed(format!(
                "{count} of {all} notifications were not marked, see the notes"
            )))
        }
    }
}

fn put(record: &NotificationRecord, is_json: bool, text: &mut Vec<u8>) -> Result<(), Failure> {
    if is_json {
        return json::line(record, text);
    }
    let line = format!("{} {}\n", shown(&record.id), record.status.as_str());
    text.extend_from_slice(line.as_bytes());
    Ok(())
}
