//! Appending: one script, one round trip.

use std::sync::atomic::Ordering::Relaxed;

use bowline_events::{CachePosition, Event, Result, Text, Topic};

use super::histories::{Histories, failed};
use super::layout::Keys;
use super::record::{encode, generation, mark};
use super::script::is_impossible;
use crate::wire::{Command, Failure, Repeat, Reply};

/// Records at the end of the list that are searched for an event whose append was not answered.
const LOOK_BACK: u64 = 1_000;

impl Histories {
    /// Gives `event` the next index of `topic` and appends it, as one step.
    ///
    /// Where keys of one topic are on different nodes of a cluster, or the user may not run scripts, index and append are two
    /// steps from the first such answer on. Then other processes can append in another order than that of the indices, and an
    /// append that fails between the steps leaves a gap.
    pub(crate) async fn append(&self, topic: &Topic, event: Event) -> Result<CachePosition> {
        let keys = self.layout.keys(topic);
        let record = encode(&event).map_err(|error| error.with_subject(topic))?;
        if !self.unscripted.load(Relaxed) {
            match self.append_by_script(&keys, &record, &event).await {
                Err(failure) if is_impossible(&failure) => self.give_up_scripts(&keys, &failure),
                result => {
                    return result
                        .map_err(|failure| failed(failure, "cache append", "EVALSHA", &keys.list));
                }
            }
        }
        self.append_in_steps(&keys, &record)
            .await
            .map_err(|failure| failed(failure, "cache append", "INCR or RPUSH", &keys.list))
    }

    async fn append_by_script(
        &self,
        keys: &Keys,
        record: &[u8],
        event: &Event,
    ) -> Result<CachePosition, Failure> {
        let ttl = self.layout.ttl_seconds().unwrap_or(0).to_string();
        let most = self.layout.max_events.unwrap_or(0).to_string();
        let arguments = [record, ttl.as_bytes(), most.as_bytes()];
        let reply = self
            .append
            .run(&*self.store, &keys.both(), &arguments, Repeat::No)
            .await;
        let reply = match reply {
            Err(Failure::Lost(_)) => {
                // It may have been executed: from now on only if the record is not there.
                let (mark, depth) = (mark(event), LOOK_BACK.to_string());
                let [record, ttl, most] = arguments;
                let arguments = [record, ttl, most, mark.as_bytes(), depth.as_bytes()];
                self.append
                    .run(&*self.store, &keys.both(), &arguments, Repeat::Yes)
                    .await?
            }
            reply => reply?,
        };
        let mut parts = reply.into_array()?.into_iter();
        let index = parts.next().unwrap_or(Reply::Nil).into_int()?;
        let generation = match parts.next() {
            Some(name @ Reply::Bulk(_)) => Some(Text::from(name.into_text()?)),
            _ => None,
        };
        position(index, generation)
    }

    fn give_up_scripts(&self, keys: &Keys, failure: &Failure) {
        if !self.unscripted.swap(true, Relaxed) {
            tracing::warn!(
                key = keys.list,
                ?failure,
                "the append script cannot be used here: other processes may append in another order than that of the indices"
            );
        }
    }

    async fn append_in_steps(&self, keys: &Keys, record: &[u8]) -> Result<CachePosition, Failure> {
        let _turn = self.turn(keys).lock().await;
        let ttl = self.layout.ttl_seconds();
        let expire = |key| ttl.map(|ttl| Command::new("EXPIRE").key(key).number(ttl));
        let count = with(
            Command::new("INCR").key(&keys.counter),
            expire(&keys.counter),
        );
        let index = self.first_reply(&count).await?.into_int()? - 1;

        let mut text = record[..record.len() - 1].to_vec();
        text.extend_from_slice(format!(",\"index\":{index}}}").as_bytes());
        let push = with(
            Command::sized("RPUSH", text.len())
                .key(&keys.list)
                .arg(&text),
            expire(&keys.list),
        );
        let length = self.first_reply(&push).await?.into_int()?;
        if let Some(most) = self.layout.max_events
            && u64::try_from(length).is_ok_and(|length| length > most)
        {
            let before = u64::try_from(index).unwrap_or(0) + 1;
            self.trim_list(keys, before.saturating_sub(most)).await?;
        }
        let head = Command::new("LRANGE").key(&keys.list).number(0).number(0);
        let head = self.store.run(&head, Repeat::Yes).await?.into_array()?;
        let head = head.into_iter().next().map(Reply::into_bytes).transpose()?;
        position(index, head.and_then(|head| generation(&head)))
    }

    /// Executes commands on one key; the reply of the first one.
    async fn first_reply(&self, commands: &[Command]) -> Result<Reply, Failure> {
        let replies = self.store.run_all(commands).await?;
        let mut replies = replies.into_iter().map(Reply::into_result);
        let first = replies.next().unwrap_or(Ok(Reply::Nil))?;
        replies.try_for_each(|reply| reply.map(drop))?;
        Ok(first)
    }
}

fn with(command: Command, other: Option<Command>) -> Vec<Command> {
    std::iter::once(command).chain(other).collect()
}

fn position(index: i64, generation: Option<Text>) -> Result<CachePosition, Failure> {
    let index = u64::try_from(index)
        .map_err(|_| Failure::Protocol("the counter of the history is negative".to_owned()))?;
    Ok(CachePosition { index, generation })
}
