//! What the bridge to Node needs of an engine.

use std::sync::Arc;

use bowline_store::Store;

use super::Engine;
use crate::Clock;

impl Engine {
    /// Where its runs are.
    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.shared.store
    }

    /// What tells it the time of day.
    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.shared.options.clock
    }
}
