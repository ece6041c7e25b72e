//! What the reducer wants.

use bowline_events::{Text, Timestamp, Topic};

use super::Spot;

/// What is to be done next. Every command is answered by a fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// Run a step; answered by `Ended`.
    Execute { spot: Spot, attempt: u32 },
    /// Evaluate the conditions of branches; answered by `Decided`.
    Decide { spot: Spot },
    /// Evaluate the condition of a loop; answered by `Looped`.
    Test { spot: Spot },
    /// Compute how many iterations run at once; answered by `Measured`.
    Measure { spot: Spot },
    /// Compute until when to sleep; answered by `Slept`.
    Time { spot: Spot },
    /// Wait; answered by `Woke`.
    Wake { spot: Spot, at: Timestamp },
    /// Give up everything that was asked for in this frame; not answered. Frames nested in it have their own.
    Abort { frame: usize },
}

/// Something to tell: to the watchers of a run or of a workflow nested in it, or elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice {
    /// The run whose watchers it is for.
    pub(crate) run_id: Text,
    /// The `data` of the event.
    pub(crate) json: String,
    /// Where and as what it is told, if it is no watch event.
    pub(crate) elsewhere: Option<Box<(Topic, Text)>>,
}

impl Notice {
    /// That a run has ended without a result.
    pub(crate) fn finish(run: &Text, status: super::RunStatus) -> Self {
        let mut json = crate::json::Writer::object();
        json.text("type", "workflow-finish")
            .nested("payload", |json| {
                json.text("runId", run)
                    .text("workflowStatus", status.as_str());
            });
        Self {
            run_id: run.clone(),
            json: json.end(),
            elsewhere: None,
        }
    }

    /// Where it is told.
    pub(crate) fn topic(&self) -> Topic {
        match &self.elsewhere {
            Some(elsewhere) => elsewhere.0.clone(),
            None => Topic::workflow_events(&self.run_id),
        }
    }
}
