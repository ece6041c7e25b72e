//! Putting a tool together.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bowline_events::Text;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Approval, Inner, Tool, ToolContext, ToolError, Work, guard, name, read, schema};
use crate::model::ToolDefinition;
use crate::{Data, Error, ErrorKind, Result};

/// A tool that something is set for; `A` is the type of its arguments, [`Data`] when nobody says.
///
/// ```
/// use bowline_agent::schemars::JsonSchema;
/// use bowline_agent::tool::{IntoTool, ToolError};
/// use serde::Deserialize;
///
/// /// Sends money.
/// #[derive(Deserialize, JsonSchema)]
/// struct Payment {
///     to: String,
///     euros: u32,
/// }
///
/// async fn pay(payment: Payment) -> Result<String, ToolError> {
///     Ok(format!("{} euros are on their way to {}", payment.euros, payment.to))
/// }
///
/// let pay = pay.into_tool().requires_approval_when(|payment| payment.euros > 100).build()?;
/// assert_eq!(pay.name(), &"pay");
/// assert_eq!(&*pay.definition().description, "Sends money.");
/// # Ok::<(), bowline_agent::Error>(())
/// ```
#[must_use = "a tool that nobody builds does nothing"]
pub struct ToolBuilder<A = Data> {
    draft: Draft,
    args: PhantomData<fn(A)>,
}

/// A tool that is not checked yet.
struct Draft {
    name: Option<Text>,
    description: Option<Text>,
    input_schema: Option<Data>,
    approval: Approval,
    suspend_schema: Option<Data>,
    resume_schema: Option<Data>,
    timeout: Option<Duration>,
    work: Option<Arc<Work>>,
    client_side: bool,
    /// The first thing that is wrong with it.
    fault: Option<String>,
}

impl Tool {
    /// A tool that is described by its parts: one that is known only when the program runs, or one that the client executes.
    ///
    /// ```
    /// use bowline_agent::tool::{Tool, ToolError};
    /// use bowline_agent::Data;
    ///
    /// let echo = Tool::builder("echo")
    ///     .description("Says it again.")
    ///     .input_schema(Data::from_json(r#"{"type":"object","properties":{"text":{"type":"string"}}}"#)?)
    ///     .run(|_, args| async move { Ok::<_, ToolError>(args) })
    ///     .build()?;
    /// let confirm = Tool::builder("confirm").client_side().build()?;
    /// assert!(confirm.is_client_side() && !echo.is_client_side());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder(name: impl Into<Text>) -> ToolBuilder {
        ToolBuilder::untyped().name(name)
    }
}

impl ToolBuilder {
    fn untyped() -> Self {
        Self::new(Draft {
            name: None,
            description: None,
            input_schema: None,
            approval: Approval::Unset,
            suspend_schema: None,
            resume_schema: None,
            timeout: None,
            work: None,
            client_side: false,
            fault: None,
        })
    }

    /// What `tool` is, to change some of it.
    pub(super) fn of(tool: &Tool) -> Self {
        let inner = &tool.0;
        Self::new(Draft {
            name: Some(inner.definition.name.clone()),
            description: Some(inner.definition.description.clone()),
            input_schema: Some(inner.definition.input_schema.clone()),
            approval: inner.approval.clone(),
            suspend_schema: inner.suspend_schema.clone(),
            resume_schema: inner.resume_schema.clone(),
            timeout: None,
            client_side: inner.work.is_none(),
            work: inner.work.clone(),
            fault: None,
        })
    }

    /// What it does with any arguments. They are JSON of at most [`MAX_TOOL_BYTES`](super::MAX_TOOL_BYTES), and fit the schema as
    /// far as the model keeps to it.
    pub fn run<F, Fut, O, E>(mut self, function: F) -> Self
    where
        F: Fn(ToolContext, Data) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, E>> + Send + 'static,
        O: Serialize + 'static,
        E: Into<ToolError> + 'static,
    {
        let function = Arc::new(function);
        self.draft.work = Some(work(move |context, args| {
            let function = Arc::clone(&function);
            async move {
                function(context, read::any(args)?)
                    .await
                    .map_err(Into::into)
            }
        }));
        self
    }
}

impl<A> ToolBuilder<A> {
    fn new(draft: Draft) -> Self {
        Self {
            draft,
            args: PhantomData,
        }
    }

    /// The name by which the model calls it: 1 to 128 ASCII letters, digits, `_` and `-`.
    pub fn name(mut self, name: impl Into<Text>) -> Self {
        self.draft.name = Some(name.into());
        self
    }

    /// What it is for; the model reads it. The default is what the type of the arguments says of itself.
    pub fn description(mut self, description: impl Into<Text>) -> Self {
        self.draft.description = Some(description.into());
        self
    }

    /// The JSON schema of its arguments, an object, in place of that of their type.
    pub fn input_schema(mut self, schema: Data) -> Self {
        if !schema.is_object() {
            self.fault("the schema of its arguments is no JSON object".to_owned());
        }
        self.draft.input_schema = Some(schema);
        self
    }

    /// Somebody has to approve every call before it is made.
    pub fn requires_approval(mut self) -> Self {
        self.draft.approval = Approval::Always;
        self
    }

    /// It suspends with an `S` and is resumed with an `R`. Its calls are made one at a time then, because each may wait.
    pub fn suspends<S: JsonSchema, R: JsonSchema>(mut self) -> Self {
        self.draft.suspend_schema = Some(schema::of::<S>());
        self.draft.resume_schema = Some(schema::of::<R>());
        self
    }

