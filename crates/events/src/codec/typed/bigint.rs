//! Integers of any size.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use super::super::bigint::{decimal, is_sendable};
use super::super::{CodecError, Tag};
use super::envelope;

/// An integer of any size, kept as decimal digits without leading zeros.
///
/// Writes the envelope. Reads the envelope, decimal text, and a JSON integer that fits 64 bits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BigInt(String);

impl BigInt {
    /// An integer from digits, with a minus sign in front if it is negative.
    ///
    /// # Errors
    /// [`CodecError::Invalid`] for any other form.
    pub fn new(digits: &str) -> Result<Self, CodecError> {
        if !is_sendable(digits) {
            return Err(CodecError::invalid(Tag::BigInt, digits));
        }
        Self::read(digits)
    }

    /// An integer from any text that JavaScript reads.
    fn read(text: &str) -> Result<Self, CodecError> {
        decimal(text)
            .map(|digits| Self(digits.into_owned()))
            .ok_or_else(|| CodecError::invalid(Tag::BigInt, text))
    }

    /// The decimal digits, with a minus sign in front if the integer is negative.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The integer, if it fits.
    #[must_use]
    pub fn to_i128(&self) -> Option<i128> {
        self.0.parse().ok()
    }
}

impl From<i128> for BigInt {
    fn from(value: i128) -> Self {
        Self(value.to_string())
    }
}

impl From<i64> for BigInt {
    fn from(value: i64) -> Self {
        Self(value.to_string())
    }
}

impl From<u64> for BigInt {
    fn from(value: u64) -> Self {
        Self(value.to_string())
    }
}

/// Decimal digits.
impl fmt::Display for BigInt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for BigInt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        envelope::write(serializer, Tag::BigInt, &self.0)
    }
}

impl<'de> Deserialize<'de> for BigInt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyForm)
    }
}

struct AnyForm;

impl<'de> Visitor<'de> for AnyForm {
    type Value = BigInt;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a BigInt envelope, decimal text or an integer")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<BigInt, E> {
        BigInt::new(text).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<BigInt, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<BigInt, E> {
        Ok(value.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<BigInt, A::Error> {
        let text: String = envelope::read(map, Tag::BigInt)?;
        BigInt::read(&text).map_err(A::Error::custom)
    }
}
