//! Finding runs.

use bowline_events::{Text, Timestamp};
use bowline_store::{Cursor, Filter, Order, Query};

use super::Engine;
use super::record::{RUNS, RunRecord};
use crate::{Data, Error, Result, RunStatus, SuspendedStep};

/// Which runs to list; the newest first, unless it says otherwise.
///
/// ```
/// use bowline_workflow::{RunQuery, RunStatus};
///
/// let query = RunQuery::new().workflow("triage").status(RunStatus::Suspended).limit(20);
/// ```
#[derive(Debug, Clone)]
pub struct RunQuery {
    filter: Filter,
    order: Order,
    limit: usize,
    after: Option<Cursor>,
}

/// A part of a list of runs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RunPage {
    /// The runs.
    pub runs: Vec<RunInfo>,
    /// Where the next part begins; `None` after the last.
    pub next: Option<RunCursor>,
}

/// A place in a list of runs; can be written down and read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunCursor(Cursor);

/// A run, as a list shows it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RunInfo {
    /// Its id.
    pub id: Text,
    /// Its workflow.
    pub workflow: Text,
    /// Whom it is for.
    pub resource: Option<Text>,
    /// How it is.
    pub status: RunStatus,
    /// When it was started.
    pub created: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// When it goes on by itself, if it sleeps or waits for a worker.
    pub due: Option<Timestamp>,
    /// The worker that runs it.
    pub worker: Option<String>,
    /// What it returned.
    pub result: Option<Data>,
    /// Why it failed.
    pub error: Option<Data>,
    /// The steps that wait for somebody.
    pub suspended: Vec<SuspendedStep>,
}

impl RunQuery {
    /// All runs, the newest first, 100 at a time.
    pub fn new() -> Self {
        Self {
            filter: Filter::new(),
            order: Order::NewestFirst,
            limit: 100,
            after: None,
        }
    }

    /// Those of this workflow.
    #[must_use]
    pub fn workflow(mut self, id: impl Into<Text>) -> Self {
        self.filter = self.filter.group(id);
        self
    }

    /// Those in this status; called again, in one of these.
    #[must_use]
    pub fn status(mut self, status: RunStatus) -> Self {
        self.filter = self.filter.status(status.as_str());
        self
    }

    /// Those for this resource.
    #[must_use]
    pub fn resource(mut self, id: impl Into<Text>) -> Self {
        self.filter = self.filter.owner(id);
        self
    }

    /// Those whose id begins like this.
    #[must_use]
    pub fn id_prefix(mut self, prefix: impl Into<Text>) -> Self {
        self.filter = self.filter.key_prefix(prefix);
        self
    }

    /// Those started at `from` or later.
    #[must_use]
    pub fn created_from(mut self, from: Timestamp) -> Self {
        self.filter = self.filter.created_from(from);
        self
    }

    /// Those started before `before`.
    #[must_use]
    pub fn created_before(mut self, before: Timestamp) -> Self {
        self.filter = self.filter.created_before(before);
        self
    }

    /// The oldest first.
    #[must_use]
    pub fn oldest_first(mut self) -> Self {
        self.order = Order::OldestFirst;
        self
    }

    /// At most this many at a time; never more than [`MAX_PAGE`](bowline_store::limits::MAX_PAGE).
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Those after this place.
    #[must_use]
    pub fn after(mut self, cursor: impl Into<Option<RunCursor>>) -> Self {
        self.after = cursor.into().map(|RunCursor(cursor)| cursor);
        self
    }
}

impl Default for RunQuery {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Display for RunCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl std::str::FromStr for RunCursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.parse() {
            Ok(cursor) => Ok(Self(cursor)),
            Err(error) => Err(Error::store("list", error)),
        }
    }
}

impl From<RunRecord> for RunInfo {
    fn from(run: RunRecord) -> Self {
        let final_or_halted = !run.status.is_active();
        Self {
            id: run.id,
            workflow: run.workflow,
            resource: run.resource,
            status: run.status,
            created: run.created,
            ended: run.body.ended.map(Timestamp::from_millis),
            due: run.due.filter(|_| !final_or_halted),
            worker: run.body.worker,
            result: run.body.result,
            error: run.body.error,
            suspended: run.body.suspended,
        }
    }
}

impl Engine {
    /// The runs that `query` means. A record that is damaged is left out, with a warning.
    ///
    /// # Errors
    /// `Store` when the store fails.
    pub async fn runs(&self, query: &RunQuery) -> Result<RunPage> {
        let query = Query::new(query.filter.clone())
            .order(query.order)
            .limit(query.limit)
            .after(query.after.clone());
        let page = self.shared.store.list(RUNS, &query).await;
        let page = page.map_err(|error| Error::store("list", error))?;
        let mut runs = Vec::with_capacity(page.records.len());
        for record in &page.records {
            match RunRecord::read(record) {
                Ok(run) => runs.push(run.into()),
                Err(error) => tracing::warn!(%error, "a run is left out of a list"),
            }
        }
        Ok(RunPage {
            runs,
            next: page.next.map(RunCursor),
        })
    }
}
