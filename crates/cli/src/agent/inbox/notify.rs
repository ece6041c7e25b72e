//! `bowline agent notify`.

use std::time::Duration;

use bowline_agent::Data;
use bowline_agent::threads::{
    Delivery, DeliveryAction, Inbox, Notification, NotificationPolicy, NotificationRecord, Notified,
};
use bowline_events::Timestamp;
use serde::Serialize;
use tokio::time::{sleep, timeout};

use super::args::NotifyArgs;
use crate::agent::place::{Place, settings};
use crate::agent::run::declaration;
use crate::agent::signal::told;
use crate::bus::note;
use crate::colour::shown;
use crate::json;
use crate::outcome::{Failure, Outcome};
use crate::output;
use crate::runs::data;
use crate::time::iso;

/// How long what is due at once may take to be told by this process.
const TELL_WITHIN: Duration = Duration::from_secs(5);
/// How often it is looked at whether it was.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A notification and what became of it, in JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    #[serde(flatten)]
    record: &'a NotificationRecord,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_id: Option<&'a str>,
}

pub(in crate::agent) async fn notify(args: NotifyArgs) -> Result<Outcome, Failure> {
    let payload = args.payload.as_deref();
    let payload = payload.map(|json| data("--payload", json)).transpose()?;
    let settings = settings(&args.store)?;
    let mut config = declaration(&settings, &args.agent)?.clone();
    // Its tools are the matter of whoever works on the run.
    config.mcp.clear();
    let agent = config.open(&args.agent).await?;
    let place = Place::to_talk(&settings, agent).await?;
    let notified = send(&place, &args, payload).await;
    let closed = place.close().await;
    let notified = notified?;
    closed?;
    print(&args, &notified)?;
    Ok(Outcome::Done)
}

async fn send(
    place: &Place,
    args: &NotifyArgs,
    payload: Option<Data>,
) -> Result<Notified, Failure> {
    let threads = place.app.threads()?;
    let (thread, notification) = (args.thread.id(), notification(args, payload));
    let defer = args.at.map(Delivery::defer);
    let mut notified = match defer.or_else(|| args.wait.map(Delivery::defer)) {
        Some(defer) => {
            let policy = NotificationPolicy::new().otherwise(defer);
            threads
                .send_notification_with(&args.agent, &thread, notification, &policy)
                .await?
        }
        None => {
            threads
                .send_notification(&args.agent, &thread, notification)
                .await?
        }
    };
    if is_due(&notified, Timestamp::now()) {
        let inbox = threads.inbox(&thread);
        // It was taken, whatever can be seen of it now.
        let settled = timeout(TELL_WITHIN, settled(&inbox, &notified.record)).await;
        if let Ok(Ok(Some(record))) = settled {
            notified.record = record;
        }
    }
    Ok(notified)
}

/// Whether this process tells it now, but not in the call that took it.
fn is_due(notified: &Notified, now: Timestamp) -> bool {
    let record = &notified.record;
    let due = match notified.delivery.as_ref().map(Delivery::action) {
        Some(DeliveryAction::Summarize) => record.summary_at,
        Some(DeliveryAction::Defer) => record.deliver_at,
        _ => None,
    };
    due.is_some_and(|at| at <= now)
}

/// The record after what is due was told or put off. Whoever ended before would leave it to others, after the time of a lease.
async fn settled(
    inbox: &Inbox,
    before: &NotificationRecord,
) -> bowline_agent::Result<Option<NotificationRecord>> {
    loop {
        let record = inbox.get(&before.id).await?;
        if record.as_ref().map(|it| it.updated_at) != Some(before.updated_at) {
            return Ok(record);
        }
        sleep(LOOK_EVERY).await;
    }
}

fn notification(args: &NotifyArgs, payload: Option<Data>) -> Notification {
    let (source, kind) = (args.source.clone(), args.kind.clone());
    let mut notification = Notification::new(source, kind, args.summary.clone());
    if let Some(id) = &args.id {
        notification = notification.with_id(id.clone());
    }
    if let Some(priority) = args.priority {
        notification = notification.priority(priority.into());
    }
    if let Some(key) = &args.dedupe_key {
        notification = notification.dedupe_key(key.clone());
    }
    if let Some(key) = &args.coalesce_key {
        notification = notification.coalesce_key(key.clone());
    }
    match payload {
        Some(payload) => notification.payload(payload),
        None => notification,
    }
}

fn print(args: &NotifyArgs, notified: &Notified) -> Result<(), Failure> {
    let record = &notified.record;
    let action = notified.delivery.as_ref().map(Delivery::action);
    let decision = action.map(word);
    let told = notified.accepted.as_ref().map(told);
    if args.store.json {
        json::print(&Line {
            record,
            decision,
            accepted: told.map(|it| it.0),
            run_id: told.and_then(|it| it.1),
        })?;
    } else {
        let mut facts: Vec<String> = Vec::new();
        facts.extend(decision.map(|decision| match record.deliver_at {
            Some(at) if action == Some(DeliveryAction::Defer) => {
                format!("{decision} until {}", iso(at))
            }
            _ => decision.to_owned(),
        }));
        facts.extend(told.map(|(word, run)| match run {
            Some(run) => format!("{word} {}", shown(run)),
            None => word.to_owned(),
        }));
        if record.coalesced_count > 1 {
            facts.push(format!("{} in one", record.coalesced_count));
        }
        let (id, status) = (shown(&record.id), record.status.as_str());
        output::print(&format!("{id} {status}: {}\n", facts.join(", ")))?;
    }
    if told.is_none()
        && let Some(error) = &record.last_delivery_error
    {
        note(format_args!(
            "it is in the inbox, its signal was not given and is tried again: {error}"
        ));
    }
    Ok(())
}

fn word(action: DeliveryAction) -> &'static str {
    match action {
        DeliveryAction::Deliver => "deliver",
        DeliveryAction::Queue => "queue",
        DeliveryAction::Defer => "defer",
        DeliveryAction::Summarize => "summarize",
        DeliveryAction::Persist => "persist",
        _ => "discard",
    }
}
