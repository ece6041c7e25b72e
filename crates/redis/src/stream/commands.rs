//! The commands on the stream of one topic, as the reference sends them.

use std::time::Duration;

use bytes::Bytes;

use super::{Entry, StreamId};
use crate::settings::Settings;
use crate::wire::{Command, Failure, Reply};

/// Makes the commands on one stream.
#[derive(Debug, Clone)]
pub(crate) struct StreamCommands<'a> {
    key: String,
    settings: &'a Settings,
}

impl<'a> StreamCommands<'a> {
    pub(crate) fn new(settings: &'a Settings, topic: &str) -> Self {
        Self {
            key: settings.key(topic),
            settings,
        }
    }

    /// The key of the stream.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Appends an event and trims.
    pub(crate) fn add(&self, event: &[u8]) -> Command {
        let mut command = Command::sized("XADD", event.len() + self.key.len()).key(&self.key);
        if let Some(length) = self.settings.max_stream_length {
            command = command.arg("MAXLEN").arg("~").number(length);
        }
        command.arg("*").arg("event").arg(event)
    }

    /// Renews the time to live of the stream, where one is set.
    pub(crate) fn expire(&self) -> Option<Command> {
        let ttl = self.settings.stream_idle_ttl?;
        Some(Command::new("PEXPIRE").key(&self.key).number(millis(ttl)))
    }

    /// Makes `group`, and the stream with it. `start` is an id, `0` or `$`.
    pub(crate) fn create_group(&self, group: &str, start: impl AsRef<[u8]>) -> Command {
        Command::new("XGROUP CREATE")
            .key(&self.key)
            .arg(group)
            .arg(start)
            .arg("MKSTREAM")
    }

    pub(crate) fn destroy_group(&self, group: &str) -> Command {
        Command::new("XGROUP DESTROY").key(&self.key).arg(group)
    }

    /// Acknowledges `ids`, of which there must be one at least.
    pub(crate) fn ack(&self, group: &str, ids: &[StreamId]) -> Command {
        Command::sized("XACK", ids.len() * 32)
            .key(&self.key)
            .arg(group)
            .args(ids.iter().map(|id| id.arg()))
    }

    /// A page of at most `count` entries from `from` to `to` (`-`, `+`, an id, or `(` and an id).
    pub(crate) fn range(
        &self,
        from: impl AsRef<[u8]>,
        to: impl AsRef<[u8]>,
        count: u64,
    ) -> Command {
        Command::new("XRANGE")
            .key(&self.key)
            .arg(from)
            .arg(to)
            .arg("COUNT")
            .number(count)
    }

    /// The newest `count` entries, newest first.
    pub(crate) fn newest(&self, count: u64) -> Command {
        Command::new("XREVRANGE")
            .key(&self.key)
            .arg("+")
            .arg("-")
            .arg("COUNT")
            .number(count)
    }

    /// What the server knows of the stream.
    pub(crate) fn info(&self) -> Command {
        Command::new("XINFO STREAM").key(&self.key)
    }

    pub(crate) fn delete(&self) -> Command {
        Command::new("DEL").key(&self.key)
    }
}

/// Whole milliseconds, 1 at least.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis())
        .unwrap_or(u64::MAX)
        .max(1)
}

/// Reads the reply of `XREADGROUP`: the entries by key, nothing after a time-out.
pub(crate) fn parse_read(reply: Reply) -> Result<Vec<(Bytes, Vec<Entry>)>, Failure> {
    let mut streams = Vec::new();
    let mut flat = reply.into_array()?.into_iter();
    while let Some(stream) = flat.next() {
        let (key, entries) = match stream {
            Reply::Array(pair) => {
                let mut pair = pair.into_iter();
                (pair.next(), pair.next())
            }
            // The third version of the protocol answers with a map.
            key => (Some(key), flat.next()),
        };
        let (Some(key), Some(entries)) = (key, entries) else {
            return Err(Failure::Protocol("a read names no stream".to_owned()));
        };
        streams.push((key.into_bytes()?, Entry::list(entries)?));
    }
    Ok(streams)
}
