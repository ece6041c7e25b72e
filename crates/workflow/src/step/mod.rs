//! What does the work of a workflow: functions, closures and objects that become steps.

mod error;
mod function;
mod guard;
pub(crate) mod misfit;
mod name;
mod shape;
#[cfg(test)]
mod tests;
mod typed;

use std::future::Future;

use bowline_events::Text;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use error::{StepError, Tripwire};
pub(crate) use guard::caught;
pub use shape::{Any, Feeds, FeedsEach, Shape, Typed, Undeclared};
pub(crate) use typed::Draft;
pub use typed::{IntoStep, TypedStep};

use crate::StepContext;

/// A step that is an object. Functions are steps too, see [`IntoStep`].
///
/// ```
/// use bowline_workflow::{Step, StepContext, StepError, Workflow};
///
/// struct Add(u32);
///
/// impl Step for Add {
///     type Input = u32;
///     type Output = u32;
///
///     fn id(&self) -> bowline_events::Text {
///         format!("add-{}", self.0).into()
///     }
///
///     async fn run(&self, _: StepContext, input: u32) -> Result<u32, StepError> {
///         Ok(input + self.0)
///     }
/// }
///
/// Workflow::builder("sum").input::<u32>().step(Add(1)).step(Add(2)).build()?;
/// # Ok::<(), bowline_workflow::Error>(())
/// ```
pub trait Step: Send + Sync + 'static {
    /// What it takes.
    type Input: DeserializeOwned + Send + 'static;
    /// What it returns.
    type Output: Serialize + Send + 'static;

    /// The id, by which its results are kept. It must not change while runs of the workflow exist.
    fn id(&self) -> Text;

    /// One attempt. It may be called again for the same input: after a crash, and when it failed and is tried again.
    fn run(
        &self,
        context: StepContext,
        input: Self::Input,
    ) -> impl Future<Output = Result<Self::Output, StepError>> + Send;
}

/// The step `function` with an id of its own: for closures, which have no name, and for a function that is used twice.
///
/// ```
/// use bowline_workflow::{StepError, Workflow, step};
///
/// let double = step("double", |n: u32| async move { Ok::<_, StepError>(n * 2) });
/// Workflow::builder("doubling").input::<u32>().step(double).build()?;
/// # Ok::<(), bowline_workflow::Error>(())
/// ```
pub fn step<M, S: IntoStep<M>>(id: impl Into<Text>, function: S) -> TypedStep<S::Input, S::Output> {
    function.into_step().id(id)
}
