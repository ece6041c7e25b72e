//! JSON that is kept as it was written.

use std::fmt;
use std::sync::Arc;

use bowline_events::Text;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::{Error, ErrorKind, Result};

/// One JSON value as text. Cheap to clone, and not one digit of it is changed.
///
/// ```
/// use bowline_workflow::schedule::Json;
/// let json = Json::parse(r#"{"n":1.0}"#)?;
/// assert_eq!(json.as_str(), r#"{"n":1.0}"#);
/// # Ok::<(), bowline_workflow::Error>(())
/// ```
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json(Arc<RawValue>);

impl Json {
    /// Takes JSON text.
    ///
    /// # Errors
    /// `InvalidInput` when it is not one JSON value.
    pub fn parse(text: impl Into<String>) -> Result<Self> {
        let raw = RawValue::from_string(text.into()).map_err(|error| {
            let message = "the text is not one JSON value; pass valid JSON";
            Error::new(ErrorKind::InvalidInput, "parse json", message).with_source(error)
        })?;
        Ok(Self(raw.into()))
    }

    /// Serialises `value`.
    ///
    /// # Errors
    /// `InvalidInput` when serde cannot.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self> {
        let raw = serde_json::value::to_raw_value(value).map_err(|error| {
            let message = "the value has no JSON form; see the source";
            Error::new(ErrorKind::InvalidInput, "serialize json", message).with_source(error)
        })?;
        Ok(Self(raw.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// Whether both mean the same, however they are written.
    pub fn is_equivalent(&self, other: &Self) -> bool {
        let value = |json: &Self| serde_json::from_str::<serde_json::Value>(json.as_str()).ok();
        self == other || value(self).is_some_and(|mine| Some(mine) == value(other))
    }
}

/// Equal text.
impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Json {}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The members of a JSON object in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Members(pub Vec<(Text, Json)>);

impl Members {
    /// The value of the first member called `name`.
    pub fn get(&self, name: &str) -> Option<&Json> {
        let found = self.0.iter().find(|(member, _)| *member == *name);
        found.map(|(_, value)| value)
    }

    /// Takes the first member called `name` out.
    pub(super) fn take(&mut self, name: &str) -> Option<Json> {
        let place = self.0.iter().position(|(member, _)| *member == *name)?;
        Some(self.0.remove(place).1)
    }
}

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name.as_str(), value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Members::default();
                while let Some((name, value)) = map.next_entry::<String, Json>()? {
                    if members.get(&name).is_some() {
                        return Err(A::Error::custom(format_args!(
                            "the member {name:?} is there twice"
                        )));
                    }
                    members.0.push((name.into(), value));
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(Object)
    }
}
