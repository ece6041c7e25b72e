//! A run as its journal in the store tells it, whoever works on it.

use std::collections::HashMap;

use bowline_events::{Text, Timestamp};
use bowline_store::{Filter, Order, Query};

use super::graphs::GRAPHS;
use super::list::RunInfo;
use super::record::{Entry, JOURNAL, Replayed, RunRecord};
use super::{Run, WatchEvent};
use crate::machine::{Fact, LastEnd, RunPart, Spot};
use crate::{Data, Error, ErrorKind, Result, RunStatus, Workflow};

/// Entries of a journal that are read at a time.
const PAGE: usize = 1000;

/// A run as the store has it, with everything that has happened in it. It stands still until it is
/// [refreshed](Self::refresh). Made by [`Run::history`].
#[derive(Debug)]
pub struct RunHistory {
    run: Run,
    info: RunInfo,
    replayed: Replayed,
    ends: HashMap<Spot, LastEnd>,
    events: Vec<RunEvent>,
    problem: Option<Error>,
}

/// Something that happened in a run, and when.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RunEvent {
    /// When.
    pub at: Timestamp,
    /// The run that it is about: this one, or that of a workflow nested in it.
    pub run_id: Text,
    /// What, as watchers are told. Its index counts the events of the run and of those nested in it, from 0.
    pub event: WatchEvent,
}

impl Run {
    /// How the run is now, and all that has happened in it, from the store alone: no bus is needed for it, nor the workflow.
    ///
    /// # Errors
    /// `NotFound` when its retention is over, `Store`, `Corrupt` when its record is damaged. A journal that cannot be read
    /// is no error but the [`problem`](RunHistory::problem) of what this returns.
    pub async fn history(&self) -> Result<RunHistory> {
        let record = self.engine().record("history", self.id()).await?;
        let (workflow, problem) = match self.workflow(&record).await {
            Ok(workflow) => (workflow, None),
            Err(error) if error.kind() == ErrorKind::Store => return Err(error),
            Err(error) => (nothing(&record.workflow)?, Some(error)),
        };
        let mut history = RunHistory {
            run: self.clone(),
            replayed: Replayed::new(record.id.clone(), workflow),
            info: record.into(),
            ends: HashMap::new(),
            events: Vec::new(),
            problem,
        };
        history.read().await?;
        Ok(history)
    }

    /// The workflow of the run. One that no worker has begun with yet goes by the newest outline.
    async fn workflow(&self, record: &RunRecord) -> Result<Workflow> {
        let engine = self.engine();
        if !record.body.graph.is_empty() || engine.shared.workflow(&record.workflow).is_some() {
            return engine.workflow_of("history", record).await;
        }
        let query = Query::new(Filter::new().group(record.workflow.clone()));
        let query = query.order(Order::NewestFirst).limit(1);
        let page = engine.shared.store.list(GRAPHS, &query).await;
        let page = page.map_err(|error| Error::store("history", error))?;
        let mut record = record.clone();
        if let Some((_, hash)) = page.records.first().and_then(|it| it.key.rsplit_once('@')) {
            record.body.graph = hash.to_owned();
        }
        engine.workflow_of("history", &record).await
    }
}

/// A workflow without entries.
fn nothing(id: &Text) -> Result<Workflow> {
    Workflow::new(
        id.clone(),
        Vec::new(),
        crate::RetryPolicy::NEVER,
        crate::definition::Options::default(),
    )
}

impl RunHistory {
    /// Takes in what has happened since.
    ///
    /// # Errors
    /// As [`Run::history`].
    pub async fn refresh(&mut self) -> Result<()> {
        let record = self.run.engine().record("history", self.run.id()).await?;
        self.info = record.into();
        self.read().await
    }

    /// Reads on in the journal. The record was read before, so that nothing of what it says is missing here.
    async fn read(&mut self) -> Result<()> {
        let log = JOURNAL.log(self.run.id().clone());
        while self.problem.is_none() {
            let store = &self.run.engine().shared.store;
            let page = store.read_log(&log, self.replayed.end, PAGE).await;
            let page = page.map_err(|error| Error::store("history", error))?;
            if page.entries.is_empty() {
                return Ok(());
            }
            for entry in &page.entries {
                if let Err(error) = self.apply(entry.position, &entry.body) {
                    self.problem = Some(error);
                    break;
                }
            }
        }
        Ok(())
    }

    fn apply(&mut self, position: u64, body: &[u8]) -> Result<()> {
        let first = self.replayed.machine.noted();
        self.replayed.apply(position, body)?;
        self.replayed.machine.take_commands();
        let at = self.replayed.last.unwrap_or(self.info.created);
        if let Ok(Entry {
            fact:
                Fact::Ended {
                    spot,
                    attempt,
                    completion,
                    ..
                },
            ..
        }) = serde_json::from_slice(body)
        {
            let end = LastEnd {
                at,
                attempt,
                completion,
            };
            self.ends.insert(spot, end);
        }
        for (index, notice) in (first..).zip(self.replayed.machine.take_notices()) {
            if notice.elsewhere.is_some() {
                continue;
            }
            let event = WatchEvent::from_json(notice.json, Some(index))?;
            self.events.push(RunEvent {
                at,
                run_id: notice.run_id,
                event,
            });
        }
        Ok(())
    }

    /// The run, as lists show it.
    pub fn info(&self) -> &RunInfo {
        &self.info
    }

    /// How it is.
    pub fn status(&self) -> RunStatus {
        self.info.status
    }

    /// What it got.
    pub fn input(&self) -> &Data {
        self.replayed.machine.input()
    }

    /// Its state.
    pub fn state(&self) -> Data {
        self.replayed.machine.state()
    }

    /// Its entries, with the branches, iterations and nested workflows in them. As many as there are steps are made anew.
    pub fn parts(&self) -> Vec<RunPart> {
        self.replayed.machine.tree(&self.ends)
    }

    /// The events since this was last called, or since the run began. What steps write themselves is not among them: that is
    /// on the bus only.
    pub fn take_events(&mut self) -> Vec<RunEvent> {
        std::mem::take(&mut self.events)
    }

    /// Why the journal, or the rest of it, cannot be read: no program has left the workflow in the store, the definition has
    /// changed, or the journal is damaged. [`info`](Self::info) is right all the same.
    pub fn problem(&self) -> Option<&Error> {
        self.problem.as_ref()
    }
}
