//! The topics of a Redis bus, with what only its server knows.

use std::time::Duration;

use bowline_events::{OpFuture, TopicInfo};
use bowline_redis::inspect::{self, BUS_PREFIX, GroupReport, StreamReport};
use bowline_runtime::{BusConfig, CacheConfig, Settings, Stores};
use serde::Serialize;

use super::number;
use crate::bus;
use crate::colour::shown;
use crate::outcome::{Failure, Outcome};
use crate::output::Output;

/// The streams of a bus, and the histories of topics that have none.
pub(super) struct Found {
    streams: Vec<StreamReport>,
    cached: Vec<TopicInfo>,
}

/// Asks the server; `None` for another kind of bus.
pub(super) async fn find(settings: &Settings) -> Result<Option<Found>, Failure> {
    let BusConfig::Redis(config) = settings.bus()? else {
        return Ok(None);
    };
    let prefix = config.key_prefix.as_deref().unwrap_or(BUS_PREFIX);
    let cluster = config.cluster.unwrap_or(false);
    let streams = inspect::streams(&config.client_server()?, cluster, prefix).await?;
    let mut cached = match settings.cache() {
        Some(cache) => histories(cache).await?,
        None => Vec::new(),
    };
    cached.retain(|info| streams.iter().all(|stream| stream.topic != info.topic));
    cached.sort_by(|a, b| a.topic.cmp(&b.topic));
    Ok(Some(Found { streams, cached }))
}

async fn histories(config: &CacheConfig) -> Result<Vec<TopicInfo>, Failure> {
    let stores = Stores::new();
    let topics = stores.open_cache(config).await?.topics().await;
    bus::within(
        OpFuture::new(stores.close()),
        "close the store of the cache",
    )
    .await?;
    Ok(topics?)
}

pub(super) async fn print(found: &Found, json: bool) -> Result<Outcome, Failure> {
    let is_empty = found.streams.is_empty() && found.cached.is_empty();
    let mut text = match (json, is_empty) {
        (true, _) => lines(found),
        (false, true) => Vec::new(),
        (false, false) => table(found).into_bytes(),
    };
    Output::stdout()?.write(&mut text).await?;
    if is_empty {
        bus::note("no topics: the server has no stream with the key prefix of this bus");
    }
    Ok(Outcome::Done)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    topic: &'a str,
    key: &'a str,
    events: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    subscribers: usize,
    groups: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    published: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_millis: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_millis: Option<u64>,
    readers: Vec<Reader<'a>>,
}

/// A group, or the private group of one process.
#[derive(Serialize)]
struct Reader<'a> {
    group: &'a str,
    private: bool,
    consumers: u64,
    pending: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    lag: Option<u64>,
}

impl<'a> From<&'a StreamReport> for Line<'a> {
    fn from(stream: &'a StreamReport) -> Self {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            topic: stream.topic.as_str(),
            key: &stream.key,
            events: stream.entries,
            bytes: stream.bytes,
            subscribers: private(stream).count(),
            groups: named(stream).map(|group| group.name.as_str()).collect(),
            published: stream.appended,
            idle_millis: stream.idle.map(millis),
            ttl_millis: stream.ttl.map(millis),
            readers: stream.groups.iter().map(Reader::from).collect(),
        }
    }
}

impl<'a> From<&'a GroupReport> for Reader<'a> {
    fn from(group: &'a GroupReport) -> Self {
        Self {
            group: group.name.as_str(),
            private: group.is_private,
            consumers: group.consumers,
            pending: group.pending,
            lag: group.lag,
        }
    }
}

fn named(stream: &StreamReport) -> impl Iterator<Item = &GroupReport> {
    stream.groups.iter().filter(|group| !group.is_private)
}

fn private(stream: &StreamReport) -> impl Iterator<Item = &GroupReport> {
    stream.groups.iter().filter(|group| group.is_private)
}

fn lines(found: &Found) -> Vec<u8> {
    let mut text = Vec::new();
    for stream in &found.streams {
        put(&mut text, &Line::from(stream));
    }
    for info in &found.cached {
        put(&mut text, &super::Line::from(info));
    }
    text
}

fn put(text: &mut Vec<u8>, line: &impl Serialize) {
    // Strings and numbers serialise always, and writing to a vector cannot fail.
    let _ = serde_json::to_writer(&mut *text, line);
    text.push(b'\n');
}

