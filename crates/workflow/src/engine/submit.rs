//! Starting runs of workflows that only other programs have.

use bowline_store::{Commit, Expect};

use super::record::{RUNS, RunBody, RunRecord, encode};
use super::signal::Signal;
use super::start::{check_objects, checked};
use super::take::exists;
use super::{Engine, Run, Start, graphs};
use crate::machine::{At, Fact, RunStatus};
use crate::{Error, ErrorKind, Result};

impl Engine {
    /// As [`start`](Self::start), also for a workflow that this program does not have. Such a run waits for a program that
    /// has it; whether the input and the state are of the right types is found out there, by the first step.
    ///
    /// # Errors
    /// `NotFound` when no program that ever worked on this store has the workflow; otherwise as [`start`](Self::start).
    pub async fn submit(&self, workflow: &str, start: Start) -> Result<Run> {
        if self.shared.workflow(workflow).is_some() {
            return self.start(workflow, start).await;
        }
        self.shared.check_open("start")?;
        if !graphs::is_known(&*self.shared.store, workflow).await? {
            let message =
                "no program that works on this store has the workflow; start one that has it first";
            let error = Error::new(ErrorKind::NotFound, "start", message);
            return Err(error.with_subject(workflow.to_owned()));
        }
        let run = match start.run_id {
            Some(id) => checked(id)?,
            None => uuid::Uuid::new_v4().to_string().into(),
        };
        check_objects(&run, start.state.as_ref(), start.context.as_ref())?;
        let at = self.shared.now();
        let record = RunRecord {
            id: run.clone(),
            version: 0,
            status: RunStatus::Pending,
            workflow: workflow.to_owned().into(),
            resource: start.resource,
            created: at,
            updated: at,
            due: Some(at),
            // Whoever takes it enters its own.
            body: RunBody::new(String::new(), None),
        };
        let fact = Fact::Started {
            at: At(at),
            input: start.input,
            state: start.state,
            context: start.context,
            per_step: start.per_step,
        };
        let (index, json) = (record.index(), record.json()?);
        let commit = Commit::new()
            .put(RUNS, run.clone(), Expect::Absent, index, json)
            .append_at(record.log(), 0, [encode(0, &fact)?]);
        match self.shared.commit(commit).await {
            Ok(_) => {}
            Err(error) if error.conflict().is_some() => return Err(exists(&run).with_source(error)),
            Err(error) => return Err(Error::store("start", error).with_subject(run)),
        }
        self.shared
            .signal(Signal::Start, &run, &record.workflow)
            .await;
        Ok(Run::new(self.clone(), run, None))
    }
}
