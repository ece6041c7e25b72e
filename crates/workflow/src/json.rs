//! Writing JSON objects without a tree in between.

use std::fmt::Write;

use bowline_events::Timestamp;

use crate::Data;

/// An object that is being written.
pub(crate) struct Writer {
    text: String,
    first: bool,
}

impl Writer {
    pub(crate) fn object() -> Self {
        let mut text = String::with_capacity(128);
        text.push('{');
        Self { text, first: true }
    }

    fn key(&mut self, key: &str) -> &mut String {
        if !self.first {
            self.text.push(',');
        }
        self.first = false;
        push_text(&mut self.text, key);
        self.text.push(':');
        &mut self.text
    }

    pub(crate) fn data(&mut self, key: &str, value: &Data) -> &mut Self {
        self.key(key).push_str(value.as_str());
        self
    }

    pub(crate) fn optional(&mut self, key: &str, value: Option<&Data>) -> &mut Self {
        if let Some(value) = value {
            self.data(key, value);
        }
        self
    }

    /// Text that is JSON already.
    pub(crate) fn raw(&mut self, key: &str, json: &str) -> &mut Self {
        self.key(key).push_str(json);
        self
    }

    pub(crate) fn text(&mut self, key: &str, value: &str) -> &mut Self {
        push_text(self.key(key), value);
        self
    }

    pub(crate) fn number(&mut self, key: &str, value: impl Into<i64>) -> &mut Self {
        // Writing to a String does not fail.
        let _ = write!(self.key(key), "{}", value.into());
        self
    }

    pub(crate) fn time(&mut self, key: &str, value: Option<Timestamp>) -> &mut Self {
        if let Some(value) = value {
            self.number(key, value.as_millis());
        }
        self
    }

    pub(crate) fn numbers(&mut self, key: &str, values: impl Iterator<Item = usize>) -> &mut Self {
        let text = self.key(key);
        text.push('[');
        for (i, value) in values.enumerate() {
            let comma = if i > 0 { "," } else { "" };
            // Writing to a String does not fail.
            let _ = write!(text, "{comma}{value}");
        }
        text.push(']');
        self
    }

    /// A member that is an object, written by `fill`.
    pub(crate) fn nested(&mut self, key: &str, fill: impl FnOnce(&mut Self)) -> &mut Self {
        self.key(key).push('{');
        self.first = true;
        fill(self);
        self.text.push('}');
        self.first = false;
        self
    }

    pub(crate) fn texts<'a>(
        &mut self,
        key: &str,
        values: impl Iterator<Item = &'a str>,
    ) -> &mut Self {
        let text = self.key(key);
        text.push('[');
        for (i, value) in values.enumerate() {
            if i > 0 {
                text.push(',');
            }
            push_text(text, value);
        }
        text.push(']');
        self
    }

    pub(crate) fn end(mut self) -> String {
        self.text.push('}');
        self.text
    }
}

/// Appends `value` as a JSON string.
pub(crate) fn push_text(text: &mut String, value: &str) {
    let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    text.push('"');
    if value.bytes().all(plain) {
        text.push_str(value);
    } else {
        for c in value.chars() {
            match c {
                '"' => text.push_str("\\\""),
                '\\' => text.push_str("\\\\"),
                '\n' => text.push_str("\\n"),
                c if u32::from(c) < 0x20 => {
                    // Writing to a String does not fail.
                    let _ = write!(text, "\\u{:04x}", u32::from(c));
                }
                c => text.push(c),
            }
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for value in ["", "plain", "\"", "\\", "a\nb", "\u{1}\u{7f}é😀"] {
            let mut json = Writer::object();
            json.text("key", value).number("n", -3);
            json.nested(value, |inner| {
                inner.texts("list", ["a", value].into_iter());
            });
            let read: serde_json::Value = serde_json::from_str(&json.end()).unwrap();
            assert_eq!(read["key"], value);
            assert_eq!(read["n"], -3);
            assert_eq!(read[value]["list"][1], value);
        }
    }
}
