//! The commands of the role protocol.

use serde::Deserialize;
use serde_json::{Map, Value};

/// A line of the input: the id, and whatever the command is.
#[derive(Debug, Deserialize)]
pub(super) struct Line {
    pub(super) id: i64,
    #[serde(flatten)]
    members: Map<String, Value>,
}

impl Line {
    /// The command, unless it is unknown or lacks a member.
    pub(super) fn command(&self) -> Option<Command> {
        self.parse().ok()
    }

    /// Why there is no command.
    pub(super) fn complaint(&self) -> String {
        match self.parse() {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    fn parse(&self) -> serde_json::Result<Command> {
        Command::deserialize(Value::Object(self.members.clone()))
    }
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(tag = "cmd", rename_all = "kebab-case")]
pub(super) enum Command {
    Subscribe(Subscribe),
    SubscribeNoop,
    Reset {
        latency_every: Option<u64>,
        #[serde(default)]
        trace: bool,
    },
    Stats,
    Trace,
    Blast {
        topic: Option<String>,
        bytes: usize,
        width: usize,
        seconds: f64,
    },
    Paced(Pace),
    Request(Pace),
    LogPublish {
        #[serde(flatten)]
        pace: Pace,
        settle_ms: Option<u64>,
        wait_ms: Option<u64>,
    },
    Exit {
        #[serde(default)]
        close: bool,
    },
}

/// What is subscribed, and how.
#[derive(Debug, Default, PartialEq, Deserialize)]
pub(super) struct Subscribe {
    pub(super) topic: Option<String>,
    pub(super) group: Option<String>,
    #[serde(default)]
    pub(super) earliest: bool,
    count: Option<usize>,
    #[serde(default)]
    pub(super) ack: bool,
}

impl Subscribe {
    pub(super) fn count(&self) -> usize {
        self.count.unwrap_or(1)
    }
}

/// Publishing at a rate.
#[derive(Debug, PartialEq, Deserialize)]
pub(super) struct Pace {
    pub(super) topic: Option<String>,
    pub(super) rate: f64,
    pub(super) seconds: f64,
    bytes: Option<usize>,
}

impl Pace {
    pub(super) fn bytes(&self) -> usize {
        self.bytes.unwrap_or(200)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_with_their_defaults() {
        let pace = Pace {
            topic: None,
            rate: 1000.0,
            seconds: 3.0,
            bytes: None,
        };
        let table = [
            (
                r#"{"id":1,"cmd":"subscribe"}"#,
                Command::Subscribe(Subscribe::default()),
            ),
            (
                r#"{"id":1,"cmd":"subscribe","topic":"t","group":"g","count":8,"ack":true}"#,
                Command::Subscribe(Subscribe {
                    topic: Some("t".into()),
                    group: Some("g".into()),
                    earliest: false,
                    count: Some(8),
                    ack: true,
                }),
            ),
            (
                r#"{"id":1,"cmd":"reset"}"#,
                Command::Reset {
                    latency_every: None,
                    trace: false,
                },
            ),
            (
                r#"{"id":1,"cmd":"exit","new":1}"#,
                Command::Exit { close: false },
            ),
            (
                r#"{"id":1,"cmd":"log-publish","rate":1000,"seconds":3}"#,
                Command::LogPublish {
                    pace,
                    settle_ms: None,
                    wait_ms: None,
                },
            ),
        ];
        for (text, command) in table {
            let line: Line = serde_json::from_str(text).expect("an object with an id");
            assert_eq!(line.command(), Some(command), "{text}");
        }
    }

    #[test]
    fn an_unknown_command_is_named_in_the_complaint() {
        let line: Line = serde_json::from_str(r#"{"id":1,"cmd":"sing"}"#).expect("an object");
        assert_eq!(line.command(), None);
        assert!(line.complaint().contains("sing"));
    }

    #[test]
    fn what_is_no_object_with_an_id_is_no_line() {
        for text in ["[]", "{}", r#"{"id":"x","cmd":"stats"}"#, "stats"] {
            assert!(serde_json::from_str::<Line>(text).is_err(), "{text}");
        }
    }
}
