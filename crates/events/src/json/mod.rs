//! A validating JSON scanner that builds no tree and allocates nothing.
//!
//! Relays run it on every frame: it proves that a line is one JSON text and reports where the
//! members lie, so that payloads can be forwarded byte for byte. The grammar is RFC 8259 with one
//! decision a relay needs: an unpaired surrogate written as an escape (`"\ud800"`), which
//! JavaScript produces and strict decoders refuse, is accepted here and becomes U+FFFD only when
//! somebody asks for a Rust string.
//!
//! UTF-8 is not checked while scanning; see [`utf8`].
//!
//! ```
//! use bowline_events::json;
//!
//! let frame = br#"{"type":"publish","topic":"orders","event":{"type":"created"}}"#;
//! let mut topic = None;
//! json::members(frame, |key, value| {
//!     if json::same_key(key, "topic") {
//!         topic = Some(value);
//!     }
//! })?;
//! assert_eq!(&frame[topic.unwrap()], br#""orders""#);
//! # Ok::<(), json::ScanError>(())
//! ```

mod error;
mod members;
mod run;
mod scanner;
mod text;

pub use error::{ScanError, ScanErrorKind};
pub use members::{MemberVisitor, members, members_nested};
pub use text::{escape_into, same_key, unescape};

pub(crate) use run::plain_run;
pub(crate) use scanner::Scanner;
pub(crate) use text::{Piece, Pieces};

/// How many arrays and objects may be open at once. Deeper input is refused with
/// [`ScanErrorKind::Depth`].
pub const MAX_DEPTH: usize = 128;

/// Checks that `text` is exactly one JSON text. Whitespace around it is allowed, a carriage return
/// included.
///
/// Bytes of 0x80 and above are accepted inside strings without a look at their encoding.
///
/// # Errors
/// A [`ScanError`] that names the first offending byte.
pub fn validate(text: &[u8]) -> Result<(), ScanError> {
    let mut scanner = Scanner::new(text);
    scanner.whitespace();
    scanner.value(0)?;
    scanner.end()
}

/// The text as a `str`.
///
/// # Errors
/// [`ScanErrorKind::Encoding`] at the first byte that is not UTF-8.
pub fn utf8(text: &[u8]) -> Result<&str, ScanError> {
    std::str::from_utf8(text)
        .map_err(|error| ScanError::new(ScanErrorKind::Encoding, error.valid_up_to()))
}
