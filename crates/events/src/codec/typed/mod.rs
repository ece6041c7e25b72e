//! Envelopes as fields of your own structures, with `serde_json`.
//!
//! Each type writes its envelope and reads it back. Reading is tolerant where the other transports
//! carry the plain form: a [`Date`] also comes as text or number, a [`BigInt`] as text or number, a
//! [`JsError`] without its envelope. What Rust strings cannot hold, surrogates without their other
//! half, `serde_json` refuses: read with [`decode`](super::decode) where they may occur.
//!
//! ```
//! use bowline_events::codec::{Date, JsMap};
//!
//! type Seen = JsMap<String, Date>;
//! let text = r#"{"__m_codec__":"Map","v":[["a",{"__m_codec__":"Date","v":"1970-01-01T00:00:00.000Z"}]]}"#;
//! let seen: Seen = serde_json::from_str(text)?;
//! assert_eq!(seen.0[0].1.millis(), 0);
//! assert_eq!(serde_json::to_string(&seen)?, text);
//! # Ok::<(), serde_json::Error>(())
//! ```

mod bigint;
mod collections;
mod date;
mod envelope;
mod error;
mod maybe;
mod replay;

pub use bigint::BigInt;
pub use collections::{JsMap, JsSet};
pub use date::Date;
pub use error::{Cause, JsError};
pub use maybe::{Maybe, Undefined};
