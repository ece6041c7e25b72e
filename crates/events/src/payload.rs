//! The data of an event: raw JSON, or a typed value that is serialised only when somebody needs bytes.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use memchr::memmem::Finder;
use serde::de::DeserializeOwned;
use serde::ser::Serialize;

use crate::codec::{self, Dialect};
use crate::{Error, ErrorKind, Result};

/// A typed value that can travel inside the process without being serialised.
pub trait LocalValue: Any + Send + Sync + fmt::Debug {
    /// The value as JSON in the tagged dialect.
    fn to_json(&self) -> serde_json::Result<Vec<u8>>;
    /// The value for downcasting.
    fn as_any(&self) -> &dyn Any;
}

impl<T: Serialize + Any + Send + Sync + fmt::Debug> LocalValue for T {
    fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(self)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The data of an event. Cheap to clone.
///
/// ```
/// use bowline_events::Payload;
/// let data = Payload::json(r#"{"n":1}"#)?;
/// let value: serde_json::Value = data.parse()?;
/// assert_eq!(value["n"], 1);
/// # Ok::<(), bowline_events::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Payload(Repr);

#[derive(Clone, Default)]
enum Repr {
    #[default]
    Absent,
    Json {
        text: Bytes,
        dialect: Dialect,
    },
    Local(Arc<dyn LocalValue>),
}

/// What a local value counts for against byte limits before it is serialised.
const LOCAL_VALUE_BYTES: usize = 256;

impl Payload {
    /// No data member at all, which is not the same as `null`.
    pub fn absent() -> Self {
        Self(Repr::Absent)
    }

    /// JSON text in the tagged dialect. Fails with [`ErrorKind::InvalidPayload`] when it is not one JSON value in UTF-8.
    pub fn json(text: impl Into<Bytes>) -> Result<Self> {
        let text = text.into();
        crate::json::validate(&text).map_err(|error| {
            Error::new(
                ErrorKind::InvalidPayload,
                "payload",
                "the data is not one JSON value; pass valid JSON text",
            )
            .with_source(error)
        })?;
        std::str::from_utf8(&text).map_err(|error| {
            Error::new(
                ErrorKind::InvalidPayload,
                "payload",
                "the data is not UTF-8; encode it before publishing",
            )
            .with_source(error)
        })?;
        Ok(Self::from_valid_json(text, Dialect::Tagged))
    }

    /// JSON text that the caller knows to be valid UTF-8 and one JSON value, such as a part of an already validated frame.
    ///
    /// Nothing is checked here: invalid text would reach every consumer of the event.
    pub fn from_valid_json(text: Bytes, dialect: Dialect) -> Self {
        Self(Repr::Json { text, dialect })
    }

    /// Serialises `value` now. Fails when serde does.
    pub fn serialize<T: Serialize + ?Sized>(value: &T) -> Result<Self> {
        let text = serde_json::to_vec(value).map_err(|error| unserialisable(error, "value"))?;
        Ok(Self::from_valid_json(text.into(), Dialect::Tagged))
    }

    /// Keeps `value` as it is; subscribers in this process get it by reference, and it is serialised only where bytes are needed.
    pub fn local<T: Serialize + Send + Sync + fmt::Debug + 'static>(value: T) -> Self {
        Self(Repr::Local(Arc::new(value)))
    }

    /// Whether the event has no data member.
    pub fn is_absent(&self) -> bool {
        matches!(self.0, Repr::Absent)
    }

    /// The local value, when this payload is one of type `T`.
    pub fn downcast_ref<T: 'static>(&self) -> Option<&T> {
        match &self.0 {
            Repr::Local(value) => value.as_any().downcast_ref(),
            _ => None,
        }
    }

    /// Reads the data as `T`. An absent payload reads as `null`.
    ///
    /// Dates and the like arrive as the helpers of [`codec`](crate::codec) read them: envelope, ISO text or number.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        let text = self.to_json()?;
        serde_json::from_slice(&text).map_err(|error| {
            Error::new(
                ErrorKind::InvalidPayload,
                "parse",
                format!("the data is not a {}", std::any::type_name::<T>()),
            )
            .with_source(error)
        })
    }

    /// The data as JSON text in the dialect of [`Payload::dialect`]; `null` when absent.
    pub fn to_json(&self) -> Result<Bytes> {
        match &self.0 {
            Repr::Absent => Ok(Bytes::from_static(b"null")),
            Repr::Json { text, .. } => Ok(text.clone()),
            Repr::Local(value) => value
                .to_json()
                .map(Bytes::from)
                .map_err(|error| unserialisable(error, "local value")),
        }
    }

    /// The data as JSON text in `dialect`. On the way from tagged to plain JSON, values that JSON lacks become what
    /// `JSON.stringify` makes of them; the other way nothing changes.
    pub fn to_json_in(&self, dialect: Dialect) -> Result<Bytes> {
        let text = self.to_json()?;
        let same = dialect == Dialect::Tagged || self.dialect() == Dialect::Plain;
        if same || is_plain(&text) {
            return Ok(text);
        }
        let value = codec::decode(&text).map_err(|error| {
            Error::new(
                ErrorKind::InvalidPayload,
                "serialize",
                "the data is not valid tagged JSON",
            )
            .with_source(error)
        })?;
        Ok(codec::to_plain(&value).into())
    }

    /// The JSON text, if this payload holds one already.
    pub fn as_json(&self) -> Option<&Bytes> {
        match &self.0 {
            Repr::Json { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The dialect of the JSON text.
    pub fn dialect(&self) -> Dialect {
        match &self.0 {
            Repr::Json { dialect, .. } => *dialect,
            _ => Dialect::Tagged,
        }
    }

    /// Bytes that this payload counts for against limits: the length of the text, or 256 for a value that is not serialised.
    pub fn weight(&self) -> usize {
        match &self.0 {
            Repr::Absent => 0,
            Repr::Json { text, .. } => text.len(),
            Repr::Local(_) => LOCAL_VALUE_BYTES,
        }
    }
}

/// Whether `text` is the same in both dialects: it has no envelope, and no escape that might spell one.
fn is_plain(text: &[u8]) -> bool {
    static ENVELOPE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"__m_codec"));
    static ESCAPE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(br"\u"));
    ENVELOPE.find(text).is_none()
        && (memchr::memchr(b'\\', text).is_none() || ESCAPE.find(text).is_none())
}

fn unserialisable(error: serde_json::Error, what: &str) -> Error {
    Error::new(
        ErrorKind::InvalidPayload,
        "serialize",
        format!("the {what} cannot be written as JSON"),
    )
    .with_source(error)
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Absent => f.write_str("Absent"),
            Repr::Json { text, .. } => match std::str::from_utf8(text) {
                Ok(text) if text.len() <= 200 => write!(f, "Json({text})"),
                _ => write!(f, "Json({} bytes)", text.len()),
            },
            Repr::Local(value) => f.debug_tuple("Local").field(value).finish(),
        }
    }
}
