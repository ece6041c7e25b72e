//! Blobs in memory, and who owns them.

use std::collections::{BTreeSet, HashMap};

use bowline_events::Text;
use bytes::Bytes;

use crate::{Blob, BlobHash, Table};

#[derive(Debug, Default)]
pub(super) struct Blobs {
    blobs: HashMap<BlobHash, (Bytes, u64)>,
    owned: HashMap<(Table, Text), BTreeSet<BlobHash>>,
    bytes: u64,
}

impl Blobs {
    pub(super) fn get(&self, hash: &BlobHash) -> Option<Bytes> {
        self.blobs.get(hash).map(|(bytes, _)| bytes.clone())
    }

    pub(super) fn put(&mut self, owner: (Table, Text), blob: &Blob) {
        if !self.owned.entry(owner).or_default().insert(blob.hash()) {
            return;
        }
        let bytes = &mut self.bytes;
        let stored = self.blobs.entry(blob.hash()).or_insert_with(|| {
            *bytes += blob.bytes().len() as u64;
            (blob.bytes().clone(), 0)
        });
        stored.1 += 1;
    }

    pub(super) fn release(&mut self, owner: &(Table, Text), hash: &BlobHash) {
        let Some(hashes) = self.owned.get_mut(owner) else {
            return;
        };
        let owned = hashes.remove(hash);
        if hashes.is_empty() {
            self.owned.remove(owner);
        }
        if owned {
            self.forget(hash);
        }
    }

    pub(super) fn release_all(&mut self, owner: &(Table, Text)) {
        if self.owned.is_empty() {
            return;
        }
        for hash in self.owned.remove(owner).into_iter().flatten() {
            self.forget(&hash);
        }
    }

    /// One owner less.
    fn forget(&mut self, hash: &BlobHash) {
        let Some((bytes, owners)) = self.blobs.get_mut(hash) else {
            return;
        };
        *owners -= 1;
        if *owners == 0 {
            self.bytes -= bytes.len() as u64;
            self.blobs.remove(hash);
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.blobs.len() as u64
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}
