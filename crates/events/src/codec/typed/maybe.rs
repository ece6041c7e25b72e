//! The difference between `undefined`, `null` and a value.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{
    BorrowedStrDeserializer, SeqAccessDeserializer, StrDeserializer, StringDeserializer,
};
use serde::de::{
    Deserialize, Deserializer, Error, IgnoredAny, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::super::{TAG_KEY, Tag};
use super::replay::{Replay, Through};

/// The value `undefined`: writes its envelope and reads nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Undefined;

impl Serialize for Undefined {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(TAG_KEY, Tag::Undefined.name())?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Undefined {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Maybe::<IgnoredAny>::deserialize(deserializer)? {
            Maybe::Undefined => Ok(Self),
            _ => Err(D::Error::custom("expected an Undefined envelope")),
        }
    }
}

/// A value that may be `undefined` or `null`, with the two kept apart.
///
/// In a structure, let `#[serde(default)]` turn an absent field into `Undefined`, and
/// `#[serde(skip_serializing_if = "Maybe::is_undefined")]` leave it out again.
///
/// A value is read as an object if and only if it is one and not the envelope of `undefined`; the
/// tag is looked for in the first member, where every sender puts it. `T` may be anything but
/// serde_json's `RawValue`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Maybe<T> {
    /// `undefined`, or absent.
    #[default]
    Undefined,
    /// `null`.
    Null,
    /// Anything else.
    Value(T),
}

impl<T> Maybe<T> {
    /// Whether this is `undefined`.
    #[must_use]
    pub const fn is_undefined(&self) -> bool {
        matches!(self, Self::Undefined)
    }

    /// The value, if there is one.
    #[must_use]
    pub fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Undefined | Self::Null => None,
        }
    }

    /// The same for a reference.
    #[must_use]
    pub const fn as_ref(&self) -> Maybe<&T> {
        match self {
            Self::Undefined => Maybe::Undefined,
            Self::Null => Maybe::Null,
            Self::Value(value) => Maybe::Value(value),
        }
    }
}

impl<T> From<T> for Maybe<T> {
    fn from(value: T) -> Self {
        Self::Value(value)
    }
}

impl<T: Serialize> Serialize for Maybe<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Undefined => Undefined.serialize(serializer),
            Self::Null => serializer.serialize_unit(),
            Self::Value(value) => value.serialize(serializer),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Maybe<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue(PhantomData))
    }
}

struct AnyValue<T>(PhantomData<T>);

/// Hands a scalar on to the inner type.
macro_rules! scalar {
    ($($visit:ident: $type:ty,)*) => {
        $(fn $visit<E: Error>(self, value: $type) -> Result<Maybe<T>, E> {
            T::deserialize(Through(value.into_deserializer())).map(Maybe::Value)
        })*
    };
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for AnyValue<T> {
    type Value = Maybe<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, null or an Undefined envelope")
    }

    scalar! {
        visit_bool: bool,
        visit_i64: i64,
        visit_u64: u64,
        visit_f64: f64,
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Maybe<T>, E> {
        T::deserialize(Through(StrDeserializer::new(text))).map(Maybe::Value)
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Maybe<T>, E> {
        T::deserialize(Through(BorrowedStrDeserializer::new(text))).map(Maybe::Value)
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Maybe<T>, E> {
        T::deserialize(Through(StringDeserializer::new(text))).map(Maybe::Value)
    }

    fn visit_unit<E: Error>(self) -> Result<Maybe<T>, E> {
        Ok(Maybe::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Maybe<T>, E> {
        Ok(Maybe::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Maybe<T>, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Maybe<T>, A::Error> {
        T::deserialize(Through(SeqAccessDeserializer::new(seq))).map(Maybe::Value)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Maybe<T>, A::Error> {
        let key = map.next_key::<String>()?;
        let value = match key.as_deref() {
            Some(TAG_KEY) => Some(map.next_value::<serde_json::Value>()?),
            _ => None,
        };
        if value
            .as_ref()
            .is_some_and(|tag| tag == Tag::Undefined.name())
        {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(Maybe::Undefined);
        }
        let replay = Replay {
            key,
            value,
            rest: map,
        };
        T::deserialize(replay.deserializer()).map(Maybe::Value)
    }
}
