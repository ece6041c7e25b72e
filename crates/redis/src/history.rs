//! What a stream keeps: reading it by position, trimming it, listing all streams.

use std::collections::BTreeSet;
use std::sync::Arc;

use bowline_events::{Event, Result, Text, Topic, TopicInfo};

use crate::bus::Bus;
use crate::stream::{Entry, StreamCommands, StreamId, StreamInfo, decode};
use crate::wire::{Command, Connection, Failure, Repeat, Reply};

/// Entries of one page.
pub(crate) const PAGE: u64 = 500;

/// The groups that only this backend knows: one per process and bus.
pub(crate) const PRIVATE: &str = "__fanout-";

impl Bus {
    /// Up to `limit` events of `topic` from position `offset` on. Entries that hold no event are left out.
    pub(crate) async fn history(
        &self,
        topic: &Topic,
        offset: u64,
        limit: usize,
    ) -> Result<Vec<Arc<Event>>> {
        let stream = self.stream(topic);
        self.page(&stream, offset, limit)
            .await
            .map_err(|failure| self.error(failure, "history", "XRANGE", stream.key()))
    }

    async fn page(
        &self,
        stream: &StreamCommands<'_>,
        offset: u64,
        limit: usize,
    ) -> Result<Vec<Arc<Event>>, Failure> {
        let mut events = Vec::new();
        let Some(info) = self.stream_info(stream).await? else {
            return Ok(events);
        };
        if limit == 0 || offset >= info.end {
            return Ok(events);
        }
        let mut walk = Walk::new(&info, offset);
        while events.len() < limit {
            let page = walk.next(self, stream).await?;
            if page.is_empty() {
                break;
            }
            let wanted = page.iter().filter_map(|(_, entry)| decode(entry).ok());
            events.extend(wanted.map(Arc::new).take(limit - events.len()));
        }
        Ok(events)
    }

