//! Where in a JSON text something is.

use std::fmt::Write as _;

/// The path of the value that `error` is about: `$.orders[2].id`.
pub(super) fn of(json: &str, error: &serde_json::Error) -> String {
    let lines = json.split_inclusive('\n');
    let before: usize = lines
        .take(error.line().saturating_sub(1))
        .map(str::len)
        .sum();
    path(json, before + error.column().saturating_sub(1))
}

enum Frame {
    /// In an object, at the value of this member.
    Object(String),
    /// In an array, at this element.
    Array(usize),
}

/// The path of the innermost value that the byte at `index` belongs to, in the beginning `json` of a JSON text.
pub(super) fn path(json: &str, index: usize) -> String {
    let bytes = json.as_bytes();
    let mut frames: Vec<Frame> = Vec::new();
    let mut at = 0;
    while at < bytes.len().min(index) {
        match bytes[at] {
            b'{' => frames.push(Frame::Object(String::new())),
            b'[' => frames.push(Frame::Array(0)),
            b'}' | b']' => {
                frames.pop();
            }
            b',' => match frames.last_mut() {
                Some(Frame::Array(element)) => *element += 1,
                Some(Frame::Object(name)) => name.clear(),
                None => {}
            },
            b'"' => {
                let end = string_end(bytes, at);
                // A text that a colon follows is the name of a member.
                let next = json[end..].trim_start();
                if next.starts_with(':')
                    && let Some(Frame::Object(name)) = frames.last_mut()
                {
                    *name = serde_json::from_str(&json[at..end]).unwrap_or_default();
                }
                at = end;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    if matches!(bytes.get(index), Some(b'}' | b']')) {
        frames.pop();
    }
    let mut path = String::from("$");
    for frame in frames {
        // Writing to a `String` cannot fail.
        let _ = match frame {
            Frame::Object(name) if name.is_empty() => Ok(()),
            Frame::Object(name) => write!(path, ".{name}"),
            Frame::Array(element) => write!(path, "[{element}]"),
        };
    }
    path
}

/// The position behind the string that begins at `start`.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::path;

    #[test]
    fn a_byte_belongs_to_the_innermost_value() {
        let json = r#"{"a": [1, {"b\"": "x,]"}], "c": {}}"#;
        for (part, expected) in [
            ("1", "$.a[0]"),
            (r#""x,"#, "$.a[1].b\""),
            ("}],", "$.a[1]"),
            ("],", "$.a"),
            ("{}", "$.c"),
            ("}}", "$.c"),
        ] {
            let index = json.rfind(part).unwrap();
            assert_eq!(path(json, index), expected, "{part}");
        }
        assert_eq!(path(json, json.len() - 1), "$");
        assert_eq!(path(json, json.len() + 9), "$");
        assert_eq!(path("7", 0), "$");
    }
}
