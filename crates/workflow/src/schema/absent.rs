//! Workflows without schemas.

use std::sync::Arc;

use crate::definition::StepFunction;
use crate::{Data, Result, Workflow};

/// No schemas.
#[derive(Debug, Clone, Default)]
pub(crate) struct Schemas(());

impl Schemas {
    pub(crate) fn is_empty(&self) -> bool {
        true
    }

    pub(crate) fn output_text(&self) -> Option<Data> {
        None
    }

    pub(crate) fn check_input(&self, _: &Data) -> Result<()> {
        Ok(())
    }

    pub(crate) fn check_state(&self, _: &Data) -> Result<()> {
        Ok(())
    }

    pub(crate) fn guard(self, function: Arc<dyn StepFunction>) -> Arc<dyn StepFunction> {
        function
    }
}

/// Whether the schemas of its steps meet: there are none.
pub(crate) fn check(_: &Workflow) -> Result<()> {
    Ok(())
}
