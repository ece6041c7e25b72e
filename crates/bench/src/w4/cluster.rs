//! One broker, one publisher and some subscribers on a fresh socket.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::Result;
use crate::directory::Directory;
use crate::line::Members;
use crate::process::{self, Process};
use crate::roles::Roles;

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
        let directory = Directory::make("w4")?;
        let socket = directory.path().join("bus.sock");
        let (mut broker, ready) = Process::start("broker", &roles.broker, socket.as_os_str())?;
        broker.ready(ready)?;
        broker.call::<Value>("subscribe-noop", json!({}))?;
        let (mut publisher, publisher_ready) =
            Process::start("publisher", &roles.publisher, socket.as_os_str())?;
        let mut started = Vec::new();
        for _ in 0..subscribers {
            started.push(Process::start(
                "subscriber",
                &roles.subscriber,
                socket.as_os_str(),
            )?);
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
        process::call_each(&mut self.subscribers, command, members)
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