    /// How long one call may take, more than nothing; then its future is dropped and the model is told.
    pub fn timeout(mut self, limit: Duration) -> Self {
        if limit.is_zero() {
            self.fault("no call of it ends within 0s; give it more time".to_owned());
        }
        self.draft.timeout = Some(limit);
        self
    }

    /// Whoever started the run executes it: the run ends with its calls, and the next one brings their results.
    pub fn client_side(mut self) -> Self {
        self.draft.client_side = true;
        self.draft.work = None;
        self
    }

    /// The tool.
    ///
    /// # Errors
    /// `InvalidDefinition` when it has no name or one that providers refuse, no function although it is not client-side, or
    /// arguments that are no JSON object.
    pub fn build(self) -> Result<Tool> {
        let Draft {
            name,
            description,
            input_schema,
            approval,
            suspend_schema,
            resume_schema,
            timeout,
            work,
            client_side,
            fault,
        } = self.draft;
        let Some(name) = name else {
            let message = "a closure has no name; write tool(\"a_name\", closure)";
            return Err(Error::new(
                ErrorKind::InvalidDefinition,
                "build tool",
                message,
            ));
        };
        let missing = (work.is_none() && !client_side)
            .then(|| "it does nothing; give it a function, or write .client_side()".to_owned());
        if let Some(message) = fault.or_else(|| name::fault(&name)).or(missing) {
            return Err(
                Error::new(ErrorKind::InvalidDefinition, "build tool", message).with_subject(name),
            );
        }
        Ok(Tool(Arc::new(Inner {
            definition: ToolDefinition {
                name,
                description: description.unwrap_or_else(|| "".into()),
                input_schema: input_schema.unwrap_or_else(schema::empty),
            },
            approval,
            suspend_schema,
            resume_schema,
            work: match (work, timeout) {
                (Some(work), Some(limit)) => Some(limited(work, limit)),
                (work, _) => work,
            },
        })))
    }

    fn fault(&mut self, fault: String) {
        self.draft.fault.get_or_insert(fault);
    }
}

impl<A: DeserializeOwned + JsonSchema + Send + 'static> ToolBuilder<A> {
    /// A tool with the schema of `A` that does `function`.
    pub(super) fn typed<F, Fut, O, E>(name: Option<Text>, function: F) -> Self
    where
        F: Fn(ToolContext, A) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, E>> + Send + 'static,
        O: Serialize + 'static,
        E: Into<ToolError> + 'static,
    {
        let function = Arc::new(function);
        let mut draft = ToolBuilder::untyped().draft;
        draft.name = name;
        draft.work = Some(work(move |context: ToolContext, args: Data| {
            let function = Arc::clone(&function);
            async move {
                let args = read::args(context.tool(), &args)?;
                function(context, args).await.map_err(Into::into)
            }
        }));
        match schema::of_args::<A>() {
            Ok(input) => {
                draft.input_schema = Some(input.schema);
                draft.description = input.description.map(Text::from);
            }
            Err(fault) => draft.fault = Some(fault),
        }
        Self::new(draft)
    }
}

impl<A> ToolBuilder<A> {
    /// A tool without arguments that does `function`.
    pub(super) fn bare<F, Fut, O, E>(name: Option<Text>, function: F) -> Self
    where
        F: Fn(ToolContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, E>> + Send + 'static,
        O: Serialize + 'static,
        E: Into<ToolError> + 'static,
    {
        let mut draft = ToolBuilder::untyped().draft;
        draft.name = name;
        draft.work = Some(work(move |context, _| function(context)));
        Self::new(draft)
    }
}

impl<A: DeserializeOwned + 'static> ToolBuilder<A> {
    /// Somebody has to approve the calls for whose arguments `function` says so. It has the last word: also where the agent or
    /// the run wants every call to be approved. Arguments that do not fit, and a panic of the function, count as yes.
    pub fn requires_approval_when(
        mut self,
        function: impl Fn(&A) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.draft.approval = Approval::Function(Arc::new(move |args| {
            let args = read::args::<A>("", args).map_err(|error| {
                Error::new(ErrorKind::InvalidInput, "approve tool", error.to_string())
            })?;
            // It cannot change what it was given.
            let answer = catch_unwind(AssertUnwindSafe(|| function(&args)));
            answer.map_err(|_| Error::new(ErrorKind::Tool, "approve tool", "the function panicked"))
        }));
        self
    }
}

/// What `function` does, so that neither a panic nor a flood gets through.
fn work<F, Fut, O, E>(function: F) -> Arc<Work>
where
    F: Fn(ToolContext, Data) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, E>> + Send + 'static,
    O: Serialize + 'static,
    E: Into<ToolError> + 'static,
{
    let function = Arc::new(function);
    Arc::new(move |context, args| {
        let function = Arc::clone(&function);
        // It is called within the future, so that a panic before its first await is caught, too.
        Box::pin(guard::guarded(async move {
            let output = function(context, args).await.map_err(Into::into)?;
            Ok(Data::of(&output)?)
        }))
    })
}

fn limited(work: Arc<Work>, limit: Duration) -> Arc<Work> {
    Arc::new(move |context, args| Box::pin(guard::within(limit, work(context, args))))
}

impl<A> fmt::Debug for ToolBuilder<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolBuilder")
            .field("name", &self.draft.name)
            .finish_non_exhaustive()
    }
}
