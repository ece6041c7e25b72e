//! Who else is alive, judged without comparing clocks: a worker is gone when somebody has watched its record for as long as its
//! lease lasts, and it did not change.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::Duration;

use bowline_events::Text;
use bowline_store::{Cursor, Filter, Query, Record, Store};
use tokio::time::Instant;

use super::commit::store_error;
use super::lease::{WORKERS, WorkerBody};
use super::shared::lock;
use crate::Result;

/// Records that are read together.
const PAGE: usize = 500;
/// How often a record is looked at within the lease that it stands for.
pub(super) const LOOKS: u32 = 4;

/// What this engine has seen of the records of workers.
#[derive(Debug)]
pub(super) struct Peers {
    seen: Mutex<HashMap<Text, Seen>>,
    own_lease: Duration,
}

/// A record of a worker.
#[derive(Debug, Clone, Copy)]
struct Seen {
    version: u64,
    lease: Duration,
    /// Who wrote it wants others to go on with its runs.
    left: bool,
    /// It has not changed since then.
    since: Instant,
    /// When it was looked at last.
    last: Instant,
}

/// A worker, as it is now.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) id: Text,
    pub(super) version: u64,
    pub(super) is_dead: bool,
}

impl Seen {
    /// Whether it was renewed too long ago. Both instants are ones at which it was looked at, so the worker did not renew it
    /// between them, however long whoever looked was held up.
    fn is_dead(&self) -> bool {
        self.left || self.last.saturating_duration_since(self.since) >= self.lease
    }
}

impl Peers {
    pub(super) fn new(own_lease: Duration) -> Self {
        Self {
            seen: Mutex::default(),
            own_lease,
        }
    }

    /// Looks at the records of all workers.
    ///
    /// # Errors
    /// What the store says.
    pub(super) async fn look(&self, store: &dyn Store) -> Result<Vec<Peer>> {
        let asked = Instant::now();
        let mut records = Vec::new();
        let mut cursor: Option<Cursor> = None;
        loop {
            let query = Query::new(Filter::new()).limit(PAGE).after(cursor.take());
            let page = store.list(WORKERS, &query).await;
            let page = page.map_err(store_error("recover"))?;
            records.extend(page.records);
            match page.next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        Ok(self.note(&records, asked, Instant::now()))
    }

    /// Notes what the records of all workers were at some time between `asked` and `answered`.
    fn note(&self, records: &[Record], asked: Instant, answered: Instant) -> Vec<Peer> {
        let mut seen = lock(&self.seen);
        let peers: Vec<Peer> = records
            .iter()
            .map(|record| {
                let new = || {
                    let body = WorkerBody::read(&record.body);
                    Seen {
                        version: record.version,
                        lease: body.lease().unwrap_or(self.own_lease),
                        left: body.has_left(),
                        since: answered,
                        last: answered,
                    }
                };
                let entry = seen.entry(record.key.clone()).or_insert_with(new);
                // Somebody who could not look for a while does not know whether the other one could write meanwhile. Whoever is
                // dead stays so until he writes.
                let missed = asked.saturating_duration_since(entry.last) > entry.lease / 2;
                if entry.version != record.version || (missed && !entry.is_dead()) {
                    *entry = new();
                } else {
                    entry.last = entry.last.max(asked);
                }
                Peer {
                    id: record.key.clone(),
                    version: record.version,
                    is_dead: entry.is_dead(),
                }
            })
            .collect();
        if seen.len() > peers.len() {
            let there: HashSet<&Text> = peers.iter().map(|peer| &peer.id).collect();
            seen.retain(|id, _| there.contains(id));
        }
        peers
    }

    /// Whether the record of a worker in this version is known to have been there for too long.
    pub(super) fn is_dead(&self, id: &str, version: u64) -> bool {
        let seen = lock(&self.seen);
        seen.get(id)
            .is_some_and(|seen| seen.version == version && seen.is_dead())
    }

    /// The version of the record of a worker that is known to be dead.
    pub(super) fn dead_version(&self, id: &str) -> Option<u64> {
        let seen = lock(&self.seen);
        let dead = seen.get(id).filter(|seen| seen.is_dead());
        dead.map(|seen| seen.version)
    }

    /// The workers that were dead when they were looked at last, but for `own`.
    pub(super) fn dead(&self, own: &Text) -> HashSet<Text> {
        let seen = lock(&self.seen);
        let dead = seen
            .iter()
            .filter(|(id, seen)| *id != own && seen.is_dead());
        dead.map(|(id, _)| id.clone()).collect()
    }

    /// Does not know a worker any more, until it is seen again.
    pub(super) fn forget(&self, id: &str) {
        lock(&self.seen).remove(id);
    }

    /// How long it may be until the next look.
    pub(super) fn pace(&self) -> Duration {
        let seen = lock(&self.seen);
        let leases = seen.values().map(|seen| seen.lease);
        leases.fold(self.own_lease, Duration::min) / LOOKS
    }
}

#[cfg(test)]
mod tests {
    use bowline_events::Timestamp;
    use bowline_store::Index;

