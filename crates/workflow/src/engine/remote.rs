//! What the bridge to Node needs of an engine.

use std::sync::Arc;

use bowline_store::Store;

use super::Engine;

impl Engine {
    /// Where its runs are.
    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.shared.store
    }
}
