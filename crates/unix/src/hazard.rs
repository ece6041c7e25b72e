//! Events that a Node process would not survive are not passed on.

use std::sync::LazyLock;

use bowline_events::codec::{self, CodecError, TAG_KEY};
use memchr::memchr;
use memchr::memmem::Finder;

static TAG: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(TAG_KEY));

/// Checks the JSON of an event. Almost none holds an envelope: those cost a search for the tag, and for the backslash without
/// which it cannot be written in another way.
///
/// # Errors
/// What [`codec::check_for_node`] finds.
pub(crate) fn check(object: &[u8]) -> Result<(), CodecError> {
    if TAG.find(object).is_none() && memchr(b'\\', object).is_none() {
        return Ok(());
    }
    codec::check_for_node(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envelopes_are_found_however_they_are_spelled() {
        let table = [
            (r#"{"data":{"at":"never"}}"#, true),
            (
                r#"{"data":{"__m_codec__":"Date","v":"2026-01-01T00:00:00.000Z"}}"#,
                true,
            ),
            (r#"{"data":{"__m_codec__":"Date","v":"never"}}"#, false),
            (r#"{"data":{"\u005f_m_codec__":"Date","v":"never"}}"#, false),
        ];
        for (object, safe) in table {
            assert_eq!(check(object.as_bytes()).is_ok(), safe, "{object}");
        }
    }
}
