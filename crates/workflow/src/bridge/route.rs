//! The path of a request to execute a step.

/// `workflow` and `run` of `{prefix}/workflows/{workflow}/runs/{run}/steps/execute`; `None` for any other path.
#[cfg(feature = "bridge-server")]
pub(super) fn parse(prefix: &str, path: &str) -> Option<(String, String)> {
    let rest = path.strip_prefix(prefix)?.strip_prefix("/workflows/")?;
    let rest = rest.strip_suffix("/steps/execute")?;
    let (workflow, run) = rest.split_once("/runs/")?;
    Some((decode(workflow)?, decode(run)?))
}

/// The path, without a prefix.
#[cfg(feature = "bridge-client")]
pub(super) fn format(workflow: &str, run: &str) -> String {
    let (workflow, run) = (encode(workflow), encode(run));
    format!("/workflows/{workflow}/runs/{run}/steps/execute")
}

/// A segment of a path with what has a meaning in URLs escaped.
#[cfg(feature = "bridge-client")]
fn encode(segment: &str) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                text.push(char::from(byte));
            }
            // Writing to a String does not fail.
            _ => drop(write!(text, "%{byte:02X}")),
        }
    }
    text
}

/// A segment of a path as it was before; `None` when it is none.
#[cfg(feature = "bridge-server")]
fn decode(segment: &str) -> Option<String> {
    if segment.contains('/') {
        return None;
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok()?;
        let plain = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        bytes.push(u8::from_str_radix(digits, 16).ok().filter(|_| plain)?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(all(test, feature = "bridge-server", feature = "bridge-client"))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_one_path_is_known() {
        let known = "/api/workflows/w/runs/r%2F1/steps/execute";
        assert_eq!(parse("/api", known), Some(("w".into(), "r/1".into())));
        for path in [
            "",
            "/workflows/w/runs/r/steps/execute",
            "/api/workflows/w/runs/r/steps/execute/",
            "/api/workflows/w/x/runs/r/steps/execute",
            "/api/workflows/w/runs/r/x/steps/execute",
            "/api/workflows/w/runs/r%/steps/execute",
            "/api/workflows/w/runs/r%+1/steps/execute",
            "/api/workflows/w/runs/%ff/steps/execute",
            "/apiworkflows/w/runs/r/steps/execute",
        ] {
            assert_eq!(parse("/api", path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn every_id_arrives(workflow in ".{1,12}", run in ".{1,12}") {
            let path = format(&workflow, &run);
            prop_assert_eq!(parse("", &path), Some((workflow, run)));
        }

        #[test]
        fn nothing_panics(path in ".{0,40}") {
            let _ = parse("", &path);
        }
    }
}
