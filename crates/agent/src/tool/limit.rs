//! How large the things may be that go into a tool and come out of it.

use crate::Data;

/// Bytes of the largest arguments, result, suspend payload or chunk of a tool, as JSON.
pub const MAX_TOOL_BYTES: usize = 8 << 20;

/// Bytes of the longest error text of a tool. What is longer is cut.
pub const MAX_TOOL_ERROR_BYTES: usize = 64 << 10;

/// What is wrong with the size of `data`, called `what`; `remedy` says what to do about it.
pub(super) fn excess(what: &str, data: &Data, remedy: &str) -> Option<String> {
    let size = data.as_str().len();
    (size > MAX_TOOL_BYTES)
        .then(|| format!("{what} has {size} bytes, more than {MAX_TOOL_BYTES}; {remedy}"))
}

/// `text`, or its beginning with a note.
pub(super) fn cut(mut text: String) -> String {
    if text.len() <= MAX_TOOL_ERROR_BYTES {
        return text;
    }
    let note = format!(
        " ... (cut: {} bytes, more than {MAX_TOOL_ERROR_BYTES})",
        text.len()
    );
    let end = (0..=MAX_TOOL_ERROR_BYTES.saturating_sub(note.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end))
        .unwrap_or(0);
    text.truncate(end);
    text.push_str(&note);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters_and_says_so() {
        let whole = "é".repeat(MAX_TOOL_ERROR_BYTES / 2);
        assert_eq!(cut(whole.clone()), whole);
        let long = cut(format!("x{whole}"));
        assert!(long.len() <= MAX_TOOL_ERROR_BYTES, "{}", long.len());
        assert!(long.ends_with("(cut: 65537 bytes, more than 65536)"));
    }
}
