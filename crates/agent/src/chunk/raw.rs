//! A chunk as it travels.

use std::fmt;
use std::ops::Range;

use bowline_events::Text;
use bowline_events::json::{self, MemberVisitor};
use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::{Error, ErrorKind, Result};

/// A chunk as it travels: JSON text that is forwarded byte for byte. Cheap to clone.
///
/// ```
/// use bowline_agent::chunk::RawChunk;
///
/// let chunk = RawChunk::read(r#"{"type":"data-progress","data":{"percent":5}}"#)?;
/// assert_eq!(chunk.kind(), "data-progress");
/// assert_eq!(chunk.as_str(), r#"{"type":"data-progress","data":{"percent":5}}"#);
/// # Ok::<(), bowline_agent::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct RawChunk {
    text: Bytes,
    kind: Text,
    payload: Option<Range<usize>>,
}

/// Where the members of interest lie in the text of a chunk.
#[derive(Default)]
pub(crate) struct Layout {
    kind: Option<Range<usize>>,
    payload: Option<Range<usize>>,
    pub(crate) id: Option<Range<usize>>,
    pub(crate) text: Option<Range<usize>>,
    pub(crate) metadata: Option<Range<usize>>,
    /// Whether one of them is there twice.
    pub(crate) twice: bool,
}

impl MemberVisitor for Layout {
    fn descend(&mut self, key: &[u8]) -> bool {
        let payload = json::same_key(key, "payload");
        if payload {
            (self.id, self.text, self.metadata, self.twice) = (None, None, None, false);
        }
        payload
    }

    fn inner(&mut self, key: &[u8], value: Range<usize>) {
        let member = if json::same_key(key, "text") {
            &mut self.text
        } else if json::same_key(key, "id") {
            &mut self.id
        } else if json::same_key(key, "providerMetadata") {
            &mut self.metadata
        } else {
            return;
        };
        self.twice |= member.replace(value).is_some();
    }

    fn member(&mut self, key: &[u8], value: Range<usize>) {
        if json::same_key(key, "payload") {
            self.payload = Some(value);
        } else if json::same_key(key, "type") {
            self.kind = Some(value);
        }
    }
}

impl RawChunk {
    /// Reads the chunk in `text`.
    ///
    /// # Errors
    /// `Corrupt` when it is not one JSON object in UTF-8 with a `type` that is a text, or is nested too deeply
    /// ([`MAX_DEPTH`](bowline_events::json::MAX_DEPTH)).
    pub fn read(text: impl Into<Bytes>) -> Result<Self> {
        Self::scan(text.into()).map(|(raw, _)| raw)
    }

    pub(crate) fn scan(text: Bytes) -> Result<(Self, Layout)> {
        let mut layout = Layout::default();
        let scanned = json::members_nested(&text, &mut layout).and_then(|()| json::utf8(&text));
        scanned.map_err(|error| {
            corrupt("the chunk is not one JSON object in UTF-8").with_source(error)
        })?;
        let kind = layout.kind.take().and_then(|kind| read_kind(&text, kind));
        let kind = kind.ok_or_else(|| corrupt("the chunk has no type, which has to be a text"))?;
        let payload = layout.payload.take();
        Ok((
            Self {
                text,
                kind,
                payload,
            },
            layout,
        ))
    }

    /// Its type, by the name on the wire.
    pub fn kind(&self) -> &Text {
        &self.kind
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        // It was UTF-8 when it was read, and does not change.
        std::str::from_utf8(&self.text).unwrap_or_default()
    }

    /// The JSON text, shared.
    pub fn to_bytes(&self) -> Bytes {
        self.text.clone()
    }

    /// The JSON text of the payload, where there is one.
    pub fn payload(&self) -> Option<&str> {
        let payload = self.text.get(self.payload.clone()?)?;
        std::str::from_utf8(payload).ok()
    }

    /// The payload as a `T`; `None` when it is something else.
    pub(crate) fn parse_payload<T: DeserializeOwned>(&self) -> Option<T> {
        let payload = self.text.get(self.payload.clone()?)?;
        serde_json::from_slice(payload).ok()
    }

    /// The whole chunk as a `T`; `None` when it is something else.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.text).ok()
    }
}

/// The types that this version knows need no memory of their own.
fn read_kind(text: &[u8], range: Range<usize>) -> Option<Text> {
    match super::known_kind(quoted(text, range.clone())?) {
        Some(known) => Some(known.into()),
        None => string(text, range).map(Text::from),
    }
}

/// The string whose JSON lies at `range`; `None` when another value does.
pub(crate) fn string(text: &[u8], range: Range<usize>) -> Option<String> {
    let raw = quoted(text, range)?;
    Some(json::unescape(raw).ok()?.into_owned())
}

/// What is between the quotes of the string at `range`.
pub(crate) fn quoted(text: &[u8], range: Range<usize>) -> Option<&[u8]> {
    text.get(range)?.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

fn corrupt(message: &'static str) -> Error {
    Error::new(ErrorKind::Corrupt, "read chunk", message)
}

impl fmt::Debug for RawChunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