fn table(found: &Found) -> String {
    let heads = [
        "TOPIC",
        "EVENTS",
        "BYTES",
        "SUBSCRIBERS",
        "IDLE",
        "TTL",
        "GROUPS",
    ];
    let mut rows = vec![heads.map(str::to_owned)];
    rows.extend(found.streams.iter().map(|stream| {
        let groups: Vec<_> = named(stream).map(describe).collect();
        [
            shown(&stream.topic),
            stream.entries.to_string(),
            number(stream.bytes),
            private(stream).count().to_string(),
            time(stream.idle),
            time(stream.ttl),
            groups.join(", "),
        ]
    }));
    rows.extend(found.cached.iter().map(|info| {
        let none = || "-".to_owned();
        let cached = "(in the cache only)".to_owned();
        let (events, bytes) = (number(info.events), number(info.bytes));
        [
            shown(&info.topic),
            events,
            bytes,
            none(),
            none(),
            none(),
            cached,
        ]
    }));
    crate::table::align(&rows)
}

/// `workers (2 pending, 5 behind, 3 members)`.
fn describe(group: &GroupReport) -> String {
    let mut facts = vec![format!("{} pending", group.pending)];
    facts.extend(group.lag.map(|lag| format!("{lag} behind")));
    let members = if group.consumers == 1 {
        "member"
    } else {
        "members"
    };
    facts.push(format!("{} {members}", group.consumers));
    format!("{} ({})", shown(&group.name), facts.join(", "))
}

/// A time in its largest whole unit, as short as it can be said.
fn time(time: Option<Duration>) -> String {
    let Some(time) = time else {
        return "-".to_owned();
    };
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{}ms", time.as_millis()),
        1..=99 => format!("{seconds}s"),
        100..=5_999 => format!("{}m", seconds / 60),
        6_000..=172_799 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bowline_events::{Text, Topic};

    fn group(name: &'static str, is_private: bool, lag: Option<u64>) -> GroupReport {
        GroupReport {
            name: Text::from(name),
            is_private,
            consumers: 1,
            pending: 2,
            lag,
        }
    }

    fn found() -> Found {
        let orders = StreamReport {
            topic: Topic::from("orders\u{1b}"),
            key: "p:orders\u{1b}".to_owned(),
            entries: 3,
            appended: Some(9),
            bytes: None,
            idle: Some(Duration::from_millis(1_500)),
            ttl: None,
            groups: vec![
                group("__fanout-1", true, Some(1)),
                group("workers", false, Some(5)),
                group("others", false, None),
            ],
        };
        let mut cached = TopicInfo::new(Topic::from("agent.stream.1"));
        cached.events = Some(7);
        Found {
            streams: vec![orders],
            cached: vec![cached],
        }
    }

    #[test]
    fn people_see_who_is_behind() {
        let table = table(&found());
        let lines: Vec<_> = table.lines().collect();
        assert!(lines[1].starts_with("orders\\u001b "), "{table}");
        assert!(
            lines[1].ends_with(
                "1s    -    workers (2 pending, 5 behind, 1 member), others (2 pending, 1 member)"
            ),
            "{table}"
        );
        assert!(lines[2].ends_with("(in the cache only)"), "{table}");
    }

    #[test]
    fn programs_see_the_numbers() {
        let text = String::from_utf8(lines(&found())).unwrap();
        let mut lines = text.lines();
        let orders: serde_json::Value = serde_json::from_str(lines.next().unwrap()).unwrap();
        assert_eq!(orders["events"], 3);
        assert_eq!(orders["published"], 9);
        assert_eq!(orders["subscribers"], 1);
        assert_eq!(orders["groups"], serde_json::json!(["workers", "others"]));
        assert_eq!(orders["idleMillis"], 1_500);
        assert_eq!(orders["readers"][1]["lag"], 5);
        assert!(orders.get("bytes").is_none() && orders.get("ttlMillis").is_none());
        let cached: serde_json::Value = serde_json::from_str(lines.next().unwrap()).unwrap();
        assert_eq!(cached["events"], 7);
    }

    #[test]
    fn times_are_short() {
        let table = [
            (0, "0ms"),
            (999, "999ms"),
            (99_000, "99s"),
            (100_000, "1m"),
            (7_200_000, "2h"),
            (172_800_000, "2d"),
        ];
        for (millis, text) in table {
            assert_eq!(time(Some(Duration::from_millis(millis))), text);
        }
        assert_eq!(time(None), "-");
    }
}
