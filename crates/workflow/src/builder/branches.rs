//! What stands side by side in an entry.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::function::IntoFunction;
use crate::Predicate;
use crate::definition::Condition;
use crate::step::{Any, Draft, Feeds, IntoStep, Shape};

/// What can be a condition: functions that answer with a `bool`, see [`IntoFunction`], and a [`Predicate`].
///
/// `M` only tells these kinds apart; it is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a condition",
    note = "a condition is an async function of `(StepContext, Input)`, `(Input)` or `(StepContext)`, or a plain one of \
            `(&StepContext, &Input)`, `(&Input)` or `(&StepContext)`, that returns `bool` or a `Result` of it; or a `Predicate`"
)]
pub trait IntoCondition<M> {
    /// What it takes.
    type Input: Shape;

    /// The condition on JSON.
    fn into_condition(self) -> Test;
}

/// A condition on JSON.
#[derive(Debug)]
pub struct Test(pub(super) Condition);

/// Marks conditions that are functions.
#[derive(Debug)]
pub struct Computed<M>(PhantomData<fn(M)>);
/// Marks conditions that are predicates.
#[derive(Debug)]
pub struct Declared(());

impl<M, F: IntoFunction<M, bool>> IntoCondition<Computed<M>> for F {
    type Input = F::Input;

    fn into_condition(self) -> Test {
        Test(Condition::Function(Arc::new(self.into_function())))
    }
}

impl IntoCondition<Declared> for Predicate {
    type Input = Any;

    fn into_condition(self) -> Test {
        Test(Condition::Predicate(Arc::new(self)))
    }
}

/// A branch: a step and the condition on which it runs. What both get has the shape `I`.
pub struct When<I> {
    pub(super) condition: Condition,
    pub(super) draft: Draft,
    shape: PhantomData<fn(I)>,
}

/// `step`, when `condition` holds, for [`branch`](super::WorkflowBuilder::branch).
pub fn when<I, M, C, N, S>(condition: C, step: S) -> When<I>
where
    C: IntoCondition<M>,
    S: IntoStep<N>,
    I: Feeds<C::Input> + Feeds<S::Input>,
{
    When {
        condition: condition.into_condition().0,
        draft: step.into_step().into_draft(),
        shape: PhantomData,
    }
}

impl<I> fmt::Debug for When<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("When")
            .field("condition", &self.condition)
            .finish_non_exhaustive()
    }
}

/// Steps that all get a value of the shape `I`: a tuple of up to eight, or an array or vector of one kind.
///
/// `M` only tells these kinds apart; it is always inferred.
pub trait IntoBranches<I, M> {
    /// The steps in order.
    fn into_branches(self) -> Branches;
}

/// Steps side by side.
pub struct Branches(pub(super) Vec<Draft>);

impl fmt::Debug for Branches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Branches").field(&self.0.len()).finish()
    }
}

impl<I, M, S, const N: usize> IntoBranches<I, [M; 1]> for [S; N]
where
    S: IntoStep<M>,
    I: Feeds<S::Input>,
{
    fn into_branches(self) -> Branches {
        Branches(
            self.into_iter()
                .map(|s| s.into_step().into_draft())
                .collect(),
        )
    }
}

impl<I, M, S> IntoBranches<I, [M; 1]> for Vec<S>
where
    S: IntoStep<M>,
    I: Feeds<S::Input>,
{
    fn into_branches(self) -> Branches {
        Branches(
            self.into_iter()
                .map(|s| s.into_step().into_draft())
                .collect(),
        )
    }
}

macro_rules! tuples {
    ($($($step:ident $marker:ident),+;)+) => {$(
        impl<Input, $($step, $marker),+> IntoBranches<Input, ($($marker,)+)> for ($($step,)+)
        where
            $($step: IntoStep<$marker>, Input: Feeds<$step::Input>,)+
        {
            fn into_branches(self) -> Branches {
                #[expect(non_snake_case, reason = "each is named as its type")]
                let ($($step,)+) = self;
                Branches(vec![$($step.into_step().into_draft()),+])
            }
        }
    )+};
}

tuples! {
    A MA;
    A MA, B MB;
    A MA, B MB, C MC;
    A MA, B MB, C MC, D MD;
    A MA, B MB, C MC, D MD, E ME;
    A MA, B MB, C MC, D MD, E ME, F MF;
    A MA, B MB, C MC, D MD, E ME, F MF, G MG;
    A MA, B MB, C MC, D MD, E ME, F MF, G MG, H MH;
}
