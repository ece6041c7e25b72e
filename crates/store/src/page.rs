//! Where a page ends.

use crate::limits::{MAX_PAGE_BYTES, page};

/// Counts the items and bytes of one page.
#[derive(Debug)]
pub(crate) struct Budget {
    items: usize,
    bytes: usize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            items: page(limit),
            bytes: MAX_PAGE_BYTES,
        }
    }

    /// Whether an item of `bytes` bytes still belongs on the page. The first one always does.
    pub(crate) fn takes(&mut self, bytes: usize) -> bool {
        let fits = self.items > 0 && self.bytes > 0;
        if fits {
            self.items -= 1;
            self.bytes = self.bytes.saturating_sub(bytes);
        }
        fits
    }
}
