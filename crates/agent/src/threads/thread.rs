//! The names of threads.

use bowline_events::topics::thread_key;
use bowline_events::{Text, Topic};

/// A conversation: its id, and whom it is with.
///
/// ```
/// use bowline_agent::threads::ThreadId;
///
/// let thread = ThreadId::new("thread-1").resource("user-1");
/// assert_eq!(thread.topic().as_str(), "agent.thread-stream.user-1%00thread-1");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[must_use]
pub struct ThreadId {
    id: Text,
    resource: Option<Text>,
}

impl ThreadId {
    /// The thread `id` with nobody in particular.
    pub fn new(id: impl Into<Text>) -> Self {
        Self {
            id: id.into(),
            resource: None,
        }
    }

    /// The thread `id`, with `resource` where there is one.
    pub fn of(id: impl Into<Text>, resource: Option<Text>) -> Self {
        Self {
            id: id.into(),
            resource,
        }
    }

    /// The same with `resource`: threads of one id and different resources are different ones.
    pub fn resource(mut self, resource: impl Into<Text>) -> Self {
        self.resource = Some(resource.into());
        self
    }

    /// The id.
    pub fn id(&self) -> &Text {
        &self.id
    }

    /// Whom it is with.
    pub fn resource_id(&self) -> Option<&Text> {
        self.resource.as_ref()
    }

    /// The topic on which everything is told that happens in it.
    pub fn topic(&self) -> Topic {
        Topic::agent_thread_stream(self.resource.as_deref(), &self.id)
    }

    /// The key of its lease.
    pub fn key(&self) -> Text {
        thread_key(self.resource.as_deref(), &self.id).into()
    }
}
