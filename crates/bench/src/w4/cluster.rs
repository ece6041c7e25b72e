//! One broker, one publisher and some subscribers on a fresh socket.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::process::Process;
use crate::Result;
use crate::line::Members;

/// The commands that start the roles.
#[derive(Debug, Clone)]
pub(crate) struct Roles {
    broker: Vec<OsString>,
    publisher: Vec<OsString>,
    subscriber: Vec<OsString>,
}

/// The Node role, from the root of the repository.
const NODE_ROLE: &str = "bench/node/w4_role.mjs";

impl Roles {
    /// `choice` is a list such as `broker=node,publisher=rust`; what it does not name is decided by the environment, and
    /// otherwise played by `program`.
    pub(crate) fn choose(choice: &str, program: &[OsString]) -> Result<Self> {
        let mut own = program.to_vec();
        own.push("--role".into());
        let mut chosen = Vec::new();
        for part in choice.split(',').filter(|part| !part.is_empty()) {
            let (role, implementation) = part.split_once('=').unwrap_or((part, ""));
            if !["broker", "publisher", "subscriber"].contains(&role) {
                return Err(format!(
                    "there is no role {role:?}; the roles are broker, publisher and subscriber"
                )
                .into());
            }
            let command = match implementation {
                "rust" => own.clone(),
                "node" => node_role()?,
                other => {
                    return Err(
                        format!("{role} cannot be played by {other:?}; use rust or node").into(),
                    );
                }
            };
            chosen.push((role, command));
        }
        let command = |name: &str| match chosen.iter().find(|(role, _)| *role == name) {
            Some((_, command)) => Ok(command.clone()),
            None => from_env(name).unwrap_or_else(|| Ok(own.clone())),
        };
        Ok(Self {
            broker: command("broker")?,
            publisher: command("publisher")?,
            subscriber: command("subscriber")?,
        })
    }
}

fn node_role() -> Result<Vec<OsString>> {
    if Path::new(NODE_ROLE).exists() {
        Ok(vec!["node".into(), NODE_ROLE.into()])
    } else {
        Err(format!("{NODE_ROLE} is not here; start from the root of the repository").into())
    }
}

fn from_env(role: &str) -> Option<Result<Vec<OsString>>> {
    let name = format!("BENCH_ROLE_{}", role.to_uppercase());
    let text = env::var(&name).ok()?;
    let command = serde_json::from_str::<Vec<String>>(&text)
        .map(|command| command.into_iter().map(OsString::from).collect())
        .map_err(|error| {
            format!("{name} is no JSON array of program and arguments: {error}").into()
        });
    Some(command)
}

/// The processes of one measurement. Dropping it kills them and removes their directory.
pub(super) struct Cluster {
    pub(super) broker: Process,
    pub(super) publisher: Process,
    pub(super) subscribers: Vec<Process>,
    // Dropped last: a survivor would make the directory again.
    _directory: Directory,
}

impl Cluster {
    pub(super) fn start(roles: &Roles, subscribers: usize) -> Result<Self> {
        let directory = Directory::make()?;
        let socket = directory.0.join("bus.sock");
        let (mut broker, ready) = Process::start("broker", &roles.broker, &socket)?;
        broker.ready(ready)?;
        broker.call::<Value>("subscribe-noop", json!({}))?;
        let (mut publisher, publisher_ready) =
            Process::start("publisher", &roles.publisher, &socket)?;
        let mut started = Vec::new();
        for _ in 0..subscribers {
            started.push(Process::start("subscriber", &roles.subscriber, &socket)?);
        }
        publisher.ready(publisher_ready)?;
        let mut subscribers = Vec::new();
        for (mut subscriber, ready) in started {
            subscriber.ready(ready)?;
            subscribers.push(subscriber);
        }
        for subscriber in &mut subscribers {
            subscriber.call::<Value>("subscribe", json!({}))?;
        }
        publisher.call::<Value>("subscribe-noop", json!({}))?;
        Ok(Self {
            broker,
            publisher,
            subscribers,
            _directory: directory,
        })
    }

    /// The same command to every subscriber.
    pub(super) fn call_subscribers<T: DeserializeOwned>(
        &mut self,
        command: &str,
        members: &Value,
    ) -> Result<Vec<T>> {
        let mut replies = Vec::new();
        for subscriber in &mut self.subscribers {
            replies.push(subscriber.send(command, members.clone())?);
        }
        replies
            .into_iter()
            .map(super::process::Reply::wait)
            .collect()
    }

    /// Errors that no command asked for, in all processes.
    pub(super) fn unhandled(&self) -> u64 {
        let all = self
            .subscribers
            .iter()
            .chain([&self.broker, &self.publisher]);
        all.map(Process::unhandled).sum()
    }

    /// The extra that says who played which role, empty when all were the Node program.
    pub(super) fn mixture(&self) -> Option<Members> {
        let subscriber = self
            .subscribers
            .first()
            .map_or("", |first| first.implementation.as_str());
        let roles = [
            &*self.broker.implementation,
            &*self.publisher.implementation,
            subscriber,
        ];
        (roles != ["node"; 3]).then(|| {
            Members::new()
                .with("broker", roles[0])
                .with("publisher", roles[1])
                .with("subscriber", roles[2])
        })
    }
}

struct Directory(PathBuf);

impl Directory {
    fn make() -> Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let parent = env::var_os("BENCH_DIR").map_or_else(env::temp_dir, PathBuf::from);
        let name = format!(
            "bowline-w4-{}-{}",
            std::process::id(),
            NUMBER.fetch_add(1, Relaxed)
        );
        let path = parent.join(name);
        fs::create_dir(&path)
            .map_err(|error| format!("{} cannot be made: {error}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // A directory that is left behind in the temporary one harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}
