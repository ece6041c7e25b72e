//! A step whose values are checked.

use std::sync::Arc;

use super::Schemas;
use super::declared::check;
use crate::data::Fields;
use crate::definition::{BoxFuture, StepFunction};
use crate::machine::{Completion, Outcome};
use crate::step::{StepError, misfit};
use crate::{Data, StepContext};

/// A step that is given, and gives, what was declared, or has failed.
pub(super) struct Guarded {
    function: Arc<dyn StepFunction>,
    schemas: Arc<Schemas>,
}

impl Guarded {
    pub(super) fn new(function: Arc<dyn StepFunction>, schemas: Schemas) -> Self {
        Self {
            function,
            schemas: Arc::new(schemas),
        }
    }
}

impl StepFunction for Guarded {
    fn call(&self, context: StepContext) -> BoxFuture<Completion> {
        let (function, schemas) = (Arc::clone(&self.function), Arc::clone(&self.schemas));
        Box::pin(async move {
            if let Err(error) = before(&schemas, &context) {
                return error.into_outcome().into();
            }
            let completion = function.call(context.clone()).await;
            match after(&schemas, &context, &completion) {
                Ok(()) => completion,
                Err(error) => error.into_outcome().into(),
            }
        })
    }

    fn source(&self) -> &str {
        self.function.source()
    }

    fn check_resume(&self, data: &Data) -> crate::Result<()> {
        self.schemas.check_resume(data)?;
        self.function.check_resume(data)
    }

    fn schemas(&self) -> Option<&Schemas> {
        Some(&self.schemas)
    }
}

/// What the step gets.
fn before(schemas: &Schemas, context: &StepContext) -> Result<(), StepError> {
    let input = check(schemas.input.as_deref(), context.raw_input());
    input.map_err(|faults| misfit::input_faults(&faults.lines()))?;
    if let Some(schema) = &schemas.resume
        && let Some(data) = context.resumed::<Data>()?
    {
        let resume = schema.check(&data);
        resume.map_err(|faults| misfit::resume_faults(&faults.lines()))?;
    }
    Ok(())
}

/// What the step sets and suspends with. As in the reference, what it returns is not looked at.
fn after(
    schemas: &Schemas,
    context: &StepContext,
    completion: &Completion,
) -> Result<(), StepError> {
    if let Outcome::Suspended(suspension) = &completion.outcome
        && !suspension.payload.is_null()
    {
        let suspend = check(schemas.suspend.as_deref(), &suspension.payload);
        suspend.map_err(|faults| misfit::suspend_faults(&faults.lines()))?;
    }
    if let Some(schema) = &schemas.state
        && let Some(changes) = &completion.state
        && !matches!(completion.outcome, Outcome::Failed(_) | Outcome::Canceled)
    {
        let mut state = Fields::of(context.raw_state());
        state.merge(changes);
        let state = schema.check(&state.to_data());
        state.map_err(|faults| misfit::state_faults(&faults.lines()))?;
    }
    Ok(())
}
