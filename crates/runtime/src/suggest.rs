//! The nearest known name to one that was mistyped.

use std::fmt::Write;

/// The name in `known` that `wrong` was most likely meant to be, if one is near enough to be worth naming.
pub(crate) fn nearest<'a>(wrong: &str, known: &[&'a str]) -> Option<&'a str> {
    let wrong = wrong.to_lowercase().replace('-', "_");
    let reach = (wrong.chars().count() / 3).max(2);
    known
        .iter()
        .map(|name| (distance(&wrong, name), *name))
        .filter(|(far, name)| *far <= reach && *far < name.len())
        .min_by_key(|(far, _)| *far)
        .map(|(_, name)| name)
}

/// `; did you mean "x"? Known: a, b, c` for a message about an unknown name.
pub(crate) fn hint(wrong: &str, known: &[&str]) -> String {
    let mut text = String::new();
    if let Some(name) = nearest(wrong, known) {
        // Writing to a string cannot fail.
        let _ = write!(text, "; did you mean {name:?}?");
    } else {
        text.push(';');
    }
    if known.is_empty() {
        text.push_str(" there are none here, remove it");
    } else {
        let _ = write!(text, " known: {}", known.join(", "));
    }
    text
}

/// Edits (insert, delete, replace, swap of neighbours) from `a` to `b`.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(64).collect();
    let b: Vec<char> = b.chars().take(64).collect();
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replace = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replace.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 3] = ["max_frame_bytes", "publish_deadline", "allow_group"];

    #[test]
    fn near_names_are_suggested_and_far_ones_are_not() {
        let table = [
            ("max_frame_byte", Some("max_frame_bytes")),
            ("max-frame-bytes", Some("max_frame_bytes")),
            ("MAX_FRAME_BYTES", Some("max_frame_bytes")),
            ("publish_dealdine", Some("publish_deadline")),
            ("alow_group", Some("allow_group")),
            ("colour", None),
            ("", None),
        ];
        for (wrong, expected) in table {
            assert_eq!(nearest(wrong, &NAMES), expected, "{wrong:?}");
        }
    }

    #[test]
    fn distances() {
        let table = [
            ("", "abc", 3),
            ("unix", "unx", 1),
            ("uinx", "unix", 1),
            ("abc", "abc", 0),
        ];
        for (a, b, far) in table {
            assert_eq!(distance(a, b), far, "{a:?} {b:?}");
            assert_eq!(distance(b, a), far, "{b:?} {a:?}");
        }
    }
}
