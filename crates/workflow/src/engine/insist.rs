//! Commits whose answers may be lost.

use std::time::Duration;

use bowline_events::Text;
use bowline_store::{Commit, Error, ErrorKind, Expect, LogName, Operation};
use bytes::Bytes;
use tokio::time::sleep;

use super::record::RUNS;
use super::shared::Shared;

/// The pauses between attempts while the store is away.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What came of a commit that was insisted on.
#[derive(Debug)]
pub(super) enum Insisted {
    /// It was kept; the version of the records in it.
    Kept(u64),
    /// Somebody else was faster.
    Lost(Error),
    /// The store does not take it, or was away for too long: it may have been kept.
    Failed(Error),
}

impl Shared {
    /// Commits, and again while the store is away and `goes_on` allows another attempt. A commit that was kept although the
    /// answer was an error is recognised by the run that it wrote and by what it added to the journal.
    pub(super) async fn insist(&self, commit: &Commit, goes_on: impl Fn(u32) -> bool) -> Insisted {
        let mut pause = FIRST_PAUSE;
        let mut uncertain = false;
        let mut attempt = 0;
        loop {
            let error = match self.commit(commit.clone()).await {
                Ok(committed) => return Insisted::Kept(committed.version),
                Err(error) => error,
            };
            let error = match error.kind() {
                ErrorKind::Conflict if !uncertain => return Insisted::Lost(error),
                ErrorKind::Conflict => match self.was_kept(commit).await {
                    Ok(Some(version)) => return Insisted::Kept(version),
                    Ok(None) => return Insisted::Lost(error),
                    Err(away) => away,
                },
                _ => error,
            };
            if error.kind() != ErrorKind::Io && !error.is_retryable() {
                return Insisted::Failed(error);
            }
            uncertain = true;
            attempt += 1;
            tracing::warn!(%error, attempt, "the store is away; trying again");
            if !goes_on(attempt) {
                return Insisted::Failed(error);
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The version of what `commit` wrote, if it is in the store as it wrote it.
    async fn was_kept(&self, commit: &Commit) -> bowline_store::Result<Option<u64>> {
        let mut version = 0;
        for operation in commit.operations() {
            let kept = match operation {
                Operation::Put {
                    table,
                    key,
                    body,
                    index,
                    expect,
                } if *table == RUNS => {
                    let record = self.store.get(RUNS, key).await?;
                    let record = record.filter(|record| {
                        let newer = match expect {
                            Expect::Absent => true,
                            Expect::Version(version) => record.version > *version,
                        };
                        newer && record.body == *body && record.index == *index
                    });
                    version = record.as_ref().map_or(0, |record| record.version);
                    record.is_some()
                }
                Operation::Append {
                    log,
                    entries,
                    end: Some(end),
                    ..
                } => self.has_entries(log, *end, entries).await?,
                _ => true,
            };
            if !kept {
                return Ok(None);
            }
        }
        Ok(Some(version))
    }

    /// Whether the journal has what `commit` was to add to it.
    pub(super) async fn has_appended(&self, commit: &Commit) -> bool {
        for operation in commit.operations() {
            if let Operation::Append {
                log,
                entries,
                end: Some(end),
                ..
            } = operation
                && !matches!(self.has_entries(log, *end, entries).await, Ok(true))
            {
                return false;
            }
        }
        true
    }

    async fn has_entries(
        &self,
        log: &LogName,
        from: u64,
        entries: &[Bytes],
    ) -> bowline_store::Result<bool> {
        let mut seen = 0;
        while seen < entries.len() {
            let rest = &entries[seen..];
            let page = self
                .store
                .read_log(log, from + seen as u64, rest.len())
                .await?;
            let found = page.entries.iter().map(|entry| &entry.body);
            if page.entries.is_empty() || !found.eq(rest.iter().take(page.entries.len())) {
                return Ok(false);
            }
            seen += page.entries.len();
        }
        Ok(true)
    }
}

/// Whether a caller who waits for a commit is to wait for another attempt.
pub(super) fn a_few(attempt: u32) -> bool {
    const ATTEMPTS: u32 = 5;
    attempt < ATTEMPTS
}

/// A conflict, or what else a commit failed with, as the error that callers get.
impl Insisted {
    pub(super) fn kept(
        self,
        operation: &'static str,
        run: &Text,
        lost: impl FnOnce() -> crate::Error,
    ) -> crate::Result<u64> {
        match self {
            Self::Kept(version) => Ok(version),
            Self::Lost(error) => Err(lost().with_source(error)),
            Self::Failed(error) => {
                Err(crate::Error::store(operation, error).with_subject(run.clone()))
            }
        }
    }
}
