//! `bowline topics`.

#[cfg(feature = "redis")]
mod redis;

use bowline_events::TopicInfo;
use serde::Serialize;

use crate::args::TopicsArgs;
use crate::bus;
use crate::colour::{shown, visible};
use crate::outcome::{Failure, Outcome};
use crate::output::Output;

pub(crate) async fn run(args: TopicsArgs) -> Result<Outcome, Failure> {
    let settings = bus::settings(&args.bus)?;
    #[cfg(feature = "redis")]
    if let Some(found) = redis::find(&settings).await? {
        return redis::print(&found, args.json).await;
    }
    let opened = bus::open_settings(&settings).await?;
    if !opened.pubsub().capabilities().list_topics {
        return Err(Failure::usage("the bus cannot list its topics"));
    }
    let mut topics = opened.pubsub().topics().await?;
    topics.sort_by(|a, b| a.topic.cmp(&b.topic));
    let mut text = Vec::new();
    if args.json {
        for topic in &topics {
            // Strings and numbers serialise always, and writing to a vector cannot fail.
            let _ = serde_json::to_writer(&mut text, &Line::from(topic));
            text.push(b'\n');
        }
    } else if !topics.is_empty() {
        text = table(&topics).into_bytes();
    }
    Output::stdout()?.write(&mut text).await?;
    if topics.is_empty() {
        bus::note(
            "no topics: nobody subscribes, or the broker is a Node process, which does not tell",
        );
    }
    opened.close().await?;
    Ok(Outcome::Done)
}

#[derive(Serialize)]
struct Line<'a> {
    topic: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subscribers: Option<u64>,
    groups: Vec<&'a str>,
}

impl<'a> From<&'a TopicInfo> for Line<'a> {
    fn from(info: &'a TopicInfo) -> Self {
        Self {
            topic: info.topic.as_str(),
            events: info.events,
            bytes: info.bytes,
            subscribers: info.subscribers,
            groups: info.groups.iter().map(|group| group.as_str()).collect(),
        }
    }
}

fn table(topics: &[TopicInfo]) -> String {
    let mut rows = vec![["TOPIC", "EVENTS", "BYTES", "SUBSCRIBERS", "GROUPS"].map(str::to_owned)];
    rows.extend(topics.iter().map(|info| {
        let mut groups = String::new();
        for (n, group) in info.groups.iter().enumerate() {
            if n > 0 {
                groups.push_str(", ");
            }
            visible(&mut groups, group);
        }
        [
            shown(&info.topic),
            number(info.events),
            number(info.bytes),
            number(info.subscribers),
            groups,
        ]
    }));
    crate::table::align(&rows)
}

fn number(value: Option<u64>) -> String {
    value.map_or_else(|| "-".to_owned(), |n| n.to_string())
}
