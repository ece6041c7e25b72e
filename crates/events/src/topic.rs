//! Topic names and the families that decide how long their events are kept.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};
use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use crate::TopicFamily;

/// The name of a topic: any string, compared exactly, without wildcards. Cheap to clone.
///
/// The family of the topic and the hash of its name are worked out once, when the topic is made; see [`TopicFamily`].
///
/// ```
/// use bowline_events::{Topic, TopicFamily};
/// let topic = Topic::agent_stream("run-1");
/// assert_eq!(topic, "agent.stream.run-1");
/// assert_eq!(topic.family(), TopicFamily::Stream);
/// assert_eq!(Topic::new("acme.crm.actions").family(), TopicFamily::Plain);
/// ```
#[derive(Clone)]
pub struct Topic {
    /// First, so that most comparisons end here; keyed per process, so that nobody can choose names that collide.
    hash: u64,
    name: Arc<str>,
    family: TopicFamily,
}

/// A map by topic that does not hash names again.
pub(crate) type TopicMap<V> = HashMap<Topic, V, BuildHasherDefault<TopicHasher>>;

/// The hasher of [`TopicMap`]: hands on the hash that a [`Topic`] carries.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TopicHasher(u64);

impl Hasher for TopicHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(5) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl Topic {
    /// The topic called `name`.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        let name = name.into();
        static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        let family = TopicFamily::of(&name);
        let hash = KEY.hash_one(&*name);
        Self { hash, name, family }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The name as shared text.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The family of this name.
    pub fn family(&self) -> TopicFamily {
        self.family
    }
}

impl From<&str> for Topic {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl From<String> for Topic {
    fn from(name: String) -> Self {
        Self::new(name)
    }
}

impl From<&Topic> for Topic {
    fn from(topic: &Topic) -> Self {
        topic.clone()
    }
}

impl Deref for Topic {
    type Target = str;
    fn deref(&self) -> &str {
        &self.name
    }
}

impl Hash for Topic {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl PartialEq for Topic {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && (Arc::ptr_eq(&self.name, &other.name) || self.name == other.name)
    }
}

impl Eq for Topic {}

impl PartialOrd for Topic {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Topic {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.name.cmp(&other.name)
    }
}

impl PartialEq<str> for Topic {
    fn eq(&self, other: &str) -> bool {
        &*self.name == other
    }
}

impl PartialEq<&str> for Topic {
    fn eq(&self, other: &&str) -> bool {
        &*self.name == *other
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.name, f)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}
