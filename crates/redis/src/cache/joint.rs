//! Keeping an event and publishing it in one round trip, where cache and bus are one server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bowline_events::{Event, Joint, JointPublish, NewEvent, OpFuture, Published, Result, Topic};

use super::append::LOOK_BACK;
use super::layout::Layout;
use super::record::{encode, mark};
use super::script::{PUBLISH, Script, is_impossible};
use crate::bus::Bus;
use crate::stream::{StreamCommands, millis};
use crate::wire::{Failure, Repeat, Reply, ServerError};

/// What an entry of the stream has more than a record, as a bus measures it that has not given an index yet.
const BEHIND: usize = r#","deliveryAttempt":1"#.len();

/// Appends to the history and to the stream of a topic by one script, on the connection of the bus.
#[derive(Debug)]
pub(super) struct OneServer {
    bus: Arc<Bus>,
    layout: Layout,
    script: Script,
    /// The script cannot be used here.
    apart: AtomicBool,
}

impl OneServer {
    pub(super) fn new(bus: Arc<Bus>, layout: Layout) -> Self {
        Self {
            bus,
            layout,
            script: Script::new(&PUBLISH),
            apart: AtomicBool::new(false),
        }
    }

    async fn publish(&self, topic: &Topic, event: &NewEvent) -> Result<Joint> {
        if self.apart.load(Relaxed) {
            return Ok(Joint::Apart);
        }
        let bus = &self.bus;
        bus.check("publish", topic)?;
        let event = event.clone().stamp();
        let record = encode(&event).map_err(|error| error.with_subject(topic))?;
        bus.check_size(topic, record.len() + BEHIND)?;
        let _publishing = bus.publishing();
        let stream = bus.stream(topic);
        let reply = match self.run(topic, &stream, &record, None, Repeat::No).await {
            Err(failure @ Failure::Server(_)) => {
                // Nothing was done; the calls one by one tell what is wrong, or do not mind.
                if is_impossible(&failure) {
                    self.apart.store(true, Relaxed);
                }
                return Ok(Joint::Apart);
            }
            Err(Failure::Lost(_)) => {
                // It may have been executed: from now on only if the record is not there.
                self.run(topic, &stream, &record, Some(&event), Repeat::Yes)
                    .await
            }
            result => result,
        };
        let (index, refused) = reply
            .and_then(parse)
            .map_err(|failure| bus.error(failure, "publish", "EVALSHA", stream.key()))?;
        match refused {
            None => Ok(Joint::Done(Published::new(Some(event.id), Some(index)))),
            Some(error) => Err(bus.error(Failure::Server(error), "publish", "XADD", stream.key())),
        }
    }

    /// Runs the script; with `again` only if the history does not end with that event.
    async fn run(
        &self,
        topic: &Topic,
        stream: &StreamCommands<'_>,
        record: &[u8],
        again: Option<&Event>,
        repeat: Repeat,
    ) -> Result<Reply, Failure> {
        let text = |number: Option<u64>| number.map(|n| n.to_string()).unwrap_or_default();
        let settings = &self.bus.settings;
        let keys = self.layout.keys(topic);
        let mut arguments = vec![
            record.to_vec(),
            text(self.layout.ttl_seconds().or(Some(0))).into(),
            text(self.layout.max_events.or(Some(0))).into(),
            text(settings.max_stream_length).into(),
            text(settings.stream_idle_ttl.map(millis)).into(),
        ];
        if let Some(event) = again {
            arguments.extend([mark(event).into(), LOOK_BACK.to_string().into()]);
        }
        let keys = [keys.list.as_str(), &keys.counter, stream.key()];
        self.script
            .run(&self.bus.link, &keys, &arguments, repeat)
            .await
    }
}

/// The index, and why the stream refused the event.
fn parse(reply: Reply) -> Result<(u64, Option<ServerError>), Failure> {
    let mut parts = reply.into_array()?.into_iter();
    let index = parts.next().unwrap_or(Reply::Nil).into_int()?;
    let index = u64::try_from(index)
        .map_err(|_| Failure::Protocol("the counter of the history is negative".to_owned()))?;
    let refused = match parts.nth(1) {
        Some(error @ Reply::Bulk(_)) => Some(ServerError::from_line(&error.into_text()?)),
        _ => None,
    };
    Ok((index, refused))
}

impl JointPublish for OneServer {
    fn append_and_publish<'a>(
        &'a self,
        topic: &'a Topic,
        event: &'a NewEvent,
    ) -> OpFuture<'a, Joint> {
        OpFuture::new(self.publish(topic, event))
    }
}
