//! Errors.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use super::super::{MAX_CAUSES, PAYLOAD_KEY, TAG_KEY, Tag};
use super::envelope;

/// A JavaScript error.
///
/// Writes the envelope, with at most [`MAX_CAUSES`] causes: like Node, it writes what lies deeper as
/// `{}`. Reads the envelope, and the bare object with a name or a message that workflow events
/// carry. Writing fails if a field or a plain cause holds the reserved member `__m_codec__`,
/// because Node treats errors as plain JSON and may exit over a big integer inside.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct JsError {
    /// The name of the kind of error; written as `Error` if empty, empty if missing or not a text.
    pub name: String,
    /// What went wrong; empty if missing or not a text.
    pub message: String,
    /// The stack trace of the sender.
    pub stack: Option<String>,
    /// What led to it.
    pub cause: Option<Box<Cause>>,
    /// The other members. Those named like one of the above are not written.
    pub fields: Map<String, Value>,
}

/// What led to an error.
#[derive(Debug, Clone, PartialEq)]
pub enum Cause {
    /// Another error: in an envelope, or an object with both a name and a message.
    Error(JsError),
    /// Anything else.
    Value(Value),
}

impl JsError {
    /// An error without stack, cause and fields.
    #[must_use]
    pub fn new(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            message: message.into(),
            ..Self::default()
        }
    }

    fn from_payload(mut payload: Map<String, Value>) -> Self {
        let mut text = |name: &str| match payload.remove(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let name = text("name").unwrap_or_default();
        let message = text("message").unwrap_or_default();
        let stack = text("stack");
        let cause = payload.remove("cause").map(|cause| {
            let cause = match unwrap(cause) {
                Ok(error) => Cause::Error(Self::from_payload(error)),
                Err(Value::Object(bare)) if is_error(&bare) => {
                    Cause::Error(Self::from_payload(bare))
                }
                Err(value) => Cause::Value(value),
            };
            Box::new(cause)
        });
        Self {
            name,
            message,
            stack,
            cause,
            fields: payload,
        }
    }
}

/// What JavaScript goes by to turn a cause into an error.
fn is_error(object: &Map<String, Value>) -> bool {
    object.contains_key("name") && object.contains_key("message")
}

/// The payload of an Error envelope, or the value back.
fn unwrap(value: Value) -> Result<Map<String, Value>, Value> {
    match value {
        Value::Object(mut object)
            if object.get(TAG_KEY).and_then(Value::as_str) == Some(Tag::Error.name()) =>
        {
            match object.remove(PAYLOAD_KEY) {
                Some(Value::Object(payload)) => Ok(payload),
                // JavaScript lets an array pass for an object without members.
                Some(Value::Array(_)) => Ok(Map::new()),
                payload => {
                    object.extend(payload.map(|payload| (PAYLOAD_KEY.to_owned(), payload)));
                    Err(Value::Object(object))
                }
            }
        }
        value => Err(value),
    }
}

impl fmt::Display for JsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.name.as_str(), self.message.as_str()) {
            ("", message) => f.write_str(message),
            (name, "") => f.write_str(name),
            (name, message) => write!(f, "{name}: {message}"),
        }
    }
}

impl std::error::Error for JsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self.cause.as_deref() {
            Some(Cause::Error(error)) => Some(error),
            _ => None,
        }
    }
}

impl Serialize for JsError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let payload = Payload {
            error: self,
            causes: MAX_CAUSES,
        };
        envelope::write(serializer, Tag::Error, &payload)
    }
}

/// An error without its envelope, with so many causes at most.
struct Payload<'a> {
    error: &'a JsError,
    causes: usize,
}

impl Serialize for Payload<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let error = self.error;
        let mut map = serializer.serialize_map(None)?;
        let name = match error.name.as_str() {
            "" => "Error",
            name => name,
        };
        map.serialize_entry("name", name)?;
        map.serialize_entry("message", &error.message)?;
        if let Some(stack) = &error.stack {
            map.serialize_entry("stack", stack)?;
        }
        match error.cause.as_deref() {
            None => {}
            Some(Cause::Error(_)) if self.causes == 0 => {
                map.serialize_entry("cause", &Map::new())?;
            }
            Some(Cause::Error(error)) => {
                let causes = self.causes - 1;
                map.serialize_entry("cause", &Payload { error, causes })?;
            }
            Some(Cause::Value(value)) => map.serialize_entry("cause", plain("cause", value)?)?,
        }
        for (name, value) in &error.fields {
            if !["name", "message", "stack", "cause"].contains(&name.as_str()) {
                map.serialize_entry(name, plain(name, value)?)?;
            }
        }
        map.end()
    }
}

/// The value, if nothing in it could be taken for an envelope.
fn plain<'a, E: serde::ser::Error>(name: &str, value: &'a Value) -> Result<&'a Value, E> {
    if name == TAG_KEY || holds_tag(value) {
        return Err(E::custom(format_args!(
            "error field {name:?} must be plain JSON: it holds the reserved member {TAG_KEY:?}"
        )));
    }
    Ok(value)
}

fn holds_tag(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(holds_tag),
        Value::Object(object) => object.contains_key(TAG_KEY) || object.values().any(holds_tag),
        _ => false,
    }
}

impl<'de> Deserialize<'de> for JsError {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(AnyForm)
    }
}

struct AnyForm;

impl<'de> Visitor<'de> for AnyForm {
    type Value = JsError;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an Error envelope or an object with a name or a message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsError, A::Error> {
        let mut object = Map::new();
        while let Some((key, value)) = map.next_entry::<String, Value>()? {
            object.insert(key, value);
        }
        match unwrap(Value::Object(object)) {
            Ok(payload) => Ok(JsError::from_payload(payload)),
            Err(Value::Object(bare))
                if !bare.contains_key(TAG_KEY)
                    && (bare.contains_key("name") || bare.contains_key("message")) =>
            {
                Ok(JsError::from_payload(bare))
            }
            Err(_) => Err(A::Error::custom(
                "expected an Error envelope or an object with a name or a message",
            )),
        }
    }
}
