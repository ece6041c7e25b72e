//! What a step sees.

use crate::machine::View;

/// What a step sees of its run.
#[derive(Debug)]
pub struct StepContext {
    pub(crate) view: View,
}
