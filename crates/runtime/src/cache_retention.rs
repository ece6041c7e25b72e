//! How much of a topic a cache in a store keeps.

use std::time::Duration;

use bowline_events::{Retention, TopicFamily};

/// How much of each topic a `sqlite:` or `postgres://` cache keeps. `None` is what the [`Retention`] of the topic's family
/// says (plain topics as long as streams); a value counts for all topics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheRetention {
    /// An event that is older than this is forgotten, and a history whose last event is, as a whole; 0 keeps them.
    pub ttl: Option<Duration>,
    /// Events that a history keeps; 0 keeps all.
    pub max_events: Option<u64>,
    /// Bytes of events that a history keeps; 0 keeps all.
    pub max_topic_bytes: Option<usize>,
}

impl CacheRetention {
    /// What each family of topics keeps.
    pub fn families(&self) -> [(TopicFamily, Retention); TopicFamily::ALL.len()] {
        TopicFamily::ALL.map(|family| {
            let usual = match family {
                TopicFamily::Plain => TopicFamily::Stream.retention(),
                other => other.retention(),
            };
            let events = self.max_events.map_or(usual.events, |events| {
                unless_zero(usize::try_from(events).unwrap_or(usize::MAX))
            });
            let bytes = self.max_topic_bytes.map_or(usual.bytes, unless_zero);
            let age = match self.ttl {
                Some(Duration::ZERO) => Duration::MAX,
                Some(ttl) => ttl,
                None => usual.age,
            };
            (family, Retention::new(bytes, events, age))
        })
    }
}

/// A limit where 0 stands for none.
fn unless_zero(limit: usize) -> usize {
    if limit == 0 { usize::MAX } else { limit }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_the_matter_of_the_family() {
        let hour = Duration::from_secs(3600);
        let families = CacheRetention::default().families();
        let of = |family| {
            families
                .iter()
                .find(|(other, _)| *other == family)
                .map(|found| found.1)
        };
        assert_eq!(
            of(TopicFamily::Plain),
            Some(TopicFamily::Stream.retention())
        );
        assert_eq!(
            of(TopicFamily::Control),
            Some(TopicFamily::Control.retention())
        );

        let changed = CacheRetention {
            ttl: Some(hour * 2),
            max_events: Some(7),
            max_topic_bytes: Some(8),
        };
        for (_, retention) in changed.families() {
            assert_eq!(retention, Retention::new(8, 7, hour * 2));
        }
        let unlimited = CacheRetention {
            ttl: Some(Duration::ZERO),
            max_events: Some(0),
            max_topic_bytes: Some(0),
        };
        for (_, retention) in unlimited.families() {
            assert_eq!(
                retention,
                Retention::new(usize::MAX, usize::MAX, Duration::MAX)
            );
        }
    }
}
