//! From text to tree.

use super::{CodecError, JsString, Number, Object, TAG_KEY, Tagged, Value};
use crate::json::{self, MAX_DEPTH, ScanError, ScanErrorKind, Scanner};

/// How much a text may cost to decode. Nesting is always limited to
/// [`MAX_DEPTH`] levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest text, in bytes. 64 MiB by default, the longest line of the Unix transport.
    pub text_bytes: usize,
    /// The most values, counting every scalar and container once. A value takes 32 bytes and more,
    /// and as little as two bytes of text. 4 194 304 by default.
    pub nodes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            text_bytes: 64 << 20,
            nodes: 4 << 20,
        }
    }
}

/// What an object with the member `__m_codec__` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Possibly an envelope: the Unix socket transport.
    Tagged,
    /// Ordinary data: every other transport.
    Plain,
}

/// Decodes a text of the tagged dialect within the default [`Limits`].
///
/// What looks like an envelope and is not one (an unknown tag, a payload of the wrong shape, a map
/// entry that is not an array) stays an object. The texts inside dates, big integers and URLs are
/// checked when they are asked for.
///
/// # Errors
/// [`CodecError::Json`], [`CodecError::TextTooLong`], [`CodecError::TooManyNodes`].
pub fn decode(text: &[u8]) -> Result<Value, CodecError> {
    decode_with(text, Dialect::Tagged, &Limits::default())
}

/// Decodes a text of the plain dialect within the default [`Limits`].
///
/// # Errors
/// As [`decode`].
pub fn decode_plain(text: &[u8]) -> Result<Value, CodecError> {
    decode_with(text, Dialect::Plain, &Limits::default())
}

/// Decodes a text of either dialect within the given limits.
///
/// # Errors
/// As [`decode`].
pub fn decode_with(text: &[u8], dialect: Dialect, limits: &Limits) -> Result<Value, CodecError> {
    if text.len() > limits.text_bytes {
        return Err(CodecError::TextTooLong {
            bytes: text.len(),
            limit: limits.text_bytes,
        });
    }
    let text = json::utf8(text)?;
    let mut parser = Parser {
        text,
        scanner: Scanner::new(text.as_bytes()),
        nodes: 0,
        limit: limits.nodes,
        tagged: dialect == Dialect::Tagged,
    };
    parser.scanner.whitespace();
    let value = parser.value(0)?;
    parser.scanner.end()?;
    Ok(value)
}

struct Parser<'a> {
    text: &'a str,
    scanner: Scanner<'a>,
    nodes: usize,
    limit: usize,
    tagged: bool,
}

impl Parser<'_> {
    /// The value at the cursor, inside `depth` open containers.
    fn value(&mut self, depth: usize) -> Result<Value, CodecError> {
        if self.nodes == self.limit {
            return Err(CodecError::TooManyNodes { limit: self.limit });
        }
        self.nodes += 1;
        let start = self.scanner.position();
        match self.scanner.peek() {
            Some(b'{' | b'[') if depth == MAX_DEPTH => {
                Err(ScanError::new(ScanErrorKind::Depth, start).into())
            }
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b'"') => {
                let range = self.scanner.string()?;
                Ok(Value::String(JsString::checked(&self.text[range])))
            }
            first => {
                self.scanner.scalar()?;
                Ok(match first {
                    Some(b't') => Value::Bool(true),
                    Some(b'f') => Value::Bool(false),
                    Some(b'n') => Value::Null,
                    _ => {
                        let text = &self.text[start..self.scanner.position()];
                        Value::Number(Number::checked(text))
                    }
                })
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, CodecError> {
        let mut items = Vec::new();
        self.scanner.expect(b'[')?;
        self.scanner.whitespace();
        if self.scanner.take(b']') {
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value(depth)?);
            self.scanner.whitespace();
            if self.scanner.take(b']') {
                return Ok(Value::Array(items));
            }
            self.scanner.expect(b',')?;
            self.scanner.whitespace();
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, CodecError> {
        let mut members = Vec::new();
        let mut maybe_envelope = false;
        self.scanner.expect(b'{')?;
        self.scanner.whitespace();
        if self.scanner.take(b'}') {
            return Ok(Value::Object(Object::default()));
        }
        loop {
            let key = self.scanner.key()?;
            let key = &self.text[key];
            maybe_envelope |= self.tagged && json::same_key(key.as_bytes(), TAG_KEY);
            let value = self.value(depth)?;
            members.push((JsString::checked(key), value));
            self.scanner.whitespace();
            if self.scanner.take(b'}') {
                break;
            }
            self.scanner.expect(b',')?;
            self.scanner.whitespace();
        }
        let members = Object::from(members);
        Ok(if maybe_envelope {
            Tagged::recognise(members)
        } else {
            Value::Object(members)
        })
    }
}
