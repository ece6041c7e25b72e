//! Why no value fits two schemas.

use std::fmt;

use crate::schema::fault::short;

/// Why what one schema allows is nothing that another one takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mismatch {
    /// From the inside to the outside.
    path: Vec<String>,
    problem: String,
}

impl Mismatch {
    /// `given` is all that comes, and `taken` all that is taken.
    pub(super) fn of(given: impl fmt::Display, taken: impl fmt::Display) -> Self {
        let (given, taken) = (short(given), short(taken));
        Self::because(format_args!("{given} comes where {taken} is taken"))
    }

    pub(super) fn because(problem: impl fmt::Display) -> Self {
        Self {
            path: Vec::new(),
            problem: problem.to_string(),
        }
    }

    /// The same of what is at `name` in something else.
    pub(super) fn within(mut self, name: &str) -> Self {
        self.path.push(short(name));
        self
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            let path: Vec<&str> = self.path.iter().rev().map(String::as_str).collect();
            write!(f, "at {}, ", path.join("."))?;
        }
        f.write_str(&self.problem)
    }
}
