//! Conditions that can be written down.

mod evaluate;
#[cfg(test)]
pub(crate) mod tests;

use serde::{Deserialize, Serialize};

/// A condition that can be written down as JSON, and read by programs in other languages.
///
/// A path begins with `initData`, `inputData`, `state` or `stepResults.<id>`. Where it leads nowhere, the operation does not
/// hold, whatever it is, except for `notExists`.
///
/// ```
/// use bowline_workflow::{Operand, Predicate};
///
/// let large = Predicate::Gt {
///     left: Operand::path("inputData.order.total"),
///     right: Operand::literal(100),
/// };
/// let json = r#"{"op":"gt","left":{"path":"inputData.order.total"},"right":{"literal":100}}"#;
/// assert_eq!(serde_json::to_string(&large)?, json);
/// assert_eq!(serde_json::from_str::<Predicate>(json)?, large);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "camelCase")]
pub enum Predicate {
    /// Both are the same scalar.
    Eq {
        /// The one.
        left: Operand,
        /// The other.
        right: Operand,
    },
    /// They are not the same scalar.
    Ne {
        /// The one.
        left: Operand,
        /// The other.
        right: Operand,
    },
    /// The left is less: numbers, or texts in the order of their UTF-16 units.
    Lt {
        /// What is to be less.
        left: Operand,
        /// Than this.
        right: Operand,
    },
    /// The left is not greater.
    Lte {
        /// What is not to be greater.
        left: Operand,
        /// Than this.
        right: Operand,
    },
    /// The left is greater.
    Gt {
        /// What is to be greater.
        left: Operand,
        /// Than this.
        right: Operand,
    },
    /// The left is not less.
    Gte {
        /// What is not to be less.
        left: Operand,
        /// Than this.
        right: Operand,
    },
    /// The value is one of the set.
    In {
        /// What to look for.
        value: Operand,
        /// Where to look.
        set: Vec<Scalar>,
    },
    /// The value is none of the set.
    NotIn {
        /// What to look for.
        value: Operand,
        /// Where to look.
        set: Vec<Scalar>,
    },
    /// The path leads to a value, which may be `null`.
    Exists {
        /// The path.
        path: String,
    },
    /// The path leads nowhere.
    NotExists {
        /// The path.
        path: String,
    },
    /// The value is neither `false`, 0, empty text nor `null`.
    Truthy {
        /// What to look at.
        value: Operand,
    },
    /// The value is `false`, 0, empty text or `null`.
    Falsy {
        /// What to look at.
        value: Operand,
    },
    /// All of them hold; also when there are none.
    And {
        /// The conditions.
        args: Vec<Self>,
    },
    /// One of them holds.
    Or {
        /// The conditions.
        args: Vec<Self>,
    },
    /// It does not hold.
    Not {
        /// The condition.
        arg: Box<Self>,
    },
}

/// What a predicate compares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Operand {
    /// What a path leads to.
    Path(String),
    /// This value.
    Literal(Scalar),
}

/// A value without parts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(serde_json::Number),
    /// Text.
    Text(String),
}

impl Operand {
    /// What `path` leads to.
    pub fn path(path: impl Into<String>) -> Self {
        Self::Path(path.into())
    }

    /// The value `literal`.
    pub fn literal(literal: impl Into<Scalar>) -> Self {
        Self::Literal(literal.into())
    }
}

impl From<bool> for Scalar {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Scalar {
    fn from(value: i64) -> Self {
        Self::Number(value.into())
    }
}

impl From<i32> for Scalar {
    fn from(value: i32) -> Self {
        Self::Number(value.into())
    }
}

/// Infinities and what is no number become `null`, as in JSON.
impl From<f64> for Scalar {
    fn from(value: f64) -> Self {
        serde_json::Number::from_f64(value).map_or(Self::Null, Self::Number)
    }
}

impl From<&str> for Scalar {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Scalar {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}
