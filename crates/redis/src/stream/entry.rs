//! An entry: one field called `event` with the record as plain JSON.

use bowline_events::{Dialect, Event, Result};
use bytes::Bytes;

use super::StreamId;
use crate::wire::{Failure, Reply};

/// An entry as the server keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: StreamId,
    /// The JSON text; `None` when the entry has no field `event`.
    pub(crate) event: Option<Bytes>,
}

impl Entry {
    /// Reads `[id, [field, value, ...]]`. An entry that was deleted has no fields, and is none.
    pub(crate) fn from_reply(reply: Reply) -> Result<Option<Self>, Failure> {
        let mut parts = reply.into_array()?.into_iter();
        let (Some(id), Some(fields)) = (parts.next(), parts.next()) else {
            return Err(Failure::Protocol("a stream entry has no id".to_owned()));
        };
        let id = id.into_bytes()?;
        let id = StreamId::parse(&id)
            .ok_or_else(|| Failure::Protocol("a stream entry has an impossible id".to_owned()))?;
        let fields = match fields {
            Reply::Nil => return Ok(None),
            fields => fields.into_array()?,
        };
        let mut fields = fields.into_iter();
        let mut event = None;
        while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
            if matches!(&name, Reply::Bulk(name) if name == "event".as_bytes()) {
                event = Some(value.into_bytes()?);
            }
        }
        Ok(Some(Self { id, event }))
    }

    /// Reads a list of entries; deleted ones are left out.
    pub(crate) fn list(reply: Reply) -> Result<Vec<Self>, Failure> {
        let entries = reply.into_array()?.into_iter();
        entries
            .map(Self::from_reply)
            .filter_map(Result::transpose)
            .collect()
    }
}

/// Why an entry holds no event.
#[derive(Debug)]
pub(crate) struct Malformed(pub(crate) bowline_events::Error);

/// The event of an entry. As in the reference an entry without the field is an event without members.
pub(crate) fn decode(entry: &Entry) -> Result<Event, Malformed> {
    let text = entry
        .event
        .clone()
        .unwrap_or_else(|| Bytes::from_static(b"{}"));
    Event::from_json(&text, Dialect::Plain).map_err(Malformed)
}

/// The JSON text of `event`.
///
/// # Errors
/// `InvalidPayload` when a local value cannot be serialised.
pub(crate) fn encode(event: &Event) -> Result<Vec<u8>> {
    let mut text = Vec::with_capacity(event.weight() + 64);
    event.write_json(Dialect::Plain, &mut text)?;
    Ok(text)
}
