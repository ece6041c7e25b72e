//! The store as it is told to a child: a copy of everything, changed on a copy.

use std::collections::{BTreeMap, BTreeSet};

use bowline_events::Timestamp;
use bowline_store::{
    Appended, BlobHash, Commit, Expect, Expected, Filter, Index, Operation, Query, Record, Store,
    Table,
};
use bytes::Bytes;

pub(crate) const TABLES: [Table; 2] = [Table::new("runs"), Table::new("timers")];
pub(crate) const KEYS: [&str; 4] = ["a", "b", "c", "d"];

type Name = (Table, String);

/// Everything that is in a store and can be seen.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Model {
    pub(crate) records: BTreeMap<Name, (u64, Index, Bytes)>,
    pub(crate) logs: BTreeMap<Name, ModelLog>,
    pub(crate) owned: BTreeSet<(Name, BlobHash)>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ModelLog {
    pub(crate) born: u64,
    pub(crate) end: u64,
    pub(crate) entries: Vec<(u64, Bytes)>,
}

/// An expectation that does not hold.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Broken {
    pub(crate) name: Name,
    pub(crate) expected: Expected,
    pub(crate) found: Option<u64>,
}

impl Model {
    /// The model after `commit`, or every expectation that is broken.
    pub(crate) fn after(
        &self,
        commit: &Commit,
        version: u64,
    ) -> Result<(Self, Vec<Appended>), Vec<Broken>> {
        let mut broken = Vec::new();
        for operation in commit.operations() {
            let name = (operation.table(), operation.key().to_string());
            let expected = match operation {
                Operation::Put { expect, .. } | Operation::Check { expect, .. } => match expect {
                    Expect::Absent => Expected::Absent,
                    Expect::Version(version) => Expected::Version(*version),
                },
                Operation::Delete { version, .. } => Expected::Version(*version),
                Operation::Append { end: Some(end), .. }
                | Operation::DropLog { end: Some(end), .. } => Expected::End(*end),
                Operation::PutBlob { .. } => {
                    let after = commit.operations().iter().rfind(|other| {
                        let same = other.table() == name.0 && *other.key() == name.1.as_str();
                        same && matches!(other, Operation::Put { .. } | Operation::Delete { .. })
                    });
                    match after {
                        Some(Operation::Put { .. }) => continue,
                        Some(_) => {
                            broken.push(Broken {
                                name,
                                expected: Expected::Present,
                                found: None,
                            });
                            continue;
                        }
                        None => Expected::Present,
                    }
                }
                _ => continue,
            };
            let found = match expected {
                Expected::End(_) => self.logs.get(&name).map(|log| log.end),
                _ => self.records.get(&name).map(|record| record.0),
            };
            let holds = match expected {
                Expected::Absent => found.is_none(),
                Expected::Present => found.is_some(),
                Expected::Version(version) => found == Some(version),
                Expected::End(end) => found.unwrap_or(0) == end,
                _ => unreachable!("no other expectation exists"),
            };
            if !holds {
                broken.push(Broken {
                    name,
                    expected,
                    found,
                });
            }
        }
        if !broken.is_empty() {
            return Err(broken);
        }
        let mut next = self.clone();
        let appended = next.apply(commit, version);
        Ok((next, appended))
    }

