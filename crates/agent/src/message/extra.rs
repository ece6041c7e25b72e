//! Members of JSON objects that this version does not know.

use std::fmt;

use bowline_events::Text;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize};

use crate::Data;

/// Members of a JSON object that this version does not know, in their order. They are written again as they were read, after
/// the members that it knows; one with the name of a member that was written already is left out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Extra(Vec<(Text, Data)>);

impl Extra {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The member `name`; of several with this name the last, as JavaScript reads them.
    pub fn get(&self, name: &str) -> Option<&Data> {
        let mut members = self.0.iter().rev();
        members.find(|(own, _)| own == name).map(|(_, data)| data)
    }

    /// Sets the member `name`.
    pub fn insert(&mut self, name: impl Into<Text>, data: Data) {
        let name = name.into();
        self.remove(&name);
        self.0.push((name, data));
    }

    /// The same, with the member `name`.
    #[must_use]
    pub fn with(mut self, name: impl Into<Text>, data: Data) -> Self {
        self.insert(name, data);
        self
    }

    /// Takes the member `name` out.
    pub fn remove(&mut self, name: &str) -> Option<Data> {
        let at = self.0.iter().rposition(|(own, _)| own == name)?;
        Some(self.0.remove(at).1)
    }

    /// The members in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Text, &Data)> {
        self.0.iter().map(|(name, data)| (name, data))
    }

    /// The members of the object `data`; `None` for anything else.
    pub(crate) fn of(data: &Data) -> Option<Self> {
        serde_json::from_str(data.as_str()).ok()
    }

    /// Takes the member `name` out if it is a `T`.
    pub(crate) fn take<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let value = serde_json::from_str(self.get(name)?.as_str()).ok()?;
        self.remove(name);
        Some(value)
    }

    /// Takes out the member `name`, which has to be a `T`.
    pub(crate) fn required<T: DeserializeOwned, E: serde::de::Error>(
        &mut self,
        name: &'static str,
    ) -> Result<T, E> {
        let data = self.remove(name).ok_or_else(|| E::missing_field(name))?;
        let value = serde_json::from_str(data.as_str());
        value.map_err(|error| E::custom(format_args!("member {name:?}: {error}")))
    }

    /// The object of these members.
    pub(crate) fn to_data(&self) -> Data {
        // It cannot fail: names are strings, and values are JSON.
        Data::of(self).unwrap_or_default()
    }
}

impl Serialize for Extra {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Object::new(serializer)?.end(self)
    }
}

impl<'de> Deserialize<'de> for Extra {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Extra;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Extra, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Extra(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// Writes an object whose last members are extra ones.
pub(crate) struct Object<M> {
    map: M,
    written: Vec<&'static str>,
}

impl<M: SerializeMap> Object<M> {
    pub(crate) fn new<S>(serializer: S) -> Result<Self, S::Error>
    where
        S: serde::Serializer<SerializeMap = M>,
    {
        let map = serializer.serialize_map(None)?;
        let written = Vec::new();
        Ok(Self { map, written })
    }

    pub(crate) fn member<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), M::Error> {
        self.written.push(name);
        self.map.serialize_entry(name, value)
    }

    pub(crate) fn optional<T: Serialize>(
        &mut self,
        name: &'static str,
        value: &Option<T>,
    ) -> Result<(), M::Error> {
        match value {
            Some(value) => self.member(name, value),
            None => Ok(()),
        }
    }

    pub(crate) fn end(mut self, extra: &Extra) -> Result<M::Ok, M::Error> {
        for (name, data) in extra.iter() {
            if !self.written.iter().any(|written| name == written) {
                self.map.serialize_entry(name, data)?;
            }
        }
        self.map.end()
    }
}
