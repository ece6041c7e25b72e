//! Colour, on terminals only and where `NO_COLOR` does not forbid it.

use std::fmt::Write;
use std::io::IsTerminal;

/// The colours in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    Dim,
    Cyan,
    Green,
    Yellow,
    Red,
    Bold,
}

/// Puts colour around text, or leaves it as it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Painter {
    on: bool,
}

impl Painter {
    /// For text that goes to `stream`.
    pub(crate) fn for_stream(stream: &impl IsTerminal) -> Self {
        let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let plain = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            on: stream.is_terminal() && !forbidden && !plain,
        }
    }

    #[cfg(test)]
    pub(crate) fn always(on: bool) -> Self {
        Self { on }
    }

    /// Appends `text` in `colour`. Control characters of `text` are written as escapes, so that it cannot steer a terminal.
    pub(crate) fn put(self, out: &mut String, colour: Colour, text: &str) {
        if self.on {
            let code = match colour {
                Colour::Dim => 2,
                Colour::Cyan => 36,
                Colour::Green => 32,
                Colour::Yellow => 33,
                Colour::Red => 31,
                Colour::Bold => 1,
            };
            // Writing to a string cannot fail.
            let _ = write!(out, "\x1b[{code}m");
        }
        visible(out, text);
        if self.on {
            out.push_str("\x1b[0m");
        }
    }

    /// `text` in `colour`.
    pub(crate) fn paint(self, colour: Colour, text: &str) -> String {
        let mut out = String::new();
        self.put(&mut out, colour, text);
        out
    }
}

/// Appends `text` with its control characters made visible.
pub(crate) fn visible(out: &mut String, text: &str) {
    for character in text.chars() {
        if character.is_control() || is_bidi_control(character) {
            // Writing to a string cannot fail.
            let _ = write!(out, "\\u{:04x}", u32::from(character));
        } else {
            out.push(character);
        }
    }
}

/// `text`, fit for a terminal.
pub(crate) fn shown(text: &str) -> String {
    let mut out = String::new();
    visible(&mut out, text);
    out
}

/// Characters that reorder what stands around them on a terminal.
fn is_bidi_control(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_steer_the_terminal() {
        let painter = Painter::always(true);
        let shown = painter.paint(Colour::Red, "a\x1b[2Jb\u{9b}c\u{202e}d\ne");
        assert_eq!(shown, "\x1b[31ma\\u001b[2Jb\\u009bc\\u202ed\\u000ae\x1b[0m");
        assert_eq!(Painter::always(false).paint(Colour::Red, "a é"), "a é");
    }
}
