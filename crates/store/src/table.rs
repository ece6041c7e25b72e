//! The names of tables.

use std::fmt;

use bowline_events::Text;

use crate::LogName;

/// The name of a kind of record or log, such as `runs` or `timers`. A table needs no creation.
///
/// ```
/// use bowline_store::Table;
/// const RUNS: Table = Table::new("runs");
/// assert_eq!(RUNS.as_str(), "runs");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Table(&'static str);

impl Table {
    /// The table called `name`: 1 to 32 characters out of `a-z` and `_`.
    ///
    /// # Panics
    /// When the name is something else. Use it in a `const`, and the compiler says so.
    pub const fn new(name: &'static str) -> Self {
        let bytes = name.as_bytes();
        assert!(
            !bytes.is_empty() && bytes.len() <= 32,
            "the name of a table has 1 to 32 characters"
        );
        let mut i = 0;
        while i < bytes.len() {
            assert!(
                bytes[i] == b'_' || bytes[i].is_ascii_lowercase(),
                "the name of a table consists of a-z and _"
            );
            i += 1;
        }
        Self(name)
    }

    /// The name.
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    /// The log `key` of this table.
    pub fn log(self, key: impl Into<Text>) -> LogName {
        LogName {
            table: self,
            key: key.into(),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}
