//! Functions that answer a question of the engine: whether, how many, how long.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use bowline_events::Timestamp;
use serde::de::DeserializeOwned;

use crate::definition::{BoxFuture, ConditionFunction, InstantFunction, WidthFunction};
use crate::step::{Any, Shape, StepError, Typed, caught};
use crate::{Error, ErrorKind, Result, StepContext};

/// What can answer with a `T`: functions, async ones of a [`StepContext`], an input, or both, and plain ones that take them by
/// reference. They return a `T`, or a `Result` of one. They may be called again after a crash.
///
/// `M` only tells these kinds apart; it is always inferred.
pub trait IntoFunction<M, T> {
    /// What it takes.
    type Input: Shape;

    /// The function on JSON.
    fn into_function(self) -> Function<T>;
}

/// A function that answers with a `T`, on JSON.
pub struct Function<T>(Arc<dyn Fn(StepContext) -> BoxFuture<Result<T>> + Send + Sync>);

/// Something that a function may return in place of a `T`.
pub trait Answer<T> {
    /// The `T`, or why there is none.
    ///
    /// # Errors
    /// That of the function.
    fn answer(self) -> Result<T, StepError>;
}

macro_rules! answers {
    ($($type:ty),*) => {$(
        impl Answer<$type> for $type {
            fn answer(self) -> Result<$type, StepError> {
                Ok(self)
            }
        }

        impl<E: Into<StepError>> Answer<$type> for Result<$type, E> {
            fn answer(self) -> Result<$type, StepError> {
                self.map_err(Into::into)
            }
        }
    )*};
}

answers!(bool, usize, Duration, Timestamp);

impl<T: 'static> Function<T> {
    /// `function` has to do everything in its future, so that panics are caught there.
    fn new<Fut>(function: impl Fn(StepContext) -> Fut + Send + Sync + 'static) -> Self
    where
        Fut: Future<Output = Result<T, StepError>> + Send + 'static,
    {
        Self(Arc::new(move |context| {
            let work = function(context.clone());
            Box::pin(async move {
                let answer = caught(work).await;
                answer.map_err(|error| failed(&context, &error))
            })
        }))
    }
}

fn failed(context: &StepContext, error: &StepError) -> Error {
    let message = format!("a function of the workflow failed: {error}");
    Error::new(ErrorKind::InvalidInput, "evaluate", message).with_subject(context.step_id().clone())
}

/// Marks async functions of a context and an input.
#[derive(Debug)]
pub struct AsyncOfBoth<A>(PhantomData<fn(A)>);
/// Marks async functions of an input.
#[derive(Debug)]
pub struct AsyncOfInput<A>(PhantomData<fn(A)>);
/// Marks async functions of a context.
#[derive(Debug)]
pub struct AsyncOfContext(());
/// Marks plain functions of a context and an input.
#[derive(Debug)]
pub struct PlainOfBoth<A, R>(PhantomData<fn(A) -> R>);
/// Marks plain functions of an input.
#[derive(Debug)]
pub struct PlainOfInput<A, R>(PhantomData<fn(A) -> R>);
/// Marks plain functions of a context.
#[derive(Debug)]
pub struct PlainOfContext<R>(PhantomData<fn() -> R>);

impl<T, F, Fut, A> IntoFunction<AsyncOfBoth<A>, T> for F
where
    T: 'static,
    F: Fn(StepContext, A) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: Answer<T>> + Send + 'static,
    A: DeserializeOwned + Send + 'static,
{
    type Input = Typed<A>;

    fn into_function(self) -> Function<T> {
        let function = Arc::new(self);
        Function::new(move |context| {
            let function = Arc::clone(&function);
            async move {
                let input = context.input()?;
                function(context, input).await.answer()
            }
        })
    }
}

impl<T, F, Fut, A> IntoFunction<AsyncOfInput<A>, T> for F
where
    T: 'static,
    F: Fn(A) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: Answer<T>> + Send + 'static,
    A: DeserializeOwned + Send + 'static,
{
    type Input = Typed<A>;

    fn into_function(self) -> Function<T> {
        let function = Arc::new(self);
        Function::new(move |context| {
            let function = Arc::clone(&function);
            async move { function(context.input()?).await.answer() }
        })
    }
}

impl<T, F, Fut> IntoFunction<AsyncOfContext, T> for F
where
    T: 'static,
    F: Fn(StepContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: Answer<T>> + Send + 'static,
{
    type Input = Any;

    fn into_function(self) -> Function<T> {
        let function = Arc::new(self);
        Function::new(move |context| {
            let function = Arc::clone(&function);
            async move { function(context).await.answer() }
        })
    }
}

impl<T, F, A, R> IntoFunction<PlainOfBoth<A, R>, T> for F
where
    T: 'static,
    F: Fn(&StepContext, &A) -> R + Send + Sync + 'static,
    A: DeserializeOwned + 'static,
    R: Answer<T>,
{
    type Input = Typed<A>;

    fn into_function(self) -> Function<T> {
        let function = Arc::new(self);
        Function::new(move |context| {
            let function = Arc::clone(&function);
            async move { function(&context, &context.input()?).answer() }
        })
    }
}

impl<T, F, A, R> IntoFunction<PlainOfInput<A, R>, T> for F
where
    T: 'static,
    F: Fn(&A) -> R + Send + Sync + 'static,
    A: DeserializeOwned + 'static,
    R: Answer<T>,
{
    type Input = Typed<A>;

    fn into_function(self) -> Function<T> {
        let function = Arc::new(self);
        Function::new(move |context| {
            let function = Arc::clone(&function);
            async move { function(&context.input()?).answer() }
        })
    }
}

impl<T, F, R> IntoFunction<PlainOfContext<R>, T> for F
where
    T: 'static,
    F: Fn(&StepContext) -> R + Send + Sync + 'static,
    R: Answer<T>,
{
    type Input = Any;

    fn into_function(self) -> Function<T> {
        let function = Arc::new(self);
        Function::new(move |context| {
            let function = Arc::clone(&function);
            async move { function(&context).answer() }
        })
    }
}

impl ConditionFunction for Function<bool> {
    fn call(&self, context: StepContext) -> BoxFuture<Result<bool>> {
        (self.0)(context)
    }
}

impl WidthFunction for Function<usize> {
    fn call(&self, context: StepContext) -> BoxFuture<Result<usize>> {
        (self.0)(context)
    }
}

impl InstantFunction for Function<Timestamp> {
    fn call(&self, context: StepContext) -> BoxFuture<Result<Timestamp>> {
        (self.0)(context)
    }
}

/// A duration from the call on.
impl InstantFunction for Function<Duration> {
    fn call(&self, context: StepContext) -> BoxFuture<Result<Timestamp>> {
        let duration = (self.0)(context.clone());
        Box::pin(async move {
            let millis = i64::try_from(duration.await?.as_millis()).unwrap_or(i64::MAX);
            let now = context.now().as_millis();
            Ok(Timestamp::from_millis(now.saturating_add(millis)))
        })
    }

    fn is_duration(&self) -> bool {
        true
    }
}

impl<T> Clone for Function<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Function<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Function")
    }
}
