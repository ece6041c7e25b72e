//! The text between the quotes of a JSON string, and back.

use std::borrow::Cow;

use super::{ScanError, ScanErrorKind, plain_run};

/// A part of a string's raw text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// Text that stands for itself; not necessarily UTF-8.
    Plain(&'a [u8]),
    /// What an escape, or a pair of surrogate escapes, stands for.
    Char(char),
    /// An escaped surrogate without its other half.
    Lone(u16),
}

/// The pieces of a raw text. Ends after the first error.
#[derive(Debug, Clone)]
pub(crate) struct Pieces<'a> {
    raw: &'a [u8],
    at: usize,
}

impl<'a> Pieces<'a> {
    pub(crate) fn new(raw: &'a [u8]) -> Self {
        Self { raw, at: 0 }
    }

    /// The code unit of the `\uXXXX` escape at `at`, if there is one.
    fn unit(&self, at: usize) -> Option<u16> {
        let escape = self.raw.get(at..)?.first_chunk::<6>()?;
        let [b'\\', b'u', digits @ ..] = escape else {
            return None;
        };
        let mut unit = 0;
        for &digit in digits {
            // A hexadecimal digit is below 16, so neither the shift nor the conversion loses bits.
            unit = unit << 4 | char::from(digit).to_digit(16)? as u16;
        }
        Some(unit)
    }

    /// The escape whose backslash is at the cursor.
    fn escape(&mut self) -> Result<Piece<'a>, ScanError> {
        let simple = match self.raw.get(self.at + 1) {
            Some(&byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(ScanError::new(ScanErrorKind::Syntax, self.at)),
        };
        self.at += 2;
        Ok(Piece::Char(simple))
    }

    fn unicode(&mut self) -> Result<Piece<'a>, ScanError> {
        let first = self
            .unit(self.at)
            .ok_or_else(|| ScanError::new(ScanErrorKind::Syntax, self.at))?;
        self.at += 6;
        if let Some(plain) = char::from_u32(u32::from(first)) {
            return Ok(Piece::Char(plain));
        }
        let second = self.unit(self.at).unwrap_or_default();
        match char::decode_utf16([first, second]).next() {
            Some(Ok(pair)) => {
                self.at += 6;
                Ok(Piece::Char(pair))
            }
            _ => Ok(Piece::Lone(first)),
        }
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Result<Piece<'a>, ScanError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.raw[self.at..];
        let piece = match rest.first()? {
            b'\\' => self.escape(),
            _ => match plain_run(rest) {
                0 => Err(ScanError::new(ScanErrorKind::Syntax, self.at)),
                length => {
                    self.at += length;
                    Ok(Piece::Plain(&rest[..length]))
                }
            },
        };
        if piece.is_err() {
            self.at = self.raw.len();
        }
        Some(piece)
    }
}

/// The string that a raw text, taken from between the quotes, stands for. Borrows when the text
/// holds no escape.
///
/// Surrogates without their other half and bytes that are not UTF-8 become U+FFFD.
///
/// # Errors
/// [`ScanErrorKind::Syntax`] for a bad escape, a bare quote or a raw control character; the offset
/// counts from the start of `raw`.
pub fn unescape(raw: &[u8]) -> Result<Cow<'_, str>, ScanError> {
    if plain_run(raw) == raw.len() {
        return Ok(String::from_utf8_lossy(raw));
    }
    let mut out = String::with_capacity(raw.len());
    for piece in Pieces::new(raw) {
        match piece? {
            Piece::Plain(text) => out.push_str(&String::from_utf8_lossy(text)),
            Piece::Char(char) => out.push(char),
            Piece::Lone(_) => out.push(char::REPLACEMENT_CHARACTER),
        }
    }
    Ok(Cow::Owned(out))
}

/// Appends `s` as a quoted JSON string, byte for byte as `JSON.stringify` writes it: short escapes
/// where they exist, `\u00xx` in lower case for the other control characters, everything else raw
/// (U+007F and U+2028 included).
pub fn escape_into(s: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut rest = s.as_bytes();
    out.reserve(rest.len() + 2);
    out.push(b'"');
    loop {
        let (plain, special) = rest.split_at(plain_run(rest));
        out.extend_from_slice(plain);
        let Some((&byte, after)) = special.split_first() else {
            break;
        };
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', HEX[high], HEX[low]]);
            }
        }
        rest = after;
    }
    out.push(b'"');
}

/// Whether a raw key, taken from between the quotes, is `name`, however it is spelled. A key that
/// holds an unpaired surrogate equals no name.
#[must_use]
#[inline]
pub fn same_key(raw: &[u8], name: &str) -> bool {
    let name_bytes = name.as_bytes();
    // Most keys differ in the first bytes; up to an escape the spelling is the string itself.
    for (at, &byte) in raw.iter().enumerate() {
        if byte == b'\\' {
            return same_escaped(&raw[at..], &name_bytes[at..]);
        }
        if name_bytes.get(at) != Some(&byte) {
            return false;
        }
    }
    raw.len() == name_bytes.len()
}

#[cold]
fn same_escaped(raw: &[u8], name: &[u8]) -> bool {
    let mut rest = name;
    for piece in Pieces::new(raw) {
        let mut buffer = [0; 4];
        let part = match piece {
            Ok(Piece::Plain(text)) => text,
            Ok(Piece::Char(char)) => char.encode_utf8(&mut buffer).as_bytes(),
            Ok(Piece::Lone(_)) | Err(_) => return false,
        };
        let Some(after) = rest.strip_prefix(part) else {
            return false;
        };
        rest = after;
    }
    rest.is_empty()
}
