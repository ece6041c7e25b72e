//! Declaring the schemas of a workflow.

use serde::Serialize;

use super::WorkflowBuilder;
use crate::Result;
use crate::schema::Part;

/// Schemas, with the feature `schema`. What can be one is said at [`TypedStep`](crate::TypedStep).
impl<I, O, C, L> WorkflowBuilder<I, O, C, L> {
    /// What it takes. A run cannot start with something else, and a first step that takes something else is refused by
    /// [`build`](Self::build).
    ///
    /// # Errors
    /// `InvalidDefinition` when `schema` is no valid schema, or too large.
    pub fn input_schema<T: Serialize + ?Sized>(self, schema: &T) -> Result<Self> {
        self.declare(Part::Input, schema)
    }

    /// What it returns. A last step that returns something else is refused by [`build`](Self::build).
    ///
    /// # Errors
    /// As [`input_schema`](Self::input_schema).
    pub fn output_schema<T: Serialize + ?Sized>(self, schema: &T) -> Result<Self> {
        self.declare(Part::Output, schema)
    }

    /// What its state is at the start, if there is one. A run cannot start with something else.
    ///
    /// # Errors
    /// As [`input_schema`](Self::input_schema).
    pub fn state_schema<T: Serialize + ?Sized>(self, schema: &T) -> Result<Self> {
        self.declare(Part::State, schema)
    }

    fn declare<T: Serialize + ?Sized>(mut self, part: Part, schema: &T) -> Result<Self> {
        let whose = format!("the workflow {:?}", self.plan.id());
        self.plan.options.schemas.declare(part, schema, &whose)?;
        Ok(self)
    }
}
