//! Appending events, exactly once where that can be found out.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use bowline_events::{Error, ErrorKind, EventId, NewEvent, Published, Result, Topic};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::bus::Bus;
use crate::stream::{Entry, StreamCommands, decode, encode};
use crate::wire::{Broken, Command, Failure, Repeat};

/// Entries that are looked at beside twice the outstanding publishes when a connection broke.
const LOOK_BACK: u64 = 256;
const LONGEST_LOOK_BACK: u64 = 5_000;

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
        let add = commands.add(text);
        let broken = match commands.expire() {
            None => self.link.run_once(&add).await.err(),
            Some(expire) => {
                let both = [add.clone(), expire];
                Box::pin(self.append_and_expire(&both)).await.err()
            }
        };
        match broken {
            None => Ok(()),
            Some(broken) => Box::pin(self.append_again(commands, add, id, broken)).await,
        }
    }

    async fn append_and_expire(&self, both: &[Command; 2]) -> Result<(), Broken> {
        let replies = self.link.run_all_once(both, true).await?;
        first_error(replies).map_err(Broken::answered)
    }

    /// Appends after a failure: only what did not arrive, and only if the failure leaves that open.
    async fn append_again(
        &self,
        commands: &StreamCommands<'_>,
        add: Command,
        id: &EventId,
        mut broken: Broken,
    ) -> Result<(), Failure> {
        let deadline = Instant::now() + self.settings.publish_timeout;
        loop {
            let lost = matches!(broken.failure, Failure::Lost(_));
            if !lost || Instant::now() >= deadline {
                return Err(broken.failure);
            }
            let arrived = self.recoveries.arrived(self, commands, broken.generation);
            if arrived.await?.contains(id) {
                return Ok(());
            }
            let sent = match commands.expire() {
                None => self.link.run_once(&add).await.map(drop),
                Some(expire) => self.append_and_expire(&[add.clone(), expire]).await,
            };
            broken = match sent {
                Ok(()) => return Ok(()),
                Err(broken) => broken,
            };
        }
    }
}

fn first_error(replies: Vec<crate::wire::Reply>) -> Result<(), Failure> {
    for reply in replies {
        reply.into_result()?;
    }
    Ok(())
}

/// Which events had arrived when a connection broke, found out once per connection and stream.
#[derive(Debug, Default)]
pub(crate) struct Recoveries(Mutex<HashMap<(u64, String), Arc<Arrivals>>>);

/// The ids at the end of a stream, once they have been read.
#[derive(Debug, Default)]
struct Arrivals(OnceCell<HashSet<EventId>>);

impl Recoveries {
    async fn arrived(
        &self,
        bus: &Bus,
        commands: &StreamCommands<'_>,
        generation: u64,
    ) -> Result<Arc<Arrivals>, Failure> {
        let cell = {
            let mut cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Publishes that broke on an older connection have long been looked up.
            cells.retain(|(other, _), _| *other + 2 > generation);
            let key = (generation, commands.key().to_owned());
            Arc::clone(cells.entry(key).or_default())
        };
        cell.0.get_or_try_init(|| newest_ids(bus, commands)).await?;
        Ok(cell)
    }
}

async fn newest_ids(bus: &Bus, commands: &StreamCommands<'_>) -> Result<HashSet<EventId>, Failure> {
    let outstanding = u64::try_from(bus.outstanding()).unwrap_or(u64::MAX);
    let count = outstanding
        .saturating_mul(2)
        .saturating_add(LOOK_BACK)
        .min(LONGEST_LOOK_BACK);
    let reply = bus.link.run(&commands.newest(count), Repeat::Yes).await?;
    let entries = Entry::list(reply)?;
    Ok(entries
        .iter()
        .filter_map(|entry| decode(entry).ok())
        .map(|event| event.id)
        .collect())
}

impl Arrivals {
    fn contains(&self, id: &EventId) -> bool {
        self.0.get().is_some_and(|ids| ids.contains(id))
    }
}
