//! Declaring the schemas of a step.

use serde::Serialize;

use super::Part;
use crate::Result;
use crate::step::TypedStep;

/// Schemas, with the feature `schema`: JSON Schema of the drafts 4 to 2020-12, given as anything that is written as one, such as
/// a [`serde_json::Value`] or the `Schema` of `schemars`. A schema has at most 256 KiB and 64 levels. References lead to
/// places in the same schema; nothing is fetched. Formats that are known are checked.
///
/// ```
/// use bowline_workflow::{StepError, Workflow, step};
/// use serde_json::{Value, json};
///
/// let price = step("price", |order: Value| async move { Ok::<_, StepError>(order["count"].clone()) })
///     .input_schema(&json!({"type": "object", "properties": {"count": {"type": "integer"}}, "required": ["count"]}))?
///     .output_schema(&json!({"type": "integer"}))?;
/// let label = step("label", |text: Value| async move { Ok::<_, StepError>(text) })
///     .input_schema(&json!({"type": "string"}))?;
/// let refused = Workflow::builder("shop").step(price).step(label).build().unwrap_err();
/// assert!(refused.message().starts_with("what the step \"price\" returns does not fit what the step \"label\" takes"));
/// # Ok::<(), bowline_workflow::Error>(())
/// ```
impl<I, O> TypedStep<I, O> {
    /// What it takes. Something else fails it with the code `WORKFLOW_STEP_INPUT_VALIDATION_FAILED` before it is called, and is
    /// not tried again.
    ///
    /// # Errors
    /// `InvalidDefinition` when `schema` is no valid schema, or too large.
    pub fn input_schema<T: Serialize + ?Sized>(self, schema: &T) -> Result<Self> {
        self.declare(Part::Input, schema)
    }

    /// What it returns. As in the reference that is not checked while the workflow runs: a step that takes something else
    /// is refused when the workflow is built. In the graph an agent has it as its `outputSchema`.
    ///
    /// # Errors
    /// As [`input_schema`](Self::input_schema).
    pub fn output_schema<T: Serialize + ?Sized>(self, schema: &T) -> Result<Self> {
        self.declare(Part::Output, schema)
    }

    /// What it is resumed with; it [can suspend](Self::resumes) then. Something else is refused by whoever is to resume it, and the
    /// run waits on; where it comes another way, it fails the step with the code `WORKFLOW_STEP_RESUME_DATA_VALIDATION_FAILED`.
    ///
    /// # Errors
    /// As [`input_schema`](Self::input_schema).
    pub fn resume_schema<T: Serialize + ?Sized>(self, schema: &T) -> Result<Self> {
        self.declare(Part::Resume, schema)
    }

    /// What it suspends with, where that is not `null`. Something else fails it with the code
    /// `WORKFLOW_STEP_SUSPEND_DATA_VALIDATION_FAILED`, and is not tried again.
    ///
    /// # Errors
    /// As [`input_schema`](Self::input_schema).
    pub fn suspend_schema<T: Serialize + ?Sized>(self, schema: &T) -> Result<Self> {
        self.declare(Part::Suspend, schema)
    }

    /// What the state is after it has set something of it. If it is something else the step has failed, and is not tried
    /// again.
    ///
    /// # Errors
    /// As [`input_schema`](Self::input_schema).
    pub fn state_schema<T: Serialize + ?Sized>(self, schema: &T) -> Result<Self> {
        self.declare(Part::State, schema)
    }

    fn declare<T: Serialize + ?Sized>(self, part: Part, schema: &T) -> Result<Self> {
        let mut draft = self.into_draft();
        draft.declare(part, schema)?;
        Ok(Self::new(draft))
    }
}
