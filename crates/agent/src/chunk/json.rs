//! Writing JSON objects straight into bytes, member by member in the order of the wire.

use std::io::Write;

use bowline_events::codec::date;
use bowline_events::{Timestamp, json};
use bytes::Bytes;

use super::wire::{Failure, ToolRecord};
use crate::Data;
use crate::model::Usage;

/// What an object without surprises takes; it grows where that is too little.
const USUAL: usize = 256;

/// An object that is being written.
pub(crate) struct Writer {
    out: Vec<u8>,
    first: bool,
}

impl Writer {
    pub(crate) fn object() -> Self {
        Self::after(Vec::with_capacity(USUAL))
    }

    /// An object that begins behind `out`.
    pub(crate) fn after(mut out: Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, first: true }
    }

    fn key(&mut self, key: &str) -> &mut Vec<u8> {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        &mut self.out
    }

    pub(crate) fn text(&mut self, key: &str, value: &str) -> &mut Self {
        json::escape_into(value, self.key(key));
        self
    }

    pub(crate) fn some_text(
        &mut self,
        key: &str,
        value: Option<&(impl AsRef<str> + ?Sized)>,
    ) -> &mut Self {
        if let Some(value) = value {
            self.text(key, value.as_ref());
        }
        self
    }

    pub(crate) fn data(&mut self, key: &str, value: &Data) -> &mut Self {
        self.raw(key, value.as_str())
    }

    pub(crate) fn some_data(&mut self, key: &str, value: Option<&Data>) -> &mut Self {
        if let Some(value) = value {
            self.data(key, value);
        }
        self
    }

    /// Text that is JSON already.
    pub(crate) fn raw(&mut self, key: &str, value: &str) -> &mut Self {
        self.key(key).extend_from_slice(value.as_bytes());
        self
    }

    pub(crate) fn bool(&mut self, key: &str, value: bool) -> &mut Self {
        self.raw(key, if value { "true" } else { "false" })
    }

    /// A member that is there only when it is true.
    pub(crate) fn flag(&mut self, key: &str, value: bool) -> &mut Self {
        if value {
            self.bool(key, true);
        }
        self
    }

    pub(crate) fn number(&mut self, key: &str, value: impl Into<i128>) -> &mut Self {
        // Writing to a vector does not fail.
        let _ = write!(self.key(key), "{}", value.into());
        self
    }

    /// An instant as an ISO date.
    pub(crate) fn iso(&mut self, key: &str, value: Option<Timestamp>) -> &mut Self {
        if let Some(value) = value {
            let out = self.key(key);
            out.push(b'"');
            date::write_iso(value.as_millis(), out);
            out.push(b'"');
        }
        self
    }

    pub(crate) fn nested(&mut self, key: &str, fill: impl FnOnce(&mut Self)) -> &mut Self {
        self.key(key).push(b'{');
        self.first = true;
        fill(self);
        self.out.push(b'}');
        self.first = false;
        self
    }

    /// An array of JSON texts.
    pub(crate) fn array<'a>(
        &mut self,
        key: &str,
        values: impl Iterator<Item = &'a Data>,
    ) -> &mut Self {
        let out = self.key(key);
        out.push(b'[');
        for (i, value) in values.enumerate() {
            if i > 0 {
                out.push(b',');
            }
            out.extend_from_slice(value.as_str().as_bytes());
        }
        out.push(b']');
        self
    }

    /// An array of objects.
    pub(crate) fn objects<T>(
        &mut self,
        key: &str,
        values: &[T],
        fill: impl Fn(&mut Self, &T),
    ) -> &mut Self {
        self.elements(key, values, |json, value| {
            json.element(|json| fill(json, value));
        })
    }

    /// An array; `write` has to write one [`element`](Self::element) or [`raw_element`](Self::raw_element) for each value.
    pub(crate) fn elements<T>(
        &mut self,
        key: &str,
        values: &[T],
        write: impl Fn(&mut Self, &T),
    ) -> &mut Self {
        self.key(key).push(b'[');
        for (i, value) in values.iter().enumerate() {
            if i > 0 {
                self.out.push(b',');
            }
            write(self, value);
        }
        self.out.push(b']');
        self.first = false;
        self
    }

    pub(crate) fn element(&mut self, fill: impl FnOnce(&mut Self)) {
        self.out.push(b'{');
        self.first = true;
        fill(self);
        self.out.push(b'}');
    }

    pub(crate) fn raw_element(&mut self, value: &Data) {
        self.out.extend_from_slice(value.as_str().as_bytes());
    }

    pub(crate) fn usage(&mut self, key: &str, usage: &Usage) -> &mut Self {
        self.nested(key, |json| {
            json.number("inputTokens", usage.input_tokens)
                .number("outputTokens", usage.output_tokens)
                .number("totalTokens", usage.total_tokens);
            let details = [
                ("reasoningTokens", usage.reasoning_tokens),
                ("cachedInputTokens", usage.cached_input_tokens),
                (
                    "cacheCreationInputTokens",
                    usage.cache_creation_input_tokens,
                ),
            ];
            for (key, value) in details {
                if let Some(value) = value {
                    json.number(key, value);
                }
            }
            json.some_data("raw", usage.raw.as_ref());
        })
    }

    /// A failure in the order of tools and of events: the name comes first.
    pub(crate) fn failure(&mut self, key: &str, failure: &Failure) -> &mut Self {
        self.nested(key, |json| {
            json.text("name", &failure.name)
                .text("message", &failure.message)
                .some_text("stack", failure.stack.as_ref());
        })
    }

    pub(crate) fn records(&mut self, key: &str, records: &[ToolRecord]) -> &mut Self {
        self.objects(key, records, |json, record| record.write(json))
    }

    /// The object, complete.
    pub(crate) fn end(mut self) -> Vec<u8> {
        self.out.push(b'}');
        self.out
    }

    pub(crate) fn end_bytes(self) -> Bytes {
        self.end().into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_again(text in any::<String>(), number in any::<u64>(), flag in any::<bool>()) {
            let mut json = Writer::object();
            json.text("text", &text).number("n", number).flag("flag", flag);
            json.nested("in", |json| {
                json.bool("b", flag).objects("list", &[&text, &text], |json, text| {
                    json.text("t", text);
                });
            });
            json.array("rest", [Data::null(), Data::object()].iter());
            let read: serde_json::Value = serde_json::from_slice(&json.end()).expect("JSON");
            prop_assert_eq!(&read["text"], text.as_str());
            prop_assert_eq!(&read["n"], number);
            prop_assert_eq!(read.get("flag").is_some(), flag);
            prop_assert_eq!(&read["in"]["list"][1]["t"], text.as_str());
            prop_assert_eq!(&read["rest"], &serde_json::json!([null, {}]));
        }
    }
}
