//! Signals as a model reads them: an element around what is said.

use super::{Contents, Signal, SignalKind, SignalPart};
use crate::Data;
use crate::message::Part;

impl Signal {
    /// What a model is told: what a person says without attributes as it is, everything else in an element that names the signal and
    /// its attributes. Of texts and files only the first text is in it; without a text it is empty and comes first.
    pub fn parts_for_model(&self) -> Vec<Part> {
        let stored = self.contents.stored();
        if self.kind == SignalKind::User && self.shown_attributes().next().is_none() {
            return stored;
        }
        match &self.contents {
            Contents::Text(text) => vec![Part::text(self.element(text))],
            Contents::Parts(parts) => match joined(parts) {
                Some(text) => vec![Part::text(self.element(&text))],
                None => self.around_first_text(stored),
            },
        }
    }

    fn around_first_text(&self, mut parts: Vec<Part>) -> Vec<Part> {
        for part in &mut parts {
            if let Part::Text { text, .. } = part {
                *text = self.element(text);
                return parts;
            }
        }
        parts.insert(0, Part::text(self.element("")));
        parts
    }

    fn element(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len() + 64);
        out.push('<');
        out.push_str(&self.tag_name);
        for (name, value) in self.shown_attributes() {
            out.push(' ');
            out.push_str(name);
            out.push_str("=\"");
            escape(&value, true, &mut out);
            out.push('"');
        }
        if text.is_empty() {
            out.push_str(" />");
            return out;
        }
        out.push('>');
        escape(text, false, &mut out);
        out.push_str("</");
        out.push_str(&self.tag_name);
        out.push('>');
        out
    }

    fn shown_attributes(&self) -> impl Iterator<Item = (&str, String)> {
        let attributes = self.attributes.iter().filter(|(_, value)| !value.is_null());
        attributes.map(|(name, value)| (name.as_str(), plain(value)))
    }
}

/// All texts, if there is nothing else and nothing that belongs to one of them.
fn joined(parts: &[SignalPart]) -> Option<String> {
    let texts = parts.iter().map(|part| match part {
        SignalPart::Text {
            text,
            provider_options: None,
        } => Some(text.as_str()),
        _ => None,
    });
    let texts: Option<Vec<&str>> = texts.collect();
    texts.map(|texts| texts.join("\n"))
}

/// A text without its quotes, anything else as its JSON.
fn plain(value: &Data) -> String {
    value.parse().unwrap_or_else(|_| value.as_str().to_owned())
}

fn escape(text: &str, quotes: bool, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' if quotes => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
}

/// Whether `name` names an element or an attribute.
pub(super) fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = bytes.next();
    first.is_some_and(|it| it.is_ascii_alphabetic() || it == b'_')
        && bytes.all(|it| it.is_ascii_alphanumeric() || matches!(it, b'_' | b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::text;

    #[test]
    fn a_person_is_quoted_and_everything_else_is_in_an_element() {
        let kind = SignalKind::Reactive;
        for (signal, told) in [
            (Signal::user("a < b"), "a < b"),
            (
                Signal::user("hi")
                    .with_attribute("from", "\"Jo\" & <Al>")
                    .unwrap(),
                "<user from=\"&quot;Jo&quot; &amp; &lt;Al&gt;\">hi</user>",
            ),
            (
                Signal::new(kind, "a < b & \"c\""),
                "<system-reminder>a &lt; b &amp; \"c\"</system-reminder>",
            ),
            (
                Signal::new(SignalKind::State, "")
                    .with_attribute("n", 3)
                    .unwrap(),
                "<state n=\"3\" />",
            ),
            (
                Signal::new(kind, vec![SignalPart::text("a"), SignalPart::text("b")]),
                "<system-reminder>a\nb</system-reminder>",
            ),
        ] {
            assert_eq!(text(&signal.parts_for_model()), told);
        }
    }

    #[test]
    fn files_stay_beside_the_element() {
        let file = || SignalPart::file("https://example.com/a.png", "image/png");
        let signal = Signal::new(
            SignalKind::Notification,
            vec![file(), SignalPart::text("look")],
        );
        let parts = signal.parts_for_model();
        assert!(matches!(parts[0], Part::File { .. }));
        assert_eq!(text(&parts[1..]), "<notification>look</notification>");
        let parts = Signal::new(SignalKind::Notification, vec![file()]).parts_for_model();
        assert_eq!(text(&parts[..1]), "<notification />");
    }

    #[test]
    fn names_that_are_none_are_refused() {
        assert!(Signal::user("").with_tag_name("a b").is_err());
        assert!(Signal::user("").with_tag_name("").is_err());
        assert!(Signal::user("").with_attribute("1", true).is_err());
        assert!(Signal::user("").with_attribute("a", [1]).is_err());
    }
}
