//! Why the codec refused something.

use std::fmt;

use super::{MAX_CAUSES, Tag};
use crate::json::ScanError;

/// How much of a refused text an error repeats, in characters.
const EXCERPT: usize = 64;

/// A failure of the codec.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CodecError {
    /// The text is not JSON.
    Json(ScanError),
    /// The text is longer than [`Limits::text_bytes`](super::Limits::text_bytes).
    TextTooLong {
        /// Its length in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The text holds more values than [`Limits::nodes`](super::Limits::nodes).
    TooManyNodes {
        /// The limit.
        limit: usize,
    },
    /// The value is not what was asked for.
    NotA {
        /// What was asked for.
        tag: Tag,
    },
    /// The text of a date, big integer, URL or regular expression does not fit its type.
    Invalid {
        /// The type.
        tag: Tag,
        /// The beginning of the text.
        text: String,
    },
    /// A value that JSON lacks in a place of an error that the receiver reads as plain JSON.
    NotPlain {
        /// The name of the field.
        field: String,
    },
    /// A field of an error with the name of one of its fixed members.
    ReservedField {
        /// The name.
        field: String,
    },
    /// An error with more than [`MAX_CAUSES`] causes behind it.
    TooManyCauses,
    /// Something that a Node process cannot take.
    Hazard {
        /// What it is.
        hazard: Hazard,
        /// Where it begins, in bytes from the start of the text.
        offset: usize,
    },
}

/// Content that makes a Node peer drop the frame or exit; see
/// [`check_for_node`](super::check_for_node).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Hazard {
    /// A date that is not an ISO 8601 instant.
    Date,
    /// A big integer that JavaScript cannot read.
    BigInt,
    /// A text that is not an absolute URL.
    Url,
    /// A map entry that is not a pair.
    MapEntry,
    /// A big integer inside an error.
    BigIntInError,
    /// An error whose payload or message is not what an error is made of.
    ErrorPayload,
    /// A registered class with data it cannot be built from.
    ClassData,
}

impl CodecError {
    pub(crate) fn invalid(tag: Tag, text: &str) -> Self {
        let text = text.chars().take(EXCERPT).collect();
        Self::Invalid { tag, text }
    }
}

impl From<ScanError> for CodecError {
    fn from(error: ScanError) -> Self {
        Self::Json(error)
    }
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(_) => f.write_str("the text is not JSON"),
            Self::TextTooLong { bytes, limit } => write!(
                f,
                "text of {bytes} bytes exceeds the limit of {limit}; split it or raise the limit"
            ),
            Self::TooManyNodes { limit } => write!(
                f,
                "text holds more than {limit} values; split it or raise the limit"
            ),
            Self::NotA { tag } => write!(f, "the value is not a {tag}"),
            Self::Invalid { tag, text } => {
                write!(f, "{text:?} is not a valid {tag}: expected {}", form(*tag))
            }
            Self::NotPlain { field } => write!(
                f,
                "error field {field:?} must be plain JSON: convert dates, maps and the like to text first"
            ),
            Self::ReservedField { field } => write!(
                f,
                "error field {field:?} has the name of a fixed member of errors; choose another name"
            ),
            Self::TooManyCauses => write!(
                f,
                "error with more than {MAX_CAUSES} causes; drop the innermost ones"
            ),
            Self::Hazard { hazard, offset } => write!(f, "at byte {offset}: {hazard}"),
        }
    }
}

impl fmt::Display for Hazard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Date => {
                "Date envelope that a Node broker exits over; write YYYY-MM-DDTHH:mm:ss.sssZ"
            }
            Self::BigInt => "BigInt envelope that JavaScript cannot read; write decimal digits",
            Self::Url => "URL envelope that is not an absolute URL; write its href",
            Self::MapEntry => {
                "Map envelope with an entry that is not an array; write [key, value] pairs"
            }
            Self::BigIntInError => {
                "BigInt inside an Error envelope, which a Node broker exits over; write it as text"
            }
            Self::ErrorPayload => {
                "Error envelope that no error can be built from; write an object with a text as message"
            }
            Self::ClassData => {
                "Class envelope that its class cannot be built from; write the fields of the class"
            }
        })
    }
}

/// The form that the text of an envelope must have.
fn form(tag: Tag) -> &'static str {
    match tag {
        Tag::Date => "an ISO 8601 instant with a zone, at most 8.64e15 ms from 1970",
        Tag::BigInt => "digits, with a minus sign if negative",
        Tag::Url => "an absolute URL with an ASCII host",
        Tag::RegExp => {
            "a source of at most 1024 UTF-16 units, flags among dgimsuvy without repeats"
        }
        _ => "the payload of its envelope",
    }
}

impl std::error::Error for CodecError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Json(error) => Some(error),
            _ => None,
        }
    }
}
