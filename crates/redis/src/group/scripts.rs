//! Scripts that act on entries only while this process owns them.

use crate::bus::Bus;
use crate::stream::{StreamCommands, StreamId, millis};
use crate::wire::{Command, Failure, Repeat, Reply};

/// Entries that one script looks at: the server does nothing else meanwhile.
const MOST: usize = 100;

/// Renews the entries that this consumer owns, and returns the others.
const KEEP: &str = "\
local lost = {} \
for i = 3, #ARGV do \
local p = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1) \
if p[1] and p[1][2] == ARGV[2] then \
redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'JUSTID') \
else lost[#lost + 1] = ARGV[i] end \
end \
return lost";

/// Sets idle time and number of deliveries of the entries that this consumer owns.
const MARK: &str = "\
for i = 4, #ARGV, 2 do \
local p = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1) \
if p[1] and p[1][2] == ARGV[2] then \
redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'IDLE', ARGV[3], 'RETRYCOUNT', ARGV[i + 1], 'JUSTID') \
end \
end \
return 1";

/// Refuses an entry that this consumer owns: appends what is to come again, if anything, and acknowledges it.
const NACK: &str = "\
local p = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1) \
if not p[1] or p[1][2] ~= ARGV[2] then return 0 end \
if ARGV[4] ~= '' then \
if ARGV[6] then redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[6], '*', 'event', ARGV[4]) \
else redis.call('XADD', KEYS[1], '*', 'event', ARGV[4]) end \
if tonumber(ARGV[5]) > 0 then redis.call('PEXPIRE', KEYS[1], ARGV[5]) end \
end \
redis.call('XACK', KEYS[1], ARGV[1], ARGV[3]) \
return 1";

/// Removes a consumer for which nothing is pending.
const DISMISS: &str = "\
if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) > 0 then return 0 end \
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2]) \
return 1";

/// One consumer of a group, as the scripts know it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner<'a> {
    pub(super) stream: &'a StreamCommands<'a>,
    pub(super) group: &'a str,
    pub(super) consumer: &'a str,
}

impl Owner<'_> {
    fn script(&self, script: &'static str, bytes: usize) -> Command {
        Command::sized("EVAL", script.len() + bytes)
            .arg(script)
            .number(1)
            .key(self.stream.key())
            .arg(self.group)
            .arg(self.consumer)
    }

    /// Renews `ids`; returns those that belong to somebody else by now.
    pub(super) async fn keep(&self, bus: &Bus, ids: &[StreamId]) -> Result<Vec<StreamId>, Failure> {
        let mut lost = Vec::new();
        for part in ids.chunks(MOST) {
            let ids = part.iter().map(|id| id.arg());
            let keep = self.script(KEEP, part.len() * 32).args(ids);
            for id in bus.link.run(&keep, Repeat::Yes).await?.into_array()? {
                lost.extend(StreamId::parse(&id.into_bytes()?));
            }
        }
        Ok(lost)
    }

    /// Sets the idle time in milliseconds and the number of deliveries of entries.
    pub(super) async fn mark(
        &self,
        bus: &Bus,
        idle: u64,
        entries: &[(StreamId, u32)],
    ) -> Result<(), Failure> {
        for part in entries.chunks(MOST) {
            let mark = self.script(MARK, part.len() * 40).number(idle);
            let mark = part.iter().fold(mark, |mark, (id, counted)| {
                mark.arg(id.arg()).number(u64::from(*counted))
            });
            bus.link.run(&mark, Repeat::Yes).await?;
        }
        Ok(())
    }

    /// Refuses `id`, of which `payload` is to come again unless it is empty. Whether this consumer owned it.
    pub(super) async fn nack(
        &self,
        bus: &Bus,
        id: StreamId,
        payload: &[u8],
    ) -> Result<bool, Failure> {
        let ttl = bus.settings.stream_idle_ttl.map_or(0, millis);
        let mut nack = self
            .script(NACK, payload.len())
            .arg(id.arg())
            .arg(payload)
            .number(ttl);
        if let Some(length) = bus.settings.max_stream_length {
            nack = nack.number(length);
        }
        // Executed a second time it finds that the entry is not pending any more.
        Ok(bus.link.run(&nack, Repeat::Yes).await? == Reply::Int(1))
    }

    /// Removes the consumer, unless something is pending for it.
    pub(super) async fn dismiss(&self, bus: &Bus) -> Result<bool, Failure> {
        let dismiss = self.script(DISMISS, 0);
        Ok(bus.link.run(&dismiss, Repeat::Yes).await? == Reply::Int(1))
    }
}

/// Whether the stream or the group is not there.
pub(super) fn is_gone(failure: &Failure) -> bool {
    match failure {
        Failure::Server(error) => {
            matches!(error.code.as_str(), "NOGROUP" | "UNBLOCKED")
                || error.message.contains("NOGROUP")
                || error.message.contains("no such key")
                || error.message.contains("requires the key to exist")
        }
        _ => false,
    }
}
