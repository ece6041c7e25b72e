//! Topic names and the families that decide how long their events are kept.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::TopicFamily;

/// The name of a topic: any string, compared exactly, without wildcards. Cheap to clone.
///
/// The family of the topic is worked out once, when the topic is made; see [`TopicFamily`].
///
/// ```
/// use bowline_events::{Topic, TopicFamily};
/// let topic = Topic::agent_stream("run-1");
/// assert_eq!(topic, "agent.stream.run-1");
/// assert_eq!(topic.family(), TopicFamily::Stream);
/// assert_eq!(Topic::new("acme.crm.actions").family(), TopicFamily::Plain);
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Topic {
    name: Arc<str>,
    family: TopicFamily,
}

impl Topic {
    /// The topic called `name`.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        let name = name.into();
        let family = TopicFamily::of(&name);
        Self { name, family }
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

impl std::borrow::Borrow<str> for Topic {
    fn borrow(&self) -> &str {
        &self.name
    }
}

impl std::hash::Hash for Topic {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        // Equal to the hash of the name, as `Borrow<str>` demands.
        self.name.hash(state);
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
