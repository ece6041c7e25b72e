//! Option values in text form: sizes, durations, switches.

use std::str::FromStr;
use std::time::Duration;

const SIZES: [(&str, u64); 8] = [
    ("", 1),
    ("b", 1),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
];

const TIMES: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// `65536`, `64KiB`, `1.5 MB`.
pub(crate) fn bytes(text: &str) -> Result<usize, String> {
    scaled(text, &SIZES)
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or_else(|| {
            "is not a size; write a number of bytes or one with a unit, such as 65536 or 64MiB"
                .to_owned()
        })
}

/// `250ms`, `5s`, `2m`, `1h`. A bare number has no unit and is refused.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    scaled(text, &TIMES)
        .map(Duration::from_millis)
        .ok_or_else(|| {
            "is not a duration; write a number with a unit (ms, s, m, h), such as 250ms or 5s"
                .to_owned()
        })
}

/// `true` or `false`.
pub(crate) fn switch(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("is neither true nor false; write one of the two".to_owned()),
    }
}

/// A whole number that an `N` holds.
pub(crate) fn number<N: FromStr + Bounded>(text: &str) -> Result<N, String> {
    text.parse()
        .map_err(|_| format!("is not a whole number from 0 to {}", N::LARGEST))
}

/// The largest whole number of a type.
pub(crate) trait Bounded {
    const LARGEST: u64;
}

impl Bounded for u32 {
    const LARGEST: u64 = Self::MAX as u64;
}

impl Bounded for u64 {
    const LARGEST: u64 = Self::MAX;
}

impl Bounded for usize {
    const LARGEST: u64 = Self::MAX as u64;
}

/// Text that is there.
pub(crate) fn name(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("is nothing; write a value, or leave the option out".to_owned());
    }
    Ok(text.to_owned())
}

/// The text that [`bytes`] reads as `size`.
pub(crate) fn show_bytes(size: usize) -> String {
    let size = size as u64;
    let (unit, scale) = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
        .into_iter()
        .find(|(_, scale)| size != 0 && size.is_multiple_of(*scale))
        .unwrap_or(("", 1));
    format!("{}{unit}", size / scale)
}

/// The text that [`duration`] reads as `time`, to the millisecond.
pub(crate) fn show_duration(time: Duration) -> String {
    let millis = time.as_millis();
    if millis.is_multiple_of(1_000) {
        format!("{}s", millis / 1_000)
    } else {
        format!("{millis}ms")
    }
}

/// `text` in the smallest unit; `None` unless it is a plain decimal with at most three decimals and a known unit, in range.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let unit = text[end..].trim().to_ascii_lowercase();
    let scale = units.iter().find(|(name, _)| *name == unit)?.1;
    let (whole, part) = match text[..end].split_once('.') {
        Some((whole, part)) if (1..=3).contains(&part.len()) => (whole, part),
        Some(_) => return None,
        None => (&text[..end], ""),
    };
    let whole: u64 = whole.parse().ok()?;
    let thousandths: u64 = format!("{part:0<3}").parse().ok()?;
    let part = scale.checked_mul(thousandths)? / 1_000;
    whole.checked_mul(scale)?.checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes() {
        let table = [
            ("0", Some(0)),
            ("65536", Some(65_536)),
            ("64KiB", Some(65_536)),
            ("64 kib", Some(65_536)),
            ("1.5MB", Some(1_500_000)),
            ("1b", Some(1)),
            ("", None),
            ("KiB", None),
            ("-1", None),
            ("1.2345MB", None),
            ("1.MB", None),
            ("1TiB", None),
            ("99999999999999999999", None),
            ("99999999999999GiB", None),
        ];
        for (text, expected) in table {
            assert_eq!(bytes(text).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn durations() {
        let table = [
            ("250ms", Some(250)),
            ("5s", Some(5_000)),
            ("0.25s", Some(250)),
            ("2m", Some(120_000)),
            ("1h", Some(3_600_000)),
            ("5", None),
            ("s", None),
            ("5 days", None),
            ("1e3s", None),
        ];
        for (text, expected) in table {
            let expected = expected.map(Duration::from_millis);
            assert_eq!(duration(text).ok(), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(size in any::<u32>(), millis in any::<u32>()) {
            let size = size as usize;
            prop_assert_eq!(bytes(&show_bytes(size)), Ok(size));
            let time = Duration::from_millis(millis.into());
            prop_assert_eq!(duration(&show_duration(time)), Ok(time));
        }

        #[test]
        fn nothing_panics(text in ".{0,30}") {
            let _ = (bytes(&text), duration(&text), switch(&text), number::<u32>(&text));
        }
    }
}
