//! Why a text was refused.

use std::fmt;

use super::MAX_DEPTH;

/// What is wrong with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ScanErrorKind {
    /// A byte that the grammar does not allow at this place.
    Syntax,
    /// More than [`MAX_DEPTH`] arrays and objects open at once.
    Depth,
    /// Something other than whitespace after the end of the value.
    Trailing,
    /// The text ends before the value does.
    Eof,
    /// The text is not UTF-8.
    Encoding,
}

/// A text that is not the JSON it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanError {
    kind: ScanErrorKind,
    offset: usize,
}

impl ScanError {
    pub(crate) const fn new(kind: ScanErrorKind, offset: usize) -> Self {
        Self { kind, offset }
    }

    /// What is wrong.
    #[must_use]
    pub const fn kind(&self) -> ScanErrorKind {
        self.kind
    }

    /// The offset in bytes, from the start of the text handed in, of the first byte at fault. Equal
    /// to the length of the text when it ends too early.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }
}

impl fmt::Display for ScanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offset = self.offset;
        match self.kind {
            ScanErrorKind::Syntax => write!(f, "invalid JSON at byte {offset}"),
            ScanErrorKind::Depth => write!(
                f,
                "JSON nested deeper than the limit of {MAX_DEPTH} levels at byte {offset}"
            ),
            ScanErrorKind::Trailing => {
                write!(f, "unexpected data after the JSON value at byte {offset}")
            }
            ScanErrorKind::Eof => write!(f, "JSON text cut short at byte {offset}"),
            ScanErrorKind::Encoding => write!(f, "JSON text is not UTF-8 at byte {offset}"),
        }
    }
}

impl std::error::Error for ScanError {}
