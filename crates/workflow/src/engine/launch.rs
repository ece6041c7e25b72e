//! Starting the runs of schedules.

use std::sync::Arc;

use bowline_store::{Commit, Expect};
use futures_util::future::BoxFuture;

use super::record::{RUNS, RunBody, RunRecord, encode};
use super::shared::Shared;
use super::{Engine, graphs};
use crate::machine::{At, Fact, RunStatus};
use crate::schedule::{
    self, Launcher, Occurrence, Outcome, Prepared, Schedules, Target, WorkflowTarget,
};
use crate::{Data, Error, Result};

/// What starts runs in the store of an engine.
#[derive(Debug, Clone)]
pub(super) struct Launch(pub(super) Arc<Shared>);

impl Launcher for Launch {
    fn prepare<'a>(
        &'a self,
        occurrence: &'a Occurrence,
        commit: Commit,
    ) -> BoxFuture<'a, Result<Prepared>> {
        Box::pin(async move {
            match &occurrence.target {
                Target::Workflow(target) => self.prepare_run(occurrence, target, commit).await,
                other => {
                    let message = format!("this engine runs no {}s", other.kind());
                    Ok(Prepared::Refuse(message.into()))
                }
            }
        })
    }

    fn is_active<'a>(&'a self, run_id: &'a str) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            let found = self.0.store.get(RUNS, run_id).await;
            match found.map_err(|error| Error::store("schedule", error))? {
                Some(record) => Ok(!RunRecord::read(&record)?.status.is_final()),
                None => Ok(false),
            }
        })
    }

    fn launched(&self, _: &Occurrence) {
        self.0.due.notify_one();
    }
}

impl Engine {
    /// What starts runs of its workflows, for a [`Scheduler`](schedule::Scheduler).
    pub fn launcher(&self) -> Arc<dyn Launcher> {
        Arc::new(Launch(Arc::clone(&self.shared)))
    }

    /// The schedules in its store. They fire while some process has a [`Scheduler`](schedule::Scheduler) on the store.
    pub fn schedules(&self) -> Schedules {
        Schedules::new(Arc::clone(&self.shared.store), self.launcher())
            .with_clock(Arc::clone(&self.shared.options.clock))
    }
}

impl Launch {
    async fn prepare_run(
        &self,
        occurrence: &Occurrence,
        target: &WorkflowTarget,
        commit: Commit,
    ) -> Result<Prepared> {
        let data = |json: &Option<schedule::Json>| json.as_ref().map(json_data).transpose();
        let input = data(&target.input_data)?.unwrap_or_else(Data::object);
        let state = data(&target.initial_state)?;
        let graph = match self.0.workflow(&target.workflow_id) {
            Some(workflow) => {
                let refused = workflow.check_input(&input).err();
                let refused = refused.or_else(|| workflow.check_state(state.as_ref()?).err());
                if let Some(error) = refused {
                    return Ok(Prepared::Refuse(error.message().to_owned().into()));
                }
                workflow.hash()
            }
            None if graphs::is_known(&*self.0.store, &target.workflow_id).await? => String::new(),
            None => {
                let message = format!("no program knows the workflow {:?}", target.workflow_id);
                return Ok(Prepared::Refuse(message.into()));
            }
        };
        let record = RunRecord {
            id: occurrence.run_id.clone(),
            version: 0,
            status: RunStatus::Pending,
            workflow: target.workflow_id.clone(),
            resource: target.resource_id.clone(),
            created: occurrence.now,
            updated: occurrence.now,
            due: Some(occurrence.now),
            body: RunBody::new(graph, None),
        };
        let fact = Fact::Started {
            at: At(occurrence.now),
            input,
            state,
            context: data(&target.request_context)?,
            per_step: false,
        };
        let commit = commit
            .put(
                RUNS,
                record.id.clone(),
                Expect::Absent,
                record.index(),
                record.json()?,
            )
            .append_at(record.log(), 0, [encode(0, &fact)?]);
        Ok(Prepared::Start(commit))
    }
}

fn json_data(json: &schedule::Json) -> Result<Data> {
    Data::from_json(json.as_str().to_owned())
}

/// Writes into the history of a schedule how a run of it ended.
pub(super) async fn record_outcome(shared: &Arc<Shared>, run: &RunRecord) {
    if !run.status.is_final() || schedule::parse_run_id(&run.id).is_none() {
        return;
    }
    let (outcome, reason) = match run.status {
        RunStatus::Success => (Outcome::Succeeded, None),
        RunStatus::Canceled => (Outcome::Aborted, None),
        _ => (Outcome::Failed, run.body.error.as_ref().map(Data::as_str)),
    };
    let launcher = Arc::new(Launch(Arc::clone(shared)));
    let schedules = Schedules::new(Arc::clone(&shared.store), launcher)
        .with_clock(Arc::clone(&shared.options.clock));
    if let Err(error) = schedules.record_outcome(&run.id, outcome, reason).await {
        tracing::warn!(run = %run.id, %error, "the end of a scheduled run is not in the history of its schedule");
    }
}
