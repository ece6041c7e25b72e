//! Starting a run.

use bowline_events::Text;
use serde::Serialize;

use super::signal::Signal;
use super::take::Begin;
use super::{Engine, Run};
use crate::machine::{At, Fact};
use crate::{Data, Error, ErrorKind, Result, Workflow};

/// What a run starts with.
///
/// ```
/// use bowline_workflow::Start;
///
/// let start = Start::with(&serde_json::json!({ "n": 1 }))?.run_id("order-17").resource("customer-3");
/// # Ok::<(), bowline_workflow::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Start {
    pub(crate) input: Data,
    pub(crate) run_id: Option<Text>,
    pub(crate) resource: Option<Text>,
    pub(crate) state: Option<Data>,
    pub(crate) context: Option<Data>,
    pub(crate) per_step: bool,
}

impl Start {
    /// With `input`.
    ///
    /// # Errors
    /// `InvalidInput` when it cannot be written as JSON.
    pub fn with<T: Serialize + ?Sized>(input: &T) -> Result<Self> {
        Ok(Self::with_data(Data::of(input)?))
    }

    /// With `input`.
    pub fn with_data(input: Data) -> Self {
        Self {
            input,
            ..Self::default()
        }
    }

    /// The id of the run; a random one unless set. A second run of one id is refused, so that a caller can try again.
    #[must_use]
    pub fn run_id(mut self, id: impl Into<Text>) -> Self {
        self.run_id = Some(id.into());
        self
    }

    /// Whom the run is for; runs can be listed by it.
    #[must_use]
    pub fn resource(mut self, id: impl Into<Text>) -> Self {
        self.resource = Some(id.into());
        self
    }

    /// The state in the beginning: an object.
    #[must_use]
    pub fn state(mut self, state: Data) -> Self {
        self.state = Some(state);
        self
    }

    /// The request context, which every step sees: an object.
    #[must_use]
    pub fn context(mut self, context: Data) -> Self {
        self.context = Some(context);
        self
    }

    /// Stops after every entry, until it is told to go on.
    #[must_use]
    pub fn per_step(mut self, per_step: bool) -> Self {
        self.per_step = per_step;
        self
    }
}

impl Engine {
    /// Starts a run of the workflow called `workflow`. When this returns, the run is in the store and will be done, whatever
    /// happens to this process.
    ///
    /// # Errors
    /// `NotFound` for a workflow that this engine does not know, `AlreadyExists` for a run id that is taken, `InvalidInput`
    /// for an id or a state that is none, `Closed`, `Store`. After `Store` it is open whether the run was started: start it again
    /// with the same id, and take `AlreadyExists` for success.
    pub async fn start(&self, workflow: &str, start: Start) -> Result<Run> {
        self.shared.check_open("start")?;
        let workflow = self.known(workflow, "start")?;
        let run_id = match start.run_id {
            Some(id) => checked(id)?,
            None => uuid::Uuid::new_v4().to_string().into(),
        };
        check_objects(&run_id, start.state.as_ref(), start.context.as_ref())?;
        workflow.check_input(&start.input)?;
        if let Some(state) = &start.state {
            workflow.check_state(state)?;
        }
        let begin = Begin {
            run_id: run_id.clone(),
            resource: start.resource,
            fact: Fact::Started {
                at: At(self.shared.now()),
                input: start.input,
                state: start.state,
                context: start.context,
                per_step: start.per_step,
            },
        };
        let active = self.shared.begin(&workflow, begin).await?;
        if active.is_none() {
            self.shared.due.notify_one();
            self.shared
                .signal(Signal::Start, &run_id, workflow.id())
                .await;
        }
        Ok(Run::new(self.clone(), run_id, active))
    }

    pub(super) fn known(&self, workflow: &str, operation: &'static str) -> Result<Workflow> {
        self.shared.workflow(workflow).cloned().ok_or_else(|| {
            let message = "this engine does not know the workflow; give it to the builder";
            Error::new(ErrorKind::NotFound, operation, message).with_subject(workflow.to_owned())
        })
    }
}

/// Whether `id` can be a run.
pub(super) fn checked(id: Text) -> Result<Text> {
    const MAX: usize = 256;
    if id.is_empty() || id.len() > MAX || id.chars().any(char::is_control) {
        let message = format!("it is no id of a run: 1 to {MAX} bytes, no control characters");
        return Err(Error::new(ErrorKind::InvalidInput, "start", message).with_subject(id));
    }
    Ok(id)
}

pub(super) fn check_objects(
    run: &Text,
    state: Option<&Data>,
    context: Option<&Data>,
) -> Result<()> {
    for (what, data) in [("state", state), ("request context", context)] {
        if data.is_some_and(|data| !data.is_object()) {
            let message = format!("the {what} is no object");
            return Err(
                Error::new(ErrorKind::InvalidInput, "start", message).with_subject(run.clone())
            );
        }
    }
    Ok(())
}
