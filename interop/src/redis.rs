//! The server on which peers meet.

use std::cell::Cell;
use std::ffi::OsStr;
use std::path::PathBuf;

use bowline_testkit::{RedisServer, Reply, skips_redis};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::peer::{AGENT_PEER, BUS_PEER};
use crate::process::Launch;
use crate::{Kind, Peer, eventually};

/// A real Redis server of one test, on a scratch port; it ends with the test.
#[derive(Debug)]
pub struct Redis {
    server: RedisServer,
    runtime: Runtime,
    folder: TempDir,
    rust_peer: PathBuf,
    started: Cell<usize>,
}

impl Redis {
    /// Starts a server; `None` with `BOWLINE_SKIP_REDIS=1`. `rust_peer` is the program of Rust peers, see
    /// [`redis!`](crate::redis).
    ///
    /// # Panics
    /// When there is no server program.
    pub fn start_server(rust_peer: &str) -> Option<Self> {
        if skips_redis() {
            return None;
        }
        let cannot = |what: &str, error: &dyn std::error::Error| -> ! { panic!("{what}: {error}") };
        let runtime = Runtime::new().unwrap_or_else(|error| cannot("no runtime", &error));
        let server = runtime
            .block_on(RedisServer::start())
            .unwrap_or_else(|error| cannot("no Redis server", &error));
        let folder = tempfile::Builder::new().prefix("bl-").tempdir();
        Some(Self {
            server,
            runtime,
            folder: folder.unwrap_or_else(|error| cannot("no scratch folder", &error)),
            rust_peer: rust_peer.into(),
            started: Cell::new(0),
        })
    }

    /// A peer that blocks for 100 ms at a time, with otherwise default options.
    pub fn start(&self, kind: Kind) -> Peer {
        self.start_with(kind, json!({}))
    }

    /// A peer with options, in the names of the reference; see `README.md`.
    pub fn start_with(&self, kind: Kind, options: Value) -> Peer {
        let peer = self.spawn(kind, options);
        peer.wait_ready();
        peer
    }

    /// Several peers at once, which saves their start-up time.
    pub fn start_all<const N: usize>(&self, kinds: [Kind; N]) -> [Peer; N] {
        self.start_all_with(kinds, json!({}))
    }

    /// Several peers with the same options.
    pub fn start_all_with<const N: usize>(&self, kinds: [Kind; N], options: Value) -> [Peer; N] {
        eprintln!("{kinds:?}");
        let peers = kinds.map(|kind| self.spawn(kind, options.clone()));
        for peer in &peers {
            peer.wait_ready();
        }
        peers
    }

    /// A Node process with the agents of `agent-peer.mjs`, on this server with a cache there.
    pub fn start_agents(&self) -> Peer {
        let options = json!({ "cache": { "kind": "redis", "url": self.server.url() } });
        let peer = self.spawn_script(AGENT_PEER, Kind::Node, options);
        peer.wait_ready();
        peer
    }

    fn spawn(&self, kind: Kind, options: Value) -> Peer {
        self.spawn_script(BUS_PEER, kind, options)
    }

    fn spawn_script(&self, script: &str, kind: Kind, mut options: Value) -> Peer {
        let number = self.started.replace(self.started.get() + 1);
        options["bus"] = json!("redis");
        if options["blockMs"].is_null() {
            options["blockMs"] = json!(100);
        }
        Peer::launch(Launch {
            kind,
            script,
            name: format!("{kind}#{number}"),
            rust_peer: &self.rust_peer,
            address: OsStr::new(&self.server.url()),
            options,
            folder: self.folder.path(),
            user: None,
        })
    }

    /// The server.
    pub fn server(&self) -> &RedisServer {
        &self.server
    }

    /// Runs something of the test kit to its end.
    pub fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// The reply to a command of the test itself.
    ///
    /// # Panics
    /// When the server cannot be asked, or answers with an error.
    #[track_caller]
    pub fn command(&self, command: &[&str]) -> Reply {
        match self.wait(self.server.command(command)) {
            Ok(Reply::Error(error)) => panic!("{command:?}: {error}"),
            Ok(reply) => reply,
            Err(error) => panic!("{command:?}: {error}"),
        }
    }

    /// Appends an entry with the fields `fields` to the stream of `topic`.
    pub fn add(&self, topic: &str, fields: &[(&str, &str)]) {
        let key = key(topic);
        let mut command = vec!["XADD", &key, "*"];
        command.extend(fields.iter().flat_map(|(name, value)| [*name, *value]));
        self.command(&command);
    }

    /// The texts in the stream of `topic`, in order; entries without an event are left out.
    pub fn texts(&self, topic: &str) -> Vec<String> {
        let entries = self.command(&["XRANGE", &key(topic), "-", "+"]);
        entries
            .items()
            .iter()
            .filter_map(|entry| entry.items().get(1)?.field("event")?.text())
            .collect()
    }

    /// The groups of the stream of `topic`.
    pub fn groups(&self, topic: &str) -> Vec<String> {
        let groups = self.command(&["XINFO", "GROUPS", &key(topic)]);
        let name = |group: &Reply| group.field("name").and_then(Reply::text);
        groups.items().iter().filter_map(name).collect()
    }

    /// Waits until the stream of `topic` holds no entry: it has expired, and readers may have made it anew.
    #[track_caller]
    pub fn wait_until_empty(&self, topic: &str) {
        eventually("the stream is gone", || {
            match self.command(&["XLEN", &key(topic)]).int() {
                Some(0) => Ok(()),
                length => Err(format!("{length:?}")),
            }
        });
    }

    /// Entries of `topic` that `group` was given and has not settled.
    pub fn pending(&self, topic: &str, group: &str) -> i64 {
        let summary = self.command(&["XPENDING", &key(topic), group]);
        summary
            .items()
            .first()
            .and_then(Reply::int)
            .unwrap_or_default()
    }

    /// Waits until `group` has settled everything it was given.
    #[track_caller]
    pub fn all_settled(&self, topic: &str, group: &str) {
        eventually("everything is settled", || {
            match self.pending(topic, group) {
                0 => Ok(()),
                count => Err(format!("{count} pending in {group}")),
            }
        });
    }
}

fn key(topic: &str) -> String {
    format!("mastra:topic:{topic}")
}
