//! The private group of this process on a stream: making it, making it anew, removing it.

use std::time::Duration;

use bowline_events::{Result, Topic};

use super::ledger::Ledger;
use crate::bus::Bus;
use crate::history::PRIVATE;
use crate::stream::{Entry, StreamCommands, StreamId, StreamInfo, millis};
use crate::wire::{Command, Failure, Repeat, Reply};

/// Deletes a stream that never held an entry and that no group reads: only a subscription made it.
const DELETE_UNUSED: &str = "\
if redis.call('XLEN', KEYS[1]) > 0 or #redis.call('XINFO', 'GROUPS', KEYS[1]) > 0 then return 0 end \
local info = redis.call('XINFO', 'STREAM', KEYS[1]) \
for field = 1, #info, 2 do \
if info[field] == 'entries-added' and info[field + 1] == 0 then return redis.call('DEL', KEYS[1]) end \
end \
return 0";

/// Where a group begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    /// With the oldest kept entry.
    Oldest,
    /// Behind the newest entry.
    Newest,
    Behind(StreamId),
}

/// What became of making a group.
#[derive(Debug)]
pub(super) enum Made {
    /// It is new; what the server said of the stream at that moment, where it may say so.
    New(Option<StreamInfo>),
    /// It was there.
    Present,
}

/// What is to be done about a group that is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// Only the group: the stream is the one that we know.
    Group,
    /// The stream: whatever is there now is new.
    Stream,
}

impl Begin {
    fn id(self) -> String {
        match self {
            Self::Oldest => "0".to_owned(),
            Self::Newest => "$".to_owned(),
            Self::Behind(id) => id.to_string(),
        }
    }

    /// The account of a group that begins here.
    pub(super) fn ledger(self, info: Option<&StreamInfo>) -> Ledger {
        match self {
            Self::Oldest => Ledger::new(info.map(StreamInfo::first), StreamId::ZERO),
            Self::Newest => Ledger::new(
                info.map(|info| info.end),
                info.map_or(StreamId::ZERO, |info| info.last_id),
            ),
            Self::Behind(id) => Ledger::new(None, id),
        }
    }
}

/// Makes the group called `group`, and the stream with it.
pub(super) async fn make(
    bus: &Bus,
    commands: &StreamCommands<'_>,
    group: &str,
    begin: Begin,
) -> Result<Made, (Failure, &'static str)> {
    let create = commands.create_group(group, begin.id());
    let mut all = vec![create.clone(), commands.info()];
    all.extend(commands.expire());
    match bus.link.run_all(&all, true, Repeat::Yes).await {
        Ok(replies) => {
            let mut replies = replies.into_iter();
            let created = replies.next().unwrap_or(Reply::Nil).into_result();
            let info = replies.next().unwrap_or(Reply::Nil);
            match created {
                Ok(_) => StreamInfo::from_reply(info)
                    .map(|info| Made::New(Some(info)))
                    .map_err(|failure| (failure, "XINFO STREAM")),
                Err(failure) if failure.code() == Some("BUSYGROUP") => Ok(Made::Present),
                Err(failure) => Err((failure, "XGROUP CREATE")),
            }
        }
        // The server refuses the transaction as a whole when one of its commands is not permitted.
        Err(failure) if failure.code() == Some("NOPERM") => {
            match bus.link.run(&create, Repeat::Yes).await {
                Ok(_) => {}
                Err(failure) if failure.code() == Some("BUSYGROUP") => return Ok(Made::Present),
                Err(failure) => return Err((failure, "XGROUP CREATE")),
            }
            if let Some(expire) = commands.expire()
                && let Err(failure) = bus.link.run(&expire, Repeat::Yes).await
            {
                tracing::warn!(
                    key = commands.key(),
                    ?failure,
                    "the time to live of a stream cannot be renewed"
                );
            }
            Ok(Made::New(None))
        }
        Err(failure) => Err((failure, "XGROUP CREATE")),
    }
}

