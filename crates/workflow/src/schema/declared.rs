//! What a step or a workflow declares.

use std::sync::Arc;

use serde::Serialize;

use super::Schema;
use super::fault::Faults;
use super::guarded::Guarded;
use crate::definition::StepFunction;
use crate::{Data, Error, ErrorKind, Result};

/// What a schema is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Input,
    Output,
    Resume,
    Suspend,
    State,
}

/// The schemas that were declared. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Schemas {
    pub(crate) input: Option<Arc<Schema>>,
    pub(crate) output: Option<Arc<Schema>>,
    pub(crate) resume: Option<Arc<Schema>>,
    pub(crate) suspend: Option<Arc<Schema>>,
    pub(crate) state: Option<Arc<Schema>>,
}

impl Part {
    /// Whether whoever declares it can suspend.
    pub(crate) fn suspends(self) -> bool {
        matches!(self, Self::Resume | Self::Suspend)
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
            Self::Resume => "resume",
            Self::Suspend => "suspend",
            Self::State => "state",
        }
    }
}

impl Schemas {
    /// Declares `schema` for `part` of `whose`.
    ///
    /// # Errors
    /// `InvalidDefinition` when it cannot be written as JSON, is too large, or is no valid schema.
    pub(crate) fn declare<T: Serialize + ?Sized>(
        &mut self,
        part: Part,
        schema: &T,
        whose: &str,
    ) -> Result<()> {
        let refused = |problem: &str| {
            let message = format!("the {} schema of {whose} {problem}", part.as_str());
            Error::new(ErrorKind::InvalidDefinition, "declare", message)
        };
        let json = Data::of(schema).map_err(|error| refused(error.message()).with_source(error))?;
        let schema = Schema::compile(&json).map_err(|problem| refused(&problem))?;
        let slot = match part {
            Part::Input => &mut self.input,
            Part::Output => &mut self.output,
            Part::Resume => &mut self.resume,
            Part::Suspend => &mut self.suspend,
            Part::State => &mut self.state,
        };
        *slot = Some(Arc::new(schema));
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        let all = [
            &self.input,
            &self.output,
            &self.resume,
            &self.suspend,
            &self.state,
        ];
        all.into_iter().all(Option::is_none)
    }

    /// The schema of what is returned.
    pub(crate) fn output_text(&self) -> Option<Data> {
        self.output.as_ref().map(|schema| schema.text().clone())
    }

    /// Whether `data` can be the input.
    pub(crate) fn check_input(&self, data: &Data) -> Result<()> {
        check(self.input.as_deref(), data).map_err(misfit)
    }

    /// Whether it can be resumed with `data`.
    pub(crate) fn check_resume(&self, data: &Data) -> Result<()> {
        check(self.resume.as_deref(), data).map_err(misfit)
    }

    /// Whether `data` can be the state.
    pub(crate) fn check_state(&self, data: &Data) -> Result<()> {
        check(self.state.as_deref(), data).map_err(misfit)
    }

    /// `function`, and around it the checks.
    pub(crate) fn guard(self, function: Arc<dyn StepFunction>) -> Arc<dyn StepFunction> {
        if self.is_empty() {
            return function;
        }
        Arc::new(Guarded::new(function, self))
    }
}

pub(super) fn check(schema: Option<&Schema>, data: &Data) -> Result<(), Faults> {
    schema.map_or(Ok(()), |schema| schema.check(data))
}

fn misfit(faults: Faults) -> Error {
    let message = faults.to_string();
    Error::new(ErrorKind::InvalidInput, "check", message).with_source(faults)
}
