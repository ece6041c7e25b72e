//! JSON schemas of types, as providers of models accept them.

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform as _};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value};

use crate::Data;

/// The schema of the arguments of a tool.
pub(super) struct Input {
    pub(super) schema: Data,
    /// What the type says of itself.
    pub(super) description: Option<String>,
}

/// The schema of `A`, which has to be an object.
///
/// # Errors
/// What is wrong with it.
pub(super) fn of_args<A: JsonSchema>() -> Result<Input, String> {
    let schema = generate::<A>(false);
    let mut members = match Value::from(schema) {
        // Of what takes anything, an object is left.
        Value::Bool(true) => Map::new(),
        Value::Object(members) => members,
        _ => return Err(not_an_object::<A>()),
    };
    let title = text(members.remove("title"));
    let description = text(members.remove("description")).or(title);
    match members.get("type").and_then(Value::as_str) {
        Some("object") => {}
        None if members.is_empty() => {}
        _ => return Err(not_an_object::<A>()),
    }
    Ok(Input {
        schema: object_schema(members),
        description,
    })
}

/// The schema of an object that says nothing, or what `members` say, with the members that providers insist on.
fn object_schema(mut members: Map<String, Value>) -> Data {
    members
        .entry("type")
        .or_insert_with(|| Value::from("object"));
    members
        .entry("properties")
        .or_insert_with(|| Value::Object(Map::new()));
    Data::from(Value::Object(members))
}

/// The schema of a tool without arguments.
pub(super) fn empty() -> Data {
    object_schema(Map::new())
}

/// The schema of anything else, with its draft, for people and their programs.
pub(super) fn of<T: JsonSchema>() -> Data {
    Data::from(Value::from(generate::<T>(true)))
}

fn generate<T: JsonSchema>(with_draft: bool) -> Schema {
    let mut settings = SchemaSettings::draft07();
    settings.inline_subschemas = true;
    if !with_draft {
        settings.meta_schema = None;
    }
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    RecursiveTransform(without_number_formats).transform(&mut schema);
    schema
}

/// Some providers refuse a schema for a format such as `uint32`, which no standard knows.
fn without_number_formats(schema: &mut Schema) {
    let Some(members) = schema.as_object_mut() else {
        return;
    };
    let number = |kind: &Value| matches!(kind.as_str(), Some("integer" | "number"));
    let numeric = match members.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(number),
        Some(kind) => number(kind),
        None => false,
    };
    if numeric {
        members.remove("format");
    }
}

fn text(value: Option<Value>) -> Option<String> {
    match value {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

fn not_an_object<A>() -> String {
    format!(
        "its arguments, {}, are no JSON object with members of its own, which is all that models can send; \
         take a struct with named fields",
        std::any::type_name::<A>()
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Looks for things.
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is of interest")]
    struct Search {
        /// What to look for.
        query: String,
        limit: Option<u32>,
        place: Place,
    }

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is of interest")]
    struct Place {
        city: String,
    }

    fn value(schema: &Data) -> Value {
        schema.parse().unwrap()
    }

    #[test]
    fn the_schema_of_arguments_is_one_object_without_references() {
        let input = of_args::<Search>().unwrap();
        assert_eq!(input.description.as_deref(), Some("Looks for things."));
        assert_eq!(
            value(&input.schema),
            json!({
                "type": "object",
                "properties": {
                    "query": {"type": "string", "description": "What to look for."},
                    "limit": {"type": ["integer", "null"], "minimum": 0},
                    "place": {
                        "type": "object",
                        "properties": {"city": {"type": "string"}},
                        "required": ["city"],
                    },
                },
                "required": ["query", "place"],
            })
        );
    }

    #[test]
    fn arguments_are_objects_or_refused() {
        let empty = json!({"type": "object", "properties": {}});
        assert_eq!(
            value(&of_args::<Value>().map(|i| i.schema).unwrap_or_default()),
            empty
        );
        assert_eq!(value(&super::empty()), empty);
        assert!(of_args::<Map<String, Value>>().is_ok());
        assert!(of_args::<String>().is_err());
        assert!(of_args::<()>().is_err());
        assert!(of_args::<Result<u8, u8>>().is_err());
    }

    #[test]
    fn other_schemas_tell_their_draft() {
        let schema = value(&of::<Place>());
        assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    }
}
