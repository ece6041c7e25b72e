//! What the store keeps of a run: one record, and the journal of its facts.

use std::time::Duration;

use bowline_events::{Text, Timestamp};
use bowline_store::limits::MAX_BODY;
use bowline_store::{Index, LogName, Record, Table};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::commit::later;
use crate::json::Writer;
use crate::machine::{Fact, Failure, Machine, Outcome, RunStatus, SuspendedStep};
use crate::{Data, Error, ErrorKind, Result, Workflow};

/// One record a run, by its id. The status, the workflow as group and the resource as owner are its index; `due` is when it
/// wants something: a sleep ends, somebody is to begin with it, or its retention is over.
pub(crate) const RUNS: Table = Table::new("runs");

/// One log of facts a run, by its id.
pub(crate) const JOURNAL: Table = Table::new("journal");

/// Bytes of results, errors and suspensions that a record has room for.
const MAX_OUTCOME: usize = MAX_BODY / 4;

/// The version of what is written here.
const FORMAT: u32 = 1;

/// The body of the record of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunBody {
    pub(crate) format: u32,
    /// The hash of the graph of who worked on it last.
    pub(crate) graph: String,
    /// The worker that runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) worker: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) result: Option<Data>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<Data>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tripwire: Option<Data>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) suspended: Vec<SuspendedStep>,
    /// The runs of nested workflows, whose topics go with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) nested: Vec<String>,
    /// How many of its notices were published when it was given back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) told: Option<u64>,
    /// It was given back when no more of them were published than its journal says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) exact: bool,
    /// What came out of it is too large for the record and is in the journal only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) large: bool,
    /// Its topics are cleared.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) cleared: bool,
}

/// A record of a run, read.
#[derive(Debug, Clone)]
pub(crate) struct RunRecord {
    pub(crate) id: Text,
    pub(crate) version: u64,
    pub(crate) status: RunStatus,
    pub(crate) workflow: Text,
    pub(crate) resource: Option<Text>,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    pub(crate) due: Option<Timestamp>,
    pub(crate) body: RunBody,
}

impl RunBody {
    pub(crate) fn new(graph: String, worker: Option<String>) -> Self {
        Self {
            format: FORMAT,
            graph,
            worker,
            ended: None,
            result: None,
            error: None,
            tripwire: None,
            suspended: Vec::new(),
            nested: Vec::new(),
            told: None,
            exact: false,
            large: false,
            cleared: false,
        }
    }

    /// Takes over what has come out of the run, as far as a record has room for it.
    pub(crate) fn settle(&mut self, machine: &Machine, at: Timestamp) {
        const MAX_NESTED: usize = 10_000;
        self.worker = None;
        self.ended = machine.status().is_final().then(|| at.as_millis());
        self.nested = machine.nested_runs().take(MAX_NESTED).collect();
        self.fill(machine);
        let size = |data: &Option<Data>| data.as_ref().map_or(0, |data| data.as_str().len());
        let outcome = size(&self.result) + size(&self.error) + size(&self.tripwire);
        let suspended = self.suspended.iter().map(|step| {
            let labels: usize = step.labels.iter().map(String::len).sum();
            step.payload.as_str().len() + labels
        });
        self.large = outcome + suspended.sum::<usize>() > MAX_OUTCOME;
        if self.large {
            self.empty();
        }
    }

    /// What came out of the run.
    pub(crate) fn fill(&mut self, machine: &Machine) {
        self.result = machine.result().cloned();
        self.error = machine.error().cloned();
        self.tripwire = machine.tripwire().cloned();
        self.suspended = machine.suspended();
    }

    /// Nothing has come out of the run.
    pub(crate) fn empty(&mut self) {
        self.result = None;
        self.error = None;
        self.tripwire = None;
        self.suspended = Vec::new();
    }
}

impl RunRecord {
    pub(crate) fn read(record: &Record) -> Result<Self> {
        let damaged = |message: String| {
            Error::new(ErrorKind::Corrupt, "read", message).with_subject(record.key.clone())
        };
        let body: RunBody = serde_json::from_slice(&record.body)
            .map_err(|error| damaged(format!("the record of the run is not ours: {error}")))?;
        if body.format > FORMAT {
            let message = format!(
                "the run was written in format {} by a newer program; this one reads {FORMAT}",
                body.format
            );
            return Err(damaged(message));
        }
        let status = record.index.status.as_deref().and_then(RunStatus::parse);
        Ok(Self {
            id: record.key.clone(),
            version: record.version,
            status: status.ok_or_else(|| damaged("the run has no known status".into()))?,
            workflow: record.index.group.clone().unwrap_or_default(),
            resource: record.index.owner.clone(),
            created: record.index.created,
            updated: record.updated,
            due: record.index.due,
            body,
        })
    }

