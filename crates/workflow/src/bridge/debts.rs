//! The ends of runs that are owed to Node callers. They are told also when the process that took the start dies.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::{Text, Timestamp};
use bowline_store::{Claim, Commit, Expect, Index, Record, Store, Table};

use crate::{Clock, Data, Error, Result};

/// One record for every run that a Node caller started, by the run.
const DEBTS: Table = Table::new("exposed");
const OWED: &str = "owed";
const TOLD: &str = "told";

/// How long it is known that an end was told: a start that comes again in that time tells nothing.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);
/// Records that are looked at together.
const PAGE: usize = 100;

/// What is owed, in the store of an engine.
#[derive(Debug)]
pub(super) struct Debts {
    store: Arc<dyn Store>,
    /// How long others wait before they tell what this process has not told.
    lease: Duration,
    clock: Arc<dyn Clock>,
}

/// Whose duty it is to tell how a run ended.
#[derive(Debug)]
pub(super) enum Owed {
    Here(Debt),
    /// Another process's, or another task's of this one.
    Elsewhere,
    /// It was told already.
    Told,
}

/// The duty to tell how a run ended, or halted.
#[derive(Debug)]
pub(super) struct Debt(Record);

impl Debt {
    pub(super) fn run(&self) -> &Text {
        &self.0.key
    }

    /// The workflow of the run.
    pub(super) fn workflow(&self) -> &str {
        self.0.index.group.as_deref().unwrap_or_default()
    }

    /// The request context that the caller gave.
    pub(super) fn context(&self) -> Data {
        let context = std::str::from_utf8(&self.0.body).ok();
        let context = context.and_then(|context| Data::from_json(context.to_owned()).ok());
        context.unwrap_or_else(Data::object)
    }
}

impl Debts {
    pub(super) fn new(store: Arc<dyn Store>, lease: Duration, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            lease,
            clock,
        }
    }

    /// How often a debt has to be renewed while its run goes on.
    pub(super) fn pace(&self) -> Duration {
        self.lease / 3
    }

    /// Takes on the end of the run `run`, if nobody has; if it was told before, only when it is owed `again`.
    ///
    /// # Errors
    /// `Store`.
    pub(super) async fn owe(
        &self,
        run: &str,
        workflow: &Text,
        context: &Data,
        again: bool,
    ) -> Result<Owed> {
        let found = self.store.get(DEBTS, run).await.map_err(failed)?;
        let expect = match &found {
            None => Expect::Absent,
            Some(record) => match record.index.status.as_deref() {
                Some(TOLD) if again => Expect::Version(record.version),
                Some(TOLD) => return Ok(Owed::Told),
                _ => return Ok(Owed::Elsewhere),
            },
        };
        let now = self.clock.now();
        let index = Index::new(now)
            .status(OWED)
            .group(workflow.clone())
            .due(later(now, self.lease));
        let record = Record {
            table: DEBTS,
            key: run.to_owned().into(),
            version: 0,
            index,
            body: context.as_str().to_owned().into(),
            updated: now,
        };
        let debt = self.write(record, expect).await?;
        Ok(debt.map_or(Owed::Elsewhere, Owed::Here))
    }

    /// Puts off the time when others tell it. `None` when they do already.
    ///
    /// # Errors
    /// `Store`.
    pub(super) async fn renew(&self, debt: &Debt) -> Result<Option<Debt>> {
        let mut record = debt.0.clone();
        record.index.due = Some(later(self.clock.now(), self.lease));
        let expect = Expect::Version(record.version);
        self.write(record, expect).await
    }

    /// It was told.
    pub(super) async fn settle(&self, debt: Debt) {
        let mut record = debt.0;
        record.index.status = Some(TOLD.into());
        record.index.due = Some(later(self.clock.now(), REMEMBERED));
        record.body = Default::default();
        let expect = Expect::Version(record.version);
        if let Err(error) = self.write(record, expect).await {
            tracing::warn!(%error, "the end of an exposed run may be told twice");
        }
    }

    /// There is nothing to tell.
    pub(super) async fn forget(&self, debt: Debt) {
        let gone = Commit::new().delete(DEBTS, debt.0.key, debt.0.version);
        if let Err(error) = self.store.commit(gone).await {
            tracing::debug!(%error, "a debt to a Node caller was not removed");
        }
    }

    /// Takes over what others have not told in time.
    ///
    /// # Errors
    /// `Store`.
    pub(super) async fn take_over(&self) -> Result<Vec<Debt>> {
        let claim = Claim::new(self.clock.now(), self.lease, PAGE);
        let claimed = self.store.claim_due(DEBTS, claim).await.map_err(failed)?;
        let mut debts = Vec::new();
        for record in claimed {
            let debt = Debt(record);
            match debt.0.index.status.as_deref() {
                Some(OWED) => debts.push(debt),
                _ => self.forget(debt).await,
            }
        }
        Ok(debts)
    }

    async fn write(&self, mut record: Record, expect: Expect) -> Result<Option<Debt>> {
        let put = Commit::new().put(
            DEBTS,
            record.key.clone(),
            expect,
            record.index.clone(),
            record.body.clone(),
        );
        match self.store.commit(put.at(self.clock.now())).await {
            Ok(committed) => {
                record.version = committed.version;
                Ok(Some(Debt(record)))
            }
            Err(error) if error.conflict().is_some() => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }
}

fn failed(error: bowline_store::Error) -> Error {
    Error::store("expose", error)
}

fn later(at: Timestamp, after: Duration) -> Timestamp {
    let after = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(at.as_millis().saturating_add(after))
}
