//! The tagged codec: JSON with envelopes for the JavaScript values JSON lacks.
//!
//! An object whose member `__m_codec__` names a known [`Tag`] and whose other members fit it stands
//! for a date, a big integer, a map and so on. The Unix socket transport applies the codec to whole
//! frames; every other transport carries plain JSON, where such an object is ordinary data.
//!
//! Two ways to use it:
//!
//! - [`Value`] is a lossless tree. [`encode`] writes back exactly the text that [`decode`] read,
//!   apart from whitespace: numbers, dates and strings keep their spelling, envelopes their extra
//!   members.
//! - The types of [`typed`] ([`Date`], [`BigInt`], [`JsMap`], ...) are for fields of your own
//!   structures and work with `serde_json` directly.
//!
//! ```
//! use bowline_events::codec::{self, Value};
//!
//! let text = br#"{"at":{"__m_codec__":"Date","v":"1970-01-01T00:00:01.000Z"},"n":1.50}"#;
//! let value = codec::decode(text)?;
//! assert_eq!(value.get("at").unwrap().as_date_millis()?, 1000);
//! assert_eq!(codec::encode(&value), text);
//! assert_eq!(codec::to_plain(&value), br#"{"at":"1970-01-01T00:00:01.000Z","n":1.50}"#);
//! # Ok::<(), codec::CodecError>(())
//! ```

pub mod date;
pub mod typed;

mod bigint;
mod construct;
mod decode;
mod encode;
mod error;
mod error_value;
mod node;
mod number;
mod plain;
mod string;
mod tagged;
mod url;
mod value;

pub use decode::{Dialect, Limits, decode, decode_plain, decode_with};
pub use encode::{encode, encode_into};
pub use error::{CodecError, Hazard};
pub use error_value::{ErrorRef, ErrorValue, MAX_CAUSES};
pub use node::check_for_node;
pub use number::Number;
pub use plain::to_plain;
pub use string::JsString;
pub use tagged::{Tag, Tagged};
pub use typed::{BigInt, Cause, Date, JsError, JsMap, JsSet, Maybe, Undefined};
pub use value::{Object, Value};

/// The reserved member name that makes an object an envelope.
pub const TAG_KEY: &str = "__m_codec__";

/// The member that holds an envelope's payload.
pub(crate) const PAYLOAD_KEY: &str = "v";

/// The member that holds the class name of a [`Tag::Class`] envelope.
pub(crate) const CLASS_KEY: &str = "n";