/// Makes the group of a subscription. A leftover of the same name is replaced.
pub(super) async fn open(
    bus: &Bus,
    topic: &Topic,
    group: &str,
    begin: Begin,
) -> Result<Option<StreamInfo>> {
    let commands = bus.stream(topic);
    for _ in 0..2 {
        match make(bus, &commands, group, begin).await {
            Ok(Made::New(info)) => return Ok(info),
            // Removing it failed when it was last used, or this is the second attempt after a broken connection.
            Ok(Made::Present) => destroy(bus, &commands, group).await.map_err(|failure| {
                bus.error(failure, "subscribe", "XGROUP DESTROY", commands.key())
            })?,
            Err((failure, command)) => {
                return Err(bus.error(failure, "subscribe", command, commands.key()));
            }
        }
    }
    let failure = Failure::Protocol("the group is there again although it was removed".to_owned());
    Err(bus.error(failure, "subscribe", "XGROUP CREATE", commands.key()))
}

/// Finds out what is left of a stream of which `last_id` is the last entry that was read, and `next` the position behind it.
/// `is_last` tells whether an entry is that one: a new stream may use its id again.
pub(super) async fn assess(
    bus: &Bus,
    commands: &StreamCommands<'_>,
    last_id: StreamId,
    next: Option<u64>,
    is_last: impl Fn(&Entry) -> bool,
) -> Result<Loss, Failure> {
    let last = last_id.to_string();
    let look = [commands.info(), commands.range(&last, &last, 1)];
    let replies = bus.link.run_all(&look, true, Repeat::Yes).await?;
    let mut replies = replies.into_iter();
    let info = match replies.next().unwrap_or(Reply::Nil) {
        Reply::Error(error) if error.message.contains("no such key") => return Ok(Loss::Stream),
        reply => StreamInfo::from_reply(reply)?,
    };
    let kept = Entry::list(replies.next().unwrap_or(Reply::Nil).into_result()?)?;
    Ok(judge(
        &info,
        last_id,
        next,
        kept.first().is_some_and(is_last),
    ))
}

/// Whether the stream is still the one of which `last_id` was the last entry read.
fn judge(info: &StreamInfo, last_id: StreamId, next: Option<u64>, last_is_kept: bool) -> Loss {
    let known = next.is_none_or(|next| {
        let trimmed_past_us = info.first() >= next;
        info.end >= next && (last_is_kept || trimmed_past_us)
    });
    // A stream that is empty and has moved on was trimmed, one that has not is new.
    let moved_on = info.last_id >= last_id && (last_is_kept || next.is_some());
    match known && moved_on && last_id > StreamId::ZERO {
        true => Loss::Group,
        false => Loss::Stream,
    }
}

/// Removes the group. That it, or the stream, is gone already is no failure.
pub(super) async fn destroy(
    bus: &Bus,
    commands: &StreamCommands<'_>,
    group: &str,
) -> Result<(), Failure> {
    match bus
        .link
        .run(&commands.destroy_group(group), Repeat::Yes)
        .await
    {
        Err(Failure::Server(error))
            if error.code == "ERR" && error.message.contains("key to exist") =>
        {
            Ok(())
        }
        Err(failure) if matches!(failure.code(), Some("NOGROUP" | "WRONGTYPE")) => Ok(()),
        other => other.map(|_| ()),
    }
}

/// Removes the group, and the stream if it was made for a subscription and never used.
pub(super) async fn remove(
    bus: &Bus,
    commands: &StreamCommands<'_>,
    group: &str,
) -> Result<(), Failure> {
    destroy(bus, commands, group).await?;
    let length = Command::new("XLEN").key(commands.key());
    match bus
        .link
        .run(&length, Repeat::Yes)
        .await
        .and_then(Reply::into_int)
    {
        Ok(0) => {}
        // Without permission to look, the stream stays.
        _ => return Ok(()),
    }
    let script = Command::new("EVAL")
        .arg(DELETE_UNUSED)
        .arg("1")
        .key(commands.key());
    if let Err(failure) = bus.link.run(&script, Repeat::Yes).await {
        tracing::debug!(key = commands.key(), ?failure, "an empty stream stays");
    }
    Ok(())
}

