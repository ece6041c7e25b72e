//! Maps and sets.

use std::fmt;
use std::iter;
use std::marker::PhantomData;

use serde::de::value::MapDeserializer;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use super::super::{TAG_KEY, Tag};
use super::envelope;

/// A JavaScript `Map`: pairs in their order. Keys need not be hashable or distinct; of equal keys
/// JavaScript keeps the last value.
///
/// An entry without a value is read as if the value were `undefined`: make `V` a
/// [`Maybe`](super::Maybe) to accept that.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct JsMap<K, V>(pub Vec<(K, V)>);

impl<K, V> Default for JsMap<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K, V> FromIterator<(K, V)> for JsMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}

impl<K, V> IntoIterator for JsMap<K, V> {
    type Item = (K, V);
    type IntoIter = std::vec::IntoIter<(K, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<K: Serialize, V: Serialize> Serialize for JsMap<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        envelope::write(serializer, Tag::Map, &self.0)
    }
}

impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Deserialize<'de> for JsMap<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries: Vec<Entry<K, V>> =
            deserializer.deserialize_map(envelope::Strict::new(Tag::Map))?;
        Ok(entries.into_iter().map(|entry| entry.0).collect())
    }
}

struct Entry<K, V>((K, V));

impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Deserialize<'de> for Entry<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_seq(EntryVisitor(PhantomData))
            .map(Self)
    }
}

struct EntryVisitor<K, V>(PhantomData<(K, V)>);

impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Visitor<'de> for EntryVisitor<K, V> {
    type Value = (K, V);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map entry: an array of a key and a value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entry: A) -> Result<(K, V), A::Error> {
        let key = match entry.next_element()? {
            Some(key) => key,
            None => undefined()?,
        };
        let value = match entry.next_element()? {
            Some(value) => value,
            None => undefined()?,
        };
        while entry.next_element::<IgnoredAny>()?.is_some() {}
        Ok((key, value))
    }
}

/// What a type makes of `undefined`.
fn undefined<'de, T: Deserialize<'de>, E: Error>() -> Result<T, E> {
    let envelope = iter::once((TAG_KEY, Tag::Undefined.name()));
    T::deserialize(MapDeserializer::new(envelope))
}

/// A JavaScript `Set`: items in their order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct JsSet<T>(pub Vec<T>);

impl<T> Default for JsSet<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> FromIterator<T> for JsSet<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self(items.into_iter().collect())
    }
}

impl<T> IntoIterator for JsSet<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<T: Serialize> Serialize for JsSet<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        envelope::write(serializer, Tag::Set, &self.0)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for JsSet<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_map(envelope::Strict::new(Tag::Set))
            .map(Self)
    }
}
