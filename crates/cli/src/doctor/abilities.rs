//! The capabilities of a bus in plain words.

use bowline_events::{Capabilities, Ordering, PublishSafety, Reach};

/// One row for each capability: what, whether, and what it means.
pub(crate) fn rows(can: &Capabilities) -> Vec<[String; 3]> {
    let row =
        |what: &str, value: String, meaning: &str| [what.to_owned(), value, meaning.to_owned()];
    let yes = |on: bool| if on { "yes" } else { "no" }.to_owned();
    let reach = match can.reach {
        Reach::Process => "process",
        Reach::Host => "host",
        Reach::Network => "network",
        _ => "unknown",
    };
    let order = match can.ordering {
        Ordering::Topic => "topic",
        Ordering::Publisher => "publisher",
        Ordering::None => "none",
        _ => "unknown",
    };
    let safety = match can.publish_safety {
        PublishSafety::Memory => "memory",
        PublishSafety::SendWindow => "send window",
        PublishSafety::Stored => "stored",
        _ => "unknown",
    };
    let deliveries = can
        .max_deliveries
        .map_or_else(|| "no cap".to_owned(), |n| n.to_string());
    let bytes = can
        .max_event_bytes
        .map_or_else(|| "memory".to_owned(), |n| n.to_string());
    vec![
        row("reach", reach.to_owned(), "who can be on the bus"),
        row(
            "order",
            order.to_owned(),
            "within what events keep their order",
        ),
        row(
            "publish",
            safety.to_owned(),
            "where an event is when publish returns",
        ),
        row(
            "replay",
            yes(can.replay),
            "events are kept for readers that come later",
        ),
        row(
            "groups",
            yes(can.groups),
            "members share the events of a topic",
        ),
        row(
            "redelivery",
            yes(can.group_redelivery),
            "a refused event comes again",
        ),
        row(
            "moves",
            yes(can.group_redelivery_moves),
            "it may go to another member",
        ),
        row(
            "private",
            yes(can.private_redelivery),
            "only who refused it sees it again",
        ),
        row("deliveries", deliveries, "of one event at most"),
        row(
            "leases",
            yes(can.leases),
            "processes can agree who does a thing",
        ),
        row(
            "local only",
            yes(can.local_only),
            "events can stay in the process",
        ),
        row(
            "batching",
            yes(can.batching),
            "events can be gathered before delivery",
        ),
        row("clear", yes(can.clear), "a topic can be emptied"),
        row("topics", yes(can.list_topics), "topics can be listed"),
        row("event bytes", bytes, "limit for one event"),
    ]
}
