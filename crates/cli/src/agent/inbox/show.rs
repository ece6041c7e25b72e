//! `bowline agent inbox show`.

use bowline_agent::Data;
use bowline_agent::threads::NotificationRecord;
use bowline_events::{Text, Timestamp};

use super::args::ShowArgs;
use super::place::{Place, missing};
use crate::colour::{Colour, Painter, visible};
use crate::json;
use crate::outcome::{Failure, Outcome};
use crate::output::Output;
use crate::time::{iso, relative};

pub(super) async fn run(args: ShowArgs) -> Result<Outcome, Failure> {
    let place = Place::open(&args.store, &args.thread).await?;
    let record = place.inbox.get(&args.id).await?;
    let record = record.ok_or_else(|| missing(&args.thread, &args.id))?;
    let mut text = Vec::new();
    if args.store.json {
        json::line(&record, &mut text)?;
    } else {
        text = draw(&record, Timestamp::now()).into_bytes();
    }
    Output::stdout()?.write(&mut text).await?;
    place.close().await?;
    Ok(Outcome::Done)
}

fn draw(record: &NotificationRecord, now: Timestamp) -> String {
    let painter = Painter::for_stream(&std::io::stdout());
    let mut text = painter.paint(Colour::Bold, &record.id);
    text.push_str("  ");
    painter.put(&mut text, Colour::Cyan, record.status.as_str());
    text.push('\n');
    for (name, value) in facts(record, now) {
        painter.put(&mut text, Colour::Dim, &format!("{name:<14}"));
        visible(&mut text, &value);
        text.push('\n');
    }
    text
}

/// What there is to say of it, and how it is called.
fn facts(record: &NotificationRecord, now: Timestamp) -> Vec<(&'static str, String)> {
    let at = |at: Timestamp| format!("{} ({})", iso(at), relative(at, now));
    let word = |text: &Text| text.to_string();
    let mut facts = vec![
        ("summary", record.summary.clone()),
        ("source", word(&record.source)),
        ("kind", word(&record.kind)),
        ("priority", record.priority.as_str().to_owned()),
        ("agent", word(&record.agent_id)),
        ("thread", word(&record.thread_id)),
    ];
    let mut add = |name, value: Option<String>| facts.extend(value.map(|value| (name, value)));
    add("resource", record.resource_id.as_ref().map(word));
    add("at the source", record.source_id.as_ref().map(word));
    add("dedupe key", record.dedupe_key.as_ref().map(word));
    add("coalesce key", record.coalesce_key.as_ref().map(word));
    let many = (record.coalesced_count > 1).then(|| record.coalesced_count.to_string());
    add("in one", many);
    add("came in", Some(at(record.created_at)));
    add("changed", Some(at(record.updated_at)));
    add("deliver at", record.deliver_at.map(at));
    add("summary at", record.summary_at.map(at));
    add("because", record.delivery_reason.as_ref().map(word));
    add("delivered", record.delivered_at.map(at));
    add("seen", record.seen_at.map(at));
    add("dismissed", record.dismissed_at.map(at));
    add("archived", record.archived_at.map(at));
    add("discarded", record.discarded_at.map(at));
    let failed = (record.delivery_attempts > 0).then(|| record.delivery_attempts.to_string());
    add("failures", failed);
    add("last tried", record.last_delivery_attempt_at.map(at));
    add("error", record.last_delivery_error.as_ref().map(word));
    add("signal", record.delivered_signal_id.as_ref().map(word));
    add("in summary", record.summary_signal_id.as_ref().map(word));
    let attributes = &record.attributes;
    let attributes = (!attributes.is_empty()).then(|| Data::of(attributes).ok());
    let attributes = attributes.flatten();
    for (name, data) in [
        ("attributes", attributes.as_ref()),
        ("payload", record.payload.as_ref()),
        ("metadata", record.metadata.as_ref()),
    ] {
        add(name, data.map(|data| data.as_str().to_owned()));
    }
    facts
}
