//! The streams of a bus, with what only the server knows of them.

use std::time::Duration;

use bowline_events::{Error, Result, Text, Topic};

use super::probe::Probe;
use super::server::millis_of;
use crate::Server;
use crate::history::{PRIVATE, escape_glob, scan};
use crate::wire::{Command, Failure, Reply};

/// Keys that are asked for at a time. Their first and last entries come along, so there should not be many.
const PAGE: usize = 16;

/// Questions about one stream.
const QUESTIONS: usize = 4;

/// A stream, as the server sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamReport {
    /// The topic.
    pub topic: Topic,
    /// The key of the stream.
    pub key: String,
    /// Entries that are kept.
    pub entries: u64,
    /// Entries that were ever appended; `None` before Redis 7.
    pub appended: Option<u64>,
    /// Bytes of memory, estimated by the server; `None` where it does not tell.
    pub bytes: Option<u64>,
    /// How long ago the newest entry came, by the clock of the server; `None` for a stream that never had one.
    pub idle: Option<Duration>,
    /// When the stream will be forgotten; `None` for one that is kept.
    pub ttl: Option<Duration>,
    /// The groups, by name.
    pub groups: Vec<GroupReport>,
}

/// A consumer group of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupReport {
    /// The name.
    pub name: Text,
    /// Whether it is the group of the ungrouped subscribers of one process.
    pub is_private: bool,
    /// Consumers that the server knows; those of processes that crashed are among them.
    pub consumers: u64,
    /// Entries that were delivered and not acknowledged.
    pub pending: u64,
    /// Entries that were not delivered yet; `None` where the server cannot tell.
    pub lag: Option<u64>,
}

/// Lists the streams under `key_prefix`, by topic; with `cluster` those of all nodes of the cluster that the server is part of.
/// Streams that vanish meanwhile are left out.
///
/// # Errors
/// `Unavailable` when the server cannot be reached, `PermissionDenied` when it refuses the login, `SCAN` or `XINFO`.
pub async fn streams(
    server: &Server,
    cluster: bool,
    key_prefix: &str,
) -> Result<Vec<StreamReport>> {
    let prefix = format!("{key_prefix}:");
    let mut streams = Vec::new();
    for probe in Probe::connect_to_all(server, cluster).await? {
        let list = Listing {
            probe: &probe,
            prefix: &prefix,
        };
        streams.extend(list.run().await?);
    }
    streams.sort_by(|a, b| a.topic.cmp(&b.topic));
    Ok(streams)
}

/// The streams of one node.
struct Listing<'a> {
    probe: &'a Probe,
    prefix: &'a str,
}

impl Listing<'_> {
    async fn run(&self) -> Result<Vec<StreamReport>> {
        let now = self.probe.ask(&Command::new("TIME")).await;
        let now = now.and_then(millis_of).unwrap_or_else(|_| here());
        let pattern = format!("{}*", escape_glob(self.prefix));
        let keys = scan(self.probe.connection(), &pattern, "stream")
            .await
            .map_err(|failure| self.error(failure, "SCAN", self.prefix))?;
        let keys: Vec<String> = keys.into_iter().collect();
        let mut reports = Vec::with_capacity(keys.len());
        for page in keys.chunks(PAGE) {
            reports.extend(self.page(page, now).await?);
        }
        Ok(reports)
    }

    fn error(&self, failure: Failure, command: &str, key: &str) -> Error {
        failure.into_error("topics", command, Some(key))
    }

    async fn page(&self, keys: &[String], now: i64) -> Result<Vec<StreamReport>> {
        let questions: Vec<Command> = keys
            .iter()
            .flat_map(|key| {
                [
                    Command::new("XINFO STREAM").key(key),
                    Command::new("XINFO GROUPS").key(key),
                    Command::new("MEMORY USAGE").key(key),
                    Command::new("PTTL").key(key),
                ]
            })
            .collect();
        let replies = self
            .probe
            .ask_all(&questions)
            .await
            .map_err(|failure| self.error(failure, "XINFO STREAM", self.prefix))?;
        let mut reports = Vec::with_capacity(keys.len());
        for (key, replies) in keys.iter().zip(replies.chunks_exact(QUESTIONS)) {
            let report = self
                .report(key, replies, now)
                .map_err(|failure| self.error(failure, "XINFO", key))?;
            reports.extend(report);
        }
        Ok(reports)
    }

    /// `None` when the stream vanished meanwhile.
    fn report(
        &self,
        key: &str,
        replies: &[Reply],
        now: i64,
    ) -> Result<Option<StreamReport>, Failure> {
        let [stream, groups, bytes, ttl] = replies else {
            return Err(Failure::Protocol("answers are missing".to_owned()));
        };
        let (stream, groups) = match (stream.clone().into_result(), groups.clone().into_result()) {
            (Ok(stream), Ok(groups)) => (stream.into_array()?, groups.into_array()?),
            (Err(failure), _) | (_, Err(failure)) => {
                return if is_gone(&failure) {
                    Ok(None)
                } else {
                    Err(failure)
                };
            }
        };
        let number = |reply: Reply| reply.into_int().ok().and_then(|n| u64::try_from(n).ok());
        let field = |name: &str| Reply::field(&stream, name).and_then(number);
        let topic = key.strip_prefix(self.prefix).unwrap_or(key);
        let mut groups = groups
            .into_iter()
            .map(GroupReport::from_reply)
            .collect::<Result<Vec<_>, _>>()?;
        groups.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Some(StreamReport {
            topic: Topic::from(topic),
            key: key.to_owned(),
            entries: field("length").unwrap_or_default(),
            appended: field("entries-added"),
            bytes: number(bytes.clone()),
            idle: Reply::field(&stream, "last-generated-id").and_then(|id| idle(id, now)),
            ttl: number(ttl.clone()).map(Duration::from_millis),
            groups,
        }))
    }
}

impl GroupReport {
    fn from_reply(reply: Reply) -> Result<Self, Failure> {
        let fields = reply.into_array()?;
        let field = |name: &str| Reply::field(&fields, name).unwrap_or(Reply::Nil);
        let number = |name: &str| u64::try_from(field(name).into_int().ok()?).ok();
        let name = field("name").into_text()?;
        Ok(Self {
            is_private: name.starts_with(PRIVATE),
            name: Text::from(name),
            consumers: number("consumers").unwrap_or_default(),
            pending: number("pending").unwrap_or_default(),
            lag: number("lag"),
        })
    }
}

fn is_gone(failure: &Failure) -> bool {
    matches!(failure, Failure::Server(error) if error.message.contains("no such key"))
}

/// How long before `now` an entry with `id` was made.
fn idle(id: Reply, now: i64) -> Option<Duration> {
    let id = id.into_text().ok()?;
    let made: i64 = id.split('-').next()?.parse().ok()?;
    let passed = u64::try_from(now.saturating_sub(made)).unwrap_or(0);
    (made > 0).then(|| Duration::from_millis(passed))
}

fn here() -> i64 {
    bowline_events::Timestamp::now().as_millis()
}
