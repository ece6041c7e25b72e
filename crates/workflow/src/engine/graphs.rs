//! The graphs of workflows in the store, for programs that do not have the workflows.

use bowline_events::{Text, Timestamp};
use bowline_store::{Commit, Expect, Filter, Index, Query, Store, Table};

use super::Engine;
use super::record::{Replayed, RunRecord};
use super::shared::Shared;
use crate::{Data, Error, ErrorKind, Result, Workflow};

/// One record for every graph that a workflow has had, by `<workflow>@<hash>`.
pub(super) const GRAPHS: Table = Table::new("graphs");

/// What separates the id of a workflow from a hash, which has no such character.
const SEPARATOR: char = '@';

fn key(workflow: &str, hash: &str) -> Text {
    format!("{workflow}{SEPARATOR}{hash}").into()
}

/// Writes the graph of `workflow` down, unless it is there.
pub(super) async fn publish(store: &dyn Store, workflow: &Workflow, now: Timestamp) -> Result<()> {
    let key = key(workflow.id(), &workflow.hash());
    let failed = |error| Error::store("start", error);
    if store.get(GRAPHS, &key).await.map_err(failed)?.is_some() {
        return Ok(());
    }
    let index = Index::new(now).group(workflow.id().clone());
    let outline = workflow.to_outline().as_str().to_owned();
    match store
        .commit(
            Commit::new()
                .put(GRAPHS, key, Expect::Absent, index, outline)
                .at(now),
        )
        .await
    {
        Err(error) if error.conflict().is_none() => Err(failed(error)),
        _ => Ok(()),
    }
}

/// Whether some program that uses this store has a workflow of this id.
pub(super) async fn is_known(store: &dyn Store, workflow: &str) -> Result<bool> {
    let query = Query::new(Filter::new().group(workflow.to_owned())).limit(1);
    let page = store
        .list(GRAPHS, &query)
        .await
        .map_err(|error| Error::store("start", error))?;
    Ok(!page.records.is_empty())
}

impl Shared {
    /// A run as its journal tells it, of a workflow that may have changed since the run began.
    ///
    /// # Errors
    /// `Corrupt` when what has happened in the run does not fit the workflow of now, and what replaying says.
    pub(super) async fn replay_changed(
        &self,
        run: &RunRecord,
        workflow: &Workflow,
    ) -> Result<Replayed> {
        let replayed = self.replay(&run.id, workflow).await?;
        let hash = &run.body.graph;
        if hash.is_empty() || *hash == workflow.hash() {
            return Ok(replayed);
        }
        let Some(old) = outline(&*self.store, "replay", run).await? else {
            return Ok(replayed);
        };
        match workflow.differs_from(&old, replayed.machine.entry()) {
            None => Ok(replayed),
            Some(entry) => {
                let message = format!(
                    "the definition of the workflow has changed at entry {entry}, which the run has reached; finish such runs with the old program, or start them anew"
                );
                Err(Error::new(ErrorKind::Corrupt, "replay", message).with_subject(run.id.clone()))
            }
        }
    }
}

/// The outline of the graph that a run was worked on with last, if it is there.
async fn outline(
    store: &dyn Store,
    operation: &'static str,
    run: &RunRecord,
) -> Result<Option<Workflow>> {
    let key = key(&run.workflow, &run.body.graph);
    let found = store.get(GRAPHS, &key).await;
    let Some(record) = found.map_err(|error| Error::store(operation, error))? else {
        return Ok(None);
    };
    let damaged = || {
        let message = "the graph of the workflow in the store is damaged";
        Error::new(ErrorKind::Corrupt, operation, message).with_subject(run.workflow.clone())
    };
    let text = String::from_utf8(record.body.to_vec()).map_err(|_| damaged())?;
    let graph = Data::from_json(text).map_err(|error| damaged().with_source(error))?;
    Workflow::outline(run.workflow.clone(), &graph).map(Some)
}

impl Engine {
    /// The workflow of a run: that of this program, or else the outline that is in the store, which can be looked at but not
    /// run.
    pub(super) async fn workflow_of(
        &self,
        operation: &'static str,
        run: &RunRecord,
    ) -> Result<Workflow> {
        if let Some(workflow) = self.shared.workflow(&run.workflow) {
            return Ok(workflow.clone());
        }
        match outline(&*self.shared.store, operation, run).await? {
            Some(outline) => Ok(outline),
            None => self.known(&run.workflow, operation),
        }
    }
}
