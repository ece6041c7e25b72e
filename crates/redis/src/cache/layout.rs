//! Which keys a cache uses, and how long it keeps them.

use std::time::Duration;

use bowline_events::{Error, ErrorKind, Result};

/// Longer times would overflow the clock arithmetic of the server.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// What comes behind the key of a list to make that of its counter.
const COUNTER: &str = ":counter";

/// What comes behind the name of a topic that looks like the key of a counter.
const LIST: &str = ":list";

/// Keys and lifetimes, shared by all processes that use a cache.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) key_prefix: String,
    pub(crate) topic_prefix: String,
    pub(crate) ttl: Option<Duration>,
    pub(crate) max_events: Option<u64>,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            key_prefix: "mastra:cache:".to_owned(),
            topic_prefix: "pubsub:".to_owned(),
            ttl: Some(Duration::from_secs(300)),
            max_events: None,
        }
    }
}

impl Layout {
    /// What the keys of all histories begin with.
    pub(crate) fn prefix(&self) -> String {
        format!("{}{}", self.key_prefix, self.topic_prefix)
    }

    /// The keys of the history of `topic`.
    ///
    /// The reference keeps the history of a topic `x:counter` where the counter of `x` is. We write `:list` behind such names,
    /// and behind names that would take the place of those.
    pub(crate) fn keys(&self, topic: &str) -> Keys {
        let escape = if is_ambiguous(topic) { LIST } else { "" };
        let list = format!("{}{}{topic}{escape}", self.key_prefix, self.topic_prefix);
        Keys {
            counter: format!("{list}{COUNTER}"),
            list,
        }
    }

    /// The topic whose history is at `list`, if that is one.
    pub(crate) fn topic<'a>(&self, list: &'a str) -> Option<&'a str> {
        let name = list
            .strip_prefix(&self.key_prefix)?
            .strip_prefix(&self.topic_prefix)?;
        match name.strip_suffix(LIST) {
            Some(topic) if is_ambiguous(topic) => Some(topic),
            _ if is_ambiguous(name) => None,
            _ => Some(name),
        }
    }

    /// The lifetime in whole seconds, rounded up; `None` for ever.
    pub(crate) fn ttl_seconds(&self) -> Option<u64> {
        let ttl = self.ttl?;
        Some(ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0))
    }

    /// Refuses values that make no sense.
    pub(crate) fn check(&self) -> Result<()> {
        let refused = |option: &str, message: &'static str| {
            Err(Error::new(ErrorKind::InvalidInput, "cache option", message).with_subject(option))
        };
        if self.ttl.is_some_and(|ttl| ttl.is_zero() || ttl > LONGEST) {
            return refused(
                "ttl",
                "must be positive and at most a year, or none for ever",
            );
        }
        if self.max_events == Some(0) {
            return refused("max_events", "must be at least 1, or none for no limit");
        }
        Ok(())
    }
}

/// Whether `name` is that of a counter, or of a list that was told from one.
fn is_ambiguous(name: &str) -> bool {
    name.trim_end_matches(LIST).ends_with(COUNTER)
}

/// The two keys of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Keys {
    /// A list of JSON texts, one per event.
    pub(crate) list: String,
    /// The number of indices that were given.
    pub(crate) counter: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_the_reference() {
        let keys = Layout::default().keys("agent.stream.r1");
        assert_eq!(keys.list, "mastra:cache:pubsub:agent.stream.r1");
        assert_eq!(keys.counter, "mastra:cache:pubsub:agent.stream.r1:counter");
    }

    #[test]
    fn no_topic_takes_the_place_of_a_counter() {
        let layout = Layout::default();
        let mut used = std::collections::HashSet::new();
        for topic in [
            "",
            "x",
            "x:counter",
            "x:counter:list",
            "x:counter:list:list",
            "x:counter:counter",
            "x:counter:list:counter",
            "x:list",
            "x:list:counter",
            ":counter",
            ":list",
            "counter",
        ] {
            let keys = layout.keys(topic);
            assert_eq!(layout.topic(&keys.list), Some(topic));
            assert_eq!(layout.topic(&keys.counter), None);
            assert!(used.insert(keys.list), "{topic}");
            assert!(used.insert(keys.counter), "{topic}");
        }
        assert_eq!(layout.topic("mastra:cache:other"), None);
    }

    #[test]
    fn lifetimes_are_rounded_up_to_seconds() {
        let seconds = |millis| {
            let ttl = Some(Duration::from_millis(millis));
            Layout {
                ttl,
                ..Layout::default()
            }
            .ttl_seconds()
        };
        assert_eq!(Layout::default().ttl_seconds(), Some(300));
        assert_eq!(
            [1, 1000, 1001, 1999, 300_000].map(seconds),
            [1, 1, 2, 2, 300].map(Some)
        );
    }

    #[test]
    fn impossible_values_are_refused_by_name() {
        let zero = Layout {
            ttl: Some(Duration::ZERO),
            ..Layout::default()
        };
        let never = Layout {
            ttl: Some(Duration::MAX),
            ..Layout::default()
        };
        let none = Layout {
            max_events: Some(0),
            ..Layout::default()
        };
        for (layout, option) in [(zero, "ttl"), (never, "ttl"), (none, "max_events")] {
            let error = layout.check().expect_err(option);
            assert_eq!(
                (error.kind(), error.subject()),
                (ErrorKind::InvalidInput, Some(option))
            );
        }
        assert!(Layout::default().check().is_ok());
    }
}
