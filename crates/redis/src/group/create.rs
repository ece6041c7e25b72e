//! Making a group on the server.

use bowline_events::StartFrom;

use super::scripts::{Owner, is_gone};
use super::work::Notice;
use crate::bus::Bus;
use crate::history::Walk;
use crate::stream::{StreamCommands, StreamId, millis};
use crate::wire::{Command, Failure, Repeat, Reply};

/// Makes `group` unless it is there: then it keeps its position. The notice tells a new group what it missed.
pub(super) async fn create(
    bus: &Bus,
    stream: &StreamCommands<'_>,
    group: &str,
    start: StartFrom,
) -> Result<Option<Notice>, Failure> {
    let (id, notice) = match start {
        StartFrom::Earliest => (StreamId::ZERO, None),
        StartFrom::Latest => {
            create_at(bus, stream, group, "$").await?;
            return Ok(None);
        }
        StartFrom::Offset(position) => before(bus, stream, position).await?,
    };
    let made = create_after(bus, stream, group, id).await?;
    Ok(notice.filter(|_| made))
}

/// Makes `group` behind the entry `id`; whether it was not there.
pub(super) async fn create_after(
    bus: &Bus,
    stream: &StreamCommands<'_>,
    group: &str,
    id: StreamId,
) -> Result<bool, Failure> {
    match id {
        // As the reference writes it.
        StreamId::ZERO => create_at(bus, stream, group, "0").await,
        id => create_at(bus, stream, group, id.arg()).await,
    }
}

async fn create_at(
    bus: &Bus,
    stream: &StreamCommands<'_>,
    group: &str,
    id: impl AsRef<[u8]>,
) -> Result<bool, Failure> {
    let create = stream.create_group(group, id);
    let Some(expire) = stream.expire() else {
        return made(bus.link.run(&create, Repeat::Yes).await);
    };
    let replies = bus.link.run_all(&[create, expire], true, Repeat::Yes).await;
    let mut replies = replies?.into_iter();
    let new = made(replies.next().unwrap_or(Reply::Nil).into_result());
    for reply in replies {
        reply.into_result()?;
    }
    new
}

/// A group that is there already is as good as a new one.
fn made(reply: Result<Reply, Failure>) -> Result<bool, Failure> {
    match reply {
        Ok(_) => Ok(true),
        Err(failure) if failure.code() == Some("BUSYGROUP") => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// The id of the last entry before `position`, and what is to be told when entries from there on are gone.
async fn before(
    bus: &Bus,
    stream: &StreamCommands<'_>,
    position: u64,
) -> Result<(StreamId, Option<Notice>), Failure> {
    let Some(info) = bus.stream_info(stream).await? else {
        return Ok((StreamId::ZERO, None));
    };
    let first = info.first();
    if position <= first {
        let wanted = position;
        let notice = (wanted < first).then_some(Notice::Truncated { wanted, first });
        return Ok((StreamId::ZERO, notice));
    }
    if position >= info.end {
        return Ok((info.last_id, None));
    }
    let mut walk = Walk::new(&info, position - 1);
    let page = walk.next(bus, stream).await?;
    let id = page.first().map(|(_, entry)| entry.id);
    Ok((id.unwrap_or(info.last_id), None))
}

/// Removes consumers of the group that have nothing pending and showed no sign of life for `sweep_idle`.
pub(super) async fn sweep(bus: &Bus, owner: Owner<'_>) -> Result<(), Failure> {
    let Some(limit) = bus.settings.sweep_idle else {
        return Ok(());
    };
    let ask = Command::new("XINFO CONSUMERS")
        .key(owner.stream.key())
        .arg(owner.group);
    let consumers = match bus.link.run(&ask, Repeat::Yes).await {
        Err(failure) if is_gone(&failure) => return Ok(()),
        consumers => consumers?.into_array()?,
    };
    for consumer in consumers {
        let fields = consumer.into_array()?;
        let field = |name| Reply::field(&fields, name).unwrap_or(Reply::Nil);
        let (pending, idle) = (field("pending").into_int()?, field("idle").into_int()?);
        let name = field("name").into_text()?;
        let abandoned = u64::try_from(idle).is_ok_and(|idle| idle >= millis(limit));
        if pending == 0 && abandoned && name != owner.consumer {
            let consumer = name.as_str();
            Owner { consumer, ..owner }.dismiss(bus).await?;
        }
    }
    Ok(())
}
