//! Appending events, exactly once where that can be found out.

mod look;
#[cfg(test)]
mod model;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bowline_events::{Error, ErrorKind, EventId, NewEvent, Published, Result, Topic};
use tokio::time::{sleep, timeout};

use crate::bus::Bus;
use crate::stream::{Entry, StreamCommands, decode, encode};
use crate::wire::{Command, Failure, Link, Repeat};
use look::{Look, Looks};

/// Entries that are looked at beside twice the outstanding publishes when a connection broke.
const LOOK_BACK: u64 = 256;
const LONGEST_LOOK_BACK: u64 = 5_000;

/// The pause after an event was lost twice; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl Bus {
    /// Appends `event` to the stream of `topic`.
    ///
    /// When the connection breaks on the way, the end of the stream is searched for the id of the event, and the event is sent
    /// again only if it is not there.
    pub(crate) async fn publish(&self, topic: &Topic, event: NewEvent) -> Result<Published> {
        let event = event.stamp();
        let text = encode(&event).map_err(|error| error.with_subject(topic))?;
        self.check_size(topic, text.len())?;
        let _publishing = self.publishing();
        let commands = self.stream(topic);
        self.append(&commands, &text, &event.id)
            .await
            .map_err(|failure| self.error(failure, "publish", "XADD", commands.key()))?;
        Ok(Published::new(Some(event.id), None))
    }

    /// Refuses an event of more bytes than the limit.
    pub(crate) fn check_size(&self, topic: &Topic, bytes: usize) -> Result<()> {
        let limit = self.settings.max_event_bytes;
        if bytes <= limit {
            return Ok(());
        }
        let message = format!(
            "the event has {bytes} bytes as JSON, the limit is {limit}; send a reference to the data, or raise max_event_bytes"
        );
        Err(Error::new(ErrorKind::TooLarge, "publish", message).with_subject(topic))
    }

    /// Appends the JSON text of an event called `id`.
    pub(crate) async fn append(
        &self,
        commands: &StreamCommands<'_>,
        text: &[u8],
        id: &EventId,
    ) -> Result<(), Failure> {
        let adding = Adding {
            add: commands.add(text),
            expire: commands.expire(),
        };
        match adding.send(&self.link).await {
            Err(Failure::Lost(why)) => {
                Box::pin(self.append_again(commands, &adding, id, Failure::Lost(why))).await
            }
            outcome => outcome,
        }
    }

    /// Appends what may have been lost on its way, for as long as a publish may wait for a server.
    async fn append_again(
        &self,
        commands: &StreamCommands<'_>,
        adding: &Adding,
        id: &EventId,
        lost: Failure,
    ) -> Result<(), Failure> {
        let recovering = async {
            let mut pause = FIRST_PAUSE;
            loop {
                let look = self.look(commands)?;
                match look.outcome().await {
                    Ok(ids) if ids.contains(id) => return Ok(()),
                    Ok(_) => {}
                    // Whether it arrived is still not known.
                    Err(_) => return Err(lost.clone()),
                }
                match adding.send(&self.link).await {
                    Err(Failure::Lost(_)) => {}
                    outcome => return outcome,
                }
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        };
        let outcome = timeout(self.settings.publish_timeout, recovering).await;
        outcome.unwrap_or_else(|_| Err(lost.clone()))
    }

    /// A look at the ids at the end of the stream, begun after this call.
    fn look(&self, commands: &StreamCommands<'_>) -> Result<Arc<Look<Ids>>, Failure> {
        let outstanding = u64::try_from(self.outstanding()).unwrap_or(u64::MAX);
        let count = outstanding
            .saturating_mul(2)
            .saturating_add(LOOK_BACK)
            .min(LONGEST_LOOK_BACK);
        self.recoveries.looks.ask(commands.key(), || {
            let (link, newest) = (self.link.clone(), commands.newest(count));
            Box::pin(async move { newest_ids(&link, &newest).await })
        })
    }
}

/// What appends one event.
struct Adding {
    add: Command,
    expire: Option<Command>,
}

impl Adding {
    async fn send(&self, link: &Link) -> Result<(), Failure> {
        match &self.expire {
            None => link.run(&self.add, Repeat::No).await.map(drop),
            Some(expire) => Box::pin(self.send_both(link, expire)).await,
        }
    }

    async fn send_both(&self, link: &Link, expire: &Command) -> Result<(), Failure> {
        let both = [self.add.clone(), expire.clone()];
        for reply in link.run_all(&both, true, Repeat::No).await? {
            reply.into_result()?;
        }
        Ok(())
    }
}

type Ids = HashSet<EventId>;

/// Which events had arrived when a connection broke.
#[derive(Debug, Default)]
pub(crate) struct Recoveries {
    looks: Looks<Ids>,
}

async fn newest_ids(link: &Link, newest: &Command) -> Result<Ids, Failure> {
    let reply = link.run(newest, Repeat::Yes).await;
    let reply = reply.inspect_err(|failure| {
        tracing::warn!(command = ?newest, ?failure, "it could not be found out which events arrived before a connection broke");
    })?;
    let entries = Entry::list(reply)?;
    Ok(entries
        .iter()
        .filter_map(|entry| decode(entry).ok())
        .map(|event| event.id)
        .collect())
}