    fn apply(&mut self, commit: &Commit, version: u64) -> Vec<Appended> {
        let mut appended = Vec::new();
        for operation in commit.operations() {
            let name = (operation.table(), operation.key().to_string());
            match operation {
                Operation::Put { index, body, .. } => {
                    self.records
                        .insert(name, (version, index.clone(), body.clone()));
                }
                Operation::Delete { .. } => {
                    self.records.remove(&name);
                    self.owned.retain(|(owner, _)| *owner != name);
                }
                Operation::Append { entries, keep, .. } => {
                    let log = self.logs.entry(name).or_insert(ModelLog {
                        born: version,
                        ..ModelLog::default()
                    });
                    let first = log.end;
                    log.entries.extend(
                        entries
                            .iter()
                            .cloned()
                            .zip(first..)
                            .map(|(body, at)| (at, body)),
                    );
                    log.end += entries.len() as u64;
                    appended.push(Appended {
                        first,
                        end: log.end,
                        born: log.born,
                    });
                    log.trim(keep);
                }
                Operation::Trim { keep, .. } => {
                    if let Some(log) = self.logs.get_mut(&name) {
                        log.trim(keep);
                    }
                }
                Operation::DropLog { .. } => {
                    self.logs.remove(&name);
                }
                Operation::PutBlob { blob, .. } => {
                    self.owned.insert((name, blob.hash()));
                }
                Operation::DropBlob { hash, .. } => {
                    self.owned.remove(&(name, *hash));
                }
                _ => {}
            }
        }
        appended
    }

    /// The records that are due, as a claim would take them.
    pub(crate) fn due(&self, table: Table, at: Timestamp, limit: usize) -> Vec<String> {
        let mut due: Vec<_> = self
            .records
            .iter()
            .filter(|((of, _), (_, index, _))| {
                *of == table && index.due.is_some_and(|due| due <= at)
            })
            .map(|((_, key), (_, index, _))| (index.due, key.clone()))
            .collect();
        due.sort();
        due.into_iter().take(limit).map(|(_, key)| key).collect()
    }

    /// Everything that `store` has of the names of the model, and of `blobs`.
    pub(crate) async fn read(store: &dyn Store, blobs: &[BlobHash]) -> (Self, BTreeSet<BlobHash>) {
        let mut model = Self::default();
        for table in TABLES {
            let query = Query::new(Filter::new()).limit(1000);
            let page = store.list(table, &query).await.unwrap();
            for Record {
                key,
                version,
                index,
                body,
                ..
            } in page.records
            {
                let got = store.get(table, &key).await.unwrap().unwrap();
                assert_eq!(
                    (got.version, &got.body),
                    (version, &body),
                    "list and get of {key}"
                );
                model
                    .records
                    .insert((table, key.to_string()), (version, index, body));
            }
            for (key, info) in store.logs(table, None, 1000).await.unwrap() {
                let page = store
                    .read_log(&table.log(key.clone()), 0, 1000)
                    .await
                    .unwrap();
                assert_eq!(page.info, Some(info), "the state of log {key}");
                let entries: Vec<_> = page
                    .entries
                    .into_iter()
                    .map(|it| (it.position, it.body))
                    .collect();
                let positions: Vec<_> = entries.iter().map(|it| it.0).collect();
                assert_eq!(
                    positions,
                    (info.first..info.end).collect::<Vec<_>>(),
                    "log {key} has a gap"
                );
                let bytes: usize = entries.iter().map(|it| it.1.len()).sum();
                assert_eq!(bytes as u64, info.bytes, "the bytes of log {key}");
                let log = ModelLog {
                    born: info.born,
                    end: info.end,
                    entries,
                };
                model.logs.insert((table, key.to_string()), log);
            }
        }
        let mut found = BTreeSet::new();
        for hash in blobs {
            if let Some(bytes) = store.blob(*hash).await.unwrap() {
                assert_eq!(BlobHash::of(&bytes), *hash, "the content of a blob");
                found.insert(*hash);
            }
        }
        (model, found)
    }
}

impl ModelLog {
    fn trim(&mut self, keep: &bowline_store::Keep) {
        let bytes =
            |entries: &[(u64, Bytes)]| entries.iter().map(|it| it.1.len() as u64).sum::<u64>();
        while let Some((position, _)) = self.entries.first() {
            let too_old = keep.from.is_some_and(|from| *position < from);
            let too_many = keep
                .entries
                .is_some_and(|entries| self.entries.len() as u64 > entries);
            let too_large = keep.bytes.is_some_and(|limit| bytes(&self.entries) > limit);
            if !(too_old || too_many || too_large) {
                break;
            }
            self.entries.remove(0);
        }
    }
}