    /// What the server knows of a stream; `None` when there is none.
    pub(crate) async fn stream_info(
        &self,
        stream: &StreamCommands<'_>,
    ) -> Result<Option<StreamInfo>, Failure> {
        match self.link.run(&stream.info(), Repeat::Yes).await {
            Ok(reply) => StreamInfo::from_reply(reply).map(Some),
            Err(Failure::Server(error)) if error.message.contains("no such key") => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Removes the entries of `topic` before position `before`.
    pub(crate) async fn trim(&self, topic: &Topic, before: u64) -> Result<()> {
        let stream = self.stream(topic);
        self.trim_before(&stream, before)
            .await
            .map_err(|failure| self.error(failure, "trim", "XTRIM", stream.key()))
    }

    async fn trim_before(&self, stream: &StreamCommands<'_>, before: u64) -> Result<(), Failure> {
        let Some(info) = self.stream_info(stream).await? else {
            return Ok(());
        };
        if before <= info.first() {
            return Ok(());
        }
        let trim = Command::new("XTRIM").key(stream.key());
        let trim = if before >= info.end {
            trim.arg("MINID").arg("=").arg(info.last_id.after().arg())
        } else {
            let mut walk = Walk::new(&info, before);
            match walk.next(self, stream).await?.first() {
                Some((_, entry)) => trim.arg("MINID").arg("=").arg(entry.id.arg()),
                None => return Ok(()),
            }
        };
        self.link.run(&trim, Repeat::Yes).await?;
        Ok(())
    }

    /// The streams under the prefix of this bus.
    pub(crate) async fn topics(&self) -> Result<Vec<TopicInfo>> {
        let prefix = format!("{}:", self.settings.key_prefix);
        self.list(&prefix)
            .await
            .map_err(|failure| self.error(failure, "topics", "SCAN", &prefix))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<TopicInfo>, Failure> {
        let mut infos = Vec::new();
        for node in self.client.connect_to_all().await? {
            for key in scan(&*node, &format!("{}*", escape_glob(prefix)), "stream").await? {
                let topic = key.strip_prefix(prefix).unwrap_or(&key).to_owned();
                infos.extend(self.topic_info(topic).await?);
            }
        }
        infos.sort_by(|a: &TopicInfo, b: &TopicInfo| a.topic.cmp(&b.topic));
        Ok(infos)
    }

    /// `None` when the stream vanished meanwhile.
    async fn topic_info(&self, topic: String) -> Result<Option<TopicInfo>, Failure> {
        let stream = self.stream(&topic);
        let asked = [
            Command::new("XLEN").key(stream.key()),
            Command::new("XINFO GROUPS").key(stream.key()),
            Command::new("MEMORY USAGE").key(stream.key()),
        ];
        let replies = self.link.run_all(&asked, false, Repeat::Yes).await?;
        let mut replies = replies.into_iter();
        let mut next = || replies.next().unwrap_or(Reply::Nil).into_result();
        let number = |reply: Reply| reply.into_int().ok().and_then(|n| u64::try_from(n).ok());
        let (length, groups, bytes) = (next()?, next(), next());
        let Ok(groups) = groups else {
            return Ok(None);
        };
        let mut info = TopicInfo::new(Topic::from(topic));
        info.events = number(length);
        info.bytes = bytes.ok().and_then(number);
        let mut private = 0;
        for group in groups.into_array()? {
            let fields = group.into_array()?;
            let name = Reply::field(&fields, "name")
                .unwrap_or(Reply::Nil)
                .into_text()?;
            if name.starts_with(PRIVATE) {
                private += 1;
            } else {
                info.groups.push(Text::from(name));
            }
        }
        info.subscribers = Some(private);
        Ok(Some(info))
    }
}

/// Walks a stream from a position to its end, page by page.
#[derive(Debug)]
pub(crate) struct Walk {
    /// The position of the next entry of the walk.
    position: u64,
    /// Entries before this position are passed over.
    from: u64,
    after: Option<StreamId>,
}

impl Walk {
    /// From position `from`, or the oldest kept one if that is later.
    pub(crate) fn new(info: &StreamInfo, from: u64) -> Self {
        Self {
            position: info.first(),
            from,
            after: None,
        }
    }

    /// The next entries and their positions; nothing at the end.
    pub(crate) async fn next(
        &mut self,
        bus: &Bus,
        stream: &StreamCommands<'_>,
    ) -> Result<Vec<(u64, Entry)>, Failure> {
        loop {
            let from = match self.after {
                Some(id) => format!("({id}"),
                None => "-".to_owned(),
            };
            let reply = bus
                .link
                .run(&stream.range(from, "+", PAGE), Repeat::Yes)
                .await?;
            let entries = Entry::list(reply)?;
            let Some(last) = entries.last() else {
                return Ok(Vec::new());
            };
            self.after = Some(last.id);
            let first = self.position;
            self.position += entries.len() as u64;
            let page: Vec<_> = (first..)
                .zip(entries)
                .filter(|(position, _)| *position >= self.from)
                .collect();
            if !page.is_empty() {
                return Ok(page);
            }
        }
    }
}

/// The keys of one node that match `pattern` and hold a value of type `kind`, each once.
pub(crate) async fn scan(
    node: &dyn Connection,
    pattern: &str,
    kind: &str,
) -> Result<BTreeSet<String>, Failure> {
    let mut keys = BTreeSet::new();
    let mut cursor = "0".to_owned();
    loop {
        let page = Command::new("SCAN")
            .arg(&cursor)
            .arg("MATCH")
            .arg(pattern)
            .arg("COUNT")
            .number(PAGE)
            .arg("TYPE")
            .arg(kind);
        let mut reply = node.send(&page).await?.into_array()?.into_iter();
        cursor = reply.next().unwrap_or(Reply::Nil).into_text()?;
        for key in reply.next().unwrap_or(Reply::Nil).into_array()? {
            keys.insert(key.into_text()?);
        }
        if cursor == "0" {
            return Ok(keys);
        }
    }
}

/// `text` as a pattern that matches only itself.
pub(crate) fn escape_glob(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}
