//! Values of a workflow: JSON, kept as text until somebody asks for a type.

use std::fmt;
use std::sync::Arc;

use bowline_events::Text;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::{Error, ErrorKind, Result};

/// A JSON value, cheap to clone, parsed only when a type is asked for.
///
/// ```
/// use bowline_workflow::Data;
///
/// let data = Data::of(&vec![1, 2, 3])?;
/// assert_eq!(data.as_str(), "[1,2,3]");
/// assert_eq!(data.parse::<Vec<u8>>()?, [1, 2, 3]);
/// # Ok::<(), bowline_workflow::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Data(Text);

impl Data {
    /// `null`.
    pub fn null() -> Self {
        Self("null".into())
    }

    /// `{}`.
    pub fn object() -> Self {
        Self("{}".into())
    }

    /// The JSON of `value`.
    ///
    /// # Errors
    /// `InvalidInput` when it has no JSON, for example a map whose keys are no strings.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self> {
        match serde_json::to_string(value) {
            Ok(text) => Ok(Self(text.into())),
            Err(error) => {
                let message = "the value cannot be written as JSON";
                Err(Error::new(ErrorKind::InvalidInput, "serialize", message).with_source(error))
            }
        }
    }

    /// The JSON in `text`.
    ///
    /// # Errors
    /// `InvalidInput` when it is not one JSON value.
    pub fn from_json(text: impl Into<Text>) -> Result<Self> {
        let text = text.into();
        match serde_json::from_str::<&RawValue>(&text) {
            Ok(raw) if raw.get().len() == text.len() => Ok(Self(text)),
            Ok(raw) => Ok(Self(raw.get().to_owned().into())),
            Err(error) => {
                let message = "the text is not JSON";
                Err(Error::new(ErrorKind::InvalidInput, "parse", message).with_source(error))
            }
        }
    }

    /// Text that was made as JSON by this crate.
    pub(crate) fn made(text: String) -> Self {
        Self(text.into())
    }

    /// The value as a `T`.
    ///
    /// # Errors
    /// `InvalidInput` when it is something else; the source says where.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(&self.0).map_err(|error| {
            let message = format!("the value is not of the expected type: {error}");
            Error::new(ErrorKind::InvalidInput, "parse", message).with_source(error)
        })
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is `null`.
    pub fn is_null(&self) -> bool {
        self.as_str() == "null"
    }

    /// Whether it is an object.
    pub fn is_object(&self) -> bool {
        self.as_str().starts_with('{')
    }

    /// The elements of an array; `None` for anything else.
    pub(crate) fn elements(&self) -> Option<Vec<Self>> {
        let raw: Vec<&RawValue> = serde_json::from_str(&self.0).ok()?;
        Some(raw.into_iter().map(Self::from).collect())
    }

    /// The array of `elements`.
    pub(crate) fn array<'a>(elements: impl Iterator<Item = &'a Self>) -> Self {
        let mut text = String::from("[");
        for (i, element) in elements.enumerate() {
            if i > 0 {
                text.push(',');
            }
            text.push_str(element.as_str());
        }
        text.push(']');
        Self(text.into())
    }
}

impl Default for Data {
    fn default() -> Self {
        Self::null()
    }
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&RawValue> for Data {
    fn from(raw: &RawValue) -> Self {
        Self(raw.get().to_owned().into())
    }
}

impl From<serde_json::Value> for Data {
    fn from(value: serde_json::Value) -> Self {
        Self(value.to_string().into())
    }
}

impl Serialize for Data {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue =
            serde_json::from_str(&self.0).map_err(<S::Error as serde::ser::Error>::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer).map_err(D::Error::custom)?;
        Ok(Self(String::from(Box::<str>::from(raw)).into()))
    }
}

/// The members of a JSON object in their order, shared until somebody changes them: the state of a workflow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fields(Arc<Vec<(Text, Data)>>);

impl Fields {
    /// The members of `object`; none for anything else.
    pub(crate) fn of(object: &Data) -> Self {
        let mut fields = Self::default();
        fields.merge(object);
        fields
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes every member of the object `delta` over its own.
    pub(crate) fn merge(&mut self, delta: &Data) {
        if let Ok(Members(members)) = serde_json::from_str(delta.as_str()) {
            self.merge_all(members);
        }
    }

    pub(crate) fn merge_fields(&mut self, delta: &Self) {
        if !delta.is_empty() {
            self.merge_all(delta.0.iter().cloned());
        }
    }

    fn merge_all(&mut self, members: impl IntoIterator<Item = (Text, Data)>) {
        let own = Arc::make_mut(&mut self.0);
        for (key, value) in members {
            match own.iter_mut().find(|(own, _)| *own == key) {
                Some((_, own)) => *own = value,
                None => own.push((key, value)),
            }
        }
    }

    /// The object.
    pub(crate) fn to_data(&self) -> Data {
        let mut json = crate::json::Writer::object();
        for (key, value) in self.0.iter() {
            json.data(key, value);
        }
        Data::made(json.end())
    }
}

/// The members of an object in their order.
struct Members(Vec<(Text, Data)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, Data>()? {
                    members.push((key.into(), value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_member_takes_the_place_of_an_earlier_one() {
        let mut fields = Fields::of(&Data::made(r#"{"a":1,"b":{"c":2}}"#.into()));
        fields.merge(&Data::made(r#"{"b":3,"d":null}"#.into()));
        assert_eq!(fields.to_data().as_str(), r#"{"a":1,"b":3,"d":null}"#);
        fields.merge(&Data::made("[1]".into()));
        assert_eq!(fields.to_data().as_str(), r#"{"a":1,"b":3,"d":null}"#);
    }

    #[test]
    fn an_array_is_taken_apart_and_put_together() {
        let array = Data::from_json("[1, {\"a\": [2]},\n\"x\"]").unwrap();
        let elements = array.elements().unwrap();
        assert_eq!(elements.len(), 3);
        assert_eq!(
            Data::array(elements.iter()).as_str(),
            r#"[1,{"a": [2]},"x"]"#
        );
        assert_eq!(Data::object().elements(), None);
        assert!(Data::from_json("{} {}").is_err());
        assert_eq!(Data::from_json(" 1 ").unwrap().as_str(), "1");
    }
}
