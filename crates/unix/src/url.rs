//! A bus as text: `unix:///run/app/events.sock?publish_deadline=2s`.

use std::time::Duration;

use bowline_events::{Error, ErrorKind, Result};

use crate::options::UnixSocketBuilder;

const SCHEME: &str = "unix://";

/// The options, each with a method of the same name on the builder.
const OPTIONS: [&str; 11] = [
    "max_frame_bytes",
    "max_client_queue_bytes",
    "high_watermark",
    "send_window_bytes",
    "membership_ack_timeout",
    "publish_deadline",
    "path_check_interval",
    "flush_timeout",
    "recovery_horizon",
    "allow_group",
    "reclaim_plain_file",
];

/// Reads a URL into a builder.
pub(crate) fn parse(url: &str) -> Result<UnixSocketBuilder> {
    let rest = url.strip_prefix(SCHEME).ok_or_else(|| {
        invalid(
            url,
            "the URL does not begin with unix://; write unix:///absolute/path".to_owned(),
        )
    })?;
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    if !path.starts_with('/') {
        return Err(invalid(
            url,
            "the path is not absolute; write unix:///absolute/path with three slashes".to_owned(),
        ));
    }
    let builder = UnixSocketBuilder::new(decode(path)?);
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .try_fold(builder, |builder, pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            set(builder, name, &decode(value)?)
        })
}

fn set(builder: UnixSocketBuilder, name: &str, value: &str) -> Result<UnixSocketBuilder> {
    Ok(match name {
        "max_frame_bytes" => builder.max_frame_bytes(bytes(name, value)?),
        "max_client_queue_bytes" => builder.max_client_queue_bytes(bytes(name, value)?),
        "high_watermark" => builder.high_watermark(bytes(name, value)?),
        "send_window_bytes" => builder.send_window_bytes(bytes(name, value)?),
        "membership_ack_timeout" => builder.membership_ack_timeout(duration(name, value)?),
        "publish_deadline" => builder.publish_deadline(duration(name, value)?),
        "path_check_interval" => builder.path_check_interval(duration(name, value)?),
        "flush_timeout" => builder.flush_timeout(duration(name, value)?),
        "recovery_horizon" => builder.recovery_horizon(duration(name, value)?),
        "allow_group" => builder.allow_group(value.parse().map_err(|_| {
            invalid(
                name,
                format!("{value:?} is not a group id; pass a number such as 1000"),
            )
        })?),
        "reclaim_plain_file" => builder.reclaim_plain_file(match value {
            "true" => true,
            "false" => false,
            _ => {
                return Err(invalid(
                    name,
                    format!("{value:?} is neither true nor false"),
                ));
            }
        }),
        _ => {
            let nearest = OPTIONS
                .iter()
                .min_by_key(|option| distance(name, option))
                .unwrap_or(&"");
            return Err(invalid(
                name,
                format!("this is no option of a Unix socket bus; did you mean {nearest}?"),
            ));
        }
    })
}

/// A number of bytes: `65536`, `64KiB`, `8MiB`, `1GiB`.
fn bytes(name: &str, value: &str) -> Result<usize> {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30)];
    let (number, shift) = units
        .iter()
        .find_map(|(unit, shift)| Some((value.strip_suffix(unit)?, *shift)))
        .unwrap_or((value, 0));
    let parsed = number.parse::<usize>().ok();
    parsed
        .and_then(|number| number.checked_mul(1 << shift))
        .ok_or_else(|| {
            invalid(
                name,
                format!("{value:?} is not a size; write bytes, or KiB, MiB, GiB such as 8MiB"),
            )
        })
}

/// A time: `250ms`, `5s`, `1m`.
fn duration(name: &str, value: &str) -> Result<Duration> {
    let units = [("ms", 1), ("s", 1000), ("m", 60_000)];
    units
        .iter()
        .find_map(|(unit, millis)| {
            let number: u64 = value.strip_suffix(unit)?.parse().ok()?;
            Some(Duration::from_millis(number.checked_mul(*millis)?))
        })
        .ok_or_else(|| {
            invalid(
                name,
                format!("{value:?} is not a time; write ms, s or m such as 250ms"),
            )
        })
}

fn decode(text: &str) -> Result<String> {
    let broken = || {
        invalid(text, "the text holds a % that is not followed by two hexadecimal digits; write %25 for a percent sign".to_owned())
    };
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16));
        let (high, low) = (digit().ok_or_else(broken)?, digit().ok_or_else(broken)?);
        // Two hexadecimal digits make one byte.
        out.push((high << 4 | low) as u8);
    }
    String::from_utf8(out).map_err(|error| {
        invalid(text, "the decoded text is not UTF-8".to_owned()).with_source(error)
    })
}

/// Edits that turn one word into the other.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.bytes().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, to) in b.bytes().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (diagonal + usize::from(from != to))
                .min(above + 1)
                .min(row[j] + 1);
            diagonal = above;
        }
    }
    row[b.len()]
}

fn invalid(subject: &str, message: String) -> Error {
    Error::new(ErrorKind::InvalidInput, "from_url", message).with_subject(subject)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_those_of_the_builder() {
        let builder = parse("unix:///run/a%20b/s.sock?max_frame_bytes=8MiB&publish_deadline=250ms&allow_group=7&reclaim_plain_file=false").unwrap();
        assert_eq!(builder.path.to_str(), Some("/run/a b/s.sock"));
        assert_eq!(builder.max_frame_bytes, 8 << 20);
        assert_eq!(builder.publish_deadline, Duration::from_millis(250));
        assert_eq!(builder.allow_group, Some(7));
        assert!(!builder.reclaim_plain_file);
        for option in OPTIONS {
            let accepted = ["1", "1s", "true"]
                .iter()
                .any(|value| parse(&format!("unix:///s?{option}={value}")).is_ok());
            assert!(accepted, "{option}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let table = [
            ("redis://x", "unix://"),
            ("unix://s.sock", "absolute"),
            (
                "unix:///s?publish_dealine=1s",
                "did you mean publish_deadline?",
            ),
            ("unix:///s?maxframebytes=1", "did you mean max_frame_bytes?"),
            ("unix:///s?max_frame_bytes=many", "8MiB"),
            ("unix:///s?max_frame_bytes=99999999999GiB", "8MiB"),
            ("unix:///s?publish_deadline=5", "250ms"),
            ("unix:///s?reclaim_plain_file=yes", "neither"),
            ("unix:///s%zz", "%25"),
        ];
        for (url, expected) in table {
            let error = parse(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(expected), "{url}: {error}");
        }
    }
}
