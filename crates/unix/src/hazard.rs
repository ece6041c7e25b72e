//! Events that a Node process would not survive are not passed on.

use std::sync::LazyLock;

use bowline_events::codec::{self, CodecError, TAG_KEY};
use bowline_events::json::{self, ScanError};
use memchr::memmem::Finder;
use memchr::{memchr, memchr2_iter};

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

/// Checks that JSON is not nested deeper than readers allow of a frame that puts it inside `around` objects. Few texts have so
/// many brackets that they have to be scanned.
///
/// # Errors
/// What the scanner finds.
pub(crate) fn check_depth(text: &[u8], around: usize) -> Result<(), ScanError> {
    let brackets = memchr2_iter(b'{', b'[', text).take(json::MAX_DEPTH).count();
    if brackets + around <= json::MAX_DEPTH {
        return Ok(());
    }
    json::validate(&[&b"[".repeat(around), text, &b"]".repeat(around)].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_is_limited_by_depth_and_not_by_the_number_of_brackets() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(check_depth(nested(json::MAX_DEPTH - 2).as_bytes(), 2).is_ok());
        assert!(check_depth(nested(json::MAX_DEPTH - 1).as_bytes(), 2).is_err());
        assert!(check_depth(format!("[{}1]", "[],".repeat(500)).as_bytes(), 2).is_ok());
    }

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
