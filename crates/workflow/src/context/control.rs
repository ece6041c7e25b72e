//! What a step can do besides returning: wait for somebody, end the workflow, write chunks, give up.

use bowline_events::Text;
use serde::Serialize;

use super::StepContext;
use crate::json::Writer;
use crate::step::{StepError, misfit};
use crate::{Data, Error, ErrorKind, Result};

impl StepContext {
    /// The error to return in order to wait until the run is resumed; `payload` says what for. The step is called again then,
    /// from its top, and [`resumed`](Self::resumed) has the answer.
    ///
    /// ```
    /// # use bowline_workflow::{StepContext, StepError};
    /// async fn approve(ctx: StepContext, amount: u32) -> Result<bool, StepError> {
    ///     match ctx.resumed::<bool>()? {
    ///         Some(answer) => Ok(answer),
    ///         None => Err(ctx.suspend(&serde_json::json!({ "amount": amount }))),
    ///     }
    /// }
    /// # fn main() {}
    /// ```
    pub fn suspend<T: Serialize + ?Sized>(&self, payload: &T) -> StepError {
        self.suspend_with(payload, std::iter::empty::<String>())
    }

    /// As [`suspend`](Self::suspend), with labels by which the run can be resumed instead of by the id of the step.
    pub fn suspend_with<T: Serialize + ?Sized, L: Into<String>>(
        &self,
        payload: &T,
        labels: impl IntoIterator<Item = L>,
    ) -> StepError {
        match Data::of(payload) {
            Ok(payload) => {
                StepError::suspended(payload, labels.into_iter().map(Into::into).collect())
            }
            Err(error) => misfit::suspend(error),
        }
    }

    /// The error to return in order to end the whole workflow well, with this output.
    pub fn bail<T: Serialize + ?Sized>(&self, output: &T) -> StepError {
        match Data::of(output) {
            Ok(output) => StepError::bailed(output),
            Err(error) => error.into(),
        }
    }

    /// Ready when the run is cancelled. A step that waits for something long waits for this too, and returns
    /// [`StepError::cancelled`] then.
    pub async fn cancelled(&self) {
        self.0.services.cancel.cancelled().await;
    }

    /// Whether the run was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.services.cancel.is_cancelled()
    }

    /// Whether the step may still say something on behalf of the run, to be asked before each event that it publishes by itself;
    /// [`write`](Self::write) and [`custom`](Self::custom) ask it.
    ///
    /// At once `true` while the lease of this process holds, which costs a reading of the clock. Otherwise another process may have
    /// the run: this waits until the lease is renewed and the store says that the run is still here. `false` when the run is lost or
    /// cancelled meanwhile: nothing more is to be said then. Cancel safe.
    pub async fn may_speak(&self) -> bool {
        self.0.services.fence.passes().await
    }

    /// Shows `chunk` to whoever watches the run, as the `output` of a `workflow-step-output` event. It is not kept: a step
    /// that is tried again writes again. Chunks keep their order; while readers are too slow, this waits, as it does while another process
    /// [may](Self::may_speak) have the run.
    ///
    /// # Errors
    /// `InvalidInput` when it has no JSON.
    pub async fn write<T: Serialize + ?Sized>(&self, chunk: &T) -> Result<()> {
        let output = Data::of(chunk)?;
        let mut json = Writer::object();
        json.text("type", "workflow-step-output")
            .text("runId", self.run_id())
            .text("from", "USER")
            .nested("payload", |json| {
                json.data("output", &output)
                    .text("runId", self.run_id())
                    .text("stepName", self.step_id());
            });
        self.tell(json.end()).await;
        Ok(())
    }

    /// Shows `event` to whoever watches the run, as it is: an object with a `type`, for example `data-progress`.
    ///
    /// # Errors
    /// `InvalidInput` when it is no object with a `type` that is text.
    pub async fn custom<T: Serialize + ?Sized>(&self, event: &T) -> Result<()> {
        #[derive(serde::Deserialize)]
        struct Typed {
            #[serde(rename = "type")]
            _kind: String,
        }
        let event = Data::of(event)?;
        if !event.is_object() || event.parse::<Typed>().is_err() {
            let message = "an event of a step is an object whose member \"type\" is text";
            return Err(Error::new(ErrorKind::InvalidInput, "write event", message)
                .with_subject(self.step_id().clone()));
        }
        self.tell(event.as_str().to_owned()).await;
        Ok(())
    }

    async fn tell(&self, json: String) {
        if self.may_speak().await {
            let run_id: &Text = self.run_id();
            self.0.services.sink.write(run_id, json).await;
        }
    }
}
