//! What the server answers.

use bytes::Bytes;

use super::{Failure, ServerError};

/// A reply of the server.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reply {
    /// No value.
    Nil,
    /// A number.
    Int(i64),
    /// A string of bytes.
    Bulk(Bytes),
    /// A list. Maps and sets are lists too.
    Array(Vec<Reply>),
    /// The command failed.
    Error(ServerError),
}

impl Reply {
    /// The elements of a list; a nil is an empty one.
    pub(crate) fn into_array(self) -> Result<Vec<Self>, Failure> {
        match self {
            Self::Array(elements) => Ok(elements),
            Self::Nil => Ok(Vec::new()),
            other => Err(other.unexpected("a list")),
        }
    }

    /// The bytes of a string.
    pub(crate) fn into_bytes(self) -> Result<Bytes, Failure> {
        match self {
            Self::Bulk(bytes) => Ok(bytes),
            other => Err(other.unexpected("a string")),
        }
    }

    /// The text of a string.
    pub(crate) fn into_text(self) -> Result<String, Failure> {
        match self {
            Self::Int(number) => Ok(number.to_string()),
            other => Ok(String::from_utf8_lossy(&other.into_bytes()?).into_owned()),
        }
    }

    /// A number, or a string that is one.
    pub(crate) fn into_int(self) -> Result<i64, Failure> {
        match self {
            Self::Int(number) => Ok(number),
            Self::Bulk(bytes) => match std::str::from_utf8(&bytes).ok().map(str::parse) {
                Some(Ok(number)) => Ok(number),
                _ => Err(Self::Bulk(bytes).unexpected("a number")),
            },
            other => Err(other.unexpected("a number")),
        }
    }

    /// The reply, unless it is an error.
    pub(crate) fn into_result(self) -> Result<Self, Failure> {
        match self {
            Self::Error(error) => Err(Failure::Server(error)),
            reply => Ok(reply),
        }
    }

    /// The value behind `name` in a flat list of names and values.
    pub(crate) fn field(fields: &[Self], name: &str) -> Option<Self> {
        fields
            .chunks_exact(2)
            .find(|pair| matches!(&pair[0], Self::Bulk(bytes) if bytes == name.as_bytes()))
            .map(|pair| pair[1].clone())
    }

    /// The failure of a reply that is not what the protocol promises.
    pub(crate) fn unexpected(self, wanted: &str) -> Failure {
        if let Self::Error(error) = self {
            return Failure::Server(error);
        }
        let kind = match self {
            Self::Nil => "nothing",
            Self::Int(_) => "a number",
            Self::Bulk(_) => "a string",
            Self::Array(_) => "a list",
            Self::Error(_) => "an error",
        };
        Failure::Protocol(format!("the server answered {kind} where {wanted} belongs"))
    }
}

impl From<redis::Value> for Reply {
    fn from(value: redis::Value) -> Self {
        use redis::Value;
        match value {
            Value::Nil => Self::Nil,
            Value::Int(number) => Self::Int(number),
            Value::BulkString(bytes) => Self::Bulk(Bytes::from(bytes)),
            Value::Array(elements) | Value::Set(elements) => {
                Self::Array(elements.into_iter().map(Self::from).collect())
            }
            Value::SimpleString(text) => Self::Bulk(Bytes::from(text)),
            Value::Okay => Self::Bulk(Bytes::from_static(b"OK")),
            Value::Map(pairs) => Self::Array(
                pairs
                    .into_iter()
                    .flat_map(|(key, value)| [Self::from(key), Self::from(value)])
                    .collect(),
            ),
            Value::Attribute { data, .. } => Self::from(*data),
            Value::Double(number) => Self::Bulk(Bytes::from(number.to_string())),
            Value::Boolean(truth) => Self::Int(i64::from(truth)),
            Value::VerbatimString { text, .. } => Self::Bulk(Bytes::from(text)),
            Value::BigNumber(digits) => Self::Bulk(Bytes::from(digits)),
            Value::ServerError(error) => Self::Error(ServerError::from(&error)),
            _ => Self::Nil,
        }
    }
}
