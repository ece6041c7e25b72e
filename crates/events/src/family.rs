//! Topic families and their retention: the one table that says how long events are kept.

use std::time::Duration;

/// What a topic is for. It decides the default [`Retention`] and what happens when a limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TopicFamily {
    /// A resumable stream of one run (`agent.stream.<runId>`): kept for late readers.
    Stream,
    /// Progress that is watched (`workflow.events.v2.<runId>`, thread streams, task results).
    Watch,
    /// Requests and replies of the runtime itself (`agent.control.<runId>`, discovery, `scheduler`).
    Control,
    /// Work that exactly one member of a group does (`workflows`, `background-tasks`, `agent-schedules`).
    Work,
    /// Everything else: topics of the application.
    Plain,
}

/// How much of a topic is kept for readers that come later. Whatever limit is reached first applies; oldest events go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// Bytes of events ([`Event::weight`](crate::Event::weight)).
    pub bytes: usize,
    /// Number of events.
    pub events: usize,
    /// Age of an event.
    pub age: Duration,
}

const MIB: usize = 1024 * 1024;
const MINUTE: u64 = 60;

impl Retention {
    /// Keeps at most `bytes` bytes, `events` events, and nothing older than `age`.
    pub const fn new(bytes: usize, events: usize, age: Duration) -> Self {
        Self { bytes, events, age }
    }

    /// Keeps nothing for later readers.
    pub const NONE: Self = Self::new(0, 0, Duration::ZERO);
}

impl TopicFamily {
    /// All families, in the order of the documentation.
    pub const ALL: [Self; 5] = [
        Self::Stream,
        Self::Watch,
        Self::Control,
        Self::Work,
        Self::Plain,
    ];

    /// The family of the topic called `name`, by the naming rules of the reference (core 1.71).
    pub fn of(name: &str) -> Self {
        const PREFIXES: [(&str, TopicFamily); 8] = [
            ("agent.stream.", TopicFamily::Stream),
            ("workflow.events.", TopicFamily::Watch),
            ("agent.control.", TopicFamily::Control),
            ("agent.thread-owner-discovery", TopicFamily::Control),
            ("agent.thread-peer-discovery", TopicFamily::Control),
            ("agent.thread-stream.", TopicFamily::Watch),
            ("background-tasks:", TopicFamily::Work),
            ("workflow.lifecycle.", TopicFamily::Watch),
        ];
        match name {
            "workflows" | "background-tasks" | "agent-schedules" => return Self::Work,
            "workflows-finish" | "nested-watch" | "background-tasks-result" => return Self::Watch,
            "scheduler" => return Self::Control,
            _ => {}
        }
        if name.starts_with("agent.thread-stream.") && name.contains(".idle-acceptance.") {
            return Self::Control;
        }
        PREFIXES
            .iter()
            .find(|(prefix, _)| name.starts_with(prefix))
            .map_or(Self::Plain, |(_, family)| *family)
    }

    /// The retention that backends of ours use for this family unless they are configured otherwise.
    pub const fn retention(self) -> Retention {
        match self {
            Self::Stream => Retention::new(64 * MIB, 1_000_000, Duration::from_secs(60 * MINUTE)),
            Self::Watch => Retention::new(16 * MIB, 100_000, Duration::from_secs(60 * MINUTE)),
            Self::Control => Retention::new(MIB, 10_000, Duration::from_secs(60 * MINUTE)),
            Self::Work => {
                Retention::new(64 * MIB, 1_000_000, Duration::from_secs(24 * 60 * MINUTE))
            }
            Self::Plain => Retention::new(4 * MIB, 1_024, Duration::from_secs(5 * MINUTE)),
        }
    }

    /// Whether publishing fails with [`ErrorKind::Full`](crate::ErrorKind::Full) when the limit is reached and a group has
    /// not done the work yet, instead of dropping the oldest events.
    pub const fn refuses_when_full(self) -> bool {
        matches!(self, Self::Work)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_reference_fall_into_their_families() {
        let table = [
            ("agent.stream.r1", TopicFamily::Stream),
            ("workflow.events.v2.r1", TopicFamily::Watch),
            ("workflows", TopicFamily::Work),
            ("workflows-finish", TopicFamily::Watch),
            ("workflowsx", TopicFamily::Plain),
            ("agent.control.r1", TopicFamily::Control),
            ("agent.thread-stream.u%00t", TopicFamily::Watch),
            (
                "agent.thread-stream.u%00t.idle-acceptance.x",
                TopicFamily::Control,
            ),
            ("agent.thread-owner-discovery", TopicFamily::Control),
            ("agent.thread-peer-discovery.q", TopicFamily::Control),
            ("background-tasks", TopicFamily::Work),
            ("background-tasks:w1", TopicFamily::Work),
            ("background-tasks-result", TopicFamily::Watch),
            ("agent-schedules", TopicFamily::Work),
            ("scheduler", TopicFamily::Control),
            ("acme.crm.actions", TopicFamily::Plain),
            ("", TopicFamily::Plain),
        ];
        for (name, family) in table {
            assert_eq!(TopicFamily::of(name), family, "{name:?}");
        }
    }
}
