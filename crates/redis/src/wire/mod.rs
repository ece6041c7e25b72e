//! The seam to the client library: commands, replies, and what can go wrong between them.
//!
//! Nothing outside of this module names the library.

mod client;
mod command;
mod failure;
mod in_flight;
mod link;
#[cfg(test)]
mod link_tests;
mod pipe;
mod reply;
mod server;
mod shared;
mod watch;
#[cfg(test)]
mod watch_tests;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

pub(crate) use client::{Client, ClientOptions};
pub(crate) use command::Command;
pub(crate) use failure::{Failure, ServerError};
pub(crate) use link::{Link, LinkOptions, Repeat, backoff};
pub(crate) use reply::Reply;
pub use server::Server;

/// A boxed future that can be sent to other threads.
pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Many short commands at once.
    Commands,
    /// One blocking read at a time.
    BlockingReads,
}

/// Opens connections.
pub(crate) trait Connect: fmt::Debug + Send + Sync {
    /// One attempt, bounded by the connect timeout. `key` names what will be read, so that a cluster can choose the node.
    fn connect<'a>(
        &'a self,
        purpose: Purpose,
        key: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Arc<dyn Connection>, Failure>>;
}

/// An open connection. Commands are sent in the order in which the returned futures are first polled.
pub(crate) trait Connection: fmt::Debug + Send + Sync {
    /// Sends one command and waits for its reply. Dropping the future leaves open whether the command is executed.
    fn send<'a>(&self, command: &'a Command) -> BoxFuture<'a, Result<Reply, Failure>>;

    /// Sends commands in one piece and waits for all replies; an error reply is [`Reply::Error`] in its place.
    ///
    /// With `transaction` they are wrapped in `MULTI` and `EXEC`, and executed together or not at all.
    fn send_all<'a>(
        &self,
        commands: &'a [Command],
        transaction: bool,
    ) -> BoxFuture<'a, Result<Vec<Reply>, Failure>>;
}
