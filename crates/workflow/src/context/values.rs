//! The values that a step can read, and the state that it can change.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::StepContext;
use crate::step::{StepError, misfit};
use crate::{Data, Error, ErrorKind, Result};

impl StepContext {
    /// What the step gets: the output of the entry before, or an element of it in a `foreach`.
    ///
    /// # Errors
    /// A failure with the code `WORKFLOW_STEP_INPUT_VALIDATION_FAILED`, which is not tried again, when it is no `T`.
    pub fn input<T: DeserializeOwned>(&self) -> Result<T, StepError> {
        let input = self.0.view.input.as_str();
        serde_json::from_str(input).map_err(|error| misfit::input(input, &error))
    }

    /// What the workflow got.
    ///
    /// # Errors
    /// `InvalidInput` when it is no `T`.
    pub fn initial<T: DeserializeOwned>(&self) -> Result<T> {
        self.read("initial", &self.0.view.initial)
    }

    /// The state of the workflow as it was when the step began.
    ///
    /// # Errors
    /// `InvalidInput` when it is no `T`.
    pub fn state<T: DeserializeOwned>(&self) -> Result<T> {
        self.read("state", &self.0.view.state)
    }

    /// What whoever started or resumed the run said about the request.
    ///
    /// # Errors
    /// `InvalidInput` when it is no `T`.
    pub fn request_context<T: DeserializeOwned>(&self) -> Result<T> {
        self.read("request context", &self.0.view.request_context)
    }

    /// What the step `id` of this workflow returned; `None` when it did not, or not yet, or was skipped.
    ///
    /// # Errors
    /// `NotFound` when the workflow has no such step, `InvalidInput` when the output is no `T`.
    pub fn output_of<T: DeserializeOwned>(&self, id: &str) -> Result<Option<T>> {
        let view = &self.0.view;
        let output = match self.given(id) {
            Some(output) => Some(output.clone()),
            None => match view.workflow.index_of(id) {
                Some(index) => view.outputs.get(index),
                None => return Err(self.no_step(id)),
            },
        };
        output.map(|output| self.read(id, &output)).transpose()
    }

    /// The output of a step as it is; `None` also for a step that there is not.
    pub(crate) fn raw_output_of(&self, id: &str) -> Option<Data> {
        let view = &self.0.view;
        let given = self.given(id).cloned();
        given.or_else(|| view.outputs.get(view.workflow.index_of(id)?))
    }

    pub(crate) fn raw_input(&self) -> &Data {
        &self.0.view.input
    }

    pub(crate) fn raw_initial(&self) -> &Data {
        &self.0.view.initial
    }

    pub(crate) fn raw_state(&self) -> &Data {
        &self.0.view.state
    }

    /// Sets the members of `partial` in the state of the workflow, when the step has ended without failing. Other members
    /// stay; a member that is an object is replaced as a whole. Steps that run at the same time do not see it.
    ///
    /// # Errors
    /// `InvalidInput` when `partial` is not an object.
    pub fn set_state<T: Serialize + ?Sized>(&self, partial: &T) -> Result<()> {
        let partial = Data::of(partial)?;
        if !partial.is_object() {
            let message = "the state is an object; set it with a struct or a map of its members";
            return Err(Error::new(ErrorKind::InvalidInput, "set state", message)
                .with_subject(self.step_id().clone()));
        }
        self.changes().merge(&partial);
        Ok(())
    }

    /// What the step was resumed with; `None` when it was not.
    ///
    /// # Errors
    /// A failure with the code `WORKFLOW_STEP_RESUME_DATA_VALIDATION_FAILED`, which is not tried again, when it is no `R`.
    pub fn resumed<R: DeserializeOwned>(&self) -> Result<Option<R>, StepError> {
        let Some(data) = &self.0.view.resume else {
            return Ok(None);
        };
        let read = serde_json::from_str(data.as_str());
        read.map(Some)
            .map_err(|error| misfit::resume(data.as_str(), &error))
    }

    /// What the step suspended with before it was resumed; `None` when it did not.
    ///
    /// # Errors
    /// `InvalidInput` when it is no `S`.
    pub fn suspended_with<S: DeserializeOwned>(&self) -> Result<Option<S>> {
        let payload = self.0.view.suspended_with.as_ref();
        payload
            .map(|data| self.read("suspension", data))
            .transpose()
    }

    fn given(&self, id: &str) -> Option<&Data> {
        let given = self.0.given.iter().find(|(given, _)| given == id);
        given.map(|(_, output)| output)
    }

    fn read<T: DeserializeOwned>(&self, what: &str, data: &Data) -> Result<T> {
        serde_json::from_str(data.as_str()).map_err(|error| {
            let fault = misfit::describe(data.as_str(), &error);
            let message = format!("the {what} is not of the expected type: {fault}");
            Error::new(ErrorKind::InvalidInput, "read", message)
                .with_subject(self.step_id().clone())
                .with_source(error)
        })
    }

    fn no_step(&self, id: &str) -> Error {
        let message = format!(
            "the workflow {:?} has no step {id:?}; steps of nested workflows are not seen",
            self.workflow_id()
        );
        Error::new(ErrorKind::NotFound, "read output", message).with_subject(self.step_id().clone())
    }
}
