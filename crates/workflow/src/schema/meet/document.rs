//! A schema as a tree that can be walked through.

use std::ptr;

use serde_json::Value;

use crate::Data;
use crate::schema::compiled;

/// Whatever it is, it fits.
pub(super) static ANYTHING: Value = Value::Bool(true);

/// Drafts in which everything that is looked at here means the same.
const DRAFTS: [&str; 4] = [
    "json-schema.org/draft-06/schema",
    "json-schema.org/draft-07/schema",
    "json-schema.org/draft/2019-09/schema",
    "json-schema.org/draft/2020-12/schema",
];

/// A schema, of which everything may be known or nothing.
#[derive(Debug)]
pub(super) struct Document(Value);

/// A part of a schema.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    root: &'a Value,
    node: &'a Value,
}

impl Document {
    /// The schema in `json`. One that is too large, or says of itself that it means something else, is a schema that
    /// everything fits.
    pub(super) fn read(json: &Data) -> Self {
        let value = compiled::read(json).ok();
        let value = value.filter(|value| is_known(value) && !has_base(value, true));
        Self(value.unwrap_or(Value::Bool(true)))
    }

    pub(super) fn view(&self) -> View<'_> {
        View {
            root: &self.0,
            node: &self.0,
        }
    }
}

fn is_known(schema: &Value) -> bool {
    let Some(draft) = schema.get("$schema") else {
        return true;
    };
    let draft = draft.as_str().unwrap_or_default().trim_end_matches('#');
    let draft = draft.split_once("://").map_or(draft, |(_, draft)| draft);
    DRAFTS.contains(&draft)
}

/// Whether a part of it has an address or a draft of its own, by which references in it lead elsewhere.
fn has_base(value: &Value, is_root: bool) -> bool {
    match value {
        Value::Object(members) => members.iter().any(|(key, value)| {
            let base = matches!(key.as_str(), "$id" | "$schema") && value.is_string();
            (base && !is_root) || has_base(value, false)
        }),
        Value::Array(all) => all.iter().any(|value| has_base(value, false)),
        _ => false,
    }
}

impl<'a> View<'a> {
    /// Whether it is this very part.
    pub(super) fn is_same(self, other: Self) -> bool {
        ptr::eq(self.node, other.node)
    }

    pub(super) fn as_bool(self) -> Option<bool> {
        self.node.as_bool()
    }

    pub(super) fn get(self, key: &str) -> Option<&'a Value> {
        self.node.get(key)
    }

    /// What `key` says, if that is a number.
    pub(super) fn number(self, key: &str) -> Option<f64> {
        self.get(key)?.as_f64()
    }

    /// Another part of the same schema.
    pub(super) fn at(self, node: &'a Value) -> Self {
        Self { node, ..self }
    }

    /// The schemas in the array `key`.
    pub(super) fn all(self, key: &str) -> impl Iterator<Item = Self> {
        let all = self.get(key).and_then(Value::as_array);
        all.into_iter().flatten().map(move |node| self.at(node))
    }

    /// Whether it is only what another part is.
    pub(super) fn is_reference(self) -> bool {
        self.get("$ref").is_some()
    }

    /// What it refers to. What else is said beside a reference counts in some drafts only.
    pub(super) fn target(self) -> Option<Self> {
        let pointer = self.get("$ref")?.as_str()?.strip_prefix('#')?;
        let is_plain = !pointer.contains('%') && (pointer.is_empty() || pointer.starts_with('/'));
        let node = self.root.pointer(pointer).filter(|_| is_plain)?;
        (node.is_object() || node.is_boolean()).then(|| self.at(node))
    }

    /// What every element of an array is, if that is one schema for all.
    pub(super) fn elements(self) -> Self {
        let items = self.get("items").filter(|items| !items.is_array());
        let items = items.filter(|_| self.get("prefixItems").is_none());
        self.at(items.unwrap_or(&ANYTHING))
    }

    /// What the member `name` of an object is, if there is one.
    pub(super) fn member(self, name: &str) -> Self {
        let properties = self.get("properties");
        if let Some(own) = properties.and_then(|properties| properties.get(name)) {
            return self.at(own);
        }
        let patterns = self.get("patternProperties").and_then(Value::as_object);
        let others = self.get("additionalProperties");
        let others = others.filter(|_| patterns.is_none_or(serde_json::Map::is_empty));
        self.at(others.unwrap_or(&ANYTHING))
    }

    /// The members that an object has to have.
    pub(super) fn required(self) -> impl Iterator<Item = &'a str> {
        let names = self.get("required").and_then(Value::as_array);
        names.into_iter().flatten().filter_map(Value::as_str)
    }

    /// A part that everything fits.
    pub(super) fn anything() -> View<'static> {
        View {
            root: &ANYTHING,
            node: &ANYTHING,
        }
    }
}
