//! Reading a table key by key.

use std::time::Duration;

use toml::{Table, Value};

use crate::{suggest, value};

/// A table of a configuration file. Errors name the key by its whole path and never show a value.
pub(super) struct Fields {
    path: String,
    table: Table,
}

/// What may be read, or what is wrong with it.
pub(super) type Read<T> = Result<T, String>;

impl Fields {
    /// The table at `path`, in which there are no other keys than `known`.
    pub(super) fn of(path: String, value: Value, known: &[&str]) -> Read<Self> {
        let Value::Table(table) = value else {
            return Err(format!("{path} is no table"));
        };
        match table.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => {
                let hint = suggest::hint(key, known);
                Err(format!("{path} has no key {key:?}{hint}"))
            }
            None => Ok(Self { path, table }),
        }
    }

    pub(super) fn path(&self, key: &str) -> String {
        format!("{}.{key}", self.path)
    }

    fn wrong<T>(&self, key: &str, what: &str) -> Read<T> {
        Err(format!("{} {what}", self.path(key)))
    }

    /// What is there.
    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        self.table.remove(key)
    }

    /// A text that is not empty.
    pub(super) fn text(&mut self, key: &str) -> Read<Option<String>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
            Some(_) => self.wrong(key, "is no text; write one in quotes, or leave the key out"),
        }
    }

    /// A text, or several.
    pub(super) fn texts(&mut self, key: &str) -> Read<Vec<String>> {
        let all = match self.take(key) {
            None => return Ok(Vec::new()),
            Some(Value::Array(all)) => all,
            Some(one) => vec![one],
        };
        let texts = all.into_iter().map(|value| match value {
            Value::String(text) => Some(text),
            _ => None,
        });
        match texts.collect() {
            Some(texts) => Ok(texts),
            None => self.wrong(key, "is neither a text nor a list of texts"),
        }
    }

    /// A whole number that an `N` holds.
    pub(super) fn number<N: TryFrom<i64> + value::Bounded>(
        &mut self,
        key: &str,
    ) -> Read<Option<N>> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        match value.as_integer().map(N::try_from) {
            Some(Ok(number)) => Ok(Some(number)),
            _ => {
                let what = format!("is no whole number from 0 to {}", N::LARGEST);
                self.wrong(key, &what)
            }
        }
    }

    /// A number.
    pub(super) fn decimal(&mut self, key: &str) -> Read<Option<f64>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Float(number)) if number.is_finite() => Ok(Some(number)),
            Some(Value::Integer(number)) => Ok(Some(number as f64)),
            Some(_) => self.wrong(key, "is no number"),
        }
    }

    /// `true` or `false`.
    pub(super) fn switch(&mut self, key: &str) -> Read<Option<bool>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Boolean(on)) => Ok(Some(on)),
            Some(_) => self.wrong(key, "is neither true nor false"),
        }
    }

    /// A time such as `"30s"`.
    pub(super) fn duration(&mut self, key: &str) -> Read<Option<Duration>> {
        let Some(text) = self.text(key)? else {
            return Ok(None);
        };
        match value::duration(&text) {
            Ok(time) => Ok(Some(time)),
            Err(what) => self.wrong(key, &what),
        }
    }
}
