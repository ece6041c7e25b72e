//! What is wrong with a value, in a bounded number of words.

use std::fmt::{self, Write};

/// How many faults of one value are told.
pub(super) const MAX_FAULTS: usize = 8;

/// Bytes of one fault, and of what is told of a schema.
const MAX_TEXT: usize = 256;

/// What is wrong with a value; it is never empty.
#[derive(Debug)]
pub(crate) struct Faults(Vec<String>);

impl Faults {
    /// The one fault that there is.
    pub(super) fn one(path: &str, problem: impl fmt::Display) -> Self {
        Self(vec![line(path, problem)])
    }

    /// Those of an iterator, as many as are told.
    pub(super) fn of<'a>(errors: impl Iterator<Item = jsonschema::ValidationError<'a>>) -> Self {
        let mut lines: Vec<String> = errors
            .take(MAX_FAULTS + 1)
            .map(|error| {
                let path = dotted(error.instance_path().as_str());
                line(&path, error.masked_with("the value"))
            })
            .collect();
        if lines.len() > MAX_FAULTS {
            lines.truncate(MAX_FAULTS);
            lines.push(line("", "and more"));
        }
        Self(lines)
    }

    /// Each on a line of its own behind a dash, as in the reference.
    pub(super) fn lines(&self) -> String {
        format!("- {}", self.0.join("\n- "))
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<_> = self.0.iter().map(|line| without_path(line)).collect();
        f.write_str(&all.join("; "))
    }
}

impl std::error::Error for Faults {}

/// Without the empty path of the whole value.
fn without_path(line: &str) -> &str {
    line.strip_prefix(": ").unwrap_or(line)
}

fn line(path: &str, problem: impl fmt::Display) -> String {
    // The path of a hostile value can be as long as the value.
    let path = short(path);
    short(format_args!("{path}: {problem}"))
}

/// `order.lines.0` of the JSON pointer `/order/lines/0`.
fn dotted(pointer: &str) -> String {
    let pointer: String = pointer.chars().take(MAX_TEXT).collect();
    let parts = pointer.split('/').skip(1);
    let parts: Vec<String> = parts
        .map(|part| part.replace("~1", "/").replace("~0", "~"))
        .collect();
    parts.join(".")
}

/// The text of `value`, as far as it is of a reasonable length, however long it is.
pub(super) fn short(value: impl fmt::Display) -> String {
    let mut text = Short(String::new());
    if write!(text, "{value}").is_err() {
        text.0.push_str("...");
    }
    text.0
}

/// Takes no more than fits.
struct Short(String);

impl Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if self.0.len() + c.len_utf8() > MAX_TEXT {
                return Err(fmt::Error);
            }
            // A message stays on its line.
            self.0.push(if c.is_control() { ' ' } else { c });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_a_character_and_stays_on_one_line() {
        assert_eq!(short("a\nb"), "a b");
        let cut = short("é".repeat(MAX_TEXT));
        assert_eq!(cut, format!("{}...", "é".repeat(MAX_TEXT / 2)));
        assert_eq!(short("x".repeat(MAX_TEXT)).len(), MAX_TEXT);
    }

    #[test]
    fn a_path_has_the_names_of_the_members() {
        for (pointer, path) in [
            ("", ""),
            ("/a", "a"),
            ("/a~1b/0/c~0d", "a/b.0.c~d"),
            ("/a~01b", "a~1b"),
        ] {
            assert_eq!(dotted(pointer), path, "{pointer}");
        }
    }
}
