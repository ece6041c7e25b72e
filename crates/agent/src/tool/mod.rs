//! What an agent can do besides talking.

mod builder;
mod context;
mod error;
mod function;
mod guard;
mod limit;
mod name;
mod read;
mod schema;
mod testing;
mod writer;

use std::fmt;
use std::sync::Arc;

use bowline_events::Text;

pub use builder::ToolBuilder;
pub(crate) use context::Call as ToolRun;
pub use context::{ToolContext, ToolSink};
pub use error::ToolError;
pub use function::{ArgsOnly, Bare, ContextOnly, IntoTool, Ready, WithContext, tool};
pub(crate) use guard::panic_text;
pub use limit::{MAX_TOOL_BYTES, MAX_TOOL_ERROR_BYTES};
pub use testing::TestTool;

use crate::model::ToolDefinition;
use crate::{BoxFuture, Data, Result};

/// Something that the model of an agent can call. Cheap to clone.
#[derive(Clone)]
pub struct Tool(Arc<Inner>);

struct Inner {
    definition: ToolDefinition,
    approval: Approval,
    suspend_schema: Option<Data>,
    resume_schema: Option<Data>,
    /// `None`: whoever started the run executes it.
    work: Option<Arc<Work>>,
}

type Work = dyn Fn(ToolContext, Data) -> BoxFuture<'static, Result<Data, ToolError>> + Send + Sync;

type NeedsApproval = dyn Fn(&Data) -> Result<bool> + Send + Sync;

/// Whether somebody has to approve a call before it is made.
#[derive(Clone, Default)]
pub(crate) enum Approval {
    /// Nobody, unless the agent or the run wants it.
    #[default]
    Unset,
    Always,
    /// Depends on the arguments. An error counts as yes.
    Function(Arc<NeedsApproval>),
}

impl Tool {
    /// Its name, by which the model calls it.
    pub fn name(&self) -> &Text {
        &self.0.definition.name
    }

    /// How the model sees it.
    pub fn definition(&self) -> &ToolDefinition {
        &self.0.definition
    }

    /// The JSON schema of what it suspends with.
    pub fn suspend_schema(&self) -> Option<&Data> {
        self.0.suspend_schema.as_ref()
    }

    /// The JSON schema of what it is resumed with.
    pub fn resume_schema(&self) -> Option<&Data> {
        self.0.resume_schema.as_ref()
    }

    /// Whether it has no function here: whoever started the run executes it.
    pub fn is_client_side(&self) -> bool {
        self.0.work.is_none()
    }

    /// Whether a call with `args` has to be approved. `asked`: the agent or the run asks for approval of every call; a function of
    /// the tool has the last word.
    pub fn needs_approval(&self, args: &Data, asked: bool) -> bool {
        match &self.0.approval {
            Approval::Unset => asked,
            Approval::Always => true,
            Approval::Function(function) => function(args).unwrap_or(true),
        }
    }

    /// Whether calls of it may wait for somebody, so that they are made one at a time.
    pub(crate) fn may_wait(&self) -> bool {
        !matches!(self.0.approval, Approval::Unset) || self.0.suspend_schema.is_some()
    }

    /// Calls it. Panics of the function are errors.
    pub(crate) fn call(
        &self,
        context: ToolContext,
        args: Data,
    ) -> Option<BoxFuture<'static, Result<Data, ToolError>>> {
        self.0.work.as_ref().map(|work| work(context, args))
    }
}

impl fmt::Debug for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tool")
            .field("name", self.name())
            .finish_non_exhaustive()
    }
}
