//! Strings that JavaScript can hold and Rust cannot.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};

use memchr::memchr;

use crate::json::{self, Piece, Pieces, ScanError};

/// A JavaScript string, which may hold surrogates without their other half.
///
/// It keeps the text between the quotes of the JSON it came from, escapes included, so that
/// [`encode`](super::encode) reproduces it. Comparisons look at the string it stands for: `"A"`
/// equals `"\u0041"`.
#[derive(Clone)]
pub struct JsString(Cow<'static, str>);

impl JsString {
    /// A string from the text between the quotes of a JSON string.
    ///
    /// # Errors
    /// A [`ScanError`] for a bad escape, a bare quote or a raw control character.
    pub fn from_raw(raw: &str) -> Result<Self, ScanError> {
        for piece in Pieces::new(raw.as_bytes()) {
            piece?;
        }
        Ok(Self::checked(raw))
    }

    /// A string from a raw text that a scanner has passed. The words of envelopes, which repeat in
    /// every event, are not allocated.
    pub(super) fn checked(raw: &str) -> Self {
        Self(match raw {
            "v" => Cow::Borrowed("v"),
            "n" => Cow::Borrowed("n"),
            "name" => Cow::Borrowed("name"),
            "message" => Cow::Borrowed("message"),
            "stack" => Cow::Borrowed("stack"),
            "Date" => Cow::Borrowed("Date"),
            "Undefined" => Cow::Borrowed("Undefined"),
            super::TAG_KEY => Cow::Borrowed(super::TAG_KEY),
            _ => Cow::Owned(raw.to_owned()),
        })
    }

    /// A string from a word without characters that JSON escapes.
    pub(super) const fn word(word: &'static str) -> Self {
        Self(Cow::Borrowed(word))
    }

    /// The text between the quotes in JSON, escapes included.
    #[must_use]
    pub fn raw(&self) -> &str {
        &self.0
    }

    /// The string with U+FFFD for each surrogate without its other half.
    #[must_use]
    pub fn to_string_lossy(&self) -> Cow<'_, str> {
        // Only the constructors make raw texts, and they checked this one.
        json::unescape(self.0.as_bytes()).expect("the raw text was checked")
    }

    /// The string, or None if it holds a surrogate without its other half.
    #[must_use]
    pub fn to_str(&self) -> Option<Cow<'_, str>> {
        let lone = self.pieces().any(|piece| matches!(piece, Piece::Lone(_)));
        (!lone).then(|| self.to_string_lossy())
    }

    /// The length as JavaScript counts it, in UTF-16 code units.
    #[must_use]
    pub fn utf16_len(&self) -> usize {
        self.pieces()
            .map(|piece| match piece {
                Piece::Plain(text) => text.iter().map(|&byte| units_begun(byte)).sum(),
                Piece::Char(char) => char.len_utf16(),
                Piece::Lone(_) => 1,
            })
            .sum()
    }

    fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        Pieces::new(self.0.as_bytes()).flatten()
    }

    /// UTF-8 extended to lone surrogates: one form per string, whatever its spelling.
    pub(super) fn wtf8(&self) -> Cow<'_, [u8]> {
        let raw = self.0.as_bytes();
        if memchr(b'\\', raw).is_none() {
            return Cow::Borrowed(raw);
        }
        let mut out = Vec::with_capacity(raw.len());
        for piece in self.pieces() {
            match piece {
                Piece::Plain(text) => out.extend_from_slice(text),
                Piece::Char(char) => {
                    out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Piece::Lone(unit) => {
                    let [high, low] = unit.to_be_bytes();
                    out.extend_from_slice(&[
                        0xe0 | high >> 4,
                        0x80 | (high & 0x0f) << 2 | low >> 6,
                        0x80 | low & 0x3f,
                    ]);
                }
            }
        }
        Cow::Owned(out)
    }
}

/// How many UTF-16 units the UTF-8 sequence that starts with `byte` has; none inside a sequence.
fn units_begun(byte: u8) -> usize {
    match byte {
        0x80..=0xbf => 0,
        0xf0.. => 2,
        _ => 1,
    }
}

impl From<&str> for JsString {
    fn from(text: &str) -> Self {
        let mut quoted = Vec::new();
        json::escape_into(text, &mut quoted);
        let raw = &quoted[1..quoted.len() - 1];
        // Escaping replaces ASCII by ASCII, so the text stays UTF-8.
        Self(Cow::Owned(String::from_utf8_lossy(raw).into_owned()))
    }
}

impl From<String> for JsString {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl PartialEq for JsString {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0 || self.wtf8() == other.wtf8()
    }
}

impl Eq for JsString {}

impl PartialEq<str> for JsString {
    fn eq(&self, other: &str) -> bool {
        json::same_key(self.0.as_bytes(), other)
    }
}

impl PartialEq<&str> for JsString {
    fn eq(&self, other: &&str) -> bool {
        *self == **other
    }
}

impl Hash for JsString {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.wtf8().hash(state);
    }
}

impl fmt::Debug for JsString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

/// The string with U+FFFD for each surrogate without its other half.
impl fmt::Display for JsString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_string_lossy())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_does_not_matter_for_equality() {
        let raw = |raw| JsString::from_raw(raw).unwrap();
        assert_eq!(raw("\\u0041\\/"), raw("A/"));
        assert_eq!(raw("\\ud83d\\ude00"), JsString::from("😀"));
        assert_eq!(raw("\\uD800"), raw("\\ud800"));
        assert_ne!(raw("\\ud800"), JsString::from("\u{fffd}"));
        assert_ne!(raw("\\ud800"), raw("\\ud801"));
        assert_ne!(raw("a"), raw("b"));
    }

    #[test]
    fn lone_surrogates_are_kept_and_replaced_only_on_request() {
        let string = JsString::from_raw("\\ud800x").unwrap();
        assert_eq!(string.raw(), "\\ud800x");
        assert_eq!(string.to_str(), None);
        assert_eq!(string.to_string_lossy(), "\u{fffd}x");
        assert_eq!(string.wtf8(), &b"\xed\xa0\x80x"[..]);
        let last = JsString::from_raw("\\udfff").unwrap();
        assert_eq!(last.wtf8(), &b"\xed\xbf\xbf"[..]);
    }

    #[test]
    fn length_is_counted_as_javascript_counts() {
        for (raw, length) in [
            ("", 0),
            ("aé€", 3),
            ("😀", 2),
            ("\\ud83d\\ude00", 2),
            ("\\ud800\\n", 2),
        ] {
            assert_eq!(
                JsString::from_raw(raw).unwrap().utf16_len(),
                length,
                "{raw}"
            );
        }
    }

    #[test]
    fn only_valid_raw_texts_are_taken() {
        for raw in ["\"", "\\", "\\x", "\\u12", "a\nb"] {
            assert!(JsString::from_raw(raw).is_err(), "{raw:?}");
        }
        assert_eq!(JsString::from("a\"\n").raw(), "a\\\"\\n");
    }
}
