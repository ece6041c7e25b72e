//! Reading and writing one envelope with serde.

use std::fmt;

use serde::de::{Deserialize, Error, IgnoredAny, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::super::{PAYLOAD_KEY, TAG_KEY, Tag};

/// Writes the envelope of `payload`.
pub(super) fn write<S: Serializer, T: Serialize + ?Sized>(
    serializer: S,
    tag: Tag,
    payload: &T,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(2))?;
    map.serialize_entry(TAG_KEY, tag.name())?;
    map.serialize_entry(PAYLOAD_KEY, payload)?;
    map.end()
}

/// Reads an object that has to be an envelope with this tag. Other members are ignored, of
/// duplicates the last one counts.
pub(super) fn read<'de, A: MapAccess<'de>, T: Deserialize<'de>>(
    mut map: A,
    tag: Tag,
) -> Result<T, A::Error> {
    let mut found = false;
    let mut payload = None;
    while let Some(key) = map.next_key::<String>()? {
        match key.as_str() {
            TAG_KEY => found = map.next_value::<String>()? == tag.name(),
            PAYLOAD_KEY => payload = Some(map.next_value()?),
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
    }
    match payload {
        Some(payload) if found => Ok(payload),
        _ => Err(A::Error::custom(format_args!(
            "expected a {tag} envelope: an object with {TAG_KEY:?}: {:?} and {PAYLOAD_KEY:?}",
            tag.name()
        ))),
    }
}

/// Reads nothing but an envelope.
pub(super) struct Strict<T> {
    tag: Tag,
    payload: std::marker::PhantomData<T>,
}

impl<T> Strict<T> {
    pub(super) fn new(tag: Tag) -> Self {
        Self {
            tag,
            payload: std::marker::PhantomData,
        }
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Strict<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a {} envelope", self.tag)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        read(map, self.tag)
    }
}