    /// The run cannot go on, because of `problem`; its events are kept for a while.
    pub(super) fn fail(&mut self, problem: &str, at: Timestamp, kept: Duration) {
        self.status = RunStatus::Failed;
        self.due = Some(later(at, kept));
        self.body.worker = None;
        self.body.error = Some(Failure::new("WorkflowMismatchError", problem).error);
        self.body.ended = Some(at.as_millis());
    }

    pub(crate) fn index(&self) -> Index {
        let mut index = Index::new(self.created)
            .status(self.status.as_str())
            .group(self.workflow.clone())
            .due(self.due);
        index.owner.clone_from(&self.resource);
        index
    }

    pub(crate) fn json(&self) -> Result<Bytes> {
        let json = serde_json::to_vec(&self.body).map_err(|error| {
            let message = "the record of the run cannot be written";
            Error::new(ErrorKind::Corrupt, "write", message).with_source(error)
        })?;
        Ok(json.into())
    }

    pub(crate) fn log(&self) -> LogName {
        JOURNAL.log(self.id.clone())
    }
}

/// An entry of a journal: a fact, and how many notices were published before it was committed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Entry<F> {
    #[serde(rename = "p", default)]
    pub(crate) published: u64,
    #[serde(rename = "f")]
    pub(crate) fact: F,
}

/// The bytes of an entry.
pub(crate) fn encode(published: u64, fact: &Fact) -> Result<Bytes> {
    if let Some(json) = succeeded(published, fact) {
        return Ok(json.into_bytes().into_boxed_slice().into());
    }
    let entry = Entry { published, fact };
    let json = serde_json::to_vec(&entry).map_err(|error| {
        let message = "a fact of the run cannot be written";
        Error::new(ErrorKind::Corrupt, "write", message).with_source(error)
    })?;
    Ok(json.into())
}

/// The entry of a step that returned, which is what journals consist of: what it returned is JSON already, and need not be
/// looked through once more.
fn succeeded(published: u64, fact: &Fact) -> Option<String> {
    let Fact::Ended {
        at,
        spot,
        attempt,
        completion,
    } = fact
    else {
        return None;
    };
    let Outcome::Success(output) = &completion.outcome else {
        return None;
    };
    let mut json = Writer::object();
    json.number("p", i64::try_from(published).ok()?);
    json.nested("f", |json| {
        json.nested("ended", |json| {
            json.number("at", *at).numbers("spot", spot.numbers());
            if *attempt > 0 {
                json.number("attempt", *attempt);
            }
            json.nested("completion", |json| {
                json.nested("outcome", |json| {
                    json.data("success", output);
                });
                json.optional("state", completion.state.as_ref());
            });
        });
    });
    Some(json.end())
}

/// A run as its journal tells it.
#[derive(Debug)]
pub(crate) struct Replayed {
    pub(crate) machine: Machine,
    /// The position behind the last fact.
    pub(crate) end: u64,
    /// How many of the notices are published for certain.
    pub(crate) published: u64,
    /// When the last fact happened.
    pub(crate) last: Option<Timestamp>,
}

impl Replayed {
    pub(crate) fn new(run_id: Text, workflow: Workflow) -> Self {
        Self {
            machine: Machine::new(run_id, workflow),
            end: 0,
            published: 0,
            last: None,
        }
    }

    /// Lets the fact in `entry` happen, which is at `position`.
    pub(crate) fn apply(&mut self, position: u64, entry: &[u8]) -> Result<()> {
        let run = self.machine.run_id().clone();
        let damaged = |message: String| {
            Error::new(ErrorKind::Corrupt, "replay", message).with_subject(run.clone())
        };
        let entry: Entry<Fact> = serde_json::from_slice(entry).map_err(|error| {
            damaged(format!(
                "entry {position} of the journal is no fact: {error}"
            ))
        })?;
        if let Err(mismatch) = self.machine.apply(&entry.fact) {
            let message = format!(
                "entry {position} of the journal does not fit the workflow, whose definition has changed: {}",
                mismatch.0
            );
            return Err(damaged(message));
        }
        self.published = self.published.max(entry.published);
        self.last = Some(entry.fact.at());
        self.end = position + 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{At, Completion, Spot};

    #[test]
    fn an_entry_written_by_hand_is_what_serde_writes() {
        for (spot, attempt, state) in [
            (Spot::new(0, 3, None), 0, None),
            (
                Spot::new(2, 0, Some(7)),
                4,
                Some(Data::made(r#"{"a":[1]}"#.into())),
            ),
        ] {
            let fact = Fact::Ended {
                at: At(Timestamp::from_millis(1_700_000_000_123)),
                spot,
                attempt,
                completion: Completion {
                    outcome: Outcome::Success(Data::made(r#"{"x":"\\n"}"#.into())),
                    state,
                },
            };
            let published = 9;
            let entry = Entry {
                published,
                fact: &fact,
            };
            let written = encode(published, &fact).unwrap();
            assert_eq!(written, serde_json::to_vec(&entry).unwrap());
            let read: Entry<Fact> = serde_json::from_slice(&written).unwrap();
            assert_eq!((read.published, read.fact), (published, fact));
        }
    }
}
