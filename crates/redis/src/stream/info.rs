//! What the server knows of a stream as a whole.

use super::StreamId;
use crate::wire::{Failure, Reply};

/// The part of `XINFO STREAM` that positions are computed from.
///
/// The position of an entry is the number of entries that were ever appended before it. Entries deleted from the middle count
/// as deleted from the front.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct StreamInfo {
    pub(crate) length: u64,
    /// Entries ever appended: the position of the next one.
    pub(crate) end: u64,
    pub(crate) last_id: StreamId,
    /// The id of the oldest entry that is kept.
    pub(crate) first_id: Option<StreamId>,
}

impl StreamInfo {
    /// The position of the oldest entry that is kept.
    pub(crate) fn first(&self) -> u64 {
        self.end.saturating_sub(self.length)
    }

    /// Reads the reply of `XINFO STREAM`.
    pub(crate) fn from_reply(reply: Reply) -> Result<Self, Failure> {
        let fields = reply.into_result()?.into_array()?;
        let number = |name: &str| match Reply::field(&fields, name) {
            Some(value) => Ok(u64::try_from(value.into_int()?).unwrap_or(0)),
            None => Err(Failure::Protocol(format!(
                "XINFO STREAM has no field {name:?}; Redis 7.0 or newer is needed"
            ))),
        };
        let last_id = match Reply::field(&fields, "last-generated-id") {
            Some(id) => StreamId::parse(&id.into_bytes()?).unwrap_or_default(),
            None => StreamId::ZERO,
        };
        let first_id = match Reply::field(&fields, "first-entry") {
            Some(Reply::Array(entry)) => match entry.into_iter().next() {
                Some(id) => StreamId::parse(&id.into_bytes()?),
                None => None,
            },
            _ => None,
        };
        Ok(Self {
            length: number("length")?,
            end: number("entries-added")?,
            last_id,
            first_id,
        })
    }
}
