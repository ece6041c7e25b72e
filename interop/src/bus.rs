//! The scratch folder in which peers meet.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::peer::{AGENT_PEER, BUS_PEER};
use crate::process::Launch;
use crate::{Kind, Peer, RawBroker, RawConnection, Seen, eventually};

/// One socket path in a folder of its own, removed with everything in it at the end.
#[derive(Debug)]
pub struct Bus {
    folder: TempDir,
    rust_peer: PathBuf,
    started: Cell<usize>,
}

impl Bus {
    /// A new folder; `rust_peer` is the program of Rust peers, see [`bus!`](crate::bus).
    ///
    /// # Panics
    /// When the folder cannot be made.
    pub fn new(rust_peer: &str) -> Self {
        // Directly under the temporary folder: a socket path has 107 bytes at most.
        let folder = tempfile::Builder::new().prefix("bl-").tempdir();
        Self {
            folder: folder.unwrap_or_else(|error| panic!("no scratch folder: {error}")),
            rust_peer: rust_peer.into(),
            started: Cell::new(0),
        }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The socket path of all peers.
    pub fn socket(&self) -> PathBuf {
        self.folder().join("bus.sock")
    }

    /// The election lock beside the socket.
    pub fn lock(&self) -> PathBuf {
        self.folder().join("bus.sock.elect")
    }

    /// A peer with default options. It has not touched the path yet: the first call that needs the bus does.
    pub fn start(&self, kind: Kind) -> Peer {
        self.start_with(kind, json!({}))
    }

    /// A peer with options, in the names of the reference; see `README.md`.
    pub fn start_with(&self, kind: Kind, options: Value) -> Peer {
        let peer = self.spawn_at(kind, &self.socket(), options);
        peer.wait_ready();
        peer
    }

    /// Several peers at once, which saves their start-up time.
    pub fn start_all<const N: usize>(&self, kinds: [Kind; N]) -> [Peer; N] {
        self.start_all_with(kinds, json!({}))
    }

    /// Several peers with the same options.
    pub fn start_all_with<const N: usize>(&self, kinds: [Kind; N], options: Value) -> [Peer; N] {
        let peers = kinds.map(|kind| self.spawn_at(kind, &self.socket(), options.clone()));
        for peer in &peers {
            peer.wait_ready();
        }
        peers
    }

    /// A peer on a path of the caller's choice.
    pub fn spawn_at(&self, kind: Kind, socket: &Path, options: Value) -> Peer {
        let number = self.started.replace(self.started.get() + 1);
        Peer::launch(Launch {
            kind,
            script: BUS_PEER,
            name: format!("{kind}#{number}"),
            rust_peer: &self.rust_peer,
            address: socket.as_os_str(),
            options,
            folder: self.folder(),
            user: None,
        })
    }

    /// A Node process with the agents of `agent-peer.mjs`.
    pub fn start_agents(&self) -> Peer {
        let socket = self.socket();
        let peer = Peer::launch(Launch {
            kind: Kind::Node,
            script: AGENT_PEER,
            name: "agents".into(),
            rust_peer: &self.rust_peer,
            address: socket.as_os_str(),
            options: json!({}),
            folder: self.folder(),
            user: None,
        });
        peer.wait_ready();
        peer
    }

    /// A Rust peer that is not allowed everything: a process of root runs it as another user, with the program copied to where
    /// that user finds it.
    ///
    /// # Panics
    /// When the program cannot be copied.
    pub fn start_unprivileged(&self, options: Value) -> Peer {
        const NOBODY: u32 = 65_534;
        let is_root = rustix::process::geteuid().is_root();
        let program = self.folder().join("peer");
        if let Err(error) = std::fs::copy(&self.rust_peer, &program) {
            panic!("cannot copy the peer to {}: {error}", program.display());
        }
        let peer = Peer::launch(Launch {
            kind: Kind::Rust,
            script: BUS_PEER,
            name: "unprivileged".into(),
            rust_peer: &program,
            address: self.socket().as_os_str(),
            options,
            folder: self.folder(),
            user: is_root.then_some(NOBODY),
        });
        peer.wait_ready();
        peer
    }

    /// A bare connection to the socket.
    pub fn connect(&self) -> RawConnection {
        RawConnection::connect(&self.socket())
    }

    /// A bare broker on the socket.
    pub fn raw_broker(&self) -> RawBroker {
        RawBroker::bind(&self.socket())
    }

    /// Waits until exactly one of `peers` is the broker and all others are its clients; which one it is.
    #[track_caller]
    pub fn converged(&self, peers: &[&Peer]) -> usize {
        eventually("one broker and everybody else its client", || {
            let status: Vec<Value> = peers
                .iter()
                .map(|peer| peer.call("status", json!({})))
                .collect();
            let brokers: Vec<usize> = (0..peers.len())
                .filter(|&at| status[at]["isBroker"] == true)
                .collect();
            match brokers[..] {
                [at] if status[at]["remoteClientCount"] == peers.len() - 1 => Ok(at),
                _ => Err(format!("{status:?}")),
            }
        })
    }

    /// Publishes a mark on `topic` and waits until all `readers` (peer and label, ungrouped) have seen it: what each of them got
    /// before, other marks left out.
    #[track_caller]
    pub fn settled(
        &self,
        publisher: &Peer,
        topic: &str,
        readers: &[(&Peer, &str)],
    ) -> Vec<Vec<Seen>> {
        let number = self.started.replace(self.started.get() + 1);
        let mark = json!({ "mark": number });
        publisher.publish(topic, mark.clone());
        readers
            .iter()
            .map(|(peer, label)| {
                let mut seen =
                    peer.seen_until(label, |seen| seen.iter().any(|one| *one.data() == mark));
                seen.retain(|one| one.data().get("mark").is_none());
                seen
            })
            .collect()
    }

    /// Waits until everybody's events reach everybody: probes, each an object with the name of its publisher.
    #[track_caller]
    pub fn reachable(&self, topic: &str, readers: &[(&Peer, &str)]) {
        let number = self.started.replace(self.started.get() + 1);
        let probe = |peer: &Peer| json!({ "probe": number, "of": peer.name() });
        eventually("everybody hears everybody", || {
            for (publisher, _) in readers {
                // A publish may fail in the middle of a failover; the next probe tells.
                let event = json!({ "type": "x", "runId": "r", "data": probe(publisher) });
                let _ = publisher
                    .begin("publish", json!({ "topic": topic, "event": event }))
                    .result();
            }
            for (reader, label) in readers {
                let seen = reader.seen(label);
                for (publisher, _) in readers {
                    if !seen.iter().any(|one| *one.data() == probe(publisher)) {
                        return Err(format!(
                            "{} has not heard {}",
                            reader.name(),
                            publisher.name()
                        ));
                    }
                }
            }
            Ok(())
        });
    }
}
