//! Whether a predicate holds.

use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::{Operand, Predicate, Scalar};
use crate::{Data, StepContext};

/// Where the paths of a predicate begin.
pub(super) trait Roots {
    /// The value of `initData`, `inputData` or `state`.
    fn root(&self, name: &str) -> Option<Data>;

    /// What a step returned.
    fn output(&self, id: &str) -> Option<Data>;
}

impl Roots for StepContext {
    fn root(&self, name: &str) -> Option<Data> {
        match name {
            "initData" => Some(self.raw_initial().clone()),
            "inputData" => Some(self.raw_input().clone()),
            "state" => Some(self.raw_state().clone()),
            _ => None,
        }
    }

    fn output(&self, id: &str) -> Option<Data> {
        self.raw_output_of(id)
    }
}

impl Predicate {
    /// Whether it holds for what a condition sees.
    pub(crate) fn holds(&self, context: &StepContext) -> bool {
        self.holds_for(context)
    }

    pub(super) fn holds_for(&self, roots: &impl Roots) -> bool {
        match self {
            Self::Eq { left, right } => both(roots, left, right, equal),
            Self::Ne { left, right } => both(roots, left, right, |l, r| !equal(l, r)),
            Self::Lt { left, right } => ordered(roots, left, right, Ordering::is_lt),
            Self::Lte { left, right } => ordered(roots, left, right, Ordering::is_le),
            Self::Gt { left, right } => ordered(roots, left, right, Ordering::is_gt),
            Self::Gte { left, right } => ordered(roots, left, right, Ordering::is_ge),
            Self::In { value, set } => one(roots, value, |value| contains(set, value)),
            Self::NotIn { value, set } => one(roots, value, |value| !contains(set, value)),
            Self::Exists { path } => lookup(roots, path).is_some(),
            Self::NotExists { path } => lookup(roots, path).is_none(),
            Self::Truthy { value } => one(roots, value, is_truthy),
            Self::Falsy { value } => one(roots, value, |value| !is_truthy(value)),
            Self::And { args } => args.iter().all(|arg| arg.holds_for(roots)),
            Self::Or { args } => args.iter().any(|arg| arg.holds_for(roots)),
            Self::Not { arg } => !arg.holds_for(roots),
        }
    }
}

fn one(roots: &impl Roots, operand: &Operand, test: impl FnOnce(&Value) -> bool) -> bool {
    resolve(roots, operand).is_some_and(|value| test(&value))
}

fn both(
    roots: &impl Roots,
    left: &Operand,
    right: &Operand,
    test: impl FnOnce(&Value, &Value) -> bool,
) -> bool {
    match (resolve(roots, left), resolve(roots, right)) {
        (Some(left), Some(right)) => test(&left, &right),
        _ => false,
    }
}

fn ordered(
    roots: &impl Roots,
    left: &Operand,
    right: &Operand,
    test: impl FnOnce(Ordering) -> bool,
) -> bool {
    both(roots, left, right, |left, right| {
        compare(left, right).is_some_and(test)
    })
}

fn resolve(roots: &impl Roots, operand: &Operand) -> Option<Value> {
    match operand {
        Operand::Path(path) => lookup(roots, path),
        Operand::Literal(literal) => Some(literal.to_value()),
    }
}

/// What `path` leads to. An id with dots in it is found too: the shortest that is one counts.
fn lookup(roots: &impl Roots, path: &str) -> Option<Value> {
    let (root, rest) = path.split_once('.').unwrap_or((path, ""));
    if root != "stepResults" {
        return descend(&roots.root(root)?, rest);
    }
    let ends = rest.match_indices('.').map(|(end, _)| end);
    let end = ends
        .chain([rest.len()])
        .find(|end| roots.output(&rest[..*end]).is_some())?;
    let output = roots.output(&rest[..end])?;
    if output.is_null() {
        return None;
    }
    descend(&output, rest[end..].strip_prefix('.').unwrap_or(""))
}

fn descend(data: &Data, path: &str) -> Option<Value> {
    let mut value: Value = serde_json::from_str(data.as_str()).ok()?;
    if path.is_empty() {
        return Some(value);
    }
    for key in path.split('.') {
        value = match value {
            Value::Object(mut members) => members.remove(key)?,
            Value::Array(mut elements) => {
                let index: usize = key.parse().ok()?;
                (index < elements.len()).then(|| elements.swap_remove(index))?
            }
            _ => return None,
        };
    }
    Some(value)
}

/// Whether both are the same scalar. What has parts is not the same as anything, as in JavaScript.
fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::String(left), Value::String(right)) => left == right,
        (Value::Number(left), Value::Number(right)) => order(left, right) == Some(Ordering::Equal),
        _ => false,
    }
}

/// Numbers among themselves, and texts among themselves; nothing else has an order.
fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => order(left, right),
        (Value::String(left), Value::String(right)) => {
            Some(left.encode_utf16().cmp(right.encode_utf16()))
        }
        _ => None,
    }
}

/// Whole numbers exactly, also where a double is not exact any more.
fn order(left: &Number, right: &Number) -> Option<Ordering> {
    match (whole(left), whole(right)) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}

fn whole(number: &Number) -> Option<i128> {
    let signed = number.as_i64().map(i128::from);
    signed.or_else(|| number.as_u64().map(i128::from))
}

fn contains(set: &[Scalar], value: &Value) -> bool {
    set.iter().any(|scalar| equal(&scalar.to_value(), value))
}

fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}

impl Scalar {
    fn to_value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Number(number) => Value::Number(number.clone()),
            Self::Text(text) => Value::String(text.clone()),
        }
    }
}
