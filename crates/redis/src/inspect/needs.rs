//! The commands that a bus and a cache send, each in a form that changes nothing.

use uuid::Uuid;

use crate::wire::Command;

/// What a server is used for, and how the keys begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role<'a> {
    /// A bus, with the `key_prefix` of its builder.
    Bus {
        /// What keys begin with, before a colon.
        key_prefix: &'a str,
    },
    /// The cache in front of a bus, with the prefixes of its builder.
    Cache {
        /// What keys begin with.
        key_prefix: &'a str,
        /// What follows before the topic.
        topic_prefix: &'a str,
    },
}

/// A command, and what it is needed for.
pub(super) struct Need {
    /// The name, with its subcommand.
    pub(super) name: &'static str,
    /// Arguments that change nothing as long as there is no such key. [`KEY`] stands for the key.
    arguments: &'static [&'static str],
    /// What does not work without it.
    pub(super) without: &'static str,
    /// Whether nothing works without it.
    pub(super) is_essential: bool,
    /// Whether it makes a key even where there is none.
    pub(super) writes: bool,
}

const KEY: &str = "{key}";

impl Need {
    const fn new(
        name: &'static str,
        arguments: &'static [&'static str],
        without: &'static str,
    ) -> Self {
        Self {
            name,
            arguments,
            without,
            is_essential: false,
            writes: false,
        }
    }

    const fn essential(self) -> Self {
        Self {
            is_essential: true,
            ..self
        }
    }

    const fn writing(self) -> Self {
        Self {
            writes: true,
            ..self
        }
    }

    /// Whether it begins or ends a transaction, and so cannot be tried alone.
    pub(super) fn is_transaction(&self) -> bool {
        matches!(self.name, "MULTI" | "EXEC")
    }

    /// The command itself.
    pub(super) fn command(&self, key: &str) -> Command {
        self.put_arguments(Command::new(self.name), key)
    }

    /// The question whether `user` may send the command.
    pub(super) fn question(&self, user: &str, key: &str) -> Command {
        let words = self.name.split(' ');
        self.put_arguments(Command::new("ACL DRYRUN").arg(user).args(words), key)
    }

    fn put_arguments(&self, command: Command, key: &str) -> Command {
        let place = |argument: &&'static str| *argument == KEY;
        self.arguments.iter().fold(command, |command, argument| {
            if place(argument) {
                command.key(key)
            } else {
                command.arg(argument)
            }
        })
    }
}

const POSITIONS: &str = "readers cannot begin at a position, and there is no history";
const RECLAIM: &str = "events of members that crashed are never delivered again";
const LEFTOVERS: &str =
    "groups, consumers and empty streams that nobody uses any more stay on the server";
const TTL: &str = "streams get no time to live (stream_idle_ttl)";
const LEASES: &str = "there are no leases";
const LISTING: &str = "topics cannot be listed";

