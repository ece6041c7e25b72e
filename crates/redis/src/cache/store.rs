//! What a cache asks of its server.

use std::fmt;

use crate::wire::{BoxFuture, Command, Failure, Link, Repeat, Reply};

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

    /// Executes commands that do no harm when they are repeated, in one round trip; in `transaction` as one.
    fn run_all<'a>(
        &'a self,
        commands: &'a [Command],
        transaction: bool,
    ) -> BoxFuture<'a, Result<Vec<Reply>, Failure>>;
}

impl Store for Link {
    fn run<'a>(
        &'a self,
        command: &'a Command,
        repeat: Repeat,
    ) -> BoxFuture<'a, Result<Reply, Failure>> {
        Box::pin(Link::run(self, command, repeat))
    }

    fn run_all<'a>(
        &'a self,
        commands: &'a [Command],
        transaction: bool,
    ) -> BoxFuture<'a, Result<Vec<Reply>, Failure>> {
        Box::pin(Link::run_all(self, commands, transaction, Repeat::Yes))
    }
}
