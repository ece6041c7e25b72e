//! What the demo and its processes say to each other: JSON lines over standard input and output.

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// The topic of the demo: a resumable stream, as that of an agent run.
pub(crate) const TOPIC: &str = "agent.stream.demo";

/// From the demo to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub(crate) enum Order {
    /// Publish the events `0..events`, evenly.
    Stream { events: u64, per_second: u64 },
    /// Attach a reader to the history from event `from` on.
    Replay { from: u64 },
    /// Tell whether you are the broker.
    Role,
}

/// From a process to the demo. Instants are nanoseconds of the clock that all processes of a machine share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "snake_case")]
pub(crate) enum Word {
    /// On the bus, and listening if that is its part.
    Ready { broker: bool },
    /// Event `n` was published by a call at `called`.
    Published { n: u64, called: u64 },
    /// The bus refused to publish event `n`.
    Refused { n: u64, error: String },
    /// All events were published or refused.
    Streamed,
    /// A subscriber got event `n` at `got`.
    Received { n: u64, got: u64 },
    /// The late reader got event `n`.
    Replayed { n: u64 },
    /// The answer to [`Order::Role`].
    Role { broker: bool },
}

/// The data of the events of the demo.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Numbered {
    pub(crate) n: u64,
}

/// The present, in nanoseconds of the clock that all processes of this machine share.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u64::try_from(time.tv_nsec).unwrap_or_default();
    seconds * 1_000_000_000 + nanos
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_the_way() {
        let words = [
            Word::Ready { broker: true },
            Word::Refused {
                n: 1,
                error: "a\n\"b\"".into(),
            },
            Word::Streamed,
        ];
        for word in words {
            let line = serde_json::to_string(&word).unwrap();
            assert!(!line.contains('\n'));
            assert_eq!(serde_json::from_str::<Word>(&line).unwrap(), word);
        }
    }
}
