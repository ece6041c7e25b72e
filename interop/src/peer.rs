//! A peer process under control of the test.

use std::process::ExitStatus;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::process::{Launch, Process};
use crate::{Kind, PATIENCE, Seen};

/// A child process with one bus. Killed when dropped.
#[derive(Debug)]
pub struct Peer {
    kind: Kind,
    process: Process,
    last_id: AtomicU64,
}

/// A command that was given and not waited for.
#[derive(Debug)]
pub struct Pending<'a> {
    peer: &'a Peer,
    id: u64,
    command: Value,
}

impl Pending<'_> {
    /// Whether the reply is there.
    pub fn is_done(&self) -> bool {
        self.peer.process.said().replies.contains_key(&self.id)
    }

    /// The reply, or the message of the failure.
    ///
    /// # Errors
    /// The message that the peer gave.
    #[track_caller]
    pub fn result(self) -> Result<Value, String> {
        let what = format!("the reply to {}", self.command);
        let reply = self
            .peer
            .process
            .wait(&what, |said| said.replies.get(&self.id).cloned());
        match reply["ok"] == true {
            true => Ok(reply),
            false => Err(reply["error"].as_str().unwrap_or("no message").to_owned()),
        }
    }

    /// The reply of a command that must succeed.
    #[track_caller]
    pub fn wait(self) -> Value {
        let (name, command) = (self.peer.name().to_owned(), self.command.clone());
        self.result()
            .unwrap_or_else(|error| panic!("{name}: {command}: {error}"))
    }
}

/// The program of a peer with a bus, and that of one with agents.
pub(crate) const BUS_PEER: &str = "peer.mjs";
pub(crate) const AGENT_PEER: &str = "agent-peer.mjs";

/// The process.
impl Peer {
    pub(crate) fn launch(launch: Launch<'_>) -> Self {
        Self {
            kind: launch.kind,
            process: Process::start(&launch),
            last_id: AtomicU64::new(0),
        }
    }

    /// Waits for the first line of the peer.
    #[track_caller]
    pub fn wait_ready(&self) {
        self.process
            .wait("it was ready", |said| said.ready.then_some(()));
    }

    /// The language of the peer.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// A name for messages.
    pub fn name(&self) -> &str {
        self.process.name()
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&self) {
        self.process.signal(Signal::KILL);
        self.process.ended();
    }

    /// SIGSTOP, and waits until it stands.
    #[track_caller]
    pub fn stop(&self) {
        self.process.stop();
    }

    /// SIGCONT.
    pub fn cont(&self) {
        self.process.signal(Signal::CONT);
    }

    /// Waits for the end of the process.
    pub fn ended(&self) -> ExitStatus {
        self.process.ended()
    }

    /// Notices of subscriptions, and the last words of a dying peer.
    pub fn remarks(&self) -> Vec<Value> {
        self.process.said().remarks.clone()
    }
}

/// Commands.
impl Peer {
    /// Gives a command and returns at once.
    pub fn begin(&self, name: &str, members: Value) -> Pending<'_> {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let mut command = members;
        command["id"] = json!(id);
        command["cmd"] = json!(name);
        self.process.say(&command);
        Pending {
            peer: self,
            id,
            command,
        }
    }

    /// Gives a command that must succeed.
    #[track_caller]
    pub fn call(&self, name: &str, members: Value) -> Value {
        self.begin(name, members).wait()
    }

    /// Subscribes `label` without a group.
    #[track_caller]
    pub fn subscribe(&self, topic: &str, label: &str) {
        self.subscribe_with(topic, label, json!({}));
    }

    /// Subscribes `label` as a member of `group`.
    #[track_caller]
    pub fn join(&self, topic: &str, label: &str, group: &str) {
        self.subscribe_with(topic, label, json!({ "group": group }));
    }

    /// Subscribes with group and behaviour.
    #[track_caller]
    pub fn subscribe_with(&self, topic: &str, label: &str, more: Value) {
        self.begin_subscribe(topic, label, more).wait();
    }

    /// Subscribes without waiting.
    pub fn begin_subscribe(&self, topic: &str, label: &str, more: Value) -> Pending<'_> {
        let mut members = more;
        members["topic"] = json!(topic);
        members["as"] = json!(label);
        self.begin("subscribe", members)
    }

    /// Unsubscribes `label`.
    #[track_caller]
    pub fn unsubscribe(&self, topic: &str, label: &str) {
        self.call("unsubscribe", json!({ "topic": topic, "as": label }));
    }

    /// Publishes `data` (tagged JSON) with type `x` and run `r`.
    #[track_caller]
    pub fn publish(&self, topic: &str, data: Value) {
        self.publish_event(topic, json!({ "type": "x", "runId": "r", "data": data }));
    }

    /// Publishes a whole event.
    #[track_caller]
    pub fn publish_event(&self, topic: &str, event: Value) {
        self.call("publish", json!({ "topic": topic, "event": event }));
    }

    /// Publishes without leaving the process.
    #[track_caller]
    pub fn publish_local(&self, topic: &str, data: Value) {
        let event = json!({ "type": "x", "runId": "r", "data": data });
        self.call(
            "publish",
            json!({ "topic": topic, "event": event, "localOnly": true }),
        );
    }

    /// Publishes `count` events with `seq` from 0, one after the other.
    #[track_caller]
    pub fn publish_many(&self, topic: &str, count: u64) -> Value {
        self.call("publishMany", json!({ "topic": topic, "count": count }))
    }

    /// Removes everything kept for `topic`.
    #[track_caller]
    pub fn clear(&self, topic: &str) {
        self.call("clearTopic", json!({ "topic": topic }));
    }

    /// Whether it is the broker.
    #[track_caller]
    pub fn is_broker(&self) -> bool {
        self.call("status", json!({}))["isBroker"] == true
    }

    /// How many processes are connected to this broker.
    #[track_caller]
    pub fn remote_clients(&self) -> u64 {
        self.call("status", json!({}))["remoteClientCount"]
            .as_u64()
            .unwrap_or_default()
    }

    /// Closes the bus; the process goes on.
    #[track_caller]
    pub fn close(&self) {
        self.call("close", json!({}));
    }

    /// The counts of a label.
    #[track_caller]
    pub fn stats(&self, label: &str) -> Value {
        self.call("stats", json!({ "as": label }))
    }

    /// The counts of a label, once it got `count` events.
    #[track_caller]
    pub fn reached(&self, label: &str, count: u64) -> Value {
        let members =
            json!({ "as": label, "count": count, "withinMs": PATIENCE.as_millis() as u64 - 1000 });
        self.call("reached", members)
    }
}

/// Deliveries.
impl Peer {
    /// What `label` has reported so far.
    pub fn seen(&self, label: &str) -> Vec<Seen> {
        of(&self.process.said().events, label)
    }

    /// Waits until `label` has reported at least `count` events.
    #[track_caller]
    pub fn wait_seen(&self, label: &str, count: usize) -> Vec<Seen> {
        let what = format!("{label:?} had seen {count} events");
        self.process.wait(&what, |said| {
            let seen = of(&said.events, label);
            (seen.len() >= count).then_some(seen)
        })
    }

    /// Waits until `done` holds for what `label` has reported.
    #[track_caller]
    pub fn seen_until(&self, label: &str, done: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
        let what = format!("{label:?} had seen what the test waits for");
        self.process.wait(&what, |said| {
            let seen = of(&said.events, label);
            done(&seen).then_some(seen)
        })
    }
}

fn of(events: &[Seen], label: &str) -> Vec<Seen> {
    events
        .iter()
        .filter(|one| one.label() == label)
        .cloned()
        .collect()
}
