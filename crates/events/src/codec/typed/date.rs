//! Instants.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use super::super::date::{MAX_MILLIS, format_iso, parse_iso};
use super::super::{CodecError, Tag};
use super::envelope;

/// An instant, in milliseconds since the Unix epoch, within the range of JavaScript dates.
///
/// Writes the envelope. Reads the envelope, ISO 8601 text and a number of milliseconds, because the
/// same field comes as a date over the Unix socket, as text over Redis and, in older payloads, as a
/// number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(i64);

impl Date {
    /// The instant `millis` milliseconds after the Unix epoch.
    ///
    /// # Errors
    /// [`CodecError::Invalid`] beyond [`MAX_MILLIS`] on either side.
    pub fn from_millis(millis: i64) -> Result<Self, CodecError> {
        if (-MAX_MILLIS..=MAX_MILLIS).contains(&millis) {
            Ok(Self(millis))
        } else {
            Err(CodecError::invalid(Tag::Date, &millis.to_string()))
        }
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }
}

/// Cut off to whole milliseconds, towards the past.
impl TryFrom<SystemTime> for Date {
    type Error = CodecError;

    fn try_from(time: SystemTime) -> Result<Self, CodecError> {
        let nanos = match time.duration_since(UNIX_EPOCH) {
            Ok(after) => i128::try_from(after.as_nanos()),
            Err(before) => i128::try_from(before.duration().as_nanos()).map(|nanos| -nanos),
        };
        let millis = nanos.unwrap_or(i128::MAX).div_euclid(1_000_000);
        Self::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
    }
}

/// ISO 8601 text.
impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_iso(self.0))
    }
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        envelope::write(serializer, Tag::Date, &format_iso(self.0))
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyForm)
    }
}

struct AnyForm;

impl<'de> Visitor<'de> for AnyForm {
    type Value = Date;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a Date envelope, an ISO 8601 instant or milliseconds since the epoch")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Date, E> {
        parse_iso(text)
            .map(Date)
            .ok_or_else(|| E::custom(CodecError::invalid(Tag::Date, text)))
    }

    fn visit_i64<E: Error>(self, millis: i64) -> Result<Date, E> {
        Date::from_millis(millis).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, millis: u64) -> Result<Date, E> {
        self.visit_i64(i64::try_from(millis).unwrap_or(i64::MAX))
    }

    fn visit_f64<E: Error>(self, millis: f64) -> Result<Date, E> {
        // JavaScript cuts off fractions. The cast saturates, and what is beyond is refused.
        self.visit_i64(millis as i64)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Date, A::Error> {
        let text: String = envelope::read(map, Tag::Date)?;
        self.visit_str(&text)
    }
}