/// Removes private groups whose consumers all showed no sign of life for `idle`: their processes crashed.
pub(super) async fn sweep(
    bus: &Bus,
    topic: &Topic,
    own: &str,
    idle: Duration,
) -> Result<(), Failure> {
    let commands = bus.stream(topic);
    let ask = Command::new("XINFO GROUPS").key(commands.key());
    for group in bus.link.run(&ask, Repeat::Yes).await?.into_array()? {
        let fields = group.into_array()?;
        let name = Reply::field(&fields, "name")
            .unwrap_or(Reply::Nil)
            .into_text()?;
        if !name.starts_with(PRIVATE) || name == own {
            continue;
        }
        if is_abandoned(bus, &commands, &name, idle).await? {
            tracing::info!(
                key = commands.key(),
                group = name,
                "a group that a crashed process left behind is removed"
            );
            destroy(bus, &commands, &name).await?;
        }
    }
    Ok(())
}

/// Whether the group has consumers, none of which was heard of for `idle`. One without consumers may just have been made.
async fn is_abandoned(
    bus: &Bus,
    commands: &StreamCommands<'_>,
    group: &str,
    idle: Duration,
) -> Result<bool, Failure> {
    let ask = Command::new("XINFO CONSUMERS")
        .key(commands.key())
        .arg(group);
    let consumers = match bus.link.run(&ask, Repeat::Yes).await {
        Ok(reply) => reply.into_array()?,
        Err(failure) if failure.code() == Some("NOGROUP") => return Ok(false),
        Err(failure) => return Err(failure),
    };
    let mut any = false;
    for consumer in consumers {
        let fields = consumer.into_array()?;
        let silent = Reply::field(&fields, "idle")
            .unwrap_or(Reply::Int(0))
            .into_int()?;
        if u64::try_from(silent).unwrap_or(0) < millis(idle) {
            return Ok(false);
        }
        any = true;
    }
    Ok(any)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_stream_is_told_from_a_lost_group() {
        let id = |millis| StreamId { millis, number: 0 };
        let info = |first: Option<u64>, length, end, last| StreamInfo {
            length,
            end,
            last_id: id(last),
            first_id: first.map(id),
        };
        // Entries 1 to 5 were read, so the next position is 5.
        for (what, info, kept, loss) in [
            ("nothing changed", info(Some(1), 5, 5, 5), true, Loss::Group),
            (
                "more was published",
                info(Some(1), 9, 9, 9),
                true,
                Loss::Group,
            ),
            (
                "trimmed up to our place",
                info(Some(6), 4, 9, 9),
                false,
                Loss::Group,
            ),
            (
                "trimmed past our place",
                info(Some(8), 2, 9, 9),
                false,
                Loss::Group,
            ),
            (
                "trimmed to nothing",
                info(None, 0, 7, 7),
                false,
                Loss::Group,
            ),
            ("new and empty", info(None, 0, 0, 0), false, Loss::Stream),
            (
                "new with a few",
                info(Some(8), 2, 2, 9),
                false,
                Loss::Stream,
            ),
            (
                "new with many",
                info(Some(8), 20, 20, 28),
                false,
                Loss::Stream,
            ),
            (
                "new in the same millisecond",
                info(Some(5), 1, 1, 5),
                true,
                Loss::Stream,
            ),
        ] {
            assert_eq!(judge(&info, id(5), Some(5), kept), loss, "{what}");
        }
        assert_eq!(
            judge(&info(Some(8), 2, 2, 9), StreamId::ZERO, Some(0), false),
            Loss::Stream
        );
        assert_eq!(
            judge(&info(Some(1), 5, 5, 5), id(5), None, true),
            Loss::Group
        );
        assert_eq!(
            judge(&info(Some(8), 2, 2, 9), id(5), None, false),
            Loss::Stream
        );
    }
}
