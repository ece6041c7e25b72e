//! JSON that is still being written.

use super::place;
use super::scanner::Scanner;
use crate::Data;

/// Reads JSON while it is being written: of every beginning it makes a whole value.
///
/// What is open is closed: texts end where they are, and a member whose value has not begun is not there yet. Words and a
/// code fence before an object or an array are left out, as is everything behind it. The time of a push grows with the
/// length of the value that it makes.
///
/// ```
/// use bowline_agent::structured::PartialJson;
/// let mut json = PartialJson::new();
/// let deltas = [r#"{"city": "Os"#, r#"lo", "te"#, r#"mp": 2"#, "1}"];
/// let values: Vec<_> = deltas.into_iter().filter_map(|delta| json.push(delta)).collect();
/// assert_eq!(values[0].as_str(), r#"{"city": "Os"}"#);
/// assert_eq!(values[3].as_str(), r#"{"city": "Oslo", "temp": 21}"#);
/// assert!(json.is_complete());
/// ```
#[derive(Debug, Clone, Default)]
pub struct PartialJson {
    /// The value so far, from its first byte on.
    text: String,
    scanner: Scanner,
    /// Whether there were words before the value.
    words: bool,
    broken: bool,
    last: Option<String>,
}

impl PartialJson {
    /// Nothing written yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what was written next. The value so far, if that changed it.
    pub fn push(&mut self, delta: &str) -> Option<Data> {
        delta.chars().for_each(|next| self.take(next));
        let value = self.scanner.closed(&self.text)?;
        if self.last.as_ref() == Some(&value) {
            return None;
        }
        self.last = Some(value.clone());
        // It cannot fail: what was open is closed.
        Data::from_json(value).ok()
    }

    /// Whether the value is whole. A number that stands by itself is when something follows it.
    pub fn is_complete(&self) -> bool {
        self.scanner.is_complete()
    }

    /// Whether something came that is no JSON. The value stays what it was before.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    fn take(&mut self, next: char) {
        if self.broken || self.is_complete() {
            return;
        }
        if self.text.is_empty() && !self.begins(next) {
            self.words |= !next.is_whitespace();
        } else if self.scanner.take(next) {
            self.text.push(next);
        } else if self.is_complete() {
            // It was the end of a number.
        } else if self.scanner.is_outside() {
            // It was not a value but the first word of a sentence.
            self.text.clear();
            self.scanner = Scanner::default();
            self.words = true;
            self.take(next);
        } else {
            self.broken = true;
        }
    }

    /// Whether a value begins with `next`. One that is neither an object nor an array has to be the first thing.
    fn begins(&self, next: char) -> bool {
        match next {
            '{' | '[' => true,
            '"' | '-' | '0'..='9' | 't' | 'f' | 'n' => !self.words,
            _ => false,
        }
    }
}

/// The whole value in `text`, or what is wrong with it.
pub(super) fn whole(text: &str) -> Result<String, String> {
    let mut json = PartialJson::new();
    text.chars().for_each(|next| json.take(next));
    // A number ends with the text.
    if !json.broken && json.scanner.is_outside() && !json.text.is_empty() {
        json.take('\n');
    }
    if json.is_complete() {
        json.text.truncate(json.text.trim_end().len());
        return Ok(json.text);
    }
    let place = place::path(&json.text, json.text.len());
    Err(if json.text.is_empty() {
        "the answer of the model has no JSON in it".into()
    } else if json.broken {
        format!("the answer of the model is no JSON behind {place}")
    } else {
        let bytes = json.text.len();
        format!(
            "the answer of the model broke off after {bytes} bytes, in {place}; let it write more tokens"
        )
    })
}
