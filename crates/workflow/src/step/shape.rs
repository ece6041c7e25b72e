//! What is known at compile time of the values between steps.

use std::fmt;
use std::marker::PhantomData;

mod sealed {
    pub trait Sealed {}
}

/// What is known of a value: [`Typed`], [`Any`], or [`Undeclared`].
pub trait Shape: sealed::Sealed + 'static {
    /// An array of such values.
    type List: Shape;
}

/// A value that is a `T`.
pub struct Typed<T>(PhantomData<fn() -> T>);

/// A value whose type is found out while the workflow runs: behind branches, and around nested workflows. What does not fit
/// fails the step that gets it.
pub struct Any(());

/// What nobody has said anything about.
pub struct Undeclared(());

impl<T: 'static> sealed::Sealed for Typed<T> {}
impl sealed::Sealed for Any {}
impl sealed::Sealed for Undeclared {}

impl<T: 'static> Shape for Typed<T> {
    type List = Typed<Vec<T>>;
}

impl Shape for Any {
    type List = Self;
}

impl Shape for Undeclared {
    type List = Self;
}

/// A value of this shape can be given to what takes `S`.
#[diagnostic::on_unimplemented(
    message = "a step that takes `{S}` is given `{Self}`",
    label = "the entry before returns `{Self}`",
    note = "put `.map(..)` in between, or `.untyped()` to check it while the workflow runs"
)]
pub trait Feeds<S: Shape>: Shape {}

impl<T: 'static> Feeds<Self> for Typed<T> {}
impl<T: 'static> Feeds<Any> for Typed<T> {}
impl<T: 'static> Feeds<Undeclared> for Typed<T> {}
impl<S: Shape> Feeds<S> for Any {}
impl<S: Shape> Feeds<S> for Undeclared {}

/// The elements of a value of this shape can be given to what takes `S`.
#[diagnostic::on_unimplemented(
    message = "the elements of `{Self}` are given to a step that takes `{S}`",
    note = "`foreach` needs an array: the entry before has to return a `Vec` of what the step takes"
)]
pub trait FeedsEach<S: Shape>: Shape {}

impl<T: 'static, S: Shape> FeedsEach<S> for Typed<Vec<T>> where Typed<T>: Feeds<S> {}
impl<S: Shape> FeedsEach<S> for Any {}
impl<S: Shape> FeedsEach<S> for Undeclared {}

impl<T> fmt::Debug for Typed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Typed<{}>", std::any::type_name::<T>())
    }
}

impl fmt::Debug for Any {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Any")
    }
}

impl fmt::Debug for Undeclared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Undeclared")
    }
}
