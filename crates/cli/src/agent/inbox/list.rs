//! `bowline agent inbox list`.

use bowline_agent::threads::{NotificationFilter, NotificationPage, NotificationRecord};
use bowline_events::Timestamp;
use serde::Serialize;

use super::args::ListArgs;
use super::place::Place;
use crate::bus::note;
use crate::colour::shown;
use crate::json;
use crate::outcome::{Failure, Outcome};
use crate::output::Output;
use crate::runs::shorten;
use crate::table;
use crate::time::relative;

/// The last line, where there is more.
#[derive(Serialize)]
struct Next<'a> {
    next: &'a str,
}

pub(super) async fn run(args: ListArgs) -> Result<Outcome, Failure> {
    let place = Place::open(&args.store, &args.thread).await?;
    let page = place.inbox.list(filter(&args)).await?;
    print(&page, &args).await?;
    place.close().await?;
    Ok(Outcome::Done)
}

fn filter(args: &ListArgs) -> NotificationFilter {
    let mut filter = NotificationFilter::new().limit(args.limit.into());
    for status in &args.status {
        filter = filter.status((*status).into());
    }
    if args.unread {
        filter = filter.unread();
    }
    if let Some(agent) = &args.agent {
        filter = filter.agent(agent.clone());
    }
    if let Some(priority) = args.priority {
        filter = filter.priority(priority.into());
    }
    if let Some(source) = &args.source {
        filter = filter.source(source.clone());
    }
    if let Some(text) = &args.search {
        filter = filter.query(text);
    }
    match &args.cursor {
        Some(cursor) => filter.after(cursor.to_string()),
        None => filter,
    }
}

async fn print(page: &NotificationPage, args: &ListArgs) -> Result<(), Failure> {
    let mut text = Vec::new();
    if args.store.json {
        for record in &page.notifications {
            json::line(record, &mut text)?;
        }
        if let Some(next) = &page.next {
            json::line(&Next { next }, &mut text)?;
        }
    } else if !page.notifications.is_empty() {
        text = rows(&page.notifications, Timestamp::now()).into_bytes();
    }
    Output::stdout()?.write(&mut text).await?;
    match &page.next {
        Some(next) if !args.store.json => note(format_args!("there are more: --cursor {next}")),
        None if page.notifications.is_empty() && args.thread.resource.is_none() => note(
            "no notifications: the inbox of the thread with nobody has none like this; --resource says whom it is with",
        ),
        None if page.notifications.is_empty() => {
            note("no notifications: the inbox has none like this, or their retention is over");
        }
        _ => {}
    }
    Ok(())
}

fn rows(records: &[NotificationRecord], now: Timestamp) -> String {
    const HEAD: [&str; 8] = [
        "ID", "STATUS", "PRIORITY", "SOURCE", "KIND", "AGENT", "CAME IN", "SUMMARY",
    ];
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(records.iter().map(|record| {
        let count = match record.coalesced_count {
            0 | 1 => String::new(),
            count => format!(" ({count} in one)"),
        };
        [
            shown(&record.id),
            record.status.as_str().to_owned(),
            record.priority.as_str().to_owned(),
            shown(&record.source),
            shown(&record.kind),
            shown(&record.agent_id),
            relative(record.created_at, now),
            format!("{}{count}", shown(&shorten(&record.summary, false))),
        ]
    }));
    table::align(&rows)
}
