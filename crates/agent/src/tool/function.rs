//! What can be a tool.

use std::future::Future;
use std::marker::PhantomData;

use bowline_events::Text;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Tool, ToolBuilder, ToolContext, ToolError, name};
use crate::Data;

/// What can be a tool: async functions that take a [`ToolContext`], arguments, both or nothing, and return a `Result`; closures
/// of that kind, which need a name by [`tool`]; and tools. The name of a function is that of the tool.
///
/// An `async` closure cannot keep anything of its surroundings here, because its future would borrow it; write
/// `move |args: Args| { let kept = kept.clone(); async move { .. } }` for that.
///
/// `M` only tells these kinds apart; it is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a tool",
    note = "a tool is an async function `(ToolContext, Args) -> Result<Output, ToolError>`, `(Args) -> ..`, `(ToolContext) -> ..` \
            or `() -> ..`, or a `Tool`; the arguments are `Deserialize` and `JsonSchema`, the output is `Serialize`, and its \
            future is `Send`"
)]
pub trait IntoTool<M>: Sized {
    /// Its arguments.
    type Args;

    /// The tool, to set something for it.
    fn into_tool(self) -> ToolBuilder<Self::Args>;
}

/// Marks functions of a context and arguments.
#[derive(Debug)]
pub struct WithContext<A>(PhantomData<fn(A)>);
/// Marks functions of arguments.
#[derive(Debug)]
pub struct ArgsOnly<A>(PhantomData<fn(A)>);
/// Marks functions of a context.
#[derive(Debug)]
pub struct ContextOnly(());
/// Marks functions of nothing.
#[derive(Debug)]
pub struct Bare(());
/// Marks tools.
#[derive(Debug)]
pub struct Ready(());

impl<F, Fut, A, O, E> IntoTool<WithContext<A>> for F
where
    F: Fn(ToolContext, A) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, E>> + Send + 'static,
    A: DeserializeOwned + JsonSchema + Send + 'static,
    O: Serialize + 'static,
    E: Into<ToolError> + 'static,
{
    type Args = A;

    fn into_tool(self) -> ToolBuilder<A> {
        ToolBuilder::typed(name::of::<F>(), self)
    }
}

impl<F, Fut, A, O, E> IntoTool<ArgsOnly<A>> for F
where
    F: Fn(A) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, E>> + Send + 'static,
    A: DeserializeOwned + JsonSchema + Send + 'static,
    O: Serialize + 'static,
    E: Into<ToolError> + 'static,
{
    type Args = A;

    fn into_tool(self) -> ToolBuilder<A> {
        ToolBuilder::typed(name::of::<F>(), move |_, args| self(args))
    }
}

impl<F, Fut, O, E> IntoTool<ContextOnly> for F
where
    F: Fn(ToolContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, E>> + Send + 'static,
    O: Serialize + 'static,
    E: Into<ToolError> + 'static,
{
    type Args = Data;

    fn into_tool(self) -> ToolBuilder {
        ToolBuilder::bare(name::of::<F>(), self)
    }
}

impl<F, Fut, O, E> IntoTool<Bare> for F
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, E>> + Send + 'static,
    O: Serialize + 'static,
    E: Into<ToolError> + 'static,
{
    type Args = Data;

    fn into_tool(self) -> ToolBuilder {
        ToolBuilder::bare(name::of::<F>(), move |_| self())
    }
}

impl IntoTool<Ready> for Tool {
    type Args = Data;

    fn into_tool(self) -> ToolBuilder {
        ToolBuilder::of(&self)
    }
}

impl<A> IntoTool<Ready> for ToolBuilder<A> {
    type Args = A;

    fn into_tool(self) -> Self {
        self
    }
}

/// The tool `function` with a name of its own: for closures, which have none, and for a function that is used twice.
///
/// ```
/// use bowline_agent::schemars::JsonSchema;
/// use bowline_agent::tool::{ToolContext, ToolError, tool};
/// use serde::Deserialize;
///
/// #[derive(Deserialize, JsonSchema)]
/// struct SearchArgs {
///     query: String,
/// }
///
/// let search = tool("search", async |ctx: ToolContext, args: SearchArgs| -> Result<Vec<String>, ToolError> {
///     ctx.write("looking").await?;
///     Ok(vec![args.query])
/// })
/// .description("Looks for pages.")
/// .build()?;
/// # Ok::<(), bowline_agent::Error>(())
/// ```
pub fn tool<M, T: IntoTool<M>>(name: impl Into<Text>, function: T) -> ToolBuilder<T::Args> {
    function.into_tool().name(name)
}
