//! Where in a run something happens.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A place in a run: which of the nested workflows, which entry of it, which branch or iteration of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Spot {
    /// 0 is the workflow itself; nested ones are numbered as they begin.
    pub(crate) frame: usize,
    pub(crate) entry: usize,
    /// `None` for the entry as a whole.
    pub(crate) branch: Option<usize>,
}

impl Spot {
    pub(crate) fn new(frame: usize, entry: usize, branch: Option<usize>) -> Self {
        Self {
            frame,
            entry,
            branch,
        }
    }

    /// The frame, the entry and the branch.
    pub(crate) fn numbers(self) -> impl Iterator<Item = usize> {
        [self.frame, self.entry].into_iter().chain(self.branch)
    }

    /// The execution path of the reference, within the workflow that it belongs to.
    pub(crate) fn path(self) -> Vec<usize> {
        std::iter::once(self.entry).chain(self.branch).collect()
    }
}

impl Serialize for Spot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.branch {
            Some(branch) => (self.frame, self.entry, branch).serialize(serializer),
            None => (self.frame, self.entry).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Spot {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Vec::<usize>::deserialize(deserializer)?[..] {
            [frame, entry] => Ok(Self::new(frame, entry, None)),
            [frame, entry, branch] => Ok(Self::new(frame, entry, Some(branch))),
            _ => Err(serde::de::Error::custom("a spot has two or three numbers")),
        }
    }
}
