//! The types of JSON as sets.

use std::fmt;

use serde_json::Value;

use super::document::View;
use super::finite;

/// A set of types. Whole numbers and others are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Types(u8);

impl Types {
    pub(super) const NULL: Self = Self(1);
    pub(super) const BOOLEAN: Self = Self(1 << 1);
    pub(super) const WHOLE: Self = Self(1 << 2);
    pub(super) const BROKEN: Self = Self(1 << 3);
    pub(super) const STRING: Self = Self(1 << 4);
    pub(super) const ARRAY: Self = Self(1 << 5);
    pub(super) const OBJECT: Self = Self(1 << 6);
    const NUMBER: Self = Self(Self::WHOLE.0 | Self::BROKEN.0);
    const NONE: Self = Self(0);
    const ALL: Self = Self((1 << 7) - 1);

    const EACH: [Self; 7] = [
        Self::NULL,
        Self::BOOLEAN,
        Self::WHOLE,
        Self::BROKEN,
        Self::STRING,
        Self::ARRAY,
        Self::OBJECT,
    ];

    /// Those that a value of `schema` may have, by what it says of itself.
    pub(super) fn of(schema: View<'_>) -> Self {
        let named = match schema.get("type") {
            Some(Value::String(name)) => Self::named(name),
            Some(Value::Array(names)) => names
                .iter()
                .map(|name| name.as_str().map_or(Self::ALL, Self::named))
                .fold(Self::NONE, Self::or),
            _ => Self::ALL,
        };
        match finite::values(schema) {
            Some(values) => {
                let listed = values.iter().map(|value| Self::of_value(value));
                named.and(listed.fold(Self::NONE, Self::or))
            }
            None => named,
        }
    }

    pub(super) fn of_value(value: &Value) -> Self {
        match value {
            Value::Null => Self::NULL,
            Value::Bool(_) => Self::BOOLEAN,
            Value::Number(number) => {
                let broken = number.as_f64().is_some_and(|number| number.fract() != 0.0);
                if broken { Self::BROKEN } else { Self::WHOLE }
            }
            Value::String(_) => Self::STRING,
            Value::Array(_) => Self::ARRAY,
            Value::Object(_) => Self::OBJECT,
        }
    }

    fn named(name: &str) -> Self {
        match name {
            "null" => Self::NULL,
            "boolean" => Self::BOOLEAN,
            "integer" => Self::WHOLE,
            "number" => Self::NUMBER,
            "string" => Self::STRING,
            "array" => Self::ARRAY,
            "object" => Self::OBJECT,
            // There is no other; a schema that says so is not understood.
            _ => Self::ALL,
        }
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn has(self, other: Self) -> bool {
        !self.and(other).is_empty()
    }

    /// The types in it, one by one.
    pub(super) fn each(self) -> impl Iterator<Item = Self> {
        Self::EACH.into_iter().filter(move |each| self.has(*each))
    }
}

impl fmt::Display for Types {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [
            (Self::NULL, "null"),
            (Self::BOOLEAN, "boolean"),
            (Self::NUMBER, "number"),
            (Self::STRING, "string"),
            (Self::ARRAY, "array"),
            (Self::OBJECT, "object"),
        ];
        let mut names = Vec::new();
        for (types, name) in all {
            if self.has(types) {
                let whole = types == Self::NUMBER && !self.has(Self::BROKEN);
                names.push(if whole { "integer" } else { name });
            }
        }
        f.write_str(match names.len() {
            0 => "nothing",
            6 => "anything",
            _ => return f.write_str(&names.join(" or ")),
        })
    }
}
