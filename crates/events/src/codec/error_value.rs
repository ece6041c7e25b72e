//! Errors in the tree: what goes into an envelope and what comes out.

use super::{CodecError, JsString, Object, TAG_KEY, Tag, Value};

/// How many causes, one behind the other, an error may carry. Node writes no more.
pub const MAX_CAUSES: usize = 5;

/// The members of an error that are not its own fields.
const FIXED: [&str; 4] = ["name", "message", "stack", "cause"];

/// An error to be put into an envelope with [`Value::error`].
///
/// The cause may be an error made by [`Value::error`] or plain JSON. Fields and a plain cause must
/// not hold anything tagged: Node writes errors as plain JSON, and a big integer in there ends a
/// Node process that passes the error on.
///
/// ```
/// use bowline_events::codec::{ErrorValue, Value};
///
/// let mut error = ErrorValue::new("TypeError", "bad input");
/// error.fields.push("code", 42.into());
/// let value = Value::error(error)?;
/// assert_eq!(value.as_error().unwrap().message().unwrap(), &"bad input");
/// # Ok::<(), bowline_events::codec::CodecError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorValue {
    /// The name of the kind of error; written as `Error` if empty.
    pub name: JsString,
    /// What went wrong.
    pub message: JsString,
    /// The stack trace; receivers put in their own where it is missing.
    pub stack: Option<JsString>,
    /// What led to it.
    pub cause: Option<Value>,
    /// Further members.
    pub fields: Object,
}

impl ErrorValue {
    /// An error without stack, cause and fields.
    #[must_use]
    pub fn new(name: impl Into<JsString>, message: impl Into<JsString>) -> Self {
        Self {
            name: name.into(),
            message: message.into(),
            stack: None,
            cause: None,
            fields: Object::default(),
        }
    }

    /// The payload of the envelope.
    pub(super) fn payload(self) -> Result<Object, CodecError> {
        let name = if self.name == "" {
            JsString::word("Error")
        } else {
            self.name
        };
        let mut members = vec![
            (JsString::word("name"), Value::String(name)),
            (JsString::word("message"), Value::String(self.message)),
        ];
        if let Some(stack) = self.stack {
            members.push((JsString::word("stack"), Value::String(stack)));
        }
        if let Some(cause) = self.cause {
            members.push((JsString::word("cause"), bare(cause)?));
        }
        for (key, value) in &self.fields {
            if let Some(field) = FIXED.into_iter().find(|fixed| key == fixed) {
                return Err(CodecError::ReservedField {
                    field: field.to_owned(),
                });
            }
            if *key == TAG_KEY || !is_plain(value) {
                return Err(not_plain(&key.to_string_lossy()));
            }
            members.push((key.clone(), value.clone()));
        }
        Ok(members.into())
    }
}

/// A cause as it stands inside a payload: an error without its envelope, or plain JSON.
fn bare(cause: Value) -> Result<Value, CodecError> {
    let payload = match &cause {
        Value::Tagged(tagged) if tagged.tag() == Tag::Error => tagged.payload().cloned(),
        _ => None,
    };
    let payload = payload.unwrap_or(cause);
    if !is_plain(&payload) {
        return Err(not_plain("cause"));
    }
    let mut causes = 0;
    let mut innermost = Some(&payload);
    while let Some(Value::Object(error)) = innermost {
        causes += 1;
        innermost = error.get("cause");
    }
    if causes > MAX_CAUSES {
        return Err(CodecError::TooManyCauses);
    }
    Ok(payload)
}

fn not_plain(field: &str) -> CodecError {
    CodecError::NotPlain {
        field: field.to_owned(),
    }
}

/// Whether nothing in the value could be taken for an envelope.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::Tagged(_) => false,
        Value::Array(items) => items.iter().all(is_plain),
        Value::Object(members) => members
            .iter()
            .all(|(key, value)| *key != TAG_KEY && is_plain(value)),
        _ => true,
    }
}

/// The error in an envelope, as the wire has it.
#[derive(Debug, Clone, Copy)]
pub struct ErrorRef<'a> {
    payload: &'a Value,
}

impl<'a> ErrorRef<'a> {
    pub(super) fn new(payload: &'a Value) -> Self {
        Self { payload }
    }

    /// The name, if there is one and it is a string.
    #[must_use]
    pub fn name(&self) -> Option<&'a JsString> {
        self.string("name")
    }

    /// The message, if there is one and it is a string. JavaScript takes a missing one for empty.
    #[must_use]
    pub fn message(&self) -> Option<&'a JsString> {
        self.string("message")
    }

    /// The stack trace, if there is one and it is a string.
    #[must_use]
    pub fn stack(&self) -> Option<&'a JsString> {
        self.string("stack")
    }

    /// The cause as it stands on the wire: an error comes bare or in an envelope.
    #[must_use]
    pub fn cause(&self) -> Option<&'a Value> {
        self.payload.get("cause")
    }

    /// The cause if it is an error: in an envelope, or an object with both a name and a message,
    /// which is what JavaScript goes by.
    #[must_use]
    pub fn cause_error(&self) -> Option<ErrorRef<'a>> {
        let cause = self.cause()?;
        let bare = cause.get("name").is_some() && cause.get("message").is_some();
        cause.as_error().or_else(|| bare.then(|| Self::new(cause)))
    }

    /// The members beyond name, message, stack and cause, in order.
    pub fn fields(&self) -> impl Iterator<Item = (&'a JsString, &'a Value)> {
        let members = match self.payload {
            Value::Object(members) => Some(members),
            _ => None,
        };
        members
            .into_iter()
            .flatten()
            .map(|(key, value)| (key, value))
            .filter(|(key, _)| !FIXED.into_iter().any(|fixed| **key == fixed))
    }

    fn string(&self, name: &str) -> Option<&'a JsString> {
        match self.payload.get(name)? {
            Value::String(text) => Some(text),
            _ => None,
        }
    }
}
