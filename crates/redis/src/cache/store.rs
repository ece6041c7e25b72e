//! What a cache asks of its server.

use std::fmt;
use std::sync::Arc;

use crate::history::{escape_glob, scan};
use crate::wire::{BoxFuture, Client, Command, Connect, Failure, Link, LinkOptions, Repeat, Reply};

/// Executes commands: a connection, or a service over HTTP.
///
/// Commands that are called while others are on their way are sent together where that saves round trips, in the order in
/// which the futures were first polled.
pub(crate) trait Store: fmt::Debug + Send + Sync + 'static {
    /// Executes one command.
    fn run<'a>(
        &'a self,
        command: &'a Command,
        repeat: Repeat,
    ) -> BoxFuture<'a, Result<Reply, Failure>>;

    /// Executes commands that do no harm when they are repeated, in order and in one round trip. Commands of others may come
    /// between them.
    fn run_all<'a>(&'a self, commands: &'a [Command])
    -> BoxFuture<'a, Result<Vec<Reply>, Failure>>;

    /// The keys of all lists that begin with `prefix`.
    fn lists<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, Failure>>;
}

/// A connection to a server, or to a cluster.
#[derive(Debug)]
pub(super) struct RedisStore {
    client: Arc<Client>,
    link: Link,
}

impl RedisStore {
    pub(super) fn new(client: Client, options: LinkOptions) -> Self {
        let client = Arc::new(client);
        let connect: Arc<dyn Connect> = Arc::clone(&client) as Arc<dyn Connect>;
        Self {
            link: Link::new(connect, options),
            client,
        }
    }
}

impl Store for RedisStore {
    fn run<'a>(
        &'a self,
        command: &'a Command,
        repeat: Repeat,
    ) -> BoxFuture<'a, Result<Reply, Failure>> {
        Box::pin(self.link.run(command, repeat))
    }

    fn run_all<'a>(
        &'a self,
        commands: &'a [Command],
    ) -> BoxFuture<'a, Result<Vec<Reply>, Failure>> {
        Box::pin(self.link.run_all(commands, false, Repeat::Yes))
    }

    fn lists<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, Failure>> {
        Box::pin(async move {
            let mut keys = Vec::new();
            for node in self.client.connect_to_all().await? {
                keys.extend(scan(&*node, &format!("{}*", escape_glob(prefix)), "list").await?);
            }
            Ok(keys)
        })
    }
}
