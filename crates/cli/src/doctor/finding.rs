//! What the doctor found, and how it is printed.

use serde::Serialize;

use crate::colour::{Colour, Painter};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// As it should be.
    Ok,
    /// Could not be found out.
    #[cfg_attr(
        not(feature = "redis"),
        allow(dead_code, reason = "only servers refuse to tell")
    )]
    Unknown,
    /// Works, but is worth mending.
    Warning,
    /// The bus cannot be used.
    Problem,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) level: Level,
    pub(crate) what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) remedy: Option<String>,
}

impl Finding {
    pub(crate) fn ok(what: impl Into<String>) -> Self {
        Self {
            level: Level::Ok,
            what: what.into(),
            remedy: None,
        }
    }

    pub(crate) fn warning(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            level: Level::Warning,
            what: what.into(),
            remedy: Some(remedy.into()),
        }
    }

    #[cfg_attr(
        not(feature = "redis"),
        allow(dead_code, reason = "only servers refuse to tell")
    )]
    pub(crate) fn unknown(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            level: Level::Unknown,
            ..Self::warning(what, remedy)
        }
    }

    /// The same finding, said to be about `whose`.
    pub(crate) fn about(self, whose: &str) -> Self {
        Self {
            what: format!("{whose}: {}", self.what),
            ..self
        }
    }

    pub(crate) fn problem(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            level: Level::Problem,
            ..Self::warning(what, remedy)
        }
    }

    /// Appends the finding as one line, or two with its remedy.
    pub(crate) fn print(&self, painter: Painter, out: &mut String) {
        let (word, colour) = match self.level {
            Level::Ok => ("ok", Colour::Green),
            Level::Unknown => ("unknown", Colour::Cyan),
            Level::Warning => ("warning", Colour::Yellow),
            Level::Problem => ("problem", Colour::Red),
        };
        painter.put(out, colour, &format!("{word:<9}"));
        crate::colour::visible(out, &self.what);
        out.push('\n');
        if let Some(remedy) = &self.remedy {
            out.push_str("  remedy ");
            crate::colour::visible(out, remedy);
            out.push('\n');
        }
    }
}
