//! The recovery horizon: what a broker that took over from a dead one published before its peers were back.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use bowline_events::{Text, Topic};
use bytes::Bytes;

use super::ClientId;
use super::queue::{Part, Run};
use super::topics::Membership;

/// Bytes of events that are kept; the oldest go first.
const BYTES: usize = 8 * 1024 * 1024;

/// An event since the promotion.
#[derive(Debug)]
pub(crate) struct Kept {
    topic: Topic,
    /// The event object, stamped.
    parts: Vec<Part>,
    bytes: usize,
    /// Groups of which a member got it.
    served: Vec<Text>,
}

/// The events since a promotion, for a short time.
#[derive(Debug)]
pub(crate) struct Horizon {
    until: Instant,
    kept: VecDeque<Kept>,
    /// Entries at the end of `kept` that refer to the present run.
    unfinished: usize,
    bytes: usize,
    given: HashSet<(ClientId, Membership)>,
}

impl Horizon {
    pub(crate) fn new(now: Instant, span: Duration) -> Self {
        Self {
            until: now + span,
            kept: VecDeque::new(),
            unfinished: 0,
            bytes: 0,
            given: HashSet::new(),
        }
    }

    pub(crate) fn is_over(&self, now: Instant) -> bool {
        now >= self.until
    }

    /// Keeps an event; `parts` may refer to the present run.
    pub(crate) fn keep(&mut self, topic: Topic, parts: Vec<Part>, served: Vec<Text>) {
        let bytes = parts.iter().map(Part::len).sum();
        self.bytes += bytes;
        self.kept.push_back(Kept {
            topic,
            parts,
            bytes,
            served,
        });
        self.unfinished += 1;
        while self.bytes > BYTES && self.kept.len() > 1 {
            if let Some(oldest) = self.kept.pop_front() {
                self.bytes -= oldest.bytes;
            }
        }
    }

    /// The present run is finished: `run` holds its bytes.
    pub(crate) fn finish_run(&mut self, run: &Bytes) {
        for kept in self.kept.iter_mut().rev().take(self.unfinished) {
            for part in &mut kept.parts {
                if let Part::Run(range) = part {
                    *part = Part::Shared(run.slice(range.clone()));
                }
            }
        }
        self.unfinished = 0;
    }

    /// The events that a new membership of `client` missed, as frame parts with `head` before and `tail` after each event.
    /// Empty when this connection was given them before.
    pub(crate) fn missed(
        &mut self,
        client: ClientId,
        membership: &Membership,
        head: &[u8],
        tail: &[u8],
        run: &mut Run,
    ) -> Vec<Vec<Part>> {
        if !self.given.insert((client, membership.clone())) {
            return Vec::new();
        }
        let mut frames = Vec::new();
        for kept in self
            .kept
            .iter_mut()
            .filter(|kept| kept.topic == membership.topic)
        {
            if let Some(group) = &membership.group {
                if kept.served.contains(group) {
                    continue;
                }
                kept.served.push(group.clone());
            }
            let start = run.len();
            run.push(head);
            let mut parts = vec![Part::Run(start..run.len())];
            parts.extend(kept.parts.iter().cloned());
            let start = run.len();
            run.push(tail);
            parts.push(Part::Run(start..run.len()));
            frames.push(parts);
        }
        frames
    }
}
