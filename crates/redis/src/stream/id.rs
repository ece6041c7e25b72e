//! The id of an entry.

use std::fmt;
use std::io::Write;

/// Milliseconds of the server's clock, and a number within them. Ids of one stream only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct StreamId {
    pub(crate) millis: u64,
    pub(crate) number: u64,
}

impl StreamId {
    /// Before all entries.
    pub(crate) const ZERO: Self = Self {
        millis: 0,
        number: 0,
    };

    /// Reads `1700000000000-0`.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (millis, number) = text.split_once('-')?;
        Some(Self {
            millis: millis.parse().ok()?,
            number: number.parse().ok()?,
        })
    }

    /// The smallest id behind this one.
    pub(crate) fn after(self) -> Self {
        match self.number.checked_add(1) {
            Some(number) => Self { number, ..self },
            None => Self {
                millis: self.millis.saturating_add(1),
                number: 0,
            },
        }
    }

    /// The text as an argument.
    pub(crate) fn arg(self) -> IdText {
        let mut text = IdText {
            bytes: [0; 41],
            length: 0,
        };
        let mut rest = &mut text.bytes[..];
        // Two numbers of at most 20 digits and a hyphen fit.
        let _ = write!(rest, "{}-{}", self.millis, self.number);
        let left = rest.len();
        text.length = text.bytes.len() - left;
        text
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis, self.number)
    }
}

/// The text of an id, without an allocation.
pub(crate) struct IdText {
    bytes: [u8; 41],
    length: usize,
}

impl AsRef<[u8]> for IdText {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_and_written() {
        for text in [
            "0-0",
            "1700000000000-7",
            "18446744073709551615-18446744073709551615",
        ] {
            let id = StreamId::parse(text.as_bytes()).expect("an id");
            assert_eq!(id.arg().as_ref(), text.as_bytes());
            assert_eq!(id.to_string(), text);
        }
        for text in [
            "",
            "1",
            "-",
            "1-",
            "-1",
            "a-b",
            "1-2-3",
            "18446744073709551616-0",
        ] {
            assert_eq!(StreamId::parse(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn ids_are_ordered_by_time_then_number() {
        let id = |millis, number| StreamId { millis, number };
        assert!(id(9, 5) < id(10, 0) && id(10, 0) < id(10, 1));
    }
}
