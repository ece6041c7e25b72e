//! JSON objects of the other side, whose members keep their order and those that nobody here knows.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use crate::Data;
use crate::json::Writer;

/// The members of an object in their order. Of two with one name the later value counts, as in JavaScript.
#[derive(Debug, Clone, Default)]
pub(super) struct Members(Vec<(String, Data)>);

impl Members {
    /// The members of `data`; `None` when it is no object.
    pub(super) fn of(data: &Data) -> Option<Self> {
        serde_json::from_str(data.as_str()).ok()
    }

    pub(super) fn get(&self, name: &str) -> Option<&Data> {
        let found = self.0.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value)
    }

    /// The member as text; `None` also when it is something else.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.get(name)?.parse().ok()
    }

    /// A member that is there keeps its place.
    pub(super) fn set(&mut self, name: &str, value: Data) {
        match self.0.iter_mut().find(|(own, _)| own == name) {
            Some((_, own)) => *own = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<Data> {
        let place = self.0.iter().position(|(own, _)| own == name)?;
        Some(self.0.remove(place).1)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Data)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The object.
    pub(super) fn to_data(&self) -> Data {
        let mut json = Writer::object();
        for (name, value) in &self.0 {
            json.data(name, value);
        }
        Data::made(json.end())
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry::<String, Data>()? {
                    members.push(member);
                }
                Ok(Members::unique(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl Members {
    /// Without names that come again. Not quadratic, because others choose how many there are.
    fn unique(members: Vec<(String, Data)>) -> Self {
        let mut places = std::collections::HashMap::with_capacity(members.len());
        let mut unique: Vec<(String, Data)> = Vec::with_capacity(members.len());
        for (name, value) in members {
            match places.get(&name) {
                Some(&place) => {
                    let (_, own): &mut (String, Data) = &mut unique[place];
                    *own = value;
                }
                None => {
                    places.insert(name.clone(), unique.len());
                    unique.push((name, value));
                }
            }
        }
        Self(unique)
    }
}

/// A member that is there, `null` included: that is a value like any other.
pub(super) fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Data>, D::Error> {
    Data::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order_and_the_last_value_counts() {
        let text = r#"{"b":1,"a":[2],"b":null,"c":{"d":3}}"#;
        let mut members: Members = serde_json::from_str(text).unwrap();
        assert_eq!(
            members.to_data().as_str(),
            r#"{"b":null,"a":[2],"c":{"d":3}}"#
        );
        members.set("a", Data::null());
        members.set("e", Data::object());
        assert_eq!(members.remove("b"), Some(Data::null()));
        assert_eq!(members.remove("b"), None);
        assert_eq!(
            members.to_data().as_str(),
            r#"{"a":null,"c":{"d":3},"e":{}}"#
        );
        assert!(Members::of(&Data::null()).is_none());
        assert!(Members::default().is_empty());
    }
}