    use super::*;

    const LEASE: Duration = Duration::from_secs(8);

    /// What a sequence of looks (seconds, version of the record) makes of a worker.
    fn after(looks: &[(u64, u64)], left: bool) -> bool {
        let peers = Peers::new(LEASE);
        let begin = Instant::now();
        let mut dead = false;
        for (seconds, version) in looks {
            let at = begin + Duration::from_secs(*seconds);
            let body = WorkerBody::new(LEASE);
            let record = Record {
                table: WORKERS,
                key: "w".into(),
                version: *version,
                index: Index::new(Timestamp::from_millis(0)),
                body: if left { body.leave() } else { body }.json(),
                updated: Timestamp::from_millis(0),
            };
            dead = peers.note(&[record], at, at)[0].is_dead;
            assert_eq!(peers.is_dead("w", *version), dead);
            assert!(!peers.is_dead("w", version + 1));
        }
        dead
    }

    #[test]
    fn a_worker_is_dead_when_its_record_was_watched_for_its_lease_and_did_not_change() {
        let cases: [(&[(u64, u64)], bool); 9] = [
            (&[(0, 1)], false),
            (&[(0, 1), (2, 1), (4, 1), (6, 1)], false),
            (&[(0, 1), (2, 1), (4, 1), (6, 1), (8, 1)], true),
            // It renews it.
            (&[(0, 1), (4, 2), (8, 3), (12, 4)], false),
            (&[(0, 1), (4, 1), (8, 2), (12, 2)], false),
            // Nobody looked for more than half of the lease.
            (&[(0, 1), (60, 1)], false),
            (&[(0, 1), (60, 1), (64, 1), (68, 1)], true),
            // It was known to be dead before, until it writes.
            (&[(0, 1), (4, 1), (8, 1), (60, 1)], true),
            (&[(0, 1), (4, 1), (8, 1), (60, 2)], false),
        ];
        for (looks, dead) in cases {
            assert_eq!(after(looks, false), dead, "{looks:?}");
        }
    }

    #[test]
    fn a_worker_that_left_its_runs_behind_is_not_waited_for() {
        assert!(after(&[(0, 1)], true));
    }

    #[test]
    fn the_shortest_lease_decides_how_often_to_look() {
        let peers = Peers::new(LEASE);
        assert_eq!(peers.pace(), LEASE / LOOKS);
        let short = Duration::from_secs(1);
        let record = Record {
            table: WORKERS,
            key: "w".into(),
            version: 1,
            index: Index::new(Timestamp::from_millis(0)),
            body: WorkerBody::new(short).json(),
            updated: Timestamp::from_millis(0),
        };
        peers.note(&[record], Instant::now(), Instant::now());
        assert_eq!(peers.pace(), short / LOOKS);
        peers.note(&[], Instant::now(), Instant::now());
        assert_eq!(peers.pace(), LEASE / LOOKS);
    }
}