pub(super) const BUS: &[Need] = &[
    Need::new(
        "XADD",
        &[KEY, "NOMKSTREAM", "*", "event", "{}"],
        "nothing can be published",
    )
    .essential(),
    Need::new(
        "XGROUP CREATE",
        &[KEY, "doctor", "$"],
        "nobody can subscribe",
    )
    .essential(),
    Need::new(
        "XREADGROUP",
        &[
            "GROUP", "doctor", "doctor", "COUNT", "1", "STREAMS", KEY, ">",
        ],
        "subscribers receive nothing",
    )
    .essential(),
    Need::new(
        "XACK",
        &[KEY, "doctor", "0-1"],
        "nothing counts as done, and everything is delivered again",
    )
    .essential(),
    Need::new("XRANGE", &[KEY, "-", "+", "COUNT", "1"], POSITIONS),
    Need::new("XINFO STREAM", &[KEY], POSITIONS),
    Need::new(
        "XREVRANGE",
        &[KEY, "+", "-", "COUNT", "1"],
        "a publish whose connection broke cannot be looked for, and fails although it may be there",
    ),
    Need::new("XPENDING", &[KEY, "doctor"], RECLAIM),
    Need::new("XCLAIM", &[KEY, "doctor", "doctor", "0", "0-1"], RECLAIM),
    Need::new("XINFO GROUPS", &[KEY], LISTING),
    Need::new("XINFO CONSUMERS", &[KEY, "doctor"], LEFTOVERS),
    Need::new("XGROUP DESTROY", &[KEY, "doctor"], LEFTOVERS),
    Need::new("XGROUP DELCONSUMER", &[KEY, "doctor", "doctor"], LEFTOVERS),
    Need::new("XTRIM", &[KEY, "MAXLEN", "0"], "topics cannot be trimmed"),
    Need::new("DEL", &[KEY], "topics cannot be cleared"),
    Need::new("PEXPIRE", &[KEY, "1"], TTL),
    Need::new("MULTI", &[], TTL),
    Need::new("EXEC", &[], TTL),
    Need::new("SET", &[KEY, "doctor", "PX", "1", "XX"], LEASES),
    Need::new("GET", &[KEY], LEASES),
    Need::new(
        "EVAL",
        &["return 1", "1", KEY],
        "there are no leases, and what a handler holds for longer than reclaim_idle goes to another one too",
    ),
    Need::new("SCAN", &["0", "COUNT", "1", "TYPE", "stream"], LISTING),
    Need::new("XLEN", &[KEY], LEFTOVERS),
    Need::new("MEMORY USAGE", &[KEY], "the size of topics is not known"),
];

const UNKEPT: &str = "nothing is kept, so no stream can be resumed";
const UNTRIMMED: &str = "histories cannot be shortened (max_events)";

pub(super) const CACHE: &[Need] = &[
    Need::new("INCR", &[KEY], UNKEPT).essential().writing(),
    Need::new("RPUSH", &[KEY, "{}"], UNKEPT)
        .essential()
        .writing(),
    Need::new("EXPIRE", &[KEY, "1"], UNKEPT).essential(),
    Need::new("LINDEX", &[KEY, "0"], UNKEPT).essential(),
    Need::new("LRANGE", &[KEY, "0", "0"], UNKEPT).essential(),
    Need::new("LLEN", &[KEY], UNKEPT).essential(),
    Need::new("GET", &[KEY], UNKEPT).essential(),
    Need::new(
        "EVAL",
        &["return 1", "1", KEY],
        "appending takes several round trips, and publishers that append at once may change the order",
    ),
    Need::new(
        "EVALSHA",
        &["0000000000000000000000000000000000000000", "1", KEY],
        "the text of the script is sent along with every event",
    ),
    Need::new(
        "INCRBY",
        &[KEY, "1"],
        "a history whose counter was thrown away cannot be continued",
    )
    .writing(),
    Need::new("LTRIM", &[KEY, "0", "-1"], UNTRIMMED),
    Need::new("LSET", &[KEY, "0", "{}"], UNTRIMMED),
    Need::new("DEL", &[KEY], "histories cannot be cleared"),
    Need::new(
        "SCAN",
        &["0", "COUNT", "1"],
        "cached topics cannot be listed",
    ),
];

impl Role<'_> {
    /// Everything that is sent in this role.
    pub(super) fn needs(self) -> &'static [Need] {
        match self {
            Self::Bus { .. } => BUS,
            Self::Cache { .. } => CACHE,
        }
    }

    /// A key that nobody uses, where those that are used are.
    pub(super) fn unused_key(self) -> String {
        let name = format!("bowline-doctor-{}", Uuid::new_v4());
        match self {
            Self::Bus { key_prefix } => format!("{key_prefix}:{name}"),
            Self::Cache {
                key_prefix,
                topic_prefix,
            } => format!("{key_prefix}{topic_prefix}{name}"),
        }
    }
}
