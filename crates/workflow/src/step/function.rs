//! Lowering functions with types to functions on JSON.

use std::future::Future;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::typed::{ContextOnly, Draft, Implemented, InputOnly, IntoStep, TypedStep, WithContext};
use super::{Any, Step, StepError, Typed, caught, name};
use crate::definition::{BoxFuture, StepFunction};
use crate::machine::{Completion, Outcome};
use crate::{Data, StepContext};

/// A step on JSON.
struct Lowered<F>(F);

impl<F, Fut> StepFunction for Lowered<F>
where
    F: Fn(StepContext) -> Fut + Send + Sync,
    Fut: Future<Output = Result<Data, StepError>> + Send + 'static,
{
    fn call(&self, context: StepContext) -> BoxFuture<Completion> {
        let work = (self.0)(context.clone());
        Box::pin(async move {
            let outcome = match caught(work).await {
                Ok(output) => Outcome::Success(output),
                Err(error) => error.into_outcome(),
            };
            Completion {
                outcome,
                state: context.take_changes(),
            }
        })
    }
}

/// `function` has to do everything in its future, so that panics are caught there.
fn lower<F, Fut>(function: F) -> Arc<dyn StepFunction>
where
    F: Fn(StepContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Data, StepError>> + Send + 'static,
{
    Arc::new(Lowered(function))
}

fn written<O: Serialize, E: Into<StepError>>(result: Result<O, E>) -> Result<Data, StepError> {
    match result {
        Ok(output) => Ok(Data::of(&output)?),
        Err(error) => Err(error.into()),
    }
}

impl<F, Fut, A, O, E> IntoStep<WithContext<A>> for F
where
    F: Fn(StepContext, A) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, E>> + Send + 'static,
    A: DeserializeOwned + Send + 'static,
    O: Serialize + 'static,
    E: Into<StepError> + 'static,
{
    type Input = Typed<A>;
    type Output = Typed<O>;

    fn into_step(self) -> TypedStep<Typed<A>, Typed<O>> {
        let function = Arc::new(self);
        let work = lower(move |context| {
            let function = Arc::clone(&function);
            async move {
                let input = context.input()?;
                written(function(context, input).await)
            }
        });
        TypedStep::new(Draft::new(name::of::<F>(), work))
    }
}

impl<F, Fut, A, O, E> IntoStep<InputOnly<A>> for F
where
    F: Fn(A) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, E>> + Send + 'static,
    A: DeserializeOwned + Send + 'static,
    O: Serialize + 'static,
    E: Into<StepError> + 'static,
{
    type Input = Typed<A>;
    type Output = Typed<O>;

    fn into_step(self) -> TypedStep<Typed<A>, Typed<O>> {
        let function = Arc::new(self);
        let work = lower(move |context| {
            let function = Arc::clone(&function);
            async move { written(function(context.input()?).await) }
        });
        TypedStep::new(Draft::new(name::of::<F>(), work))
    }
}

impl<F, Fut, O, E> IntoStep<ContextOnly> for F
where
    F: Fn(StepContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, E>> + Send + 'static,
    O: Serialize + 'static,
    E: Into<StepError> + 'static,
{
    type Input = Any;
    type Output = Typed<O>;

    fn into_step(self) -> TypedStep<Any, Typed<O>> {
        let function = Arc::new(self);
        let work = lower(move |context| {
            let function = Arc::clone(&function);
            async move { written(function(context).await) }
        });
        TypedStep::new(Draft::new(name::of::<F>(), work))
    }
}

impl<S: Step> IntoStep<Implemented> for S {
    type Input = Typed<S::Input>;
    type Output = Typed<S::Output>;

    fn into_step(self) -> TypedStep<Typed<S::Input>, Typed<S::Output>> {
        let id = self.id();
        let step = Arc::new(self);
        let work = lower(move |context| {
            let step = Arc::clone(&step);
            async move {
                let input = context.input()?;
                written(step.run(context, input).await)
            }
        });
        TypedStep::new(Draft::new(Some(id), work))
    }
}
