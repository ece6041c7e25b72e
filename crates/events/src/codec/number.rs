//! Numbers as the wire spells them.

use std::borrow::Cow;

use crate::json::{ScanError, Scanner};

/// A JSON number that keeps its spelling, so that forwarding changes nothing: not the digits beyond
/// a double, not `1.0`, not `-0`. Equality is equality of the spelling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number(Cow<'static, str>);

impl Number {
    /// A number from its JSON text.
    ///
    /// # Errors
    /// A [`ScanError`] if the text is not exactly one JSON number.
    pub fn from_text(text: &str) -> Result<Self, ScanError> {
        let mut scanner = Scanner::new(text.as_bytes());
        scanner.number()?;
        if scanner.position() < text.len() {
            return Err(scanner.unexpected());
        }
        Ok(Self::checked(text))
    }

    /// A number from a text that a scanner has passed as one.
    pub(super) fn checked(text: &str) -> Self {
        Self(Cow::Owned(text.to_owned()))
    }

    /// The number as JavaScript writes it; None for NaN and the infinities, which JSON lacks.
    #[must_use]
    pub fn from_f64(value: f64) -> Option<Self> {
        value
            .is_finite()
            .then(|| Self(Cow::Owned(javascript(value))))
    }

    /// The JSON text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The nearest double, which is what JavaScript makes of the number; infinite beyond its range.
    #[must_use]
    pub fn as_f64(&self) -> f64 {
        // JSON numbers are a subset of what Rust reads, so NaN never comes out.
        self.0.parse().unwrap_or(f64::NAN)
    }

    /// Whether the number is beyond the range of a double.
    pub(super) fn overflows(&self) -> bool {
        // Only an exponent or a very long literal can get there.
        let suspect = self.0.len() > 300 || self.0.contains(['e', 'E']);
        suspect && self.as_f64().is_infinite()
    }

    /// The value if it is written as an integer and fits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        self.0.parse().ok()
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Self(Cow::Owned(value.to_string()))
    }
}

/// `Number.prototype.toString`: positional between 1e-7 and 1e21, with an exponent elsewhere.
fn javascript(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let sign = if value < 0.0 { "-" } else { "" };
    // The shortest digits that read back to the same double, as `d.ddde-x`.
    let shortest = format!("{:e}", value.abs());
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let digits = mantissa.replace('.', "");
    let exponent: i32 = exponent.parse().unwrap_or(0);
    // Where the decimal point stands, counted from the first digit.
    let point = exponent + 1;
    let count = digits.len() as i32;
    let text = match point {
        1..=21 if count <= point => format!("{digits}{}", "0".repeat((point - count) as usize)),
        1..=21 => {
            let (whole, fraction) = digits.split_at(point as usize);
            format!("{whole}.{fraction}")
        }
        -5..=0 => format!("0.{}{digits}", "0".repeat(-point as usize)),
        _ => {
            let (first, rest) = digits.split_at(1);
            let dot = if rest.is_empty() { "" } else { "." };
            let plus = if exponent > 0 { "+" } else { "" };
            format!("{first}{dot}{rest}e{plus}{exponent}")
        }
    };
    format!("{sign}{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_written_as_javascript_writes_them() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (42.0, "42"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (1e-6, "0.000001"),
            (1.5e-6, "0.0000015"),
            (1e-7, "1e-7"),
            (1.5e-7, "1.5e-7"),
            (123_456_789_012_345_680_000.0, "123456789012345680000"),
            (1e21, "1e+21"),
            (-1.25e22, "-1.25e+22"),
            (9_007_199_254_740_991.0, "9007199254740991"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
        ] {
            let number = Number::from_f64(value).unwrap();
            assert_eq!(number.text(), text);
            assert_eq!(number.as_f64(), value);
        }
        assert_eq!(Number::from_f64(f64::NAN), None);
        assert_eq!(Number::from_f64(f64::NEG_INFINITY), None);
    }

    #[test]
    fn only_json_numbers_are_numbers() {
        for text in ["0", "-0", "1.0", "1E5", "12345678901234567890123"] {
            assert_eq!(Number::from_text(text).unwrap().text(), text);
        }
        for text in ["", "01", "1.", ".5", "+1", " 1", "1 ", "1n", "NaN"] {
            assert!(Number::from_text(text).is_err(), "{text:?}");
        }
    }
}
